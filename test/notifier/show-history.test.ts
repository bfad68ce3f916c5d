import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { appendRun, type HistoryRun, historyFile } from '../../archive/history.ts';
import { type HistoryOptions, showHistory } from '../../notifier/show-history.ts';
import { errorOf } from '../helpers/error-of.ts';

const workDir = mkdtempSync(join(tmpdir(), 'garner-history-'));
afterAll(() => rmSync(workDir, { recursive: true, force: true }));
const host = 'web1';
const OPTIONS: HistoryOptions = {
  name: undefined,
  last: 30,
  plot: false,
  json: false,
  width: undefined,
  ascii: false,
};
const show = (options: Partial<HistoryOptions>): string =>
  showHistory({ workDir, host }, { ...OPTIONS, ...options });

function keep(series: string, night: number, run: Partial<HistoryRun>): void {
  const startedAt = Date.UTC(2026, 0, night, 2, 15);
  appendRun({ path: workDir, access: { mode: 0o600 } }, series, host, {
    name: 'wiki',
    startedAt: new Date(startedAt).toISOString(),
    finishedAt: new Date(startedAt + 200_000).toISOString(),
    result: 'ok',
    exitCode: 0,
    summary: '300.0 MB',
    archives: [],
    ...run,
  });
}

beforeAll(() => {
  keep('mediawiki', 1, { sizeBytes: 300e6, rowCount: 98_000, fileCount: 12 });
  keep('mediawiki', 2, { result: 'failed', exitCode: 1, summary: 'no \u001b[31mspace' });
  const variations = [{ of: 'size' as const, beyond: 'drop' as const, value: 1, usual: 2 }];
  keep('mediawiki', 3, { sizeBytes: 150e6, variations, nextDueAt: '2026-01-04T02:15:00.000Z' });
  keep('job.dump', 1, { name: 'nightly dump', summary: 'done in 3 min 20 s' });
});

it('shows a line for each that ever ran', () => {
  expect(show({})).toBe(
    [
      'Name          Result       Last run (UTC)    Size      Trend  Next due (UTC)',
      'nightly dump  ok           2026-01-01 02:15',
      'wiki          ok, unusual  2026-01-03 02:15  150.0 MB  █×▄    2026-01-04 02:15',
      '',
    ].join('\n'),
  );
  expect(showHistory({ workDir: join(workDir, 'none'), host }, OPTIONS)).toBe(
    'no run is known on this host\n',
  );
});

it('shows the newest runs of one, by its name or its file’s, with foreign text escaped', () => {
  const table = show({ name: 'wiki' });
  expect(table).toBe(
    [
      'wiki',
      'Started (UTC)     Result       Duration    Size      Rows    Files  Summary',
      '2026-01-01 02:15  ok           3 min 20 s  300.0 MB  98,000  12',
      '2026-01-02 02:15  failed       3 min 20 s                           no \\x1b[31mspace',
      '2026-01-03 02:15  ok, unusual  3 min 20 s  150.0 MB',
      '',
    ].join('\n'),
  );
  expect(show({ name: 'mediawiki' })).toBe(table);
  expect(show({ name: 'wiki', last: 1 }).split('\n')).toHaveLength(4);
  const cut = show({ name: 'wiki', width: 60 });
  expect(Math.max(...cut.split('\n').map((line) => line.length))).toBe(60);
});

it('plots size and duration, of what has no archive the duration alone', () => {
  expect(show({ name: 'wiki', plot: true })).toMatch(
    /^wiki: size\n300\.0 MB ┤███(?:.|\n)*\n\nwiki: duration\n(?:.|\n)*×(?:.|\n)*\n× failed or missed .*\n$/,
  );
  expect(show({ name: 'nightly dump', plot: true })).toMatch(/^nightly dump: duration\n(?!.*size)/s);
  expect(show({ plot: true, ascii: true })).toMatch(/^[\x20-\x7e\n]+$/);
});

it('says for programs what the lines say, as jq reads it', async () => {
  const { stdout } = await execa(
    'jq',
    ['-r', '.host, (.series[] | "\\(.series) \\(.runs | length) \\(.runs[-1].result)")'],
    { input: show({ json: true }) },
  );
  expect(stdout.split('\n')).toEqual(['web1', 'job.dump 1 ok', 'mediawiki 3 ok']);
});

it('names what there is where there is nothing of a name', () => {
  expect(errorOf(() => show({ name: 'wikk' }))).toMatchObject({
    code: 'usage',
    hint: 'there is: nightly dump, wiki',
  });
});

it('leaves out damaged lines, and what is no history', () => {
  appendFileSync(join(workDir, 'history', historyFile('mediawiki', host)), '{"torn":');
  appendFileSync(join(workDir, 'history', 'notes.txt'), 'x');
  expect(show({}).split('\n')).toHaveLength(4);
});

it('knows when the next run is due after one by hand, as long as that is to come', () => {
  const [first, second] = ['byhand', 'overtaken'];
  keep(first, 3, { name: first, nextDueAt: '2026-01-04T02:15:00.000Z' });
  keep(first, 3.5, { name: first });
  keep(second, 3, { name: second, nextDueAt: '2026-01-04T02:15:00.000Z' });
  keep(second, 5, { name: second });
  expect(show({})).toMatch(/^byhand .* {4}2026-01-04 02:15$/m);
  expect(show({})).toMatch(/^overtaken +ok +2026-01-05 02:15 +\S+$/m);
});
