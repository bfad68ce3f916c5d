// Whether somebody is told of a run: a change of state always, the same trouble only as a reminder now and then.
import type { HistoryRun } from '../archive/history.ts';
import { kindOfCause } from './cause.ts';

/** What a message is about, for routing: `recovered` is the first good run after trouble that was told. */
export const LEVELS = ['ok', 'warnings', 'failed', 'missed', 'recovered'] as const;
export type Level = (typeof LEVELS)[number];

export interface Decision {
  level: Level;
  /** false: the same was told not long ago. */
  tell: boolean;
  /** The trouble that goes on, or that is over. */
  trouble?: Trouble;
}

export interface Trouble {
  /** When its first run began. */
  since: string;
  /** How many runs there were. */
  runs: number;
  /** What was told of it, for who is to know that it is over. */
  told: Level[];
}

/** A nightly run is some minutes early or late: its reminder is due all the same. */
const EARLY = 0.1;

/**
 * @param run the run that has just ended
 * @param earlier what its history has, oldest first
 * @param remindMs how long the same trouble is not told again, in milliseconds; 0: each time
 */
export function decide(run: HistoryRun, earlier: readonly HistoryRun[], remindMs: number): Decision {
  // a run that another one's lock kept from starting says nothing of the state
  const isLocked = run.result === 'locked';
  const runs = earlier.filter(({ result }) => (result === 'locked') === isLocked);
  const trouble = runs
    .slice(runs.findLastIndex(({ result }) => result === 'ok') + 1)
    .filter((one) => !isOnlyUnusual(one));
  if (run.result === 'ok') {
    if (!trouble.some(({ told }) => told)) return { level: 'ok', tell: true };
    return { level: 'recovered', tell: true, trouble: extent(trouble) };
  }
  const going = { level: levelOf(run), ...(!isLocked && { trouble: extent([...trouble, run]) }) };
  const same = trouble.slice(trouble.findLastIndex((other) => !isSame(other, run)) + 1);
  const last = same.findLast(({ told }) => told);
  const ageMs = last === undefined ? Infinity : Date.parse(run.finishedAt) - Date.parse(last.finishedAt);
  // a clock that went back must not keep it quiet
  return { ...going, tell: ageMs < 0 || ageMs >= remindMs * (1 - EARLY) };
}

/** A good run that was unlike those before is told once, and nothing goes on. */
function isOnlyUnusual({ exitCode, variations }: HistoryRun): boolean {
  return exitCode === 0 && variations !== undefined;
}

function extent(runs: readonly HistoryRun[]): Trouble {
  const told = new Set(runs.flatMap((run) => (run.told ? levelOf(run) : [])));
  return { since: (runs[0] as HistoryRun).startedAt, runs: runs.length, told: [...told] };
}

function levelOf({ result }: HistoryRun): Level {
  return result === 'locked' ? 'warnings' : result;
}

/** Times, process ids and sizes in a cause make no other cause of it. */
function isSame(a: HistoryRun, b: HistoryRun): boolean {
  const causeOf = ({ result, exitCode, summary }: HistoryRun): string =>
    `${result} ${exitCode} ${kindOfCause(summary)}`;
  return causeOf(a) === causeOf(b);
}
