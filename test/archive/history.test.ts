import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  appendRun,
  type HistoryRun,
  listHistories,
  parseHistory,
  readHistory,
} from '../../archive/history.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'garner-history-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const run = (summary: string): HistoryRun => ({
  name: 'wiki',
  startedAt: '2026-01-01T02:15:00.000Z',
  finishedAt: '2026-01-01T02:16:00.000Z',
  result: 'ok',
  exitCode: 0,
  summary,
  archives: [],
});
const FILE = 'mediawiki.blue-web1.jsonl';
const append = (summary: string, access = { mode: 0o600 } as { mode: number; gid?: number }) =>
  appendRun({ path: root, access }, 'mediawiki.blue', 'web1', run(summary));
const file = () => join(root, 'history', FILE);

it('grows by a line a run, which nobody else can read', () => {
  append('one');
  append('two');
  const lines = readFileSync(file(), 'utf8').split('\n');
  expect(lines.map((line) => (line === '' ? '' : JSON.parse(line).summary))).toEqual(['one', 'two', '']);
  expect(statSync(file()).mode & 0o777).toBe(0o600);
  expect(readHistory(file()).runs.map(({ summary }) => summary)).toEqual(['one', 'two']);
  expect(listHistories(root, 'web1')).toEqual(['mediawiki.blue']);
});

it('can be read, but neither changed nor replaced, by the group of the pull user', () => {
  append('one', { mode: 0o640, gid: 1234 });
  expect([statSync(file()).mode & 0o777, statSync(file()).gid]).toEqual([0o640, 1234]);
  expect(statSync(join(root, 'history')).mode & 0o7777).toBe(0o2750);
});

it('loses one line to a torn write, not the next', () => {
  append('one');
  appendFileSync(file(), '{"name":"wi');
  append('two');
  expect(readHistory(file())).toMatchObject({
    runs: [{ summary: 'one' }, { summary: 'two' }],
    damagedCount: 1,
  });
});

it('is read by its end where it is long', () => {
  append('first');
  appendFileSync(file(), `${JSON.stringify(run('x'.repeat(1500)))}\n`.repeat(2000));
  append('last');
  const { runs, damagedCount } = readHistory(file());
  expect(runs.length).toBeLessThan(2000);
  expect([runs.at(-1)?.summary, damagedCount]).toEqual(['last', 0]);
});

it.each(['a link', 'a hard link', 'a directory'])('is refused where %s lies in its place', (what) => {
  mkdirSync(join(root, 'history'));
  writeFileSync(join(root, 'victim'), 'as it was');
  if (what === 'a link') symlinkSync(join(root, 'victim'), file());
  else if (what === 'a hard link') linkSync(join(root, 'victim'), file());
  else mkdirSync(file());
  expect(() => append('one')).toThrow(/cannot write the history/);
  expect(readFileSync(join(root, 'victim'), 'utf8')).toBe('as it was');
});

it('is refused where a link lies in place of its directory', () => {
  mkdirSync(join(root, 'elsewhere'));
  symlinkSync(join(root, 'elsewhere'), join(root, 'history'));
  expect(() => append('one')).toThrow(/symbolic link/);
});

/** What a member of the group can do who may write into the work directory: move aside what is there. */
function putInPlace(): string {
  renameSync(join(root, 'history'), join(root, 'moved'));
  mkdirSync(join(root, 'history'));
  const told = { ...run('no space left'), result: 'failed', told: true };
  writeFileSync(file(), `${JSON.stringify(told)}\n`);
  return join(root, 'history');
}

it.each([
  ['of another user', (directory: string) => chownSync(directory, 1234, -1)],
  ['that its group can write to', (directory: string) => chmodSync(directory, 0o2770)],
  [
    'that is a link to one',
    (directory: string) => {
      renameSync(directory, `${directory}-of-mine`);
      symlinkSync(`${directory}-of-mine`, directory);
    },
  ],
])('neither reads nor lists nor writes a directory %s', (_, change) => {
  append('one');
  change(putInPlace());
  const content = readFileSync(file(), 'utf8');
  expect(() => readHistory(file())).toThrow(/cannot read the history/);
  expect(() => listHistories(root, 'web1')).toThrow(/cannot list the histories/);
  expect(() => append('two')).toThrow(/cannot (write the history|use the work directory)/);
  expect(readFileSync(file(), 'utf8')).toBe(content);
});

it('reads no file of another user', () => {
  append('one');
  chownSync(file(), 1234, -1);
  expect(() => readHistory(file())).toThrow(/it is owned by user 1234/);
});

it('reads what the owner of the work directory has written, as root does with another’s', () => {
  append('one');
  for (const path of [root, join(root, 'history'), file()]) chownSync(path, 1234, -1);
  expect(readHistory(file()).runs).toHaveLength(1);
  expect(listHistories(root, 'web1')).toEqual(['mediawiki.blue']);
});

it('reads hostile lines as none', () => {
  const lines = [
    '[]',
    'null',
    '{',
    '{"__proto__":1}',
    '9'.repeat(400_000),
    JSON.stringify({ ...run('x'), exitCode: 1e9 }),
  ];
  expect(parseHistory(Buffer.from(lines.join('\n')))).toEqual({ runs: [], damagedCount: lines.length });
});
