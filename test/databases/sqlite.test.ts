// The SQLite engine through agent-sqlite: live databases, damaged ones, and the way back; sqlite3 is the judge.
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';

const AGENT = join(import.meta.dirname, '../../bin/agent-sqlite');
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-sqlite-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const environment = (file: string): Record<string, string> => ({
  GARNER_WORK_DIR: join(directory, 'work'),
  GARNER_RUN_DIR: join(directory, 'run'),
  GARNER_CONFIG_DIR: join(directory, 'etc'),
  SQLITE_FILES: file,
});

const dumpOf = async (file: string): Promise<string> => (await execa('sqlite3', [file, '.dump'])).stdout;

it('takes one consistent snapshot of a WAL database that is written to meanwhile', async () => {
  const file = join(directory, 'live.db');
  {
    using db = new DatabaseSync(file);
    db.exec(
      'PRAGMA journal_mode=WAL; CREATE TABLE a (id INTEGER PRIMARY KEY, filler TEXT); CREATE TABLE b (id INTEGER PRIMARY KEY)',
    );
    db.exec(
      'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n WHERE x < 30000) INSERT INTO a SELECT x, hex(randomblob(200)) FROM n',
    );
    db.exec('INSERT INTO b SELECT id FROM a');
  }
  // each transaction adds a row to both tables: a snapshot has equally many in each
  const writer = new Worker(
    `const { DatabaseSync } = require('node:sqlite');
     const db = new DatabaseSync(${JSON.stringify(file)}, { timeout: 10000 });
     const { parentPort } = require('node:worker_threads');
     let n = 0;
     const write = () => { db.exec("BEGIN; INSERT INTO a (filler) VALUES ('x'); INSERT INTO b SELECT max(id) FROM a; COMMIT"); n += 1; };
     write();
     parentPort.postMessage('started');
     setInterval(() => { for (let i = 0; i < 20; i++) write(); }, 1);`,
    { eval: true },
  );
  await new Promise((resolve) => writer.once('message', resolve));
  const { stdout } = await execa(AGENT, ['--json'], { env: environment(file) });
  await writer.terminate();

  const { archive, members } = JSON.parse(stdout);
  const { tables } = members[1].database;
  expect(tables.a).toBe(tables.b);
  expect(tables.a).toBeGreaterThan(30_000);
  const out = join(directory, 'live-copy.sqlite');
  await execa('sh', ['-c', `tar -xOf ${archive} live.dump.zst | zstd -dc > ${out}`]);
  expect(
    (await execa('sqlite3', [out, 'PRAGMA integrity_check; SELECT count(*) FROM a; SELECT count(*) FROM b']))
      .stdout,
  ).toBe(`ok\n${tables.a}\n${tables.b}`);
});

it('comes back as it was, beside nothing of the old journal', async () => {
  const file = join(directory, 'app.db');
  await execa('sqlite3', [file], {
    input:
      "PRAGMA journal_mode=WAL; CREATE TABLE t (x, y BLOB); INSERT INTO t VALUES ('a''b', x'00ff'), (1.5, NULL); CREATE VIEW v AS SELECT x FROM t; CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END;",
  });
  const before = await dumpOf(file);
  const { stdout: archive } = await execa(AGENT, [], { env: environment(file) });
  await execa('sqlite3', [file, "DELETE FROM t; INSERT INTO t VALUES ('later', NULL)"]);

  const refused = await execa(AGENT, ['restore', archive], { env: environment(file), reject: false });
  expect([refused.exitCode, refused.stderr]).toEqual([
    1,
    expect.stringContaining(`it would replace ${file} (1 table`),
  ]);
  expect(await dumpOf(file)).toContain('later');

  const { stderr } = await execa(AGENT, ['restore', archive, '--force'], { env: environment(file) });
  expect(await dumpOf(file)).toBe(before);
  const aside = /what was in it before lies in (\S+)/.exec(stderr)?.[1] as string;
  expect(await dumpOf(aside)).toContain('later');

  rmSync(file);
  await execa(AGENT, ['restore', archive], { env: environment(file) });
  expect(await dumpOf(file)).toBe(before);
  expect(statSync(file).mode & 0o007).toBe(0);
});

