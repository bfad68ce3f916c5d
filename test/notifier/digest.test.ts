import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type History, type HistoryRun, parseHistory } from '../../archive/history.ts';
import { type Chapter, DAY_MS, digestOf, tellDigest } from '../../notifier/digest.ts';
import { expectRun } from '../../notifier/expected.ts';
import { htmlOf } from '../../notifier/html.ts';
import { subjectOf, textOf } from '../../notifier/message.ts';
import { startListeners } from '../helpers/told.ts';

const NOW = new Date('2026-03-10T08:00:00Z');
const HOUR_MS = 3_600_000;

/** @param hoursAgo when it began */
function run(hoursAgo: number, result: HistoryRun['result'], more: Partial<HistoryRun> = {}): HistoryRun {
  const time = new Date(NOW.getTime() - hoursAgo * HOUR_MS).toISOString();
  return {
    ...{ name: 'wiki', startedAt: time, finishedAt: time, result, exitCode: 0, summary: '', archives: [] },
    ...more,
  };
}

function chapter(series: string, runs: HistoryRun[], finding: Chapter['finding']): Chapter {
  const history: History = { runs: runs.map((one) => ({ ...one, name: series })), damagedCount: 0 };
  return { series, history, finding };
}

const digest = (...chapters: Chapter[]) =>
  digestOf(chapters, { host: 'web1.example.test', now: NOW, periodMs: DAY_MS });

const IN_TIME = { state: 'in-time' } as const;
const UNSCHEDULED = { state: 'unscheduled' } as const;

it('says in one line that all is well, and lists what ran', () => {
  const nightly = [49, 25.1, 23.9, 1].map((hours, i) => run(hours, 'ok', { sizeBytes: (i + 1) * 1e6 }));
  const message = digest(chapter('wiki', nightly, IN_TIME), chapter('trac', [run(3, 'ok')], UNSCHEDULED));
  expect(subjectOf(message)).toBe(
    '[garner] OK daily digest on web1.example.test: 2 applications, 3 runs, all well',
  );
  expect(message.level).toBe('ok');
  expect(textOf(message).split('\n').slice(3, 6)).toEqual([
    'Application  Now  Last run (UTC)    Runs  Size    Trend',
    'wiki         ok   2026-03-10 07:00  2 ok  4.0 MB  ▂▄▆█',
    'trac         ok   2026-03-10 05:00  1 ok',
  ]);
});

it('says what failed and why, how often, and what is well again', () => {
  const failing = [30, 20, 10, 1].map((hours) =>
    run(hours, 'failed', { summary: `no space left after ${hours} s`, exitCode: 1 }),
  );
  const message = digest(
    chapter('wiki', failing, IN_TIME),
    chapter('jira', [run(5, 'warnings', { summary: 'a file changed' }), run(2, 'ok')], IN_TIME),
    chapter('trac', [run(2, 'ok'), run(1, 'locked')], IN_TIME),
  );
  expect(subjectOf(message)).toBe(
    '[garner] FAILED daily digest on web1.example.test: 2 of 3 applications not well: wiki, jira',
  );
  expect(message.table?.rows.map(([name, now, , runs]) => [name, now, runs])).toEqual([
    ['wiki', 'failed', '3 failed'],
    ['jira', 'warnings', '1 ok, 1 with warnings'],
    ['trac', 'ok', '1 ok'],
  ]);
  expect(message.facts.slice(1)).toEqual([
    { label: 'wiki', value: 'failed: no space left after 1 s (3 times, last 2026-03-10 07:00:00 UTC)' },
    { label: 'jira', value: 'warnings: a file changed (2026-03-10 03:00:00 UTC)' },
  ]);
});

it('says what is overdue, and of what nobody can tell', () => {
  const dueAt = new Date('2026-03-10T02:15:00Z');
  const schedule = { text: '15 2 * * *' } as Extract<Chapter['finding'], { state: 'overdue' }>['schedule'];
  const overdue = { state: 'overdue', isNew: true, dueAt, schedule, lastRun: undefined } as const;
  const message = digest(
    chapter('wiki', [run(48, 'ok')], overdue),
    chapter('jira', [run(1, 'ok')], { state: 'doubtful', cause: 'its schedule "x" is none' }),
  );
  expect([message.result, message.level]).toEqual(['MISSED', 'missed']);
  expect(message.table?.rows.map(([, now, , runs]) => [now, runs])).toEqual([
    ['overdue', 'none'],
    ['warnings', '1 ok'],
  ]);
  expect(message.facts.slice(1).map(({ value }) => value)).toEqual([
    'overdue since 2026-03-10 02:15:00 UTC',
    'cannot tell whether it has run: its schedule "x" is none',
  ]);
});

