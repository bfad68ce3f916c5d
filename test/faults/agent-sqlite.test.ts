// SQLite under faults, through agent-sqlite. F03, F04 and F08 are of clients; SQLite has none. F72 is in the agent contract.
import { chmodSync, chownSync, copyFileSync, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { execa } from 'execa';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Bench, makeBench, type Ran, ranOf } from '../helpers/run.ts';

let bench: Bench;
let file: string;
let env: Record<string, string>;

beforeEach(() => {
  bench = makeBench();
  mkdirSync(join(bench.directory, 'data'));
  file = join(bench.directory, 'data', 'app.db');
  env = { SQLITE_FILES: file };
  return () => bench.remove();
});

const sql = async (input: string): Promise<string> => (await execa('sqlite3', [file], { input })).stdout;
const refused = (ran: Ran, said: RegExp): void => {
  expect([ran.exitCode, ran.stdout, ran.stderr]).toEqual([1, '', expect.stringMatching(said)]);
  expect(bench.workFiles()).toEqual([]);
};

describe('F09 a database that another process keeps locked', () => {
  let other: DatabaseSync;
  beforeEach(async () => {
    await sql('CREATE TABLE t (x); INSERT INTO t VALUES (1)');
    other = new DatabaseSync(file);
    other.exec('BEGIN EXCLUSIVE; INSERT INTO t VALUES (2)');
    return () => other.close();
  });
  /** Settles when the run says that it waits. */
  const waiting = (run: ReturnType<Bench['start']>): Promise<void> =>
    new Promise((resolve) => {
      let said = '';
      run.stderr?.on('data', (chunk) => {
        said += chunk;
        if (said.includes('has locked it; waiting')) resolve();
      });
    });

  it('is waited for', async () => {
    const run = bench.start('agent-sqlite', ['--json'], { env });
    await waiting(run);
    other.exec('COMMIT');
    const { exitCode, stdout } = ranOf(await run);
    expect([exitCode, JSON.parse(stdout).members[1].database.tables]).toEqual([0, { t: 2 }]);
  });

  it('F19 does not hold up the end of a run: a call of SQLite that blocks is ended with it', async () => {
    const run = bench.start('agent-sqlite', [], { env });
    await waiting(run);
    run.kill('SIGTERM');
    const { exitCode, stderr } = ranOf(await run);
    expect([exitCode, stderr]).toEqual([143, expect.stringContaining('ended by SIGTERM')]);
    expect(bench.workFiles()).toEqual([]);
    expect((await execa('pgrep', ['-f', `copy ${file}`], { reject: false })).stdout).toBe('');
  });

  it('is told by name where the limit has passed', async () => {
    const program = join(import.meta.dirname, '../../databases/toolkit/sqlite-program.ts');
    const { stdout } = await execa('node', [program, 'copy', file, `${file}.copy`, '100']);
    expect(JSON.parse(stdout)).toMatchObject({ errcode: 5, message: 'database is locked' });
  });
});

it.runIf(process.getuid?.() === 0)('F05 says that the account may not read the file', async () => {
  await sql('CREATE TABLE t (x)');
  chmodSync(file, 0o600);
  chownSync(file, 0, 0);
  refused(await asNobody(), /cannot dump database ".*app\.db": the account may not read it\n.*hint: /);
});

it.runIf(process.getuid?.() === 0)(
  'F05 says that WAL mode needs the right to write beside the file',
  async () => {
    await sql('PRAGMA journal_mode=WAL; CREATE TABLE t (x)');
    chmodSync(file, 0o644);
    refused(await asNobody(), /cannot dump database ".*app\.db": .*\nhint: .*has to write into .*\/data$/m);
  },
);

/** Runs the agent as an account that may enter everything and write into its own directories only. */
async function asNobody(): Promise<Ran> {
  for (const name of ['work', 'run', 'state']) {
    mkdirSync(join(bench.directory, name), { mode: 0o700 });
    chownSync(join(bench.directory, name), 65534, 65534);
  }
  for (const path of [bench.directory, join(bench.directory, 'data')]) chmodSync(path, 0o755);
  return bench.run('agent-sqlite', [], {
    env,
    wrap: ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'],
  });
}

