// What the history keeps of a run: times, result, sizes and counts. All text in it is redacted and escaped.
import { basename } from 'node:path';
import type { HistoryMember, HistoryRun } from '../archive/history.ts';
import type { Member } from '../archive/manifest.ts';
import type { Result, Verdict } from './judge.ts';
import { safeText } from './message.ts';
import type { ChildRun } from './run-child.ts';

const RESULTS = {
  OK: 'ok',
  WARNINGS: 'warnings',
  FAILED: 'failed',
  LOCKED: 'locked',
  MISSED: 'missed',
} as const satisfies Record<Result, HistoryRun['result']>;

const MOST_ARCHIVES = 1000;
const MOST_MEMBERS = 200;
const LONGEST_SUMMARY = 1000;

/** @param name what messages call the run */
export function recordOf(run: ChildRun, verdict: Verdict, name: string): HistoryRun {
  const { archives } = verdict;
  const members = archives.flatMap(({ manifest }) => manifest?.members ?? []).filter(hasData);
  const rows = members.flatMap(({ database }) => (database === undefined ? [] : rowCount(database.tables)));
  const files = members.flatMap(({ tree }) => (tree === undefined ? [] : tree.fileCount));
  return {
    name: safeText(name, 64),
    startedAt: run.startedAt.toISOString(),
    finishedAt: new Date(run.startedAt.getTime() + run.durationMs).toISOString(),
    result: RESULTS[verdict.result],
    exitCode: run.notStarted === undefined || run.exitCode > 0 ? run.exitCode : null,
    summary: safeText(verdict.summary, LONGEST_SUMMARY),
    archives: archives.slice(0, MOST_ARCHIVES).map(({ path }) => basename(path)),
    ...(archives.length > 0 && { sizeBytes: sum(archives.map(({ sizeBytes }) => sizeBytes)) }),
    ...(rows.length > 0 && { rowCount: sum(rows) }),
    ...(files.length > 0 && { fileCount: sum(files) }),
    ...(members.length > 0 && { members: members.slice(0, MOST_MEMBERS).map(memberOf) }),
  };
}

function hasData({ kind }: Member): boolean {
  return kind === 'database' || kind === 'tree';
}

function memberOf({ name, kind, sizeBytes, uncompressedSizeBytes, database, tree }: Member): HistoryMember {
  return {
    name,
    kind,
    sizeBytes,
    uncompressedSizeBytes,
    ...(database && { rowCount: rowCount(database.tables) }),
    ...(tree && { fileCount: tree.fileCount }),
  };
}

function rowCount(tables: Record<string, number>): number {
  return sum(Object.values(tables));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
