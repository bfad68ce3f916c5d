// The MySQL engine at its limits: thousands of tables, a row of many megabytes, a server that takes less than it holds.
// TEST_THOROUGH=1: ten thousand tables, 300 MB.
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { THOROUGH } from '../helpers/random.ts';
import { type Bench, makeBench, type Ran } from '../helpers/run.ts';

const AGENT = 'agent-mariadb';

/** The server's work grows with the square of their number; long names make lists as long as of ten thousand short ones. */
const TABLES = THOROUGH ? 10_000 : 2500;
const nameOf = (i: number): string => `table_${'name_'.repeat(10)}${i}`;

const ROW_MB = THOROUGH ? 300 : 50;
/** The next power of two. */
const ENOUGH_BYTES = 2 ** Math.ceil(Math.log2(ROW_MB * 1e6));

let server: MariaDb;
let bench: Bench;

beforeAll(async () => {
  // in memory where there is some: ten thousand tables are as many times fsync
  const { TMPDIR } = process.env;
  if (existsSync('/dev/shm')) process.env.TMPDIR = '/dev/shm';
  server = await startMariadb(['--max-allowed-packet=1G', '--innodb-file-per-table=0']);
  if (TMPDIR === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = TMPDIR;
  bench = makeBench();
});
afterAll(async () => {
  bench?.remove();
  await server?.stop();
});

const run = (args: string[], database: string): Promise<Ran> => {
  const url = `mysql://root@localhost/${database}?socket=${server.socket}`;
  return bench.run(AGENT, args, { env: { GARNER_DATABASE_URL: url, GARNER_RESTORE_DATABASE_URL: url } });
};

it(`dumps ${TABLES} tables, and reads its own manifest of them`, async () => {
  await server.query('CREATE DATABASE many');
  const tables = Array.from({ length: TABLES }, (_, i) => `CREATE TABLE ${nameOf(i)} (i INT);`);
  await server.query(`${tables.join('\n')}; INSERT INTO ${nameOf(TABLES - 1)} VALUES (1), (2)`, 'many');
  const ran = await run([], 'many');
  expect(ran).toMatchObject({ exitCode: 0, stderr: expect.stringContaining(`${TABLES} tables, 2 rows`) });
  const shown = await bench.run('garner', ['archive', 'verify', ran.stdout]);
  expect(shown).toMatchObject({ exitCode: 0 });
}, 300_000);

it(`brings back a row of ${ROW_MB} MB, or says what the server would have to take`, async () => {
  await server.createDatabase('large', 'large', 'secret');
  await server.query(
    `CREATE TABLE t (i INT, t LONGTEXT);
     INSERT INTO t VALUES (1, REPEAT('0123456789', ${ROW_MB}00000)), (2, 'b')`,
    'large',
  );
  const checksum = await server.query('CHECKSUM TABLE t EXTENDED', 'large');
  await server.query('SET GLOBAL max_allowed_packet = 16777216');
  const backup = await run([], 'large');
  expect(backup).toMatchObject({
    exitCode: 3,
    stderr: expect.stringMatching(
      new RegExp(
        `a statement of ${ROW_MB}.0 MB, the server takes back 16.8 MB.* max_allowed_packet = ${ENOUGH_BYTES}`,
      ),
    ),
  });

  await server.query('DROP TABLE t', 'large');
  const refused = await run(['restore', backup.stdout], 'large');
  expect(refused).toMatchObject({ exitCode: 1 });
  expect(refused.stderr).toMatch(/hint: .*SET GLOBAL max_allowed_packet = 1073741824.* is partly filled/);

  await server.query(`SET GLOBAL max_allowed_packet = ${ENOUGH_BYTES}`);
  const restored = await run(['restore', backup.stdout, '--force'], 'large');
  expect(restored.exitCode).toBe(0);
  expect(await server.query('CHECKSUM TABLE t EXTENDED', 'large')).toBe(checksum);
}, 180_000);
