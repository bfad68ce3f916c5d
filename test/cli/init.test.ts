import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { examine } from '../../cli/doctor/doctor.ts';
import type { Places } from '../../cli/doctor/schedules.ts';
import { planFiles } from '../../cli/init/files.ts';
import type { Found } from '../../cli/init/find.ts';
import { type InitOptions, type InitReport, init } from '../../cli/init/init.ts';
import { formatReport, jsonOf } from '../../cli/init/report.ts';
import { nightly } from '../../cli/init/schedule.ts';
import { knownSettings } from '../../cli/known-settings.ts';
import type { SettingTable } from '../../lib/settings.ts';
import { blockOf, commandsOf } from '../docs/pages.ts';
import { fakeClients, onlyPrograms } from '../helpers/fake-clients.ts';
import { startMariadb } from '../helpers/mariadb.ts';
import { type Bench, makeBench, snapshot } from '../helpers/run.ts';

const BIN = join(import.meta.dirname, '../../bin');
const signal = new AbortController().signal;
/** No client of a database; what the tests themselves run. */
const PROGRAMS =
  'sh env node hostname getent tar zstd readlink dirname basename find sort tr xargs sha256sum rm sync'.split(
    ' ',
  );
/** Of these the host of the tests has what it has: they look elsewhere. */
const ELSEWHERE = ['LDAP_CONFIG', 'MEDIAWIKI_DIR', 'WORDPRESS_DIR', 'GIT_ROOTS', 'REDIS_CONFIGS'];

let known: SettingTable;
let bench: Bench;
let places: Places;

beforeAll(async () => {
  known = await knownSettings();
});
beforeEach(async () => {
  bench = makeBench();
  const at = (name: string): string => join(bench.directory, name);
  for (const name of ['tree', 'cron.d', 'processes/1']) mkdirSync(at(name), { recursive: true });
  writeFileSync(at('processes/1/comm'), 'cron\n');
  writeFileSync(at('tree/page'), 'one page\n');
  places = {
    ...{
      crontab: at('crontab'),
      cronDirectory: at('cron.d'),
      scripts: [],
      spool: at('spool'),
      units: [at('units')],
    },
    ...{ processes: at('processes'), systemd: at('no-systemd') },
  };
  const own = {
    GARNER_WORK_DIR: bench.workDir,
    GARNER_STATE_DIR: at('state'),
    GARNER_RUN_DIR: at('run'),
    GARNER_CONFIG_DIR: bench.configDir,
    GARNER_HOST: 'web1.example.org',
    HOME: bench.home,
    DIRECTORIES: at('tree'),
    PATH: await onlyPrograms(bench.directory, PROGRAMS),
  };
  for (const name of ELSEWHERE) vi.stubEnv(name, at('none'));
  for (const [name, value] of Object.entries(own)) vi.stubEnv(name, value);
});
afterEach(() => {
  vi.unstubAllEnvs();
  bench.remove();
});

const run = (options: InitOptions = {}): Promise<InitReport> =>
  init({ program: 'garner', known, beside: [BIN] }, options, { signal, places });

const found = ({ findings }: InitReport): string[] =>
  findings.found.map(({ definition }) => definition.application);

const written = (file: string): string => readFileSync(join(bench.configDir, file), 'utf8');

test('writes the configuration of what is found, private, with comments, as garner reads it', async () => {
  mkdirSync(join(bench.directory, "a tree's #1"));
  vi.stubEnv('DIRECTORIES', `${join(bench.directory, "a tree's #1")}:${join(bench.directory, 'tree')}`);
  vi.stubEnv('GARNER_AGE_IDENTITY_FILE', '');
  const report = await run({ mailTo: 'Backup <admins@example.org>' });
  expect(report).toMatchObject({ result: 'ok', dryRun: false, kept: [], backups: [] });
  expect(found(report)).toEqual(['directories']);
  expect(readdirSync(bench.configDir).sort()).toEqual(['agent-directories.env', 'garner.env']);
  for (const name of readdirSync(bench.configDir))
    expect(statSync(join(bench.configDir, name)).mode & 0o777).toBe(0o600);
  expect(written('garner.env')).toContain(`\nGARNER_WORK_DIR=${bench.workDir}\n`);
  expect(written('garner.env')).toContain('\n# the longest that a run may take\n#GARNER_TIMEOUT=6h\n');
  // what cron would have: nothing of this environment
  const given = Object.keys(process.env).filter((name) => /^(GARNER|NOTIFY|DIRECTORIES)/.test(name));
  for (const name of given) if (name !== 'GARNER_CONFIG_DIR') vi.stubEnv(name, undefined);
  const { checks } = await examine({ program: 'garner', known }, signal, places);
  const of = (wanted: string) => checks.find(({ name }) => name === wanted);
  expect(of('configuration')).toMatchObject({ state: 'ok' });
  expect(of('applications')).toMatchObject({ state: 'ok', summary: 'directories 1 (2 trees)' });
  expect(of('rights')?.summary).toContain(bench.workDir);
  expect(of('messages')?.summary).toContain('admins@example.org');
});

