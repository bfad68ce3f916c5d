// One retention, everywhere: which points stay and why, which go. Pure: no clock, no disk, nothing is deleted here.
//
// Rules, in words:
// - `last`, `hourly` … `yearly` keep the newest point of each of the last N periods that have one (UTC, ISO weeks), as
//   `restic forget` does; `within` keeps what is younger than that, counted from `now`. What any rule keeps, stays.
// - The slots of the rules are filled by verified points alone. An unverified point stays where the rules would keep it
//   if it were verified, and as long as no newer point is verified: in addition to the verified ones, never in place
//   of one.
// - `minimum` wins over all: that many of the newest verified points stay, and if there are fewer, the newest others
//   make up the number. A policy without rules is refused, so that nothing is ever deleted by an empty one.
import { z } from 'zod';
import { GarnerError } from './errors.ts';
import { formatDuration, parseDuration } from './text.ts';

export interface Point {
  /** Unique among the points of one call. */
  id: string;
  time: Date;
  /** Whether it is known to be good. */
  verified: boolean;
}

const count = z.int('it is no whole number').min(0, 'it is negative').max(100_000, 'it is implausibly large');
/** A duration in a YAML configuration: `12h`, `7d`; milliseconds once parsed. */
export const durationSchema = z
  .string('it is no duration in quotes or with a unit, such as 7d')
  .transform((text, context) => {
    const ms = parseDuration(text);
    if (ms !== undefined) return ms;
    context.addIssue({ code: 'custom', message: `"${text}" is no duration such as 12h, 7d, 4w` });
    return z.NEVER;
  });

/** A policy as configurations write it; what is left out is not used, but `minimum` is 1. */
export const policySchema = z
  .strictObject({
    last: count.default(0).describe('the newest N'),
    hourly: count.default(0).describe('the newest of each of the last N hours that have one'),
    daily: count.default(0).describe('the newest of each of the last N days that have one, in UTC'),
    weekly: count.default(0).describe('the newest of each of the last N ISO weeks that have one'),
    monthly: count.default(0).describe('the newest of each of the last N months that have one'),
    yearly: count.default(0).describe('the newest of each of the last N years that have one'),
    /** Milliseconds, once parsed. */
    within: durationSchema.default(0).describe('all that are younger, such as 30d'),
    minimum: count
      .min(1, 'it must be at least 1: the newest good one always stays')
      .default(1)
      .describe('at least the newest N good ones, whatever the others say'),
  })
  .refine(hasRule, 'it keeps nothing: set last, hourly, daily, weekly, monthly, yearly or within');

export type Policy = z.output<typeof policySchema>;

export interface Plan {
  /** Newest first. */
  keep: { id: string; reasons: string[] }[];
  /** Newest first. */
  remove: { id: string; reason: string }[];
}

const day = (time: Date): string => time.toISOString().slice(0, 10);

/** The period that a point falls into, by rule; its name is also the reason. */
const PERIODS = {
  last: (_time: Date, index: number) => String(index + 1),
  hourly: (time: Date) => `${time.toISOString().slice(0, 13)}h`,
  daily: day,
  weekly: isoWeek,
  monthly: (time: Date) => time.toISOString().slice(0, 7),
  yearly: (time: Date) => time.toISOString().slice(0, 4),
} as const;

type Rule = keyof typeof PERIODS;

function hasRule(policy: Record<Rule | 'within', number>): boolean {
  return policy.within > 0 || (Object.keys(PERIODS) as Rule[]).some((rule) => policy[rule] > 0);
}

/**
 * Decides what stays and what goes.
 * @param points of one thing, in any order
 * @param now what `within` counts back from
 * @returns every point in exactly one of the two lists, with reasons
 * @throws prune-refused where the policy has no rule, no floor, or a time is none
 */
export function plan(points: readonly Point[], policy: Policy, now: Date): Plan {
  if (!hasRule(policy) || !(policy.minimum >= 1))
    throw new GarnerError('prune-refused', 'cannot apply a retention policy that keeps nothing');
  if ([now, ...points.map(({ time }) => time)].some((time) => Number.isNaN(time.getTime())))
    throw new GarnerError('prune-refused', 'cannot apply a retention policy to a time that is none');
  const all = points.toSorted(newestFirst);
  const verified = all.filter((point) => point.verified);

  const reasons = applyRules(verified, policy, now);
  const ifVerified = applyRules(all, policy, now);
  const newestVerified = verified[0] === undefined ? all.length : all.indexOf(verified[0]);
  for (const [index, point] of all.entries()) {
    if (point.verified) continue;
    const kept = index < newestVerified ? ['not yet verified'] : [];
    for (const reason of ifVerified.get(point.id) ?? []) kept.push(`${reason}, not verified`);
    reasons.set(point.id, kept);
  }

  const floor = [...verified, ...all.filter((point) => !point.verified)].slice(0, policy.minimum);
  for (const { id } of floor) {
    const kept = reasons.get(id) ?? [];
    if (kept.length === 0) reasons.set(id, ['minimum']);
  }

  const result: Plan = { keep: [], remove: [] };
  for (const { id, verified } of all) {
    const kept = reasons.get(id) ?? [];
    if (kept.length > 0) result.keep.push({ id, reasons: kept });
    else if (verified) result.remove.push({ id, reason: 'newer ones fill every rule' });
    else result.remove.push({ id, reason: 'not verified, and no rule would keep it' });
  }
  return result;
}

const LARGE_COUNT = 10;
const LARGE_SHARE = 0.25;

/** @returns whether a run would remove so much that it looks like a mistake; one is what a policy of "the last three" removes daily */
export function isLarge(removed: number, of: number): boolean {
  return removed > 1 && (removed > LARGE_COUNT || removed > of * LARGE_SHARE);
}

/** @param points newest first */
function applyRules(points: readonly Point[], policy: Policy, now: Date): Map<string, string[]> {
  const reasons = new Map<string, string[]>(points.map(({ id }) => [id, []]));
  for (const rule of Object.keys(PERIODS) as Rule[]) {
    let left = policy[rule];
    let previous: string | undefined;
    for (const [index, { id, time }] of points.entries()) {
      if (left === 0) break;
      const period = PERIODS[rule](time, index);
      if (period === previous) continue;
      previous = period;
      left -= 1;
      reasons.get(id)?.push(`${rule} ${period}`);
    }
  }
  if (policy.within > 0) {
    const since = now.getTime() - policy.within;
    for (const { id, time } of points)
      if (time.getTime() > since) reasons.get(id)?.push(`within ${formatDuration(policy.within)}`);
  }
  return reasons;
}

function newestFirst(a: Point, b: Point): number {
  return b.time.getTime() - a.time.getTime() || (a.id < b.id ? 1 : -1);
}

/** @returns `2026-W01`: the week belongs to the year that its Thursday is in */
function isoWeek(time: Date): string {
  const thursday = new Date(Date.UTC(time.getUTCFullYear(), time.getUTCMonth(), time.getUTCDate()));
  thursday.setUTCDate(thursday.getUTCDate() + 4 - (thursday.getUTCDay() || 7));
  const year = thursday.getUTCFullYear();
  const week = Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * 86_400_000)) + 1;
  return `${year}-W${String(week).padStart(2, '0')}`;
}
