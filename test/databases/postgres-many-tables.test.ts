// Thousands of tables: each takes a lock of the server's, whose number is limited.
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type Postgres, startPostgres } from '../helpers/postgres.ts';
import { type Bench, makeBench, type Ran } from '../helpers/run.ts';

const AGENT = 'agent-postgres';
const TABLES = 2000;

let small: Postgres;
let large: Postgres;
let bench: Bench;

const url = (server: Postgres, name: string): string =>
  `postgresql://root@localhost:${server.port}/${name}?host=${server.socketDir}`;

beforeAll(async () => {
  [small, large] = await Promise.all([
    startPostgres(['-c', 'max_locks_per_transaction=10', '-c', 'max_connections=10']),
    startPostgres(['-c', 'max_locks_per_transaction=1024']),
  ]);
  await Promise.all([small, large].map((server) => server.query('CREATE DATABASE many')));
  await large.query(
    `DO $$ BEGIN FOR i IN 1..${TABLES} LOOP
      EXECUTE format('CREATE TABLE t%s(id int PRIMARY KEY, t text); INSERT INTO t%s VALUES (%s)', i, i, i);
    END LOOP; END $$`,
    'many',
  );
}, 120_000);
afterAll(async () => {
  await small?.stop();
  await large?.stop();
});
beforeEach(() => {
  bench = makeBench();
  return () => bench.remove();
});

const restore = (archive: string, target: string, args: string[] = []): Promise<Ran> =>
  bench.run(AGENT, ['restore', archive, ...args], { env: { GARNER_RESTORE_DATABASE_URL: target } });

it(`dumps ${TABLES} tables, and restores them on a server with few locks by --jobs only`, async () => {
  bench.configure(`${AGENT}.env`, `GARNER_DATABASE_URL="${url(large, 'many')}"\n`);
  const { archive, members } = JSON.parse(await bench.backup(AGENT, { args: ['--json'] }));
  const rows = Object.values(members[1].database.tables);
  expect(rows).toEqual(Array(TABLES).fill(1));

  const refused = await restore(archive, url(small, 'many'));
  expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('out of shared memory') });
  expect(refused.stderr).toMatch(/hint: use --jobs 2, .*; nothing of it was kept/);
  expect(await small.query('SELECT count(*) FROM pg_tables WHERE schemaname = $$public$$', 'many')).toBe('0');

  expect(await restore(archive, url(small, 'many'), ['--jobs', '2'])).toMatchObject({ exitCode: 0 });
  expect(await small.query('SELECT count(*) FROM pg_tables WHERE schemaname = $$public$$', 'many')).toBe(
    `${TABLES}`,
  );
  expect(await small.query('TABLE t1999', 'many')).toBe('1999|');

  bench.configure(`${AGENT}.env`, `GARNER_DATABASE_URL="${url(small, 'many')}"\n`);
  const ran = await bench.run(AGENT);
  expect(ran).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('out of shared memory') });
  expect(ran.stderr).toContain('hint: raise max_locks_per_transaction');
}, 240_000);
