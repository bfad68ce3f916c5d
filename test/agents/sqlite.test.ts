// The sqlite agent: the contract, and a database that is written while it is backed up.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { agentContract } from '../contract/agent-contract.ts';
import { makeBench } from '../helpers/run.ts';

const sql = async (file: string, input: string): Promise<string> =>
  (await execa('sqlite3', [file], { input })).stdout;

agentContract('sqlite', 'two databases', async (directory) => {
  const files = ['app.db', 'other.sqlite'].map((name) => join(directory, 'data', name)) as [string, string];
  mkdirSync(join(directory, 'data'));
  await sql(
    files[0],
    `PRAGMA journal_mode=WAL; CREATE TABLE notes(t); INSERT INTO notes VALUES ('it''s 🦔'), (x'00ff');`,
  );
  await sql(files[1], 'CREATE TABLE empty(a); CREATE VIEW v AS SELECT * FROM empty;');
  return {
    settings: { SQLITE_FILES: files.join(':') },
    places: [],
    members: ['app.dump', 'other.dump'],
    version: /^\d+\.\d+/,
    secrets: [],
    treeFind: {},
    dumpDatabases: async () => (await Promise.all(files.map((file) => sql(file, '.dump')))).join('\n'),
    async wipe() {
      rmSync(join(directory, 'data'), { recursive: true });
      mkdirSync(join(directory, 'data'));
    },
    broken: { settings: { SQLITE_FILES: join(directory, 'absent.db') }, error: /absent\.db": no such file/ },
    remove: async () => {},
  };
});

it('refuses an SQLite database that is damaged or none', async () => {
  const bench = makeBench();
  const file = join(bench.directory, 'x.db');
  await sql(
    file,
    'CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 20000) INSERT INTO t SELECT i FROM n; CREATE INDEX i ON t(a);',
  );
  await execa('dd', ['if=/dev/urandom', `of=${file}`, 'bs=4096', 'seek=8', 'count=30', 'conv=notrunc']);
  const damaged = await bench.run('agent-sqlite', [], { env: { SQLITE_FILES: file } });
  expect(damaged).toMatchObject({
    exitCode: 1,
    stdout: '',
    stderr: expect.stringContaining('cannot dump database'),
  });
  writeFileSync(file, 'not a database at all, not even nearly '.repeat(100));
  const none = await bench.run('agent-sqlite', [], { env: { SQLITE_FILES: file } });
  expect(none).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('no SQLite database') });
  expect(bench.workFiles()).toEqual([]);
  bench.remove();
});

it('warns of a database without a table: a backup of nothing is not good', async () => {
  const bench = makeBench();
  const file = join(bench.directory, 'x.db');
  await sql(file, 'CREATE TABLE t(a); DROP TABLE t;');
  const { exitCode, stderr } = await bench.run('agent-sqlite', [], { env: { SQLITE_FILES: file } });
  expect({ exitCode, stderr }).toMatchObject({
    exitCode: 3,
    stderr: expect.stringContaining('has no tables'),
  });
  bench.remove();
});
