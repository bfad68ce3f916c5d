// What a policy keeps in the long run: backups that all succeed are replayed over years, pruned after each. Nothing is read
// or written; the same function decides as in a real prune.
import { cannot } from '../lib/errors.ts';
import { type Point, type Policy, plan } from '../lib/retention.ts';
import { formatTable } from '../lib/table.ts';
import { formatDuration, formatSize, plural } from '../lib/text.ts';

export interface Rehearsal {
  /** How long it goes on, in days. */
  days: number;
  /** How often a backup is made, in milliseconds. */
  everyMs: number;
  /** Of each archive. */
  sizeBytes: number;
}

export interface Outcome {
  /** By age, the youngest first; those that have no points left out. */
  ages: { upToDays: number; points: number; widestGapMs: number; sizeBytes: number }[];
  points: number;
  oldestMs: number;
  /** The longest time between two neighbours. */
  widestGapMs: number;
  sizeBytes: number;
  /** The most that there was at any time, right before a prune. */
  peakBytes: number;
}

const DAY_MS = 86_400_000;
const AGES_DAYS = [1, 7, 30, 90, 180, 365, 730, Number.POSITIVE_INFINITY];
const MOST_BACKUPS = 100_000;

/**
 * Replays a policy.
 * @param end when the last backup is made
 * @throws usage where that would be too many backups
 */
export function simulate(policy: Policy, { days, everyMs, sizeBytes }: Rehearsal, end: Date): Outcome {
  const count = Math.floor((days * DAY_MS) / everyMs) + 1;
  if (!(count <= MOST_BACKUPS)) {
    throw cannot('usage', 'simulate', plural(count, 'backup'), `at most ${MOST_BACKUPS} are replayed`);
  }
  let points: Point[] = [];
  let most = 0;
  for (let left = count - 1; left >= 0; left -= 1) {
    const time = new Date(end.getTime() - left * everyMs);
    points.push({ id: String(left), time, verified: true });
    most = Math.max(most, points.length);
    const kept = new Set(plan(points, policy, time).keep.map(({ id }) => id));
    points = points.filter(({ id }) => kept.has(id));
  }
  const times = points.map(({ time }) => time.getTime());
  const each = times.map((time, index) => ({
    ageMs: end.getTime() - time,
    gapMs: (times[index + 1] ?? time) - time,
  }));
  const ages = AGES_DAYS.map((upToDays, index) => {
    const fromDays = AGES_DAYS[index - 1] ?? -1;
    const inside = each.filter(({ ageMs }) => ageMs > fromDays * DAY_MS && ageMs <= upToDays * DAY_MS);
    const widestGapMs = Math.max(0, ...inside.map(({ gapMs }) => gapMs));
    return { upToDays, points: inside.length, widestGapMs, sizeBytes: inside.length * sizeBytes };
  });
  return {
    ages: ages.filter(({ points }) => points > 0),
    points: points.length,
    oldestMs: end.getTime() - (times[0] ?? end.getTime()),
    widestGapMs: Math.max(0, ...each.map(({ gapMs }) => gapMs)),
    sizeBytes: points.length * sizeBytes,
    peakBytes: most * sizeBytes,
  };
}

/** @returns a table for people */
export function formatOutcome(outcome: Outcome, rehearsal: Rehearsal): string {
  const rows = outcome.ages.map(({ upToDays, points, widestGapMs, sizeBytes }) => [
    Number.isFinite(upToDays) ? `up to ${plural(upToDays, 'day')}` : 'older',
    String(points),
    gap(widestGapMs),
    formatSize(sizeBytes),
  ]);
  rows.push(['all', String(outcome.points), gap(outcome.widestGapMs), formatSize(outcome.sizeBytes)]);
  const made = `a backup every ${formatDuration(rehearsal.everyMs)} for ${plural(rehearsal.days, 'day')}`;
  return `${formatTable(['age', 'archives', 'widest gap', 'disk'], rows)}
${made}: the oldest that is left is ${gap(outcome.oldestMs)} old, the disk needs up to ${formatSize(outcome.peakBytes)}\n`;
}

const gap = (ms: number): string => (ms === 0 ? '-' : formatDuration(ms));
