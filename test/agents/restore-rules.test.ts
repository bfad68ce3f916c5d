// The rules of a restore that are the same for every agent, on a small wiki with an SQLite database.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Bench, makeBench, type Ran, snapshot } from '../helpers/run.ts';

let bench: Bench;
let wiki: string;
let data: string;
let env: Record<string, string>;

beforeEach(async () => {
  bench = makeBench();
  wiki = join(bench.directory, 'wiki');
  data = join(bench.directory, 'data');
  env = { MEDIAWIKI_DIR: wiki };
  for (const name of ['images/a', 'includes', 'extensions']) mkdirSync(join(wiki, name), { recursive: true });
  mkdirSync(data);
  writeFileSync(join(wiki, 'images/a/x.png'), 'old');
  setVersion('1.39.17');
  writeFileSync(
    join(wiki, 'LocalSettings.php'),
    `<?php $wgDBtype = 'sqlite'; $wgDBname = 'wiki'; $wgSQLiteDataDir = '${data}'; $wgEnableUploads = false;`,
  );
  await execa('sqlite3', [
    join(data, 'wiki.sqlite'),
    `CREATE TABLE page (t); INSERT INTO page VALUES (1); CREATE TABLE image (img_name);
     CREATE TABLE oldimage (oi_name, oi_archive_name, oi_sha1, oi_deleted);
     CREATE TABLE filearchive (fa_storage_group, fa_storage_key)`,
  ]);
  return () => bench.remove();
});

function setVersion(version: string | undefined): void {
  const file = join(wiki, 'includes/Defines.php');
  if (version === undefined) rmSync(file);
  else writeFileSync(file, `<?php define( 'MW_VERSION', '${version}' );`);
}

const backup = (): Promise<string> => bench.backup('agent-mediawiki', { env });
const restore = (archive: string, ...options: string[]): Promise<Ran> =>
  bench.run('agent-mediawiki', ['restore', archive, ...options], { env });
const rows = async (file: string): Promise<string> =>
  (await execa('sqlite3', [file, 'SELECT t FROM page'])).stdout;
function wipe(): void {
  for (const path of [
    join(wiki, 'images'),
    join(wiki, 'extensions'),
    join(wiki, 'LocalSettings.php'),
    join(data, 'wiki.sqlite'),
  ])
    rmSync(path, { recursive: true });
}

describe('the version of the application on this host', () => {
  it.each([
    [
      'lower than the archive’s is refused, and nothing is changed',
      '1.35.2',
      1,
      /here is 1\.35\.2, the archive is of 1\.39\.17\nhint: install MediaWiki 1\.39\.17 first/,
    ],
    ['equal to the archive’s is restored', '1.39.17', 0, /^(?!.*the archive is of)/s],
    [
      'higher than the archive’s is restored with a warning',
      '1.43.0',
      0,
      /warning: .*the application may have to upgrade its data/,
    ],
    [
      'unknown is restored with a warning',
      undefined,
      0,
      /warning: the version of MediaWiki on this host is unknown/,
    ],
  ] as const)('%s', async (_title, version, exitCode, said) => {
    const archive = await backup();
    wipe();
    setVersion(version);
    const before = await snapshot(wiki, data);
    const ran = await restore(archive);
    expect([ran.exitCode, ran.stderr]).toEqual([exitCode, expect.stringMatching(said)]);
    if (exitCode !== 0) {
      expect(await snapshot(wiki, data)).toBe(before);
      expect(await restore(archive, '--force')).toMatchObject({ exitCode: 0 });
    }
    expect(await rows(join(data, 'wiki.sqlite'))).toBe('1');
  });
});

it('tells at the end what to do next in the application, as commands, on stdout', async () => {
  const archive = await backup();
  wipe();
  const { exitCode, stdout } = await restore(archive);
  expect(exitCode).toBe(0);
  const [heading, ...steps] = stdout.split('\n');
  expect(heading).toBe('Next, in MediaWiki:');
  expect(steps.length).toBeGreaterThan(0);
  for (const step of steps) {
    expect(step).toMatch(/^ {2}\S/);
    await execa('sh', ['-nc', step]);
  }
});

it('touches no database with --to, but for the one that GARNER_RESTORE_DATABASE_URL names', async () => {
  const archive = await backup();
  const before = await snapshot(wiki, data);
  const [look, other] = [join(bench.directory, 'look'), join(bench.directory, 'other.sqlite')];
  const { exitCode } = await bench.run('agent-mediawiki', ['restore', archive, '--to', look], {
    env: { ...env, GARNER_RESTORE_DATABASE_URL: `sqlite://${other}` },
  });
  expect([exitCode, await rows(other)]).toEqual([0, '1']);
  expect(readdirSync(look).some((name) => name.endsWith('.sqlite'))).toBe(false);
  expect(await snapshot(wiki, data)).toBe(before);
});