test('changes nothing when it is run again, and never what is there', async () => {
  bench.configure('garner.env', '# mine\n');
  await run();
  const before = await snapshot(bench.configDir);
  const report = await run({ mailTo: 'admins@example.org' });
  expect(await snapshot(bench.configDir)).toBe(before);
  expect(written('garner.env')).toBe('# mine\n');
  expect(report.written).toEqual([]);
  expect(report.kept.map((file) => basename(file))).toEqual(['garner.env', 'agent-directories.env']);
  expect(report.todo[0]?.remedy).toContain('echo NOTIFY_EMAIL_TO=admins@example.org >> ');
});

test('refuses what is no mail address before it looks for anything', async () => {
  await expect(run({ mailTo: 'admins@example.org\nX: y' })).rejects.toMatchObject({ code: 'configuration' });
  expect(readdirSync(bench.configDir)).toEqual([]);
});

test('writes nothing with --dry-run, and says what it would write', async () => {
  const before = await snapshot(bench.directory);
  const report = await run({ dryRun: true, cron: join(bench.directory, 'cron'), backup: true });
  expect(await snapshot(bench.directory)).toBe(before);
  expect(report).toMatchObject({ dryRun: true, backups: [], schedule: { installed: [] } });
  expect(formatReport(report)).toContain(`  would write  ${bench.configDir}/agent-directories.env\n`);
  expect(report.schedule.cron).toContain(' -- agent-directories\n');
});

test('says that it found nothing, and what it could not tell', async () => {
  vi.stubEnv('DIRECTORIES', '');
  const wiki = join(bench.directory, 'wiki');
  mkdirSync(wiki);
  vi.stubEnv('MEDIAWIKI_DIR', wiki);
  writeFileSync(join(wiki, 'LocalSettings.php'), '<?php\n$wgDBtype = getenv("\x1b[31m");\n');
  const report = await run();
  expect(report.result).toBe('warnings');
  expect(found(report)).toEqual([]);
  expect(report.findings.doubtful.map(({ application }) => application)).toEqual(['mediawiki']);
  expect(readdirSync(bench.configDir)).toEqual(['garner.env']);
  expect(formatReport(report)).toMatch(/^No application was found\.\n[\s\S]*\n {2}mediawiki {4}cannot /);
  expect(formatReport(report) + jsonOf(report)).not.toContain('\x1b');
});

test('writes no secret of the environment anywhere, and says which is missing', async () => {
  vi.stubEnv('NOTIFY_SMTP_PASSWORD', 's3cr3t-pw');
  vi.stubEnv('NOTIFY_SMTP_URL', 'smtp://garner@mail.example.org');
  const report = await run();
  expect(written('garner.env')).toContain('\nNOTIFY_SMTP_URL=smtp://garner@mail.example.org\n');
  expect(written('garner.env') + formatReport(report) + jsonOf(report)).not.toContain('s3cr3t-pw');
  expect(report.todo[0]?.what).toBe('NOTIFY_SMTP_PASSWORD is in the environment alone');

  const [one] = report.findings.found as [Found];
  const settings = { X_TOKEN: { parse: (text: string) => text, secret: true, describe: 'its token' } };
  const own = { ...one, definition: { ...one.definition, application: 'x', settings } };
  const [planned] = planFiles(bench.configDir, [own], { mailTo: undefined, env: { X_TOKEN: 's3cr3t-pw' } });
  expect(planned?.content).toContain('\n# its token\n#X_TOKEN=\n');
});

