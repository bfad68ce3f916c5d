import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readHistory } from '../../archive/history.ts';
import { LAST_PULL_FILE, readLastPull } from '../../archive/last-pull.ts';
import { pullHosts } from '../../archiver/pull.ts';
import { noteVisit } from '../../notifier/archiver-visit.ts';
import { judgeHistory } from '../../notifier/due.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';

const HOUR_MS = 3_600_000;
let archiver: TestArchiver;
let workDir: string;
beforeEach(() => {
  archiver = testArchiver();
  archiver.setUp();
  archiver.configureHosts(['web1']);
  workDir = archiver.workDir('web1');
});
afterEach(() => archiver.remove());

const pull = (): Promise<unknown> =>
  archiver.inProcess((run) => pullHosts(run, run.configuration.hosts, { prune: false, dryRun: false }));

test('a pull leaves word where the host keeps a history, anew each time, and nothing where it does not', async () => {
  await pull();
  expect(existsSync(join(workDir, LAST_PULL_FILE))).toBe(false);
  mkdirSync(join(workDir, 'history'));
  await makeArchive(workDir, { host: 'web1', time: daysAgo(1) });
  const before = Date.now();
  await pull();
  expect(JSON.parse(readFileSync(join(workDir, LAST_PULL_FILE), 'utf8'))).toMatchObject({
    result: 'ok',
    pulledCount: 1,
  });
  expect(Date.parse(readLastPull(workDir)?.at ?? '')).toBeGreaterThanOrEqual(before - 1);
  await pull();
  expect(readLastPull(workDir)?.pulledCount).toBe(0);
});

test('a host that somebody else left something at knows nothing of the archiver, and follows no link', () => {
  expect(readLastPull(workDir)).toBeUndefined();
  const file = join(workDir, LAST_PULL_FILE);
  for (const content of [
    '',
    '{',
    '{"at":"soon","result":"ok","pulledCount":0}',
    '[]',
    `{"at":"${'9'.repeat(9000)}"`,
  ]) {
    writeFileSync(file, content);
    expect(readLastPull(workDir), content.slice(0, 50)).toBeUndefined();
  }
  const elsewhere = join(archiver.directory, 'elsewhere');
  writeFileSync(elsewhere, JSON.stringify({ at: new Date().toISOString(), result: 'ok', pulledCount: 0 }));
  rmSync(file);
  symlinkSync(elsewhere, file);
  expect(readLastPull(workDir)).toBeUndefined();
});

test("the archiver's silence is overdue after a day, like any run that does not come", async () => {
  const start = Date.now() - 100 * HOUR_MS;
  const { signal } = new AbortController();
  const history = () => readHistory(join(workDir, 'history/job.archiver-web1.jsonl'));
  const visited = (hours: number): void => {
    const at = new Date(start + hours * HOUR_MS).toISOString();
    writeFileSync(join(workDir, LAST_PULL_FILE), JSON.stringify({ at, result: 'ok', pulledCount: 0 }));
  };
  const stateAfter = async (hours: number): Promise<string> => {
    const now = new Date(start + hours * HOUR_MS);
    await noteVisit({ workDir, group: undefined, host: 'web1' }, now, signal);
    return (await judgeHistory(history(), now, HOUR_MS)).state;
  };
  expect(await stateAfter(0)).toBe('unscheduled'); // nobody was ever here
  for (let hours = 1; hours <= 40; hours += 1) {
    visited(hours);
    expect(await stateAfter(hours)).toBe('in-time');
  }
  // of 40 visits few became lines
  expect(history().runs.length).toBe(4);
  expect(await stateAfter(65)).toBe('in-time');
  expect(await stateAfter(68)).toBe('overdue');
  visited(69);
  expect(await stateAfter(69)).toBe('in-time');
  // a clock that is ahead keeps nobody quiet
  visited(500);
  expect(await stateAfter(97)).toBe('overdue');
});