it.each([['the archive'], ['--to']])(
  'refuses a URL with a password in the place of %s, and does not repeat it',
  async (place) => {
    const archive = await backup();
    const url = 'mysql://wiki:canary@localhost/wiki';
    const ran = await (place === '--to' ? restore(archive, '--to', url) : restore(url));
    expect([ran.exitCode, ran.stderr]).toEqual([2, expect.stringContaining('GARNER_RESTORE_DATABASE_URL')]);
    expect(ran.stderr).not.toContain('canary');
    expect(existsSync('mysql:')).toBe(false);
  },
);

it('shows on a terminal how far it is and how long it will take, and plain lines elsewhere', async () => {
  const archive = await backup();
  const command = `${join(import.meta.dirname, '../../bin/agent-mediawiki')} restore ${archive} --to ${join(bench.directory, 'look')}`;
  const { stdout } = await execa('script', ['-qec', command, '/dev/null'], {
    env: {
      ...env,
      GARNER_WORK_DIR: bench.workDir,
      GARNER_CONFIG_DIR: bench.configDir,
      GARNER_RUN_DIR: join(bench.directory, 'run'),
    },
  });
  expect(stdout).toMatch(/\rverify and restore|verify and restore: .*\d+ %, .* left/);
  expect(stdout).toMatch(/, \d+ %, \S.* left/);
  const plain = await restore(archive, '--to', join(bench.directory, 'again'));
  expect(plain.stderr).not.toMatch(/[\r\x1b%]/);
  expect(plain.stderr).toMatch(/verified: .*\n(.*\n)*.*restored in /);
});

it('restores from an archive that lies in what it replaces', async () => {
  const archive = await backup();
  const inside = join(wiki, 'images', archive.replace(/.*\//, ''));
  for (const suffix of ['', '.sha256']) cpSync(`${archive}${suffix}`, `${inside}${suffix}`);
  writeFileSync(join(wiki, 'images/a/x.png'), 'new');
  const { exitCode, stderr } = await restore(inside, '--force');
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  expect(readFileSync(join(wiki, 'images/a/x.png'), 'utf8')).toBe('old');
  const aside = [...stderr.matchAll(/before lies in (\S+)$/gm)].map(([, path]) => path as string);
  const found = await execa('find', [...aside, '-name', '*.tar']);
  expect(found.stdout).toContain(inside.replace(/.*\//, ''));
});

it('keeps what each of several restores replaces', async () => {
  const archive = await backup();
  const kept: string[] = [];
  for (const content of ['first', 'second', 'third']) {
    writeFileSync(join(wiki, 'images/a/x.png'), content);
    const { exitCode, stderr } = await restore(archive, '--force');
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    const aside = [...stderr.matchAll(/what was there before lies in (\S+)$/gm)].map(
      ([, path]) => path as string,
    );
    kept.push((await execa('find', [...aside, '-name', 'x.png'])).stdout);
  }
  expect(kept.map((file) => readFileSync(file, 'utf8'))).toEqual(['first', 'second', 'third']);
});

it('F20 loses nothing and restores again, wherever among its renames it was killed', {
  timeout: 180_000,
}, async () => {
  const archive = await backup();
  let kills = 0;
  for (let ended = false; !ended; ) {
    const [content, row] = [`content ${kills}`, `${100 + kills}`];
    writeFileSync(join(wiki, 'images/a/x.png'), content);
    await execa('sqlite3', [join(data, 'wiki.sqlite'), `UPDATE page SET t = ${row}`]);
    const ran = await bench.run('agent-mediawiki', ['restore', archive, '--force'], {
      env,
      wrap: [
        ...['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=rename'],
        ...['-e', `inject=rename:signal=KILL:when=${kills + 1}`],
      ],
    });
    ended = ran.exitCode === 0;
    if (!ended) {
      expect(ran.exitCode).toBe(137);
      kills += 1;
    }
    // what was there is where it was, or aside
    const files = await execa('grep', ['-rlx', content, bench.directory, '--include=x.png']);
    expect(files.stdout).not.toBe('');
    const found = await execa('find', [data, '-name', 'wiki.sqlite*', '!', '-name', '*-???']);
    const kept = await Promise.all(found.stdout.split('\n').map(rows));
    expect(kept).toContain(row);
    const again = await restore(archive, '--force');
    expect(again).toMatchObject({ exitCode: 0 });
    expect(readFileSync(join(wiki, 'images/a/x.png'), 'utf8')).toBe('old');
    expect(await rows(join(data, 'wiki.sqlite'))).toBe('1');
    const left = await execa('find', [
      wiki,
      data,
      bench.directory,
      '-name',
      '.part-*',
      '-o',
      '-name',
      '.garner-restore-*',
    ]);
    expect(left.stdout).toBe('');
  }
  expect(kills).toBeGreaterThan(5);
});
