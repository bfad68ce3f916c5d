// What a history says of the run that should be: each line says when the next one is due. What can't be told is said, not
// passed over.
import type { History, HistoryRun } from '../archive/history.ts';
import { causeText } from '../lib/errors.ts';
import { nextDue, parseSchedule, type Schedule } from './schedule.ts';

/** A clock may be set by so much. */
const CLOCK_SLACK_MS = 3_600_000;
const LONGEST_LOCK_MS = 86_400_000;
/** How many runs are looked at for schedules that take turns, and how often they do then. */
const RECENT_RUNS = 10;
const MANY_CHANGES = 3;

/** What a history says of the run that should be. */
export type Finding =
  | { state: 'unscheduled' }
  | { state: 'in-time' }
  /** Nobody can tell whether it has run. */
  | { state: 'doubtful'; cause: string }
  | {
      state: 'overdue';
      /** It was not found before. */
      isNew: boolean;
      dueAt: Date;
      schedule: Schedule;
      lastRun: HistoryRun | undefined;
    };

/**
 * Judges a history.
 * @param graceMs how late a run may be
 */
export async function judgeHistory(
  { runs: all, damagedCount }: History,
  now: Date,
  graceMs: number,
): Promise<Finding> {
  if (all.length === 0 && damagedCount > 0) {
    return { state: 'doubtful', cause: 'no line of its history can be read' };
  }
  // a clock that was years ahead must not keep it quiet for years
  const past = all.filter(({ startedAt, finishedAt }) =>
    [startedAt, finishedAt].every((time) => Date.parse(time) <= now.getTime() + CLOCK_SLACK_MS),
  );
  const runs = withoutLocked(past, now);
  const at = runs.findLastIndex(({ schedule }) => schedule !== undefined);
  if (at === -1) {
    const future = all.findLast(({ schedule }) => schedule !== undefined);
    if (future === undefined) return { state: 'unscheduled' };
    return {
      state: 'doubtful',
      cause: `the clock is wrong, or was: its last run ended ${future.finishedAt}`,
    };
  }
  const taken = takeTurns(runs);
  if (taken.length > 0) {
    return { state: 'doubtful', cause: `runs of two schedules have its name: ${taken.join(' and ')}` };
  }
  const scheduled = runs[at] as HistoryRun;
  let schedule: Schedule;
  try {
    schedule = await parseSchedule(scheduled.schedule as string);
  } catch (error) {
    return { state: 'doubtful', cause: `its schedule "${scheduled.schedule}" is none: ${causeText(error)}` };
  }
  // one by hand, without a schedule, counts too
  const byHand = runs.slice(at + 1).findLast(({ result }) => result !== 'missed');
  const dueAt =
    byHand === undefined && scheduled.nextDueAt !== undefined
      ? new Date(scheduled.nextDueAt)
      : nextDue(schedule, datesOf(byHand ?? scheduled));
  const lastRun = runs.findLast(({ result }) => result !== 'missed');
  const isLate = now.getTime() > dueAt.getTime() + graceMs;
  if (isLate) return { state: 'overdue', isNew: true, dueAt, schedule, lastRun };
  if (byHand !== undefined || scheduled.result !== 'missed') return { state: 'in-time' };
  return { state: 'overdue', isNew: false, dueAt: firstMissed(runs), schedule, lastRun };
}

/** One that another's lock kept from starting is as good as that other; after a day that hangs, and none of them was done. */
function withoutLocked(runs: readonly HistoryRun[], now: Date): readonly HistoryRun[] {
  const last = runs.findLastIndex(({ result }) => result !== 'locked' && result !== 'missed');
  const first = runs.slice(last + 1).find(({ result }) => result === 'locked');
  const isOld = first !== undefined && now.getTime() - Date.parse(first.startedAt) > LONGEST_LOCK_MS;
  return last !== -1 && isOld ? runs.filter(({ result }, i) => i <= last || result !== 'locked') : runs;
}

const datesOf = ({ startedAt, finishedAt }: HistoryRun): { startedAt: Date; finishedAt: Date } => ({
  startedAt: new Date(startedAt),
  finishedAt: new Date(finishedAt),
});

/** @returns when the first of the runs was due that were missed since the last one */
function firstMissed(runs: readonly HistoryRun[]): Date {
  const before = runs.findLastIndex(({ result }) => result !== 'missed');
  const first = runs[before + 1] as HistoryRun;
  return new Date(runs[before]?.nextDueAt ?? first.startedAt);
}

/** @returns the schedules that take turns in the newest runs; none where one has taken the place of another */
function takeTurns(runs: readonly HistoryRun[]): string[] {
  const recent = runs.flatMap(({ schedule }) => schedule ?? []).slice(-RECENT_RUNS);
  const changes = recent.filter((schedule, i) => i > 0 && schedule !== recent[i - 1]).length;
  return changes < MANY_CHANGES ? [] : [...new Set(recent)];
}
