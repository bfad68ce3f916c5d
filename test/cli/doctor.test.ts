import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { openUndoMark } from '../../agents/toolkit/undo-mark.ts';
import { leaveLastPull } from '../../archive/last-pull.ts';
import type { Finding } from '../../cli/doctor/check.ts';
import { type Diagnosis, examine, formatDiagnosis } from '../../cli/doctor/doctor.ts';
import type { Places } from '../../cli/doctor/schedules.ts';
import { knownSettings } from '../../cli/known-settings.ts';
import { within } from '../../cli/within.ts';
import type { SettingTable } from '../../lib/settings.ts';
import { enqueue } from '../../notifier/queue.ts';
import { openFileStore } from '../../stores/file.ts';
import { fakeClients, onlyPrograms } from '../helpers/fake-clients.ts';
import { type Bench, makeBench } from '../helpers/run.ts';
import { startSshd } from '../helpers/sshd.ts';

const HOST = 'web1.example.org';
const DAY_MS = 86_400_000;
const signal = new AbortController().signal;

let known: SettingTable;
let bench: Bench;
let places: Places;

beforeAll(async () => {
  known = await knownSettings();
});

/** A host that is as it should be: one application, a backup of it by cron, fetched, mail on. */
beforeEach(async () => {
  bench = makeBench();
  const at = (name: string): string => join(bench.directory, name);
  for (const name of ['tree', 'cron.d', 'spool', 'units', 'processes/1'])
    mkdirSync(at(name), { recursive: true });
  places = {
    crontab: at('crontab'),
    cronDirectory: at('cron.d'),
    scripts: [at('cron.daily')],
    spool: at('spool'),
    units: [at('units')],
    processes: at('processes'),
    systemd: at('no-systemd'),
  };
  writeFileSync(join(places.processes, '1/comm'), 'cron\n');
  putCron(
    '15 2 * * *  root  notify --schedule "15 2 * * *" -- agent-directories\n5 * * * *  root  notify overdue\n',
  );
  writeFileSync(at('tree/page'), 'one page\n');
  bench.configure('garner.env', 'NOTIFY_EMAIL_TO=root\nNOTIFY_SENDMAIL=/bin/true\n');
  bench.configure('agent-directories.env', `DIRECTORIES=${at('tree')}\n`);
  for (const [name, value] of Object.entries({
    GARNER_CONFIG_DIR: bench.configDir,
    GARNER_WORK_DIR: bench.workDir,
    GARNER_STATE_DIR: at('state'),
    GARNER_RUN_DIR: at('run'),
    GARNER_HOST: HOST,
  }))
    vi.stubEnv(name, value);
  putRun(Date.now() - 3_600_000);
  await putVisit(Date.now() - 60_000);
});
afterEach(() => {
  vi.unstubAllEnvs();
  bench.remove();
});

const putCron = (text: string, name = 'garner'): void =>
  writeFileSync(join(places.cronDirectory, name), text);

const stamp = (time: number): string => new Date(time).toISOString().replace(/[-:]|\.\d+/g, '');

/** A run as `notify` notes it, with its archive. */
function putRun(time: number, more: object = {}): string {
  mkdirSync(join(bench.workDir, 'history'), { recursive: true, mode: 0o700 });
  const at = new Date(time).toISOString();
  const archive = `directories-${HOST}-${stamp(time)}.tar`;
  const run = {
    name: 'directories',
    startedAt: at,
    finishedAt: at,
    result: 'ok',
    exitCode: 0,
    summary: '8 B',
  };
  const due = { schedule: '15 2 * * *', nextDueAt: new Date(time + DAY_MS).toISOString() };
  const line = { ...run, archives: [archive], sizeBytes: 8, ...due, ...more };
  const history = join(bench.workDir, 'history', `directories-${HOST}.jsonl`);
  appendFileSync(history, `${JSON.stringify(line)}\n`, { mode: 0o600 });
  writeFileSync(join(bench.workDir, archive), 'archive\n', { mode: 0o600 });
  return archive;
}

async function putVisit(time: number, result: 'ok' | 'failed' = 'ok'): Promise<void> {
  await using store = openFileStore(bench.workDir);
  const entries = [{ name: 'history', kind: 'directory' as const, sizeBytes: 0, modifiedMs: 0 }];
  await leaveLastPull(store, entries as never, { at: new Date(time).toISOString(), result, pulledCount: 1 });
}

const look = (): Promise<Diagnosis> => examine({ program: 'garner', known, beside: [] }, signal, places);

