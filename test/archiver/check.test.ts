import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { main } from '../../archiver/archiver.ts';
import type { Catalog } from '../../archiver/catalog/catalog.ts';
import { unverifiedRow } from '../../archiver/catalog/schema.ts';
import { type CheckReport, check } from '../../archiver/check.ts';
import { formatFindings, formatNagios, formatPrometheus, messageOf } from '../../archiver/check-report.ts';
import { decideTelling, type Open } from '../../archiver/check-state.ts';
import { addSample, checkDisk, type DiskSample, forecast } from '../../archiver/checks/disk.ts';
import type { Finding } from '../../archiver/checks/finding.ts';
import { pullHosts } from '../../archiver/pull.ts';
import { CORE_SETTINGS } from '../../lib/settings.ts';
import { NOTIFY_SETTINGS } from '../../notifier/settings.ts';
import { type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { stamp } from '../helpers/make-archive.ts';
import { makeHost } from '../helpers/notify.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = Date.now();
const at = (days: number): string => new Date(NOW + days * DAY).toISOString();

let archiver: TestArchiver;
beforeEach(() => {
  archiver = testArchiver();
  archiver.setUp();
});
afterEach(() => {
  vi.unstubAllEnvs();
  archiver.remove();
});

/** Puts archives into the catalog and, by name, onto the disk. */
async function keep(catalog: Catalog, host: string, daysAgo: number[], sizeBytes = 50e6, name = 'mediawiki') {
  const directory = join(archiver.root, host, name);
  mkdirSync(directory, { recursive: true });
  for (const days of daysAgo) {
    const time = new Date(NOW - days * DAY);
    const archive = `${name}-${host}-${stamp(time)}`;
    const parsed = { application: name, instance: undefined, host, time };
    const row = unverifiedRow(archive, parsed, time.toISOString(), sizeBytes);
    await catalog.record({ ...row, verified: 'content' }, { kind: 'pulled', subject: archive });
    writeFileSync(join(directory, `${archive}.tar`), '');
  }
}

const polled = (host: string, daysAgo = 0.01) =>
  ({ host, at: at(-daysAgo), result: 'ok', error: null }) as const;

const look = (samples: DiskSample[] = []): Promise<CheckReport> =>
  archiver.inProcess(({ catalog, configuration }) =>
    check(catalog, configuration, configuration.hosts, samples, new Date(NOW)),
  );
const brief = ({ findings }: CheckReport): string[] =>
  findings.map(({ check: kind, level, subject }) => `${level} ${kind} ${subject}`);
const DAILY = [9.4, 8.4, 7.4, 6.4, 5.4, 4.4, 3.4, 2.4, 1.4, 0.4];

describe('archiver check', () => {
  test('finds nothing where all is as it should be', async () => {
    archiver.configureHosts(['web1', 'web2'], { host: 'expect: {mediawiki: 1d}' });
    await archiver.inProcess(async ({ catalog }) => {
      for (const host of ['web1', 'web2']) await keep(catalog, host, DAILY);
      await catalog.notePolls([polled('web1'), polled('web2')]);
    });
    expect((await look()).findings).toEqual([]);
  });

  test('tells after what the configuration says: that nobody pulls, or reads again what is kept, here and elsewhere', async () => {
    const configure = (checks: string): void =>
      archiver.configureHosts(['web1'], { host: 'expect: {mediawiki: 1d}', top: `check: {${checks}}\n` });
    configure('pull: 7d, verify: 60d');
    await archiver.inProcess(async ({ catalog }) => {
      await keep(catalog, 'web1', DAILY);
      const [name = ''] = (await catalog.list(['present'])).map((row) => row.name);
      await catalog.change([name], { verified_at: at(-61) });
      await catalog.noteCopy({ target: 'usb', name, size_bytes: 1, read_at: at(-61), problem: null });
      await catalog.noteCopy({ target: 'vault', name, size_bytes: 1, read_at: at(-1), problem: 'io' });
      await catalog.notePolls([polled('web1', 6)]);
    });
    const { findings } = await look();
    expect(findings.map(({ subject, reason }) => `${subject}: ${reason}`)).toEqual([
      'usb: archives were not read again for long',
      'vault: copies at a further place are bad',
      'web1/mediawiki: archives were not read again for long',
    ]);
    configure('pull: 5d, verify: 62d');
    expect(brief(await look())).toEqual(['critical pull archiver', 'warning unverified vault']);
    configure('pull: 0d, verify: 0d');
    expect(brief(await look())).toEqual(['warning unverified vault']);
  });

  test('finds a disk that is read-only', async () => {
    archiver.configureHosts(['web1']);
    await execa('mount', ['--bind', archiver.root, archiver.root]);
    try {
      await execa('mount', ['-o', 'remount,ro,bind', archiver.root]);
      const report = await look();
      expect(brief(report)).toEqual(['critical disk archiver', 'critical pull archiver']);
      expect(report.findings[0]?.reason).toBe('the archive disk is read-only');
    } finally {
      await execa('umount', [archiver.root]);
    }
  });

  test('finds what fails at its host from the first day, and what a clock of the future would hide', async () => {
    archiver.configureHosts(['web1', 'web2'], { host: 'applications: [mediawiki, jira]' });
    await archiver.inProcess(async ({ catalog }) => {
      await keep(catalog, 'web1', DAILY);
      await keep(catalog, 'web2', DAILY);
      await catalog.notePolls([polled('web1'), polled('web2')]);
      const run = (days: number, result: 'ok' | 'failed') => ({
        ...{ name: 'x', startedAt: at(days), finishedAt: at(days), result },
        ...{ exitCode: null, summary: 'no space', archives: [] },
      });
      const note = (host: string, application: string, runs: ReturnType<typeof run>[]) =>
        catalog.importRuns({ host, application, instance: '' }, runs, { readBytes: 1, damagedCount: 0 });
      await note('web1', 'jira', [run(-2, 'failed'), run(-1, 'failed')]);
      await note('web1', 'job', [run(-1, 'failed')]);
      await note('web1', 'bamboo', [run(-1, 'failed')]); // in no configuration
      const future = Array.from({ length: 40 }, (_, i) => run(4000 + i, 'ok'));
      await note('web2', 'mediawiki', [run(-1.4, 'ok'), run(-0.1, 'failed'), ...future]);
    });
    expect(brief(await look())).toEqual(['critical failing web1/jira', 'critical failing web2/mediawiki']);
  });

  test('finds what is missing, odd, unknown, stray and in doubt, what is worst first', async () => {
    archiver.configureHosts(['web1', 'web2', 'web3', 'web4'], {
      host: 'expect: {mediawiki: 1d}, applications: [mediawiki]',
    });
    await archiver.inProcess(async ({ catalog }) => {
      await keep(catalog, 'web1', DAILY.slice(0, -3)); // silent for three days
      await keep(catalog, 'web2', DAILY.slice(0, -1));
      await keep(catalog, 'web2', [0.4], 1000); // hardly anything is left
      await keep(catalog, 'web4', DAILY);
      await keep(catalog, 'web4', [9, 8, 7, 6, 5], 50e6, 'jira'); // taken out of the configuration
      await keep(catalog, 'gone', DAILY);
      await catalog.notePolls(['web1', 'web2', 'web3', 'web4'].map((host) => polled(host)));
      const doubtful = (await catalog.list(['present'], 'web4')).at(-1);
      await catalog.change([doubtful?.name as string], { verified: null });
    });
    const directory = join(archiver.root, 'web2/mediawiki');
    const stray = join(directory, 'mediawiki-web2-20200101T000000Z.tar.sha256');
    for (const file of [stray, `${stray}.txt`]) writeFileSync(file, '');
    utimesSync(stray, new Date(NOW - 2 * HOUR), new Date(NOW - 2 * HOUR));
    const underWay = join(directory, 'mediawiki-web2-20200102T000000Z.tar.sha1');
    writeFileSync(underWay, '');
    utimesSync(underWay, new Date(NOW - HOUR / 2), new Date(NOW - HOUR / 2));
    writeFileSync(join(archiver.root, 'web4/mediawiki/mediawiki-web4-20200102T000000Z.tar'), '');
    mkdirSync(join(archiver.root, '.quarantine/web2'), { recursive: true });
    writeFileSync(join(archiver.root, '.quarantine/web2/mediawiki-web2-20200101T000000Z.tar'), '');
    rmSync(join(archiver.root, 'web1'), { recursive: true });
    const report = await look();
    expect(report.findings.find(({ check: kind }) => kind === 'stray')?.detail).toMatch(
      /^1 file, such as mediawiki\/mediawiki-web2-20200101T000000Z\.tar\.sha256$/,
    );
    expect(brief(report)).toEqual([
      'critical missing web1/mediawiki',
      'critical missing web3/mediawiki',
      'critical size web2/mediawiki',
      'warning unverified web4/mediawiki',
      'warning unknown gone',
      'warning unknown web4/jira',
      'warning stray web2',
      'warning quarantine web2',
      'warning catalog web1',
      'warning catalog web4',
    ]);
  });

  test('finds that no pull runs, and hosts that are not asked, not reached or not the same', async () => {
    archiver.configureHosts(['web1', 'web2', 'web3', 'web4']);
    expect(brief(await look())).toEqual(['critical pull archiver']);
    await archiver.inProcess(({ catalog }) =>
      catalog.notePolls([
        polled('web1', 2),
        { ...polled('web2', 0.5), result: 'ok' },
        polled('web3', 1),
        polled('web4'),
      ]),
    );
    const refused = {
      code: 'store-connect',
      message: 'cannot connect to "sftp://web2:22": connection refused',
    };
    const changed = { code: 'host-key', message: 'cannot trust "web3": it offers SHA256:x' };
    await archiver.inProcess(({ catalog }) =>
      catalog.notePolls([
        { ...polled('web2'), result: 'failed', error: refused },
        { ...polled('web3'), result: 'failed', error: changed },
        // it was well an hour ago
        { ...polled('web4'), result: 'failed', error: refused },
      ]),
    );
    const report = await look();
    expect(brief(report)).toEqual([
      'critical host-key web3',
      'critical missing web1', // it is known for two days
      'warning pull web1',
      'warning pull web2',
    ]);
    expect(report.findings[3]?.reason).toBe('pulls fail: connection refused');
  });

  test('knows of pulls what they have noted', async () => {
    archiver.configureHosts(['web1', 'web2']);
    rmSync(archiver.workDir('web2'), { recursive: true });
    writeFileSync(join(archiver.directory, 'hosts/web2'), 'no directory');
    await archiver.inProcess((run) =>
      pullHosts(run, run.configuration.hosts, { prune: true, dryRun: false }),
    );
    const rows = await archiver.inProcess(({ catalog }) => catalog.hosts());
    expect(rows.map(({ name, result }) => [name, result])).toEqual([
      ['web1', 'ok'],
      ['web2', 'failed'],
    ]);
    expect(brief(await look())).toEqual(['critical pull web2']);
  });
});

describe('the forecast of the archive disk', () => {
  const growing = (perDay: number, days = 6): DiskSample[] =>
    Array.from({ length: days }, (_, i) => ({ at: at(i - days + 1), usedBytes: 1e12 + i * perDay }));

  test('says when it is full by the growth of the days past, whatever one of them brought', () => {
    const samples = growing(10e9);
    (samples[5] as DiskSample).usedBytes += 300e9;
    expect(forecast(samples, 100e9, new Date(NOW))).toBe(at(10));
    expect(forecast(growing(10e9, 3), 100e9, new Date(NOW))).toBeUndefined();
    expect(forecast(growing(-1e9), 100e9, new Date(NOW))).toBeUndefined();
    expect(forecast(growing(1), 100e9, new Date(NOW))).toBeUndefined();
  });

  test.each([
    [20, 100e9, []],
    [10, 100e9, ['warning']],
    [2, 100e9, ['critical']],
    [undefined, 100e9, []],
    [undefined, 1e9, ['critical']],
  ])('full in %s days with %d bytes free: %j', (days, freeBytes, levels) => {
    const fullAt = days === undefined ? undefined : at(days);
    const found = checkDisk({ freeBytes, totalBytes: 2e12, isReadOnly: false, fullAt }, new Date(NOW));
    expect(found.map(({ level }) => level)).toEqual(levels);
  });

  test('keeps one sample a day, none of the future, and not for ever', () => {
    const samples = [
      { at: at(-1), usedBytes: 1 },
      { at: at(0.5), usedBytes: 2 },
    ];
    expect(addSample(samples, 3, new Date(NOW)).map(({ usedBytes }) => usedBytes)).toEqual([1, 3]);
    expect(addSample([{ at: at(-0.5), usedBytes: 1 }], 3, new Date(NOW))).toHaveLength(1);
    expect(addSample(growing(1, 50), 3, new Date(NOW + 2 * DAY))).toHaveLength(30);
  });
});

describe('telling', () => {
  const late = (subject: string, change: Partial<Finding> = {}): Finding => ({
    check: 'late',
    level: 'warning',
    subject,
    reason: 'an archive is late',
    detail: 'x',
    ...change,
  });
  const tellAt = (open: Open[], findings: Finding[], days: number, covers = (_: string) => true) =>
    decideTelling(open, findings, covers, 3 * DAY, new Date(NOW + days * DAY));

  test('is once, then a reminder, again when it gets worse, and when it is over', () => {
    const first = tellAt([], [late('web1/a')], 0);
    expect(first.fresh).toHaveLength(1);
    const again = tellAt(first.open, [late('web1/a')], 1);
    expect([again.fresh, again.reminders, again.over]).toEqual([[], [], []]);
    expect(messageOf(again, 'h')).toBeUndefined();
    const reminded = tellAt(again.open, [late('web1/a')], 3);
    expect(reminded.reminders).toMatchObject([{ subject: 'web1/a', since: at(0) }]);
    expect(tellAt(reminded.open, [late('web1/a')], 4).reminders).toEqual([]);
    const worse = tellAt(reminded.open, [late('web1/a', { check: 'missing', level: 'critical' })], 4);
    expect([worse.fresh.length, worse.over.length]).toEqual([1, 0]);
    const over = tellAt(worse.open, [], 5);
    expect(over.over).toMatchObject([{ subject: 'web1/a' }]);
    expect(messageOf(over, 'h')).toMatchObject({ result: 'OK', level: 'recovered' });
    expect(over.open).toEqual([]);
  });

  test('of what was not looked at, nothing is over', () => {
    const { open } = tellAt([], [late('web1/a'), late('web2/a')], 0);
    const one = tellAt(open, [], 1, (subject) => subject === 'web1/a');
    expect(one.over).toHaveLength(1);
    expect(one.open).toMatchObject([{ subject: 'web2/a' }]);
    expect(messageOf(one, 'h')).toMatchObject({ result: 'WARNINGS' });
  });

  test('many hosts with one trouble are one message, which names some of them', () => {
    const findings = Array.from({ length: 50 }, (_, i) => late(`web${i}`, { reason: 'pulls fail' }));
    const message = messageOf(tellAt([], findings, 0), 'archive1');
    expect(message).toMatchObject({
      result: 'WARNINGS',
      name: 'archiver check',
      host: 'archive1',
      summary: 'pulls fail: web0, web1, web2 and 47 more',
    });
    expect(message?.facts).toHaveLength(1);
    expect(message?.facts[0]?.value.split('\n')).toHaveLength(12);
  });
});

describe('formats', () => {
  const hostile = 'x|y\n\u001b[2J"\\ <b>';
  const report = (findings: Finding[]): CheckReport => ({
    findings,
    series: [],
    pulled: new Map([['web1', at(0)]]),
    disk: { freeBytes: 5e9, totalBytes: 20e9, isReadOnly: false, fullAt: undefined },
  });
  const finding: Finding = {
    check: 'failing',
    level: 'critical',
    subject: 'web1/a',
    reason: hostile,
    detail: hostile,
  };

  test('for Nagios is one line with its performance data, whatever a host has said', () => {
    expect(formatNagios(report([]))).toBe(
      'GARNER OK - nothing is wrong with 0 applications | critical=0 warnings=0 applications=0 free=5000000000B;;;0;20000000000\n',
    );
    const one = { ...report([]), series: [{ host: 'web1', name: 'a' }] } as unknown as CheckReport;
    expect(formatNagios(one)).toContain('wrong with 1 application |');
    expect(formatFindings(one)).toMatch(/^0 problems with 1 application; /);
    const line = formatNagios(report([finding]));
    expect(line).toMatch(
      /^GARNER CRITICAL - x\/y\\n\\x1b\[2J"\\ <b>: web1\/a \| critical=1 warnings=0 [^|\n]*\n$/,
    );
  });

  test('for people has no character that a terminal obeys', () => {
    expect(formatFindings(report([finding]))).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  });

  test('for Prometheus holds to its text format, whatever a label says', () => {
    const named = { ...finding, subject: 'a"b\\c\nd' };
    const samples = parseMetrics(formatPrometheus(report([named]), new Date(NOW)));
    expect(samples.get('garner_problem{check="failing",level="critical",subject="a"b\\c\\nd"}')).toBe(1);
    expect(samples.get('garner_problems{level="critical"}')).toBe(1);
    expect(samples.get('garner_store_free_bytes{}')).toBe(5e9);
    expect(samples.get('garner_host_pulled_timestamp_seconds{host="web1"}')).toBe(NOW / 1000);
  });
});

/**
 * Reads Prometheus' text format strictly, as its documentation has it: HELP and TYPE once, before all samples of a metric,
 * which stand together; names and label values as allowed; no sample twice.
 * https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
 */
function parseMetrics(text: string): Map<string, number> {
  expect(text.endsWith('\n')).toBe(true);
  const samples = new Map<string, number>();
  const seen = new Set<string>();
  let current: string | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    const [, kind, about, rest] = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line) ?? [];
    if (kind === 'HELP') {
      expect(seen, line).not.toContain(about);
      seen.add(about as string);
      current = about;
    } else if (kind === 'TYPE') {
      expect([about, rest]).toEqual([current, 'gauge']);
    } else {
      const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/.exec(line);
      expect(sample?.[1], line).toBe(current);
      const labels = sample?.[2] ?? '';
      const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/gy;
      const shown: string[] = [];
      let end = 0;
      for (const match of labels.matchAll(label)) {
        end = match.index + match[0].length;
        const value = (match[2] as string).replace(/\\(["\\n])/g, (_, char) => (char === 'n' ? '\n' : char));
        shown.push(`${match[1]}="${value}"`);
      }
      expect(end, line).toBe(labels.length);
      const key = `${current}{${shown.join(',')}}`;
      expect(samples, line).not.toContain(key);
      samples.set(key, Number(sample?.[3]));
    }
  }
  return samples;
}

test('tells by mail once, and is read by Nagios and Prometheus without telling', async () => {
  using told = makeHost();
  archiver.configureHosts(['web1'], { host: 'expect: {mediawiki: 1d}' });
  await archiver.inProcess(({ catalog }) => catalog.notePolls([polled('web1')]));
  for (const [name, value] of Object.entries(told.env)) vi.stubEnv(name, value);
  const known = { ...CORE_SETTINGS, ...NOTIFY_SETTINGS };
  const run = async (...args: string[]): Promise<{ exitCode: number; stdout: string }> => {
    let stdout = '';
    const spy = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      stdout += text;
      return true;
    });
    try {
      const all = ['check', ...args, '--config', archiver.configFile];
      return { exitCode: await main(all, { program: 'archiver', known }), stdout };
    } finally {
      spy.mockRestore();
      process.exitCode = undefined;
    }
  };
  const nagios = await run('--nagios');
  expect(nagios.exitCode).toBe(2);
  expect(nagios.stdout).toMatch(/^GARNER CRITICAL - no archive ever came: web1\/mediawiki \| critical=1 /);
  const metrics = await run('--prometheus');
  expect(metrics.exitCode).toBe(0);
  expect(parseMetrics(metrics.stdout).get('garner_problems{level="critical"}')).toBe(1);
  expect(told.gotMail()).toBe(false);

  const first = await run('--json');
  expect(first.exitCode).toBe(1);
  expect(JSON.parse(first.stdout)).toMatchObject({
    result: 'failed',
    findings: [{ check: 'missing', subject: 'web1/mediawiki' }],
  });
  const { raw, text } = told.mail();
  expect(raw).toContain('MISSED archiver check on web1.example.test');
  expect(text).toContain('web1/mediawiki: it is expected every');
  rmSync(join(told.root, 'mail'));
  expect((await run()).stdout).toContain('CRITICAL  no archive ever came');
  expect(told.gotMail()).toBe(false);

  rmSync(join(archiver.root, '.garner-archive'));
  const unknown = await run('--nagios');
  expect(unknown.exitCode).toBe(3);
  expect(unknown.stdout).toMatch(/^GARNER UNKNOWN - cannot use the archive store/);
});
