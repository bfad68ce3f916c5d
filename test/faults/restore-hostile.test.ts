// Restores of archives that mean harm, and of good ones in bad circumstances: they end, and what was there can be found.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { beforeEach, expect, it } from 'vitest';
import { makeArchive } from '../helpers/make-archive.ts';
import { type Bench, makeBench } from '../helpers/run.ts';

let bench: Bench;
let database: string;
let env: Record<string, string>;

beforeEach(() => {
  bench = makeBench();
  database = join(bench.directory, 'x.db');
  env = { SQLITE_FILES: database };
  return () => bench.remove();
});

const sql = (file: string, statement: string): string =>
  execFileSync('sqlite3', [file, statement], { encoding: 'utf8' }).trim();

it('F49 refuses a fifo in the place of the checksum file, and does not wait for it', async () => {
  sql(database, 'CREATE TABLE t (a)');
  const archive = await bench.backup('agent-sqlite', { env });
  renameSync(`${archive}.sha256`, `${archive}.old`);
  await execa('mkfifo', [`${archive}.sha256`]);
  const wrap = ['timeout', '-s', 'KILL', '20'];
  const to = join(bench.directory, 'to');
  const { exitCode, stderr } = await bench.run('agent-sqlite', ['restore', archive, '--to', to], {
    env,
    wrap,
  });
  expect([exitCode, stderr]).toEqual([5, expect.stringContaining('it is no regular file')]);
  expect(existsSync(to)).toBe(false);
});

it('F52 stops a member that is larger than its manifest says, before it is all decompressed', async () => {
  const { path } = await makeArchive(bench.workDir, {
    host: 'web1.example.org',
    time: new Date('2026-01-01T00:00:00Z'),
    application: 'directories',
    content: Buffer.alloc(256 << 20),
  });
  const bytes = readFileSync(path, 'latin1');
  const lie = (said: string): string => '"uncompressedSizeBytes":1000'.padEnd(said.length);
  writeFileSync(path, bytes.replace(/"uncompressedSizeBytes":\d{9}/, lie), 'latin1');
  rmSync(`${path}.sha256`);
  const { exitCode, stderr } = await bench.run('agent-directories', [
    'restore',
    path,
    '--to',
    join(bench.directory, 'to'),
  ]);
  expect(exitCode).not.toBe(0);
  const size = Number(/it has at least (\d+) bytes, the manifest says 1000/.exec(stderr)?.[1]);
  expect(size).toBeLessThan(16 << 20);
});

it('puts a dump that is in the way aside, with --to and --force', async () => {
  sql(database, 'CREATE TABLE t (a)');
  const archive = await bench.backup('agent-sqlite', { env });
  const to = join(bench.directory, 'to');
  mkdirSync(to);
  writeFileSync(join(to, 'x.sqlite'), 'what was there');
  const { exitCode, stderr } = await bench.run('agent-sqlite', ['restore', archive, '--to', to, '--force'], {
    env,
  });
  expect([exitCode, stderr]).toEqual([0, expect.stringContaining('what was there before lies in ')]);
  const aside = /what was there before lies in (\S+)/.exec(stderr)?.[1] as string;
  expect(readFileSync(aside, 'utf8')).toBe('what was there');
  expect(sql(join(to, 'x.sqlite'), 'SELECT count(*) FROM t')).toBe('0');
});

it('keeps the last writes to a database whose file was moved away', async () => {
  sql(database, 'CREATE TABLE t (a)');
  const archive = await bench.backup('agent-sqlite', { env });
  writeFileSync(`${database}-wal`, 'the last writes');
  renameSync(database, `${database}.moved`);
  const refused = await bench.run('agent-sqlite', ['restore', archive], { env });
  expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining('-wal')]);
  const { exitCode } = await bench.run('agent-sqlite', ['restore', archive, '--force'], { env });
  expect(exitCode).toBe(0);
  const kept = readdirSync(bench.directory).find((name) => /before-restore.*-wal$/.test(name)) as string;
  expect(readFileSync(join(bench.directory, kept), 'utf8')).toBe('the last writes');
});

it('restores directories of which one lies in another', async () => {
  const outer = join(bench.directory, 'srv');
  mkdirSync(join(outer, 'inner'), { recursive: true });
  writeFileSync(join(outer, 'inner/file'), 'content');
  const nested = { DIRECTORIES: `${outer}:${join(outer, 'inner')}` };
  const archive = await bench.backup('agent-directories', { env: nested });
  writeFileSync(join(outer, 'inner/file'), 'changed');
  const { exitCode } = await bench.run('agent-directories', ['restore', archive, '--force'], { env: nested });
  expect([exitCode, readFileSync(join(outer, 'inner/file'), 'utf8')]).toEqual([0, 'content']);
});

it('says where the old files lie before the database is touched', async () => {
  const root = join(bench.directory, 'srv');
  mkdirSync(root);
  writeFileSync(join(root, 'file'), 'old');
  const archive = await bench.backup('agent-directories', { env: { DIRECTORIES: root } });
  // killed between the two renames: away with the old, in with the new
  const wrap = [
    'strace',
    '-f',
    '-qqq',
    '-o',
    '/dev/null',
    '-e',
    'trace=rename',
    '-e',
    'inject=rename:signal=KILL:when=2',
  ];
  const { stderr } = await bench.run('agent-directories', ['restore', archive, '--force'], {
    env: { DIRECTORIES: root },
    wrap,
  });
  const aside = /what was there before lies in (\S+)/.exec(stderr)?.[1] as string;
  expect(readFileSync(join(aside, 'srv/file'), 'utf8')).toBe('old');
  const again = await bench.run('agent-directories', ['restore', archive, '--force'], {
    env: { DIRECTORIES: root },
  });
  expect([again.exitCode, readFileSync(join(root, 'file'), 'utf8')]).toEqual([0, 'old']);
});

it('F52 writes only where the application has files on this host, whatever an archive names', async () => {
  const [own, other] = [join(bench.directory, 'own'), join(bench.directory, 'other')];
  for (const root of [own, other]) {
    mkdirSync(root);
    writeFileSync(join(root, 'file'), 'content');
  }
  const archive = await bench.backup('agent-directories', { env: { DIRECTORIES: other } });
  rmSync(other, { recursive: true });
  const here = { env: { DIRECTORIES: own } };
  const refused = await bench.run('agent-directories', ['restore', archive], here);
  expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining(other)]);
  expect(existsSync(other)).toBe(false);
  const forced = await bench.run('agent-directories', ['restore', archive, '--force'], here);
  expect([forced.exitCode, readFileSync(join(other, 'file'), 'utf8')]).toEqual([0, 'content']);
});
