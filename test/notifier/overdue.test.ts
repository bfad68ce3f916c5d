import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HistoryRun } from '../../archive/history.ts';
import { CORE_SETTINGS } from '../../lib/settings.ts';
import { judgeHistory } from '../../notifier/due.ts';
import { expectRun } from '../../notifier/expected.ts';
import { tellOverdue } from '../../notifier/overdue.ts';
import { lockRun } from '../../notifier/run-lock.ts';
import { loadNotifySettings, NOTIFY_SETTINGS } from '../../notifier/settings.ts';
import { type Host, makeHost } from '../helpers/notify.ts';
import { startListeners } from '../helpers/told.ts';

const HOUR_MS = 3_600_000;
const NOW = new Date('2026-06-10T12:00:00.000Z');

/** A run that began and ended so many hours ago. */
function run(hoursAgo: number, more: Partial<HistoryRun> = {}, now = NOW): HistoryRun {
  const time = new Date(now.getTime() - hoursAgo * HOUR_MS).toISOString();
  return {
    name: 'wiki',
    startedAt: time,
    finishedAt: time,
    result: 'ok',
    exitCode: 0,
    summary: '1 MB',
    archives: [],
    ...more,
  };
}

/** One that says when the next is due. */
function hourly(hoursAgo: number, more: Partial<HistoryRun> = {}, now = NOW): HistoryRun {
  const nextDueAt = new Date(now.getTime() - (hoursAgo - 1) * HOUR_MS).toISOString();
  return run(hoursAgo, { schedule: 'every 1h', nextDueAt, ...more }, now);
}

describe('a history', () => {
  const judged = (runs: HistoryRun[], damagedCount = 0) =>
    judgeHistory({ runs, damagedCount }, NOW, 30 * 60_000);
  const at = (hoursAgo: number): Date => new Date(NOW.getTime() - hoursAgo * HOUR_MS);

  it.each<[string, HistoryRun[], number?]>([
    ['empty', []],
    ['without a schedule', [run(500)], 3],
  ])('that is %s expects no run', async (_, runs, damagedCount) => {
    expect(await judged(runs, damagedCount)).toEqual({ state: 'unscheduled' });
  });

  it.each<[string, HistoryRun[]]>([
    ['in time', [hourly(0.5)]],
    ['late, but not by more than it may be', [hourly(1.5)]],
    ['made up for by hand', [hourly(5), run(0.2)]],
    [
      'of a new schedule',
      [hourly(500), hourly(400), run(1, { schedule: '@weekly', nextDueAt: '2026-06-14T00:00:00Z' })],
    ],
    ['another run’s lock, which was told', [hourly(3), hourly(0.5, { result: 'locked' })]],
  ])('is well where the run is %s', async (_, runs) => {
    expect(await judged(runs)).toEqual({ state: 'in-time' });
  });

  it('misses a run that is later than it may be', async () => {
    expect(await judged([hourly(3), hourly(1.6)], 1)).toMatchObject({
      state: 'overdue',
      isNew: true,
      dueAt: at(0.6),
      lastRun: { startedAt: at(1.6).toISOString() },
    });
  });

  it('F59 misses what another run’s lock has kept from starting for a day', async () => {
    const locked = (hoursAgo: number): HistoryRun => hourly(hoursAgo, { result: 'locked' });
    const before = [hourly(30), locked(29)];
    expect(await judged([...before, locked(25), locked(0.5)])).toMatchObject({
      state: 'overdue',
      isNew: true,
      dueAt: at(29),
    });
    const missed = hourly(0.4, { result: 'missed', exitCode: null });
    expect(await judged([...before, missed, locked(0.2)])).toMatchObject({ state: 'overdue', isNew: false });
    expect(await judged([...before, hourly(2), locked(0.5)])).toEqual({ state: 'in-time' });
  });

  it('misses one after a run by hand too, by the schedule of those before', async () => {
    expect(
      await judged([hourly(9), run(4), hourly(9, { result: 'missed', schedule: undefined })]),
    ).toMatchObject({
      state: 'overdue',
      isNew: true,
      dueAt: at(3),
    });
  });

  it('misses each run once', async () => {
    const missed = hourly(0.7, { result: 'missed', exitCode: null });
    expect(await judged([hourly(3), missed])).toMatchObject({ state: 'overdue', isNew: false, dueAt: at(2) });
    const next = hourly(1.7, { result: 'missed', exitCode: null });
    expect(await judged([hourly(3), next])).toMatchObject({ state: 'overdue', isNew: true, dueAt: at(0.7) });
  });

  it('forgets what a clock that was years ahead has written', async () => {
    const future = run(-24 * 3650, { schedule: 'every 1h', nextDueAt: '2036-06-10T13:00:00Z' });
    expect(await judged([hourly(5), future])).toMatchObject({ state: 'overdue', dueAt: at(4) });
    const jumped = hourly(1, { finishedAt: '2036-06-10T12:00:00Z', nextDueAt: '2036-06-10T13:00:00Z' });
    expect(await judged([hourly(5), jumped])).toMatchObject({ state: 'overdue', dueAt: at(4) });
    expect(await judged([future])).toEqual({
      state: 'doubtful',
      cause: expect.stringContaining('the clock is wrong, or was: its last run ended 2036-'),
    });
  });

  it.each<[string, HistoryRun[], number, string]>([
    ['garbage', [], 2, 'no line of its history can be read'],
    [
      'of a schedule that is none',
      [hourly(1, { schedule: '61 * * * *' })],
      0,
      'its schedule "61 * * * *" is none',
    ],
    [
      'of two schedules in turn',
      ['@daily', '@hourly', '@daily', '@hourly'].map((schedule) => hourly(1, { schedule })),
      0,
      'runs of two schedules have its name: @daily and @hourly',
    ],
  ])('that is %s is said to be in doubt', async (_, runs, damagedCount, cause) => {
    expect(await judged(runs, damagedCount)).toEqual({
      state: 'doubtful',
      cause: expect.stringContaining(cause),
    });
  });
});