test('installs timers that systemd takes, which doctor then finds', async () => {
  const units = places.units[0] as string;
  const report = await run({ timer: units });
  expect(readdirSync(units).sort()).toEqual([
    'garner-agent@directories.service',
    'garner-agent@directories.timer',
    'garner-overdue.service',
    'garner-overdue.timer',
  ]);
  expect(report.schedule.installed).toHaveLength(4);
  const files = readdirSync(units).map((name) => join(units, name));
  const verified = await execa('/usr/bin/systemd-analyze', ['verify', ...files], {
    all: true,
    reject: false,
  });
  expect({ exitCode: verified.exitCode, all: verified.all }).toEqual({ exitCode: 0, all: '' });
  mkdirSync(join(units, 'timers.target.wants'));
  for (const name of ['garner-agent@directories.timer', 'garner-overdue.timer'])
    writeFileSync(join(units, 'timers.target.wants', name), '');
  mkdirSync(places.systemd);
  const { checks } = await examine({ program: 'garner', known }, signal, places);
  expect(checks.find(({ name }) => name === 'schedule')?.findings.map(({ what }) => what)).toEqual([
    'directories: no run of it is known',
  ]);
  expect((await run({ timer: units })).schedule).toEqual({ cron: '', installed: [] });
});

test('never replaces a cron file, and tells who may not write there what to do', async () => {
  const file = join(bench.directory, 'garner');
  writeFileSync(file, '# mine\n');
  await expect(run({ cron: file })).rejects.toMatchObject({
    message: expect.stringMatching(/there is one already/),
  });
  expect(readFileSync(file, 'utf8')).toBe('# mine\n');
  await expect(run({ cron: join(bench.directory, 'nowhere/garner') })).rejects.toMatchObject({
    hint: expect.stringContaining('crontab -e'),
  });
});

test('spreads start times over the night, each host keeping its own', () => {
  const times = Array.from({ length: 200 }, (_, i) => nightly(`web${i}.example.org`, 'wiki'));
  for (const time of times) expect(time).toMatch(/^([0-9]|[1-5][0-9]) [1-4] \* \* \*$/);
  expect(new Set(times).size).toBeGreaterThan(100);
  expect(nightly('web1.example.org', 'wiki')).toBe(times[1]);
});

test('finds a wiki on MariaDB, and does not back its database up twice; doctor finds a client that is too old', async () => {
  vi.stubEnv('PATH', '/usr/bin:/bin');
  await using server = await startMariadb();
  await server.createDatabase('wiki', 'wiki', 's3cr3t-pw');
  await server.query('CREATE TABLE page (id INT)', 'wiki');
  const wiki = join(bench.directory, 'wiki');
  mkdirSync(join(wiki, 'includes'), { recursive: true });
  writeFileSync(join(wiki, 'includes/Defines.php'), "<?php\ndefine( 'MW_VERSION', '1.39.17' );\n");
  const settings = {
    ...{ wgDBtype: 'mysql', wgDBserver: `127.0.0.1:${server.port}`, wgDBname: 'wiki', wgDBuser: 'wiki' },
    wgDBpassword: 's3cr3t-pw',
  };
  const lines = Object.entries(settings).map(([name, value]) => `$${name} = '${value}';\n`);
  writeFileSync(join(wiki, 'LocalSettings.php'), `<?php\n${lines.join('')}`);
  writeFileSync(join(bench.home, '.my.cnf'), `[client]\nuser=root\nsocket=${server.socket}\n`);
  vi.stubEnv('MEDIAWIKI_DIR', wiki);
  vi.stubEnv('DIRECTORIES', '');

  const report = await run();
  expect(
    report.findings.found.map(({ definition, coveredBy }) => [definition.application, coveredBy]),
  ).toEqual([
    ['mediawiki', []],
    ['mariadb', ['mediawiki']],
  ]);
  const shown = JSON.parse(jsonOf(report));
  expect(shown.found[0]).toMatchObject({
    version: '1.39.17',
    databases: [{ engine: 'mysql', location: expect.stringContaining(`${server.port}/wiki`) }],
    problems: [],
  });
  expect(readdirSync(bench.configDir).sort()).toEqual(['agent-mediawiki.env', 'garner.env']);
  expect(jsonOf(report) + formatReport(report) + written('agent-mediawiki.env')).not.toContain('s3cr3t-pw');

  await server.query('CREATE DATABASE shop; CREATE TABLE shop.item (id INT)');
  const more = await run({ dryRun: true });
  expect(more.written.map((file) => basename(file))).toEqual(['agent-mariadb.env']);

  const old =
    'case "$*" in *--version*) echo "$0 from 5.5.1-MariaDB, client 10.19";; *) exec "$REAL" "$@";; esac';
  vi.stubEnv('PATH', fakeClients(bench.directory, { 'mariadb-dump': old, mysqldump: old }));
  const { checks } = await examine({ program: 'garner', known }, signal, places);
  expect(checks.find(({ name }) => name === 'applications')?.findings).toEqual([
    expect.objectContaining({
      level: 'warning',
      what: expect.stringMatching(/^mediawiki: mariadb-dump 5\.5\.1 is older than the server/),
      remedy: expect.stringMatching(/^install a client of MariaDB/),
    }),
  ]);
});