it.each([
  [
    'no database at all',
    'hello, this is text and no database '.repeat(100),
    'encrypted or no SQLite database',
  ],
  ['a database whose pages are damaged', undefined, 'integrity check|malformed'],
])('refuses %s', async (_title, content, message) => {
  const file = join(directory, 'bad.db');
  rmSync(file, { force: true });
  if (content !== undefined) writeFileSync(file, content);
  else {
    await execa('sqlite3', [
      file,
      'CREATE TABLE t (x); CREATE INDEX i ON t(x); WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n WHERE x < 5000) INSERT INTO t SELECT x FROM n',
    ]);
    await execa('dd', ['if=/dev/zero', `of=${file}`, 'bs=4096', 'seek=5', 'count=2', 'conv=notrunc'], {
      stderr: 'ignore',
    });
  }
  const result = await execa(AGENT, [], { env: environment(file), reject: false });
  expect(result.exitCode).toBe(1);
  expect(result.stdout).toBe('');
  expect(result.stderr).toMatch(new RegExp(`cannot dump database "${file}": .*(${message})`));
});

it('names a file that is not there', async () => {
  const result = await execa(AGENT, [], { env: environment(join(directory, 'none.db')), reject: false });
  expect([result.exitCode, result.stderr]).toEqual([1, expect.stringContaining('none.db": no such file')]);
});

interface Manifest {
  members: { database?: { tables: Record<string, number> } }[];
  warnings: { code: string; message: string }[];
}

const backUp = async (file: string): Promise<{ archive: string; exitCode: number } & Manifest> => {
  const { stdout, exitCode } = await execa(AGENT, ['--json'], { env: environment(file), reject: false });
  return { ...JSON.parse(stdout), exitCode };
};

it('keeps the sum of two accounts between which another process transfers all the time', async () => {
  const file = join(directory, 'bank.db');
  await execa('sqlite3', [
    file,
    'PRAGMA journal_mode=WAL; CREATE TABLE account (name TEXT PRIMARY KEY, amount INT); INSERT INTO account VALUES (1, 500), (2, 500)',
  ]);
  const transfers = `const db = new (require('node:sqlite').DatabaseSync)(process.argv[1], { timeout: 30000 });
    for (let n = 0; ; n++) {
      db.exec(\`BEGIN IMMEDIATE; UPDATE account SET amount = amount - \${n % 7} WHERE name = 1;
        UPDATE account SET amount = amount + \${n % 7} WHERE name = 2; COMMIT\`);
      if (n === 0) process.stdout.write('started');
    }`;
  const writer = execa('node', ['-e', transfers, file], { reject: false });
  await new Promise((resolve) => writer.stdout?.once('data', resolve));
  for (let n = 0; n < 3; n++) {
    const { archive, exitCode } = await backUp(file);
    const out = join(directory, `bank-${n}.sqlite`);
    await execa('sh', ['-c', `tar -xOf ${archive} bank.dump.zst | zstd -dc > ${out}`]);
    const sum = await execa('sqlite3', [out, 'PRAGMA integrity_check; SELECT sum(amount) FROM account']);
    expect([exitCode, sum.stdout]).toEqual([0, 'ok\n1000']);
  }
  writer.kill('SIGKILL');
  await writer;
});

it('counts and brings back what SQLite has: virtual and shadow tables, hostile names, all kinds of columns', async () => {
  const file = join(directory, 'kinds.db');
  await execa('sqlite3', [file], {
    input: `PRAGMA foreign_keys=ON;
      CREATE TABLE plain (id INTEGER PRIMARY KEY, v BLOB, twice AS (id * 2) STORED, thrice AS (id * 3));
      INSERT INTO plain (v) VALUES (x'00ff'), ('it''s 🦔'), (NULL);
      CREATE TABLE child (p REFERENCES plain(id) ON DELETE CASCADE); INSERT INTO child VALUES (1), (2);
      CREATE TABLE rowless (k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO rowless VALUES ('a', 1), ('b', 2);
      CREATE TABLE strict_one (n INT) STRICT; INSERT INTO strict_one VALUES (1);
      CREATE VIRTUAL TABLE words USING fts5(t); INSERT INTO words VALUES ('one two'), ('three');
      CREATE VIRTUAL TABLE boxes USING rtree(id, a, b); INSERT INTO boxes VALUES (1, 0, 1);
      CREATE TABLE "quote "" ' ; -- 🦔" (x); INSERT INTO "quote "" ' ; -- 🦔" VALUES (1);
      CREATE TABLE "__proto__" (x); INSERT INTO "__proto__" VALUES (1), (2);
      CREATE TABLE "line
break" (x);
      CREATE VIEW v AS SELECT * FROM plain; CREATE INDEX i ON plain(v) WHERE v IS NOT NULL;
      CREATE TRIGGER g AFTER INSERT ON plain BEGIN INSERT INTO child VALUES (NEW.id); END;`,
  });
  const before = await dumpOf(file);
  const { archive, exitCode, members } = await backUp(file);
  expect(exitCode).toBe(0);
  const tables = members[1]?.database?.tables ?? {};
  const names = await execa('sqlite3', [
    file,
    "SELECT json_group_array(name) FROM (SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name)",
  ]);
  expect(Object.keys(tables)).toEqual(JSON.parse(names.stdout));
  for (const [name, rows] of Object.entries(tables)) {
    const quoted = `"${name.replaceAll('"', '""')}"`;
    const { stdout } = await execa('sqlite3', [file, `SELECT count(*) FROM ${quoted}`]);
    expect([name, rows]).toEqual([name, Number(stdout)]);
  }
  rmSync(file);
  await execa(AGENT, ['restore', archive], { env: environment(file) });
  expect(await dumpOf(file)).toBe(before);
});