describe('notify overdue', () => {
  let host: Host;
  let printed: string;
  const now = new Date();

  const settings = () =>
    loadNotifySettings({ known: { ...CORE_SETTINGS, ...NOTIFY_SETTINGS }, env: host.env });
  const look = async (json = false): Promise<number> => {
    printed = '';
    rmSync(join(host.root, 'mail'), { force: true });
    return await tellOverdue(settings(), { graceMs: HOUR_MS / 2, json }, new AbortController().signal);
  };
  const historyFile = (series: string): string =>
    join(host.root, 'work/history', `${series}-web1.example.test.jsonl`);
  const write = (series: string, ...runs: HistoryRun[]): void =>
    writeFileSync(historyFile(series), runs.map((one) => `${JSON.stringify(one)}\n`).join(''));

  beforeEach(() => {
    host = makeHost();
    host.env.NOTIFY_SENDMAIL = host.script('sendmail', `#!/bin/sh\ncat > ${host.root}/mail\n`);
    mkdirSync(join(host.root, 'work/history'), { recursive: true, mode: 0o700 });
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      printed += text;
      return true;
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
    host[Symbol.dispose]();
  });

  it('is silent where nothing is overdue, or of another host', async () => {
    write('jira', hourly(0.5, {}, now));
    writeFileSync(
      join(host.root, 'work/history/wiki-web2.example.test.jsonl'),
      JSON.stringify(hourly(9, {}, now)),
    );
    expect([await look(), printed, host.gotMail()]).toEqual([0, '', false]);
  });

  it('tells a missed run once, and goes on saying it', async () => {
    write('wiki', hourly(2.7, {}, now));
    expect(await look()).toBe(1);
    expect(host.mail().headers.subject).toMatch(
      /^\[garner\] MISSED wiki on web1\.example\.test: due \d{4}-.* UTC and not begun$/,
    );
    expect(host.mail().text).toMatch(/^Schedule: +every 1h$/m);
    expect(host.mail().text).toMatch(/^Last run: +\d{4}-.*, ok$/m);
    expect(printed).toMatch(/^wiki: due .* and not begun; last run .*, ok\n$/);
    expect([await look(), host.gotMail()]).toEqual([1, false]);
    expect(printed).toMatch(/^wiki: due /);
    expect(readFileSync(historyFile('wiki'), 'utf8').match(/"result":"missed"/g)).toHaveLength(1);
  });

  it('tells many in one message', async () => {
    for (const series of ['wiki', 'jira', 'git.blue', 'job.dump'])
      write(series, hourly(3, { name: series }, now));
    expect(await look(true)).toBe(1);
    expect(host.mail().headers.subject).toBe(
      '[garner] MISSED git.blue, jira and 2 others on web1.example.test: 4 runs overdue',
    );
    const { result, overdue } = JSON.parse(printed);
    expect([result, overdue.map(({ name }: { name: string }) => name)]).toEqual([
      'missed',
      ['git.blue', 'jira', 'job.dump', 'wiki'],
    ]);
    expect(overdue[0]).toMatchObject({ state: 'overdue', schedule: 'every 1h', told: true });
  });

  it('tells what shows the state of each run of each, so that it can end', async () => {
    await using listeners = await startListeners('slack', 'pagerduty');
    host.env = { ...host.env, NOTIFY_EMAIL_TO: '', ...listeners.addresses };
    for (const series of ['wiki', 'jira']) write(series, hourly(3, { name: series }, now));
    await look();
    const incidents = listeners.service.requests
      .filter(({ path }) => path === '/pagerduty')
      .map(({ body }) => JSON.parse(body).dedup_key);
    expect(incidents).toEqual(['garner jira on web1.example.test', 'garner wiki on web1.example.test']);
    expect(listeners.service.requests).toHaveLength(3);
  });

  it('tells nothing of a run that is under way', async () => {
    write('wiki', hourly(3, {}, now));
    const lock = await lockRun(settings().runDir, 'wiki', true);
    expect([await look(), host.gotMail()]).toEqual([0, false]);
    lock.release();
    expect(await look()).toBe(1);
  });

  it('F59 reminds of a run that was missed, however rarely it is due', async () => {
    const day = 24;
    const at = (hoursAgo: number): string => new Date(now.getTime() - hoursAgo * HOUR_MS).toISOString();
    const monthly = { schedule: 'every 30d', nextDueAt: at(2 * day) };
    const missed = { schedule: 'every 30d', nextDueAt: at(-28 * day), result: 'missed', told: true } as const;
    write('wiki', run(32 * day, monthly, now), run(1.9 * day, missed, now));
    expect([await look(), host.gotMail()]).toEqual([1, false]); // nobody said that it is expected here
    const history = historyFile('wiki');
    expectRun(settings().stateDir, { series: 'wiki', name: 'wiki', history });
    expect([await look(), host.gotMail()]).toEqual([1, true]);
    expect([await look(), host.gotMail()]).toEqual([1, false]);
    expect(readFileSync(history, 'utf8').trim().split('\n')).toHaveLength(2);
  });

  it('F59 tells a run that is under way for longer than a day', async () => {
    write('wiki', hourly(26, {}, now));
    const lock = await lockRun(settings().runDir, 'wiki', true);
    expect([await look(), host.gotMail()]).toEqual([1, true]);
    expect(host.mail().headers.subject).toMatch(/: due .* UTC and not done, though a run is under way$/);
    lock.release();
  });

  it('tells a history that is torn, garbage or no file, and hostile names harmlessly', async () => {
    write('torn', hourly(3, { name: 'to\u001b[2Jrn\u202e<b>' }, now));
    appendFileSync(historyFile('torn'), '{"name":"torn","startedAt":"20');
    writeFileSync(historyFile('garbage'), 'garbage\n');
    symlinkSync('/etc/passwd', historyFile('link'));
    expect(await look()).toBe(1);
    expect(printed.split('\n')).toEqual([
      expect.stringMatching(/^garbage: cannot tell whether it has run: no line of its history can be read$/),
      expect.stringMatching(/^link: cannot tell whether it has run: .*\/link-web1\.example\.test\.jsonl/),
      expect.stringMatching(/^to\\x1b\[2Jrn\\u202e<b>: due .* and not begun/),
      '',
    ]);
    expect(host.mail().raw).not.toMatch(/\u001b|\u202e/);
    expect(host.mail().html).not.toContain('<b>');
    // the torn line took no other with it
    expect(
      JSON.parse(readFileSync(historyFile('torn'), 'utf8').trim().split('\n').at(-1) as string),
    ).toMatchObject({
      result: 'missed',
    });
    expect([await look(), host.gotMail()]).toEqual([1, false]);
    expect(printed.split('\n')).toHaveLength(4);
  });

  it('misses a history that is gone, once a day, and looks at one elsewhere', async () => {
    const elsewhere = join(host.root, 'disk/history/wiki-web1.example.test.jsonl');
    mkdirSync(dirname(elsewhere), { recursive: true, mode: 0o700 });
    write('wiki', hourly(2.7, {}, now));
    renameSync(historyFile('wiki'), elsewhere);
    const { stateDir } = settings();
    expectRun(stateDir, { series: 'wiki', name: 'wiki', history: elsewhere });
    expect(await look()).toBe(1);
    expect(host.mail().headers.subject).toMatch(/MISSED wiki on .*: due /);
    expect(readFileSync(elsewhere, 'utf8')).toContain('"result":"missed"');

    renameSync(join(host.root, 'disk'), join(host.root, 'unmounted'));
    expect(await look()).toBe(1);
    expect(host.mail().headers.subject).toMatch(/MISSED wiki on .*: cannot tell .*: its history is gone: "/);
    expect(existsSync(join(host.root, 'disk'))).toBe(false);
    expect([await look(), host.gotMail()]).toEqual([1, false]);
    const note = readFileSync(join(stateDir, 'expected/wiki.json'), 'utf8');
    writeFileSync(join(stateDir, 'expected/wiki.json'), note.replace(/"toldAt":"..../, '"toldAt":"2020'));
    expect([await look(), host.gotMail()]).toEqual([1, true]);

    renameSync(join(host.root, 'unmounted'), join(host.root, 'disk'));
    appendFileSync(elsewhere, `${JSON.stringify(hourly(0.2, {}, now))}\n`);
    expect([await look(), host.gotMail()]).toEqual([0, false]);
    expect(readFileSync(join(stateDir, 'expected/wiki.json'), 'utf8')).not.toContain('toldAt');

    writeFileSync(join(stateDir, 'expected/wiki.json'), 'garbage');
    expect([await look(), printed]).toEqual([1, expect.stringMatching(/^wiki: cannot tell /)]);
  });

  it('sends what waits in the queue', async () => {
    write('wiki', hourly(3, {}, now));
    host.script('sendmail', '#!/bin/sh\nexit 75\n');
    expect(await look()).toBe(1);
    const queued = join(host.root, 'state/queue', host.queue()[0] as string);
    writeFileSync(queued, readFileSync(queued, 'utf8').replace(/"nextAt":"..../, '"nextAt":"2020'));
    host.script('sendmail', `#!/bin/sh\ncat > ${host.root}/mail\n`);
    expect(await look()).toBe(1);
    expect(host.queue()).toEqual([]);
    expect(host.mail().headers.subject).toMatch(/MISSED wiki on/);
  });
});