/** @returns what is found, by check; well ones are left out */
async function trouble(): Promise<Record<string, string[]>> {
  const { checks } = await look();
  return Object.fromEntries(
    checks
      .filter(({ findings }) => findings.length > 0)
      .map(({ name, findings }) => [name, findings.map(({ level, what }) => `${level}: ${what}`)]),
  );
}

const all = ({ checks }: Diagnosis): Finding[] => checks.flatMap(({ findings }) => findings);

test('finds nothing on a host that is as it should be, and says so line by line', async () => {
  const diagnosis = await look();
  expect(all(diagnosis)).toEqual([]);
  expect(diagnosis).toMatchObject({ result: 'ok', hangs: false });
  const lines = formatDiagnosis(diagnosis).trimEnd().split('\n');
  expect(lines.at(-1)).toBe('all well');
  for (const line of lines.slice(0, -1)) expect(line).toMatch(/^\[( ok | -- )\] [a-z-]+ +\S/);
  expect(lines.filter((line) => line.startsWith('[ -- ]')).map((line) => line.split(/ +/)[3])).toEqual([
    'host-keys',
  ]);
});

test('leaves no file, and changes none', async () => {
  const names = (): string[] => (readdirSync(bench.directory, { recursive: true }) as string[]).sort();
  const before = names();
  await look();
  expect(names()).toEqual(before);
});

