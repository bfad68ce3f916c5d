// How fast bytes may come and go, by the hour of the day here: as archiver.yaml says it, and as a transfer waits for it.
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { parseSize } from '../lib/text.ts';

/** In bytes a second; undefined: without limit. */
type Rate = number | undefined;

export interface Bandwidth {
  /** Outside the hours below. */
  limit: Rate;
  /** From a minute of the day up to, not including, another one; that may be of the next day. */
  hours: { fromMinute: number; toMinute: number; limit: Rate }[];
}

const MINUTES = 24 * 60;
const HOURS = /^([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)$/;

/** `20MB/s`, or `{limit: 20MB/s, "08:00-18:00": 2MB/s}`; hours are local, and may go over midnight. */
export const bandwidthSchema = z
  .union([z.string(), z.record(z.string(), z.string())], {
    error: 'it is neither a rate such as 20MB/s nor a list such as {limit: 20MB/s, "08:00-18:00": 2MB/s}',
  })
  .transform((value, context): Bandwidth => {
    const { limit = 'unlimited', ...windows } = typeof value === 'string' ? { limit: value } : value;
    try {
      const all = Object.entries(windows).map(([text, rate]) => ({
        ...parseHours(text),
        limit: parseRate(rate),
      }));
      const minutes = all.flatMap(minutesOf);
      if (new Set(minutes).size < minutes.length) throw new Error('some of its hours are given twice');
      return { limit: parseRate(limit), hours: all };
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
      return z.NEVER;
    }
  });

function parseRate(text: string): Rate {
  if (text === 'unlimited') return undefined;
  const bytes = text.endsWith('/s') ? parseSize(text.slice(0, -2)) : undefined;
  if (bytes !== undefined && bytes > 0) return bytes;
  throw new Error(`"${text}" is no rate such as 500kB/s, 20MB/s, unlimited`);
}

function parseHours(text: string): { fromMinute: number; toMinute: number } {
  const parts = HOURS.exec(text);
  if (parts === null) throw new Error(`"${text}" is neither limit nor hours such as 08:00-18:00`);
  const [, fromHour, from, toHour = '0', to = '0'] = parts;
  return { fromMinute: Number(fromHour) * 60 + Number(from), toMinute: Number(toHour) * 60 + Number(to) };
}

/** @returns the minutes of the day that are meant; where both ends are the same, all of them */
function minutesOf({ fromMinute, toMinute }: { fromMinute: number; toMinute: number }): number[] {
  const count = toMinute > fromMinute ? toMinute - fromMinute : toMinute - fromMinute + MINUTES;
  return Array.from({ length: count }, (_, index) => (fromMinute + index) % MINUTES);
}

/** @returns what holds at a time, by the clock on the wall here */
export function rateAt({ limit, hours: all }: Bandwidth, time: Date): Rate {
  const minute = time.getHours() * 60 + time.getMinutes();
  const window = all.find(({ fromMinute, toMinute }) =>
    fromMinute < toMinute
      ? minute >= fromMinute && minute < toMinute
      : minute >= fromMinute || minute < toMinute,
  );
  return window === undefined ? limit : window.limit;
}

export interface Clock {
  /** The clock on the wall. */
  now(): Date;
  /** Milliseconds that only ever grow. */
  elapsedMs(): number;
  sleep(ms: number): Promise<unknown>;
}

const CLOCK: Clock = { now: () => new Date(), elapsedMs: () => performance.now(), sleep };

/** What was not used of this long may be used later: timers are late. */
const CREDIT_MS = 100;
/** How long a rate is believed: hours may begin or end. */
const LOOK_EVERY_MS = 1000;

/** Waits until so many bytes may come or go; those who ask together come one after the other. */
export type Pace = (count: number) => Promise<void>;

/** @returns a pace that keeps within all of these */
export function inTurn(paces: readonly Pace[]): Pace {
  return async (count) => {
    for (const pace of paces) await pace(count);
  };
}

/**
 * @param bandwidth undefined: nobody waits
 * @param signal those who wait are let go when it is aborted
 * @returns a pace that all those share who are to keep within the limit together
 */
export function startPace(bandwidth: Bandwidth | undefined, signal: AbortSignal, clock = CLOCK): Pace {
  if (bandwidth === undefined) return async () => {};
  /** Below zero: bytes that have been let through and not been waited for yet. */
  let balance = 0;
  let last = clock.elapsedMs();
  let before = Promise.resolve();
  const rate = (): Rate => rateAt(bandwidth, clock.now());
  const earn = (): void => {
    const now = clock.elapsedMs();
    const perMs = (rate() ?? 0) / 1000;
    balance = Math.min(balance + perMs * (now - last), perMs * CREDIT_MS);
    last = now;
  };
  const pay = async (count: number): Promise<void> => {
    earn();
    balance -= count;
    while (balance < 0 && !signal.aborted) {
      const perSecond = rate();
      if (perSecond === undefined) balance = 0;
      else await clock.sleep(Math.min(Math.ceil((-balance / perSecond) * 1000), LOOK_EVERY_MS));
      earn();
    }
  };
  return (count) => {
    before = before.then(() => pay(count));
    return before;
  };
}