/** The commands of a block of README.md, for another application than the one it shows. */
const readme = (begins: string): string[][] =>
  commandsOf({ page: 'README.md', language: 'sh', content: blockOf('README.md', begins) });

test('from nothing to a backup and a restore, by README.md: its archive is good, the cron line makes the next one', async () => {
  const cron = join(bench.directory, 'cron.d/garner');
  const [[, ...words] = []] = readme('garner init');
  const args = words.flatMap((word) => (word === '--cron' ? [word, cron] : [word]));
  const env = { NOTIFY_SENDMAIL: '/bin/true' };
  const { exitCode, stdout } = await bench.run('garner', [...args, '--json'], { env });
  expect(exitCode).toBe(0);
  const report = JSON.parse(stdout);
  expect(report.backups).toEqual([
    { application: 'directories', result: 'ok', archive: expect.stringMatching(/\.tar$/) },
  ]);
  const [{ archive }] = report.backups;
  const check = await execa('sha256sum', ['-c', `${basename(archive)}.sha256`], {
    cwd: bench.workDir,
  });
  expect(check.stdout).toMatch(/: OK$/);

  const look = join(bench.directory, 'look');
  const restore = readme('ARCHIVE=').at(-1) ?? [];
  const here: Record<string, string> = { $ARCHIVE: archive, '/srv/look': look };
  const again = restore.slice(1).map((word) => here[word] ?? word);
  expect(await bench.run('agent-directories', again)).toMatchObject({ exitCode: 0 });
  const [tree = ''] = readdirSync(look);
  expect(readFileSync(join(look, tree, 'page'), 'utf8')).toBe('one page\n');
  expect(report.schedule.installed).toEqual([cron]);
  expect(statSync(cron).mode & 0o777).toBe(0o644);

  // as cron runs a line: with what the file itself sets, and no more
  const lines = readFileSync(cron, 'utf8').split('\n');
  const set = lines.filter((line) => /^[A-Z_]+=/.test(line)).map((line) => line.replaceAll('"', ''));
  const [command = ''] = lines.flatMap(
    (line) => /^\d+ \d \* \* \* {2}root {2}(.*agent-directories)$/.exec(line)?.[1] ?? [],
  );
  const next = await execa('env', ['-i', 'HOME=/root', ...set, 'sh', '-c', command], { reject: false });
  expect(next).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/\/directories-web1\.example\.org-.*\.tar$/),
  });
  expect(next.stdout).not.toBe(archive);
  const { checks } = await examine({ program: 'garner', known }, signal, places);
  expect(checks.find(({ name }) => name === 'schedule')).toMatchObject({ state: 'ok' });
});

test('asks at a terminal whom to tell, whether to schedule, whether to back up; nothing with --yes', async () => {
  const garner = join(BIN, 'garner');
  const program = `${garner} init --yes && rm ${bench.configDir}/* && ${garner} init`;
  const ran = await execa('/usr/bin/script', ['-qec', program, '/dev/null'], {
    input: 'no address\nadmins@example.org\nn\nn\n',
    reject: false,
  });
  expect(ran.exitCode).toBe(0);
  const [, unasked, shown] = ran.stdout.replaceAll('\r', '').split('looking for applications');
  expect(unasked).toMatch(/Configuration\n {2}written/);
  expect(unasked).not.toContain('[y/N]');
  expect(unasked).not.toContain('Who is told');
  expect(shown).toMatch(
    /Who is told by mail [\s\S]*"no address" is no mail address[\s\S]*Who is told by mail/,
  );
  expect(shown).toMatch(/Run them each night, by \S+.*\? \[y\/N\][\s\S]*Make a first backup now\? \[y\/N\]/);
  expect(written('garner.env')).toContain('\nNOTIFY_EMAIL_TO=admins@example.org\n');
  expect(bench.workFiles()).toEqual([]);
});
