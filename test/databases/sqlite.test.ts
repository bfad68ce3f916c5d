// The SQLite engine through agent-sqlite: live databases, damaged ones, and the way back; sqlite3 is the judge.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
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