it('says plainly that nothing ran, and that this is well only by schedule', () => {
  const none = digest();
  expect([none.result, none.summary]).toEqual(['WARNINGS', 'nothing ran']);
  expect(textOf(none)).toContain('nothing has ever run by notify on this host');
  const old = digest(chapter('wiki', [run(72, 'ok')], UNSCHEDULED));
  expect([old.result, old.summary]).toEqual(['WARNINGS', 'nothing ran']);
  expect(textOf(old)).toContain(
    'no run began since 2026-03-07 08:00:00 UTC; see whether cron and timers run',
  );
  const weekly = digest(chapter('wiki', [run(72, 'ok')], IN_TIME));
  expect([weekly.result, weekly.summary]).toEqual(['OK', 'nothing ran, and nothing was due']);
});

it('F59 says what is silent by its own past, without a schedule, and what is still unusual', () => {
  const nightly = [170, 146, 122, 98, 74].map((hours) => run(hours, 'ok'));
  const variations = [{ of: 'rows', beyond: 'collapse', value: 1, usual: 1000 } as const];
  const empty = [run(26, 'warnings', { variations }), run(2, 'ok', { variations })];
  const silent = digest(chapter('wiki', nightly, UNSCHEDULED), chapter('trac', [run(3, 'ok')], UNSCHEDULED));
  expect(silent.summary).toBe('1 of 2 applications not well: wiki');
  expect(silent.facts[1]?.value).toMatch(/^nothing ran since 2026-03-07 06:00:00 UTC, unlike before;/);
  const monthly = [2900, 2200, 1500, 740].map((hours) => run(hours, 'ok'));
  const unusual = digest(chapter('trac', monthly, UNSCHEDULED), chapter('wiki', empty, IN_TIME));
  expect(unusual.summary).toBe('2 applications, 1 run, well, but unusual: wiki');
  expect(unusual.table?.rows.map(([name, now]) => [name, now])).toEqual([
    ['trac', 'ok'],
    ['wiki', 'ok, unusual'],
  ]);
});

it('F59 has those too whose history is gone', async () => {
  await using listeners = await startListeners('webhook');
  const settings = listeners.settings();
  expectRun(settings.stateDir, {
    ...{ series: 'wiki', name: 'the wiki' },
    history: join(settings.workDir, 'history/wiki-web1.example.test.jsonl'),
  });
  await tellDigest(settings, DAY_MS, new AbortController().signal);
  expect(JSON.parse(listeners.service.requests[0]?.body ?? '')).toMatchObject({
    result: 'WARNINGS',
    summary: 'nothing ran; 1 of 1 application not well: the wiki',
  });
});

it('shows foreign names as text and nothing else', () => {
  const hostile = run(1, 'failed', { summary: '<b>\u001b[2J\u202e' });
  const message = digest(chapter('<script>\r\nBcc: x', [hostile], UNSCHEDULED));
  const html = htmlOf(message);
  expect(html).toContain('&lt;script&gt;\\r\\nBcc: x');
  expect(html).not.toMatch(/<script>|<b>|[\u001b\u202e]/);
});

it('reads the histories of this host and sends one message, a damaged history included', async () => {
  await using listeners = await startListeners('webhook', 'healthchecks');
  const settings = listeners.settings();
  const directory = join(settings.workDir, 'history');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const time = new Date().toISOString();
  const line = JSON.stringify({ ...run(0, 'ok', { startedAt: time, finishedAt: time }), name: 'trac' });
  expect(parseHistory(Buffer.from(line)).runs).toHaveLength(1);
  writeFileSync(join(directory, 'trac-web1.example.test.jsonl'), `${line}\n`);
  writeFileSync(join(directory, 'wiki-web1.example.test.jsonl'), 'x\n');
  writeFileSync(join(directory, 'wiki-other.jsonl'), `${line}\n`);
  expect(await tellDigest(settings, 7 * DAY_MS, new AbortController().signal)).toBe(0);
  const [request, ...others] = listeners.service.requests;
  expect(others).toEqual([]);
  expect(JSON.parse(request?.body ?? '')).toMatchObject({
    result: 'WARNINGS',
    name: 'weekly digest',
    summary: '1 of 2 applications not well: wiki',
  });
  listeners.broken.add('webhook');
  expect(await tellDigest(settings, 7 * DAY_MS, new AbortController().signal)).toBe(1);
});
