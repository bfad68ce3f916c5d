// What a series' own past says of how often it comes, so that nobody has to configure it. Medians: single odd days, and a
// host that means to mislead, move them little.

const DAY_MS = 86_400_000;
/** How many archives are looked back on, and how many it takes to know anything. */
export const LOOK_BACK = 15;
const FEWEST = 4;
/** A gap that is so many times the usual one was an outage. */
const OUTAGE = 3;

/** @returns the middle of some numbers, the lower of two; undefined where there are none */
export function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)];
}

/**
 * Learns how long it may take until the next comes: the longest gap of late that was no outage, so that a series of
 * working days has its weekends.
 * @param times in milliseconds, in order
 * @returns milliseconds; undefined where there are too few to know
 */
export function usualGap(times: readonly number[]): number | undefined {
  const recent = times.slice(-LOOK_BACK);
  if (recent.length < FEWEST) return undefined;
  const gaps = recent.slice(1).map((time, index) => time - (recent[index] as number));
  const middle = median(gaps) as number;
  return Math.max(...gaps.filter((gap) => gap <= middle * OUTAGE));
}

/** How many days of arrivals are looked back on, and how many it takes to know anything. */
const LOOK_BACK_DAYS = 30;
const FEWEST_DAYS = 5;

/**
 * Learns how many come in some time.
 * @param times in milliseconds, in order
 * @returns how many are usual in so many milliseconds, at least those of one usual day; undefined where there are too few days to know
 */
export function usualCount(times: readonly number[], ms: number): number | undefined {
  const perDay = [...Map.groupBy(times, (time) => Math.floor(time / DAY_MS))].slice(-LOOK_BACK_DAYS);
  if (perDay.length < FEWEST_DAYS) return undefined;
  const count = median(perDay.map(([, all]) => all.length)) as number;
  const days = perDay.map(([day]) => day);
  const step = median(days.slice(1).map((day, index) => day - (days[index] as number))) as number;
  return count * Math.max(1, ms / (step * DAY_MS));
}