test('names each file that would be refused, once', async () => {
  bench.configure('agent-sqlite.env', 'SQLITE_FIELS=/x\n');
  chmodSync(join(bench.configDir, 'garner.env'), 0o646);
  const found = await trouble();
  expect(Object.keys(found)).toEqual(['configuration']);
  expect(found.configuration).toEqual([
    expect.stringMatching(/^broken: .*garner\.env.*others can write it/),
    expect.stringMatching(/^broken: .*agent-sqlite\.env": unknown setting "SQLITE_FIELS"/),
  ]);
  const [open] = all(await look());
  expect(open?.remedy).toBe(`chmod 600 '${join(bench.configDir, 'garner.env')}'`);
  const lines = formatDiagnosis(await look())
    .trimEnd()
    .split('\n');
  expect(lines.slice(-2)).toEqual(['[ -- ] the others     the settings can not be read', '2 broken']);
  chmodSync(join(bench.configDir, 'garner.env'), 0o600);
  expect((await trouble()).configuration).toEqual([expect.stringMatching(/unknown setting "SQLITE_FIELS"/)]);
});

test('rights: a directory or an archive that others can read or write, or that is none of its own', async () => {
  chmodSync(bench.workDir, 0o755);
  chmodSync(
    join(bench.workDir, readdirSync(bench.workDir).find((name) => name.endsWith('.tar')) as string),
    0o644,
  );
  expect((await trouble()).rights).toEqual([
    expect.stringMatching(/^warning: others can look into/),
    expect.stringMatching(/^broken: others can read an archive .*directories-/),
  ]);
  chmodSync(bench.workDir, 0o777);
  expect((await trouble()).rights).toEqual([expect.stringMatching(/^broken: others can write into/)]);
  renameSync(bench.workDir, `${bench.workDir}.real`);
  symlinkSync(`${bench.workDir}.real`, bench.workDir);
  expect((await trouble()).rights).toEqual([expect.stringMatching(/^broken: .* is a symbolic link/)]);
  vi.stubEnv('GARNER_GROUP', 'no-such-group-here');
  expect((await trouble()).rights?.[0]).toMatch(/^broken: there is no group "no-such-group-here"/);
});

test('space: the next archive does not fit, by the last one', async () => {
  putRun(Date.now() - 1000, { sizeBytes: 2 ** 52, archives: ['fetched.tar'] });
  rmSync(join(bench.workDir, `directories-${HOST}-${stamp(Date.now() - 1000)}.tar`), { force: true });
  expect((await trouble()).space).toEqual([
    expect.stringMatching(/^broken: \S+ [GT]B are free in .* the last archives have 4\.5 PB/),
  ]);
});

test('programs: one is missing, another is none of those that are needed', async () => {
  const bin = await onlyPrograms(bench.directory, ['sh', 'getent']);
  writeFileSync(join(bin, 'tar'), '#!/bin/sh\necho bsdtar 3.7\n', { mode: 0o755 });
  vi.stubEnv('PATH', bin);
  vi.stubEnv('GARNER_AGE_RECIPIENTS', 'age1abc');
  const { checks } = await look();
  const found = checks.find(({ name }) => name === 'programs')?.findings;
  expect(found?.map(({ what }) => what)).toEqual([
    'tar is not GNU tar',
    'cannot find program "zstd": it is not on the PATH',
    'cannot find program "age": it is not on the PATH',
  ]);
  expect(found?.[1]?.remedy).toBe('sudo apt-get install zstd');
});

test('applications: one that is gone, and a server that does not answer, without its password', async () => {
  rmSync(join(bench.directory, 'tree'), { recursive: true });
  bench.configure('agent-mariadb.env', 'GARNER_DATABASE_URL=mysql://wiki:s3cr3t-pw@127.0.0.1:1/wiki\n');
  const diagnosis = await look();
  const found = diagnosis.checks.find(({ name }) => name === 'applications');
  expect(found?.findings.map(({ level, what }) => `${level}: ${what}`)).toEqual([
    expect.stringMatching(/^broken: directories: .*tree/),
    expect.stringMatching(/^broken: mariadb: cannot reach database .*127\.0\.0\.1:1/),
  ]);
  expect(JSON.stringify(diagnosis) + formatDiagnosis(diagnosis)).not.toContain('s3cr3t-pw');
});

test('clock: archives of the future, and a clock that nothing sets', async () => {
  putRun(Date.now() + 400 * DAY_MS);
  mkdirSync(places.systemd);
  vi.stubEnv('PATH', fakeClients(bench.directory, { timedatectl: 'echo NTPSynchronized=no' }));
  const found = await trouble();
  expect(found.clock).toEqual([
    expect.stringMatching(new RegExp(`^broken: directories-${HOST}-\\S+ .* is of the future`)),
    'warning: nothing sets the clock of this host (NTP)',
  ]);
});

test('host keys: a host without one, one that shows another, one that is right, one that is down', async () => {
  const sshd = await startSshd();
  try {
    const host = (key: string | undefined, port = sshd.port): object => ({
      url: sshd.url(bench.directory, port),
      identityFile: sshd.identityFile,
      ...(key !== undefined && { hostKeys: [key] }),
    });
    const right = sshd.hostKeys.ed25519 as string;
    const hosts = {
      a: host(undefined),
      b: host(`SHA256:${'A'.repeat(43)}`),
      c: host(right),
      d: host(right, 1),
    };
    const push = { off: { to: sshd.url(bench.directory), from: bench.workDir } };
    bench.configure('archiver.yaml', JSON.stringify({ archive: join(bench.directory, 'srv'), hosts, push }));
    const found = (await trouble())['host-keys']?.sort();
    expect(found).toEqual([
      expect.stringMatching(/^broken: a: its host key is not known/),
      expect.stringMatching(new RegExp(`^broken: b: .*${RegExp.escape(right)}`)),
      expect.stringMatching(/^broken: push\.off: its host key is not known/),
      expect.stringMatching(/^warning: d: .*connection refused/),
    ]);
  } finally {
    await sshd.stop();
  }
});

test('messages: no way, a way that can not work, messages that wait', async () => {
  bench.configure('garner.env', 'NOTIFY_EMAIL_TO=root\nNOTIFY_SENDMAIL=/no/sendmail\n');
  const message = {
    ...{
      id: crypto.randomUUID(),
      time: new Date(Date.now() - 2 * DAY_MS).toISOString(),
      result: 'FAILED' as const,
    },
    ...{ level: 'failed' as const, name: 'wiki', host: HOST, summary: 'x', facts: [] },
  };
  enqueue(join(bench.directory, 'state/queue'), {
    message,
    waiting: { email: { attempts: 1, nextAt: message.time } },
  });
  expect((await trouble()).messages).toEqual([
    'broken: mail is given to /no/sendmail, which can not be run',
    'broken: 1 message could not be sent, the oldest for 2 d 0 h',
  ]);
  rmSync(join(bench.directory, 'state'), { recursive: true });
  bench.configure('garner.env', '');
  expect((await trouble()).messages).toEqual(['warning: nobody is told how a backup ended']);
});

test('F59 schedule: an agent that nothing runs, that failed, that is late', async () => {
  rmSync(join(places.cronDirectory, 'garner'));
  putRun(Date.now() - 3 * DAY_MS, { result: 'failed', summary: 'disk full' });
  const [nothing, late, failed, ...rest] = (await trouble()).schedule ?? [];
  expect(nothing).toBe('warning: directories: no cron line and no timer runs it');
  expect(late).toMatch(/^broken: directories: its run of \d{4}-\d\d-\d\d \d\d:\d\d UTC did not begin/);
  expect(failed).toMatch(/^broken: directories: its last run failed 3 d \d+ h ago: disk full/);
  expect(rest).toEqual([]);
});

test('schedule: lines that cron passes over, that tell nobody, of another instance; a cron that does not run', async () => {
  const line = '1 2 * * * root agent-directories --instance blue\n';
  putCron(`# 1 2 * * * root agent-directories\n${line}`);
  expect((await trouble()).schedule).toEqual([
    'warning: directories: no cron line and no timer runs it',
    'warning: nothing runs `notify overdue`',
  ]);
  rmSync(join(places.cronDirectory, 'garner'));
  putCron('1 2 * * * root /usr/bin/agent-directories\n', 'garner.cron');
  expect((await trouble()).schedule).toEqual([
    expect.stringMatching(/^broken: cron passes over .*garner\.cron.*its name/),
    'warning: directories: no cron line and no timer runs it',
  ]);
  renameSync(join(places.cronDirectory, 'garner.cron'), places.crontab);
  rmSync(join(places.processes, '1'), { recursive: true });
  expect((await trouble()).schedule).toEqual([
    expect.stringMatching(/^warning: directories: .*crontab runs it without notify/),
    'warning: nothing runs `notify overdue`',
    'broken: cron does not run',
  ]);
});

test('schedule: a script of cron.daily counts; a timer of the packages once it is enabled, where systemd runs', async () => {
  rmSync(join(places.cronDirectory, 'garner'));
  const [units = ''] = places.units;
  cpSync(join(import.meta.dirname, '../../packaging/systemd'), units, { recursive: true });
  const enable = (name: string, unit: string): void => {
    mkdirSync(join(units, 'timers.target.wants'), { recursive: true });
    symlinkSync(join(units, unit), join(units, 'timers.target.wants', name));
  };
  expect((await trouble()).schedule).toEqual(['warning: directories: no cron line and no timer runs it']);
  mkdirSync(join(bench.directory, 'cron.daily'));
  const script = join(bench.directory, 'cron.daily/backup');
  writeFileSync(script, '#!/bin/sh\nset -e\nnotify overdue; notify -- agent-directories\n');
  expect(await trouble()).toEqual({});
  rmSync(script);
  enable('garner-agent@directories.timer', 'garner-agent@.timer');
  enable('garner-overdue.timer', 'garner-overdue.timer');
  expect((await trouble()).schedule).toEqual([
    expect.stringMatching(/^broken: garner-agent@directories\.timer is enabled, and systemd does not run/),
  ]);
  mkdirSync(places.systemd);
  vi.stubEnv('PATH', fakeClients(bench.directory, { timedatectl: 'echo NTPSynchronized=yes' }));
  expect(await trouble()).toEqual({});
});

test('pulls: archives that nobody ever fetched, and an archiver that stays away; none where they are pushed', async () => {
  rmSync(join(bench.workDir, '.garner-last-pull'));
  expect((await trouble()).pulls).toEqual([
    expect.stringMatching(/^warning: 1 archive in .* was never fetched/),
  ]);
  putRun(Date.now() - 2 * DAY_MS, { nextDueAt: new Date(Date.now() + DAY_MS).toISOString() });
  expect((await trouble()).pulls).toEqual([
    expect.stringMatching(/^broken: 2 archives in .* were never fetched/),
  ]);
  const push = { disk: { to: `file://${bench.directory}/disk`, from: bench.workDir } };
  bench.configure('archiver.yaml', JSON.stringify({ push }));
  expect(await trouble()).toEqual({ schedule: ['warning: no cron line and no timer runs `archiver push`'] });
  const remedy = (await look()).checks.find(({ name }) => name === 'schedule')?.findings[0]?.remedy ?? '';
  const file = join(places.cronDirectory, 'garner-archiver');
  execFileSync('sh', ['-c', remedy.replace('/etc/cron.d', places.cronDirectory)]);
  // cron itself looks in /usr/bin and /bin only
  expect(readFileSync(file, 'utf8').split('\n')[0]).toMatch(/^PATH=.*\/usr\/local\/bin/);
  expect(await trouble()).toEqual({});
  rmSync(file);
  putCron('0 6 * * * root notify -- archiver push\n', 'archiver');
  expect(await trouble()).toEqual({});
  rmSync(join(bench.configDir, 'archiver.yaml'));
  const bucket = (name: string) => ({ bucket: name, region: 'eu-1' });
  const photos = { points: '/srv/points', master: bucket('a'), replica: bucket('b'), retention: { last: 2 } };
  bench.configure('buckets.yaml', JSON.stringify({ sets: { photos } }, null, 1).replace('{', '# JSON\n{'));
  expect(await trouble()).toMatchObject({
    schedule: ['warning: no cron line and no timer runs `bucket snapshot`'],
  });
  putCron('15 2 * * * root notify -- bucket snapshot\n', 'bucket');
  expect((await trouble()).schedule).toBeUndefined();
  rmSync(join(bench.configDir, 'buckets.yaml'));
  await putVisit(Date.now() - 3 * DAY_MS);
  expect((await trouble()).pulls).toEqual(['broken: no archiver was here for 3 d 0 h; 1 archive since']);
  await putVisit(Date.now() - 1000, 'failed');
  expect((await trouble()).pulls).toEqual([
    expect.stringMatching(/^warning: the archiver that was here .* could not/),
  ]);
});

test('leftovers: an application that is held still, an unfinished file; hostile names are escaped', async () => {
  openUndoMark(join(bench.directory, 'state'), {
    application: 'directories',
    instance: undefined,
    host: HOST,
  }).add({
    kind: 'quiet',
    token: 1,
  });
  const part = join(bench.workDir, '.part-\x1b[31m\u202ex.12345678');
  writeFileSync(part, '');
  const old = new Date(Date.now() - 2 * DAY_MS);
  utimesSync(part, old, old);
  const diagnosis = await look();
  const found = diagnosis.checks.find(({ name }) => name === 'leftovers')?.findings ?? [];
  expect(found.map(({ level, what }) => `${level}: ${what}`)).toEqual([
    expect.stringMatching(/^broken: agent-directories was cut off/),
    expect.stringContaining('.part-\\x1b[31m\\u202ex.12345678 first'),
  ]);
  expect(found[0]?.remedy).toMatch(/^notify -- agent-directories /);
  expect(formatDiagnosis(diagnosis)).not.toMatch(/[\x1b\u202e]/);
});

test('leftovers: a run that does not end, and not one whose process is gone', async () => {
  const run = join(bench.directory, 'run');
  mkdirSync(run, { mode: 0o700 });
  const since = new Date(Date.now() - DAY_MS).toISOString();
  writeFileSync(join(run, 'agent-gone.holder'), `pid 4194304, since ${since}\n`);
  expect(await trouble()).toEqual({});
  const { spawn } = await import('node:child_process');
  const child = spawn('sh', ['-c', 'sleep 60; :', 'agent-directories'], { detached: true });
  try {
    writeFileSync(join(run, 'agent-directories.holder'), `pid ${child.pid}, since ${since}\n`);
    expect((await trouble()).leftovers).toEqual([
      `warning: agent-directories (pid ${child.pid}) has run for 1 d 0 h, longer than GARNER_TIMEOUT`,
    ]);
  } finally {
    process.kill(-(child.pid as number), 'SIGKILL');
  }
});

test('gives up what does not end within its time, whether or not it listens', async () => {
  const never = new Promise<never>(() => {});
  await expect(within(20, 'waiting', signal, () => never)).rejects.toMatchObject({
    code: 'timeout',
    message: expect.stringMatching(/it took longer than 0\.0 s/),
  });
  const outer = AbortSignal.abort(new Error('ended by SIGTERM'));
  await expect(within(20, 'waiting', outer, () => never)).rejects.toThrow('ended by SIGTERM');
});

test('a check that fails is a finding of its own, and the others are made', async () => {
  const history = join(bench.workDir, `history/directories-${HOST}.jsonl`);
  rmSync(history);
  mkdirSync(history);
  const { result, checks } = await look();
  expect(result).toBe('failed');
  expect(checks.filter(({ state }) => state === 'broken').map(({ name }) => name)).toEqual([
    'space',
    'schedule',
  ]);
  expect(checks.find(({ name }) => name === 'space')).toMatchObject({
    summary: 'could not be checked',
    findings: [{ what: expect.stringMatching(/^cannot read the history .*it is no regular file/) }],
  });
  expect(checks.at(-1)).toMatchObject({ name: 'leftovers', state: 'ok' });
});

test('the command prints one object and its exit code says how bad it is', async () => {
  rmSync(join(bench.workDir, '.garner-last-pull'));
  writeFileSync(join(bench.configDir, 'garner.env'), 'NOTIFY_EMAIL_TO=root\nNOTIFY_SENDMAIL=/no\n');
  const { exitCode, stdout, stderr } = await bench.run('garner', ['doctor', '--json']);
  expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: '' });
  const report = JSON.parse(stdout);
  expect(Object.keys(report)).toEqual(['result', 'checks']);
  expect(report.result).toBe('failed');
  for (const { findings } of report.checks) {
    for (const finding of findings) expect(Object.keys(finding)).toEqual(['level', 'what', 'why', 'remedy']);
  }
});