it('F10 names a file that is missing, and one that is a directory', async () => {
  refused(await bench.run('agent-sqlite', [], { env }), /cannot open database ".*app\.db": no such file/);
  mkdirSync(file);
  refused(await bench.run('agent-sqlite', [], { env }), /cannot open database ".*app\.db": it is no file/);
});

it('refuses a journal that a crash has left, and says how it is rolled back', async () => {
  await sql('PRAGMA cache_size=5; CREATE TABLE t (x); INSERT INTO t VALUES (1)');
  const writer = new DatabaseSync(file);
  writer.exec(
    `PRAGMA cache_size=5; PRAGMA cache_spill=1; BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 20000)
     INSERT INTO t SELECT hex(randomblob(50)) FROM n`,
  );
  const crashed = join(bench.directory, 'data', 'crashed.db');
  for (const suffix of ['', '-journal']) copyFileSync(`${file}${suffix}`, `${crashed}${suffix}`);
  writer.close();
  file = crashed;
  env = { SQLITE_FILES: crashed };
  const ran = await bench.run('agent-sqlite', [], { env });
  refused(
    ran,
    /cut off by a crash, and its journal is still there\nhint: .*sqlite3 \S+ 'PRAGMA schema_version'/,
  );
  await execa('sqlite3', [crashed, 'PRAGMA schema_version']);
  await bench.backup('agent-sqlite', { env });
});

it('refuses an encrypted database, whose first bytes are random', async () => {
  writeFileSync(file, Buffer.from(Array.from({ length: 8192 }, (_, i) => (i * 197 + 31) & 255)));
  refused(await bench.run('agent-sqlite', [], { env }), /it is encrypted or no SQLite database/);
});

it('F20 runs a restore again that was killed before the new file had its name', async () => {
  await sql('CREATE TABLE t (x); INSERT INTO t VALUES (1)');
  const archive = await bench.backup('agent-sqlite', { env });
  await sql('PRAGMA journal_mode=WAL; INSERT INTO t VALUES (2)');
  // the database is aside, what belongs to it is not yet
  const wrap = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=rename'];
  const killed = await bench.run('agent-sqlite', ['restore', archive, '--force'], {
    env,
    wrap: [...wrap, '-e', 'inject=rename:signal=KILL:when=2'],
  });
  expect(killed.exitCode).toBe(137);
  const aside = /what was in it before lies in (\S+)/.exec(killed.stderr)?.[1] as string;
  const old = async (): Promise<string> =>
    (await execa('sqlite3', ['-readonly', aside, 'SELECT x FROM t'])).stdout;
  expect(await old()).toBe('1\n2');

  const again = await bench.run('agent-sqlite', ['restore', archive], { env });
  expect([again.exitCode, again.stderr]).toEqual([
    1,
    expect.stringContaining('what was written to one: -wal'),
  ]);
  const forced = await bench.run('agent-sqlite', ['restore', archive, '--force'], { env });
  expect(forced).toMatchObject({ exitCode: 0 });
  expect([await sql('SELECT x FROM t'), await old()]).toEqual(['1', '1\n2']);
  expect((await execa('find', [join(bench.directory, 'data'), '-name', '.part-*'])).stdout).toBe('');
});

it('refuses to restore through a link whose disk is not mounted', async () => {
  await sql('CREATE TABLE t (x)');
  const archive = await bench.backup('agent-sqlite', { env });
  const disk = join(bench.directory, 'disk');
  mkdirSync(disk);
  renameSync(file, join(disk, 'app.db'));
  await execa('ln', ['-s', join(disk, 'app.db'), file]);
  await bench.backup('agent-sqlite', { env });
  renameSync(disk, `${disk}.away`);
  const ran = await bench.run('agent-sqlite', ['restore', archive], { env });
  expect([ran.exitCode, ran.stderr]).toEqual([1, expect.stringContaining('a link to what is not there')]);
  renameSync(`${disk}.away`, disk);
  expect(await bench.run('agent-sqlite', ['restore', archive, '--force'], { env })).toMatchObject({
    exitCode: 0,
  });
  expect((await execa('readlink', [file])).stdout).toBe(join(disk, 'app.db'));
  expect(statSync(file).isFile()).toBe(true);
});