it.each([
  [
    'a collation that only the application has',
    `CREATE TABLE t (x TEXT PRIMARY KEY); INSERT INTO t VALUES ('a'); PRAGMA writable_schema=ON;
     UPDATE sqlite_schema SET sql = 'CREATE TABLE t (x TEXT COLLATE own PRIMARY KEY)' WHERE name = 't'`,
    'could not be checked: no such collation sequence: own',
  ],
  [
    'rows that break their own rules',
    `CREATE TABLE t (x); INSERT INTO t VALUES (NULL); PRAGMA writable_schema=ON;
     UPDATE sqlite_schema SET sql = 'CREATE TABLE t (x NOT NULL)'`,
    'its rows break its own rules: NULL value in t.x',
  ],
  ['no byte at all', '', 'has no tables'],
])('backs up, and warns of, a database with %s', async (_title, statements, message) => {
  const file = join(directory, 'odd.db');
  rmSync(file, { force: true });
  if (statements === '') writeFileSync(file, '');
  else await execa('sqlite3', [file, statements]);
  const { archive, exitCode, warnings, members } = await backUp(file);
  expect([exitCode, warnings.map(({ message }) => message)]).toEqual([3, [expect.stringContaining(message)]]);
  rmSync(file);
  await execa(AGENT, ['restore', archive], { env: environment(file) });
  expect((await backUp(file)).members[1]?.database).toEqual(members[1]?.database);
});

it('passes over the count of a virtual table whose module only the application has', async () => {
  const file = join(directory, 'module.db');
  await execa('sqlite3', [
    file,
    `CREATE TABLE t (x); INSERT INTO t VALUES (1); PRAGMA writable_schema=ON;
     INSERT INTO sqlite_schema VALUES ('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING own_module(t)')`,
  ]);
  const { exitCode, members } = await backUp(file);
  expect([exitCode, members[1]?.database?.tables]).toEqual([0, { t: 1 }]);
});

it('keeps the mode and the owner of the file that it replaces, and takes those of the directory for a new one', async () => {
  const place = join(directory, 'owned');
  const file = join(place, 'app.db');
  mkdirSync(place);
  await execa('sqlite3', [file, 'CREATE TABLE t (x)']);
  const root = process.getuid?.() === 0;
  if (root) for (const path of [place, file]) chownSync(path, 1234, 2345);
  chmodSync(file, 0o660);
  const { archive } = await backUp(file);
  const owner = root ? '1234 2345' : `${process.getuid?.()} ${process.getgid?.()}`;
  const stat = async (): Promise<string> => (await execa('stat', ['-c', '%a %u %g', file])).stdout;
  await execa(AGENT, ['restore', archive, '--force'], { env: environment(file) });
  expect(await stat()).toBe(`660 ${owner}`);
  rmSync(file);
  await execa(AGENT, ['restore', archive], { env: environment(file) });
  expect(await stat()).toBe(`640 ${owner}`);
});

it('dumps a database much larger than the memory that it takes', async () => {
  const file = join(directory, 'large.db');
  await execa('sqlite3', [
    file,
    'CREATE TABLE t (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 300) INSERT INTO t SELECT zeroblob(1000000) FROM n',
  ]);
  const { stderr } = await execa('/usr/bin/time', ['-f', 'peak %M', AGENT], { env: environment(file) });
  expect(Number(/peak (\d+)/.exec(stderr)?.[1])).toBeLessThan(200_000); // KiB, with Node itself
});
