// Whether a number is unlike what it used to be: the size of a backup, its duration, its rows, its files. Robust: single
// odd runs in the past move it little, and steady growth lies within its own spread. Pure: it looks at no clock.

export interface Sample {
  /** When it was taken, in milliseconds. */
  time: number;
  value: number;
}

interface Floor {
  /** The share of the usual value that is never worth a word. */
  relative: number;
  /** The difference that is never worth a word. */
  absolute: number;
  /** Less than this may vanish. */
  tiny: number;
}

/** What can vary, in bytes, milliseconds and counts. */
export const MEASURES = {
  size: { relative: 0.3, absolute: 1e6, tiny: 100e3 },
  // a busy host takes twice as long
  duration: { relative: 1.5, absolute: 600e3, tiny: 300e3 },
  rows: { relative: 0.3, absolute: 1000, tiny: 50 },
  files: { relative: 0.3, absolute: 100, tiny: 20 },
} as const satisfies Record<string, Floor>;

export type Measure = keyof typeof MEASURES;

export interface Variation {
  /** The median of the runs that it is compared with. */
  usual: number;
  /** How far from the median those are, as a standard deviation would be. */
  spread: number;
  /** `collapse`: less than a tenth is left. undefined: it is as usual, or too little is known. */
  beyond: 'rise' | 'drop' | 'collapse' | undefined;
}

const WEEK_MS = 7 * 86_400_000;
const HALF_DAY_MS = 43_200_000;
/** How many weeks are looked back on for runs of the same weekday, and how many it takes to go by them. */
const WEEKS = 6;
const FEWEST_WEEKS = 4;
/** The same of runs of any day; fewer tell a collapse only, and of a duration not even that. */
const RUNS = 7;
const FEWEST_RUNS = 5;
/** How many spreads from the median is beyond; steady growth is at most 2.7 from it. */
const SPREADS = 4;
/** Makes a standard deviation of a median deviation. */
const MAD_TO_DEVIATION = 1.4826;
const COLLAPSE = 0.1;

/**
 * Compares a run with those before it: with the same weekday of some weeks where there are enough, else with the last runs.
 * @param earlier good runs only, oldest first
 * @returns undefined where there is none
 */
export function variationOf(
  measure: Measure,
  earlier: readonly Sample[],
  now: Sample,
): Variation | undefined {
  if (earlier.length === 0) return undefined;
  const last = earlier.slice(-RUNS);
  const recent = last.map(({ value }) => value);
  const weekly = sameWeekday(earlier, now.time);
  const byWeekday = weekly.length >= FEWEST_WEEKS;
  const variation = byWeekday
    ? compare(measure, weekly, now.value, FEWEST_WEEKS)
    : compare(measure, recent, now.value, FEWEST_RUNS);
  const isLike = (one: number): boolean => isNear(measure, one, now.value);
  /** Other weekdays have left their level too: it is no odd Sunday, but a new level. */
  const hasMoved = ({ time, value }: Sample): boolean =>
    sameWeekday(earlier, time)
      .slice(-1)
      .some((before) => !isNear(measure, before, value) && value > before === now.value > variation.usual);
  const isKnown =
    weekly.slice(-1).some(isLike) ||
    (byWeekday && (comesAndGoes(recent, isLike) || last.filter(hasMoved).length >= last.length / 2));
  return isKnown ? { ...variation, beyond: undefined } : variation;
}

function compare(measure: Measure, values: readonly number[], value: number, fewest: number): Variation {
  const usual = median(values);
  const spread = MAD_TO_DEVIATION * median(values.map((one) => Math.abs(one - usual)));
  const isEnough = values.length >= fewest;
  let beyond: Variation['beyond'];
  if (isCollapse(measure, usual, value)) {
    // a first run may have copied what later ones find there
    if ((isEnough || measure !== 'duration') && !isOften(values, (one) => isCollapse(measure, usual, one)))
      beyond = 'collapse';
  } else if (isEnough && !isNear(measure, usual, value)) {
    const isFar = Math.abs(value - usual) > SPREADS * spread;
    const isNew = !isOften(values, (one) => isNear(measure, one, value));
    if (isFar && isNew) beyond = value > usual ? 'rise' : 'drop';
  }
  return { usual, spread, beyond };
}

function isCollapse(measure: Measure, usual: number, value: number): boolean {
  return usual >= MEASURES[measure].tiny && value < usual * COLLAPSE;
}

function isNear(measure: Measure, usual: number, value: number): boolean {
  const { relative, absolute } = MEASURES[measure];
  const isWithin = Math.abs(value - usual) <= Math.max(relative * usual, absolute);
  return isWithin && !isCollapse(measure, usual, value);
}

/** Whether that level is usual by now: it has stayed for long enough, or it comes and goes. */
function isOften(values: readonly number[], isLike: (value: number) => boolean): boolean {
  return values.filter(isLike).length >= values.length / 2 || comesAndGoes(values, isLike);
}

/** Full and incremental runs take turns. */
function comesAndGoes(values: readonly number[], isLike: (value: number) => boolean): boolean {
  const isLast = isLike(values.at(-1) as number);
  return !isLast && values.filter(isLike).length >= Math.min(2, values.length / 3);
}

/** @returns one value for each week, of the run nearest to this time of the week; days have no zone here, and 23 or 25 hours */
function sameWeekday(earlier: readonly Sample[], time: number): number[] {
  const nearest = new Map<number, { offMs: number; value: number }>();
  for (const { time: at, value } of earlier) {
    const week = Math.round((time - at) / WEEK_MS);
    const offMs = Math.abs(time - at - week * WEEK_MS);
    if (week < 1 || week > WEEKS || offMs > HALF_DAY_MS) continue;
    if (offMs < (nearest.get(week)?.offMs ?? Number.POSITIVE_INFINITY)) nearest.set(week, { offMs, value });
  }
  return [...nearest.values()].map(({ value }) => value);
}

/** @returns the middle one, the lower of two */
function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] as number;
}
