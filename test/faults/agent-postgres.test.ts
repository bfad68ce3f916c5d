// Faults of PostgreSQL besides those in test/databases/postgres.test.ts: a backend killed, statements of others between
// snapshot and dump, rights that lack for other things than tables, clients of other versions, passwords.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import engine from '../../databases/postgres.ts';
import { expectFailure as expectFailedRun } from '../helpers/expect-failure.ts';
import { fakeClients } from '../helpers/fake-clients.ts';
import { type Postgres, startPostgres } from '../helpers/postgres.ts';
import { watchProcesses } from '../helpers/processes.ts';
import { type Bench, makeBench, type Ran } from '../helpers/run.ts';

const AGENT = 'agent-postgres';
const PASSWORD = 'canary-pg-7142';
const VERSION = 'case "$*" in *--version*) exec "$REAL" "$@";; esac';

let server: Postgres;
let bench: Bench;
let shop: string;

beforeAll(async () => {
  server = await startPostgres();
  shop = await server.createDatabase('shop', 'shop', PASSWORD);
  await server.query(
    `SET ROLE shop; CREATE TABLE a(i int, t text); CREATE TABLE b(i int);
     INSERT INTO a SELECT i, repeat('a row ', 100) FROM generate_series(1, 20000) i;`,
    'shop',
  );
});
afterAll(() => server?.stop());
beforeEach(() => {
  bench = makeBench();
  return () => bench.remove();
});

const rootUrl = (name: string): string =>
  `postgresql://root@localhost:${server.port}/${name}?host=${server.socketDir}`;
const as = (user: string, database = 'shop'): string =>
  `postgresql://${user}:${PASSWORD}@127.0.0.1:${server.port}/${database}`;

function backUp(url: string, scripts: Record<string, string> = {}): Promise<Ran> {
  bench.configure(`${AGENT}.env`, `GARNER_DATABASE_URL="${url}"\n`);
  return bench.run(AGENT, ['--json'], { env: { PATH: fakeClients(bench.directory, scripts) } });
}

const restore = (archive: string, url: string, scripts: Record<string, string> = {}): Promise<Ran> =>
  bench.run(AGENT, ['restore', archive], {
    env: { GARNER_RESTORE_DATABASE_URL: url, PATH: fakeClients(bench.directory, scripts) },
  });

const expectFailure = (ran: Ran, cause: RegExp): void => expectFailedRun(bench, ran, cause);

/** psql as the superuser, for scripts. */
const psql = (sql: string, database = 'shop'): string =>
  `psql -X -q -h ${server.socketDir} -p ${server.port} -U root -d ${database} -c "${sql}" >/dev/null 2>&1`;

it('F02 fails where the backend of the dump is killed', async () => {
  await using doomed = await startPostgres();
  const url = await doomed.createDatabase('x', 'x', PASSWORD);
  await doomed.query(
    "SET ROLE x; CREATE TABLE t AS SELECT i, repeat('a row ', 100) FROM generate_series(1, 50000) i",
    'x',
  );
  // the output goes on only after the kill: the dump is in its midst
  const pid = `psql -X -A -t -h ${doomed.socketDir} -p ${doomed.port} -U root -d x -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'pg_dump'"`;
  const script = `${VERSION}\n"$REAL" "$@" | (head -c 1000; kill -9 $(${pid}); cat); exec "$REAL" --no-such-option`;
  expectFailure(await backUp(url, { pg_dump: script }), /cannot (dump|reach) database/);
});

it('lets nobody empty a table between the snapshot and its dump', async () => {
  const truncate = psql("SET lock_timeout = '200ms'; TRUNCATE a");
  const ran = await backUp(shop, { pg_dump: `${VERSION}\n${truncate}\nexec "$REAL" "$@"` });
  expect(ran.exitCode).toBe(0);
  expect(JSON.parse(ran.stdout).members[1].database.tables).toEqual({ a: 20_000, b: 0 });
  await server.query('CREATE DATABASE kept');
  expect((await restore(JSON.parse(ran.stdout).archive, rootUrl('kept'))).exitCode).toBe(0);
  expect(await server.query('SELECT count(*) FROM a', 'kept')).toBe('20000');
});

it('has the rows of a table that another transaction empties and fills again while the backup begins', async () => {
  const refill = server.query(
    `BEGIN; TRUNCATE b; INSERT INTO b VALUES (1), (2), (3); CREATE TABLE c AS SELECT 1 AS i;
     DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'b'::regclass AND NOT granted) LOOP
       PERFORM pg_sleep(0.05); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$;
     COMMIT;`,
    'shop',
  );
  const begun =
    "SELECT count(*) FROM pg_locks WHERE relation = 'b'::regclass AND mode = 'AccessExclusiveLock'";
  while ((await server.query(begun, 'shop')) === '0');
  const ran = await backUp(rootUrl('shop'));
  await refill;
  await server.query('DROP TABLE c; TRUNCATE b', 'shop');
  expect(ran.exitCode).toBe(0);
  expect(JSON.parse(ran.stdout).members[1].database.tables).toEqual({ a: 20_000, b: 3, c: 1 });
});

it('F05 names sequences, schemas and large objects that the account may not read', async () => {
  await server.query('CREATE DATABASE rights');
  await server.query(
    `CREATE ROLE dumper LOGIN PASSWORD '${PASSWORD}';
     CREATE TABLE t(id serial, g int GENERATED ALWAYS AS IDENTITY); CREATE SEQUENCE alone; CREATE SCHEMA hidden; CREATE TABLE hidden.h();
     CREATE SEQUENCE hidden.s; GRANT SELECT ON ALL TABLES IN SCHEMA public TO dumper;
     GRANT SELECT ON ALL TABLES IN SCHEMA hidden TO dumper; GRANT SELECT ON alone TO dumper`,
    'rights',
  );
  expectFailure(
    await backUp(as('dumper', 'rights')),
    /may not read hidden\.h, hidden\.s, t_g_seq, t_id_seq$/,
  );
  await server.query(
    `GRANT USAGE ON SCHEMA hidden TO dumper; GRANT SELECT ON ALL SEQUENCES IN SCHEMA public, hidden TO dumper;
     SELECT lo_create(4711); SELECT lo_create(4712); GRANT SELECT ON LARGE OBJECT 4711 TO dumper`,
    'rights',
  );
  expectFailure(await backUp(as('dumper', 'rights')), /permission denied for large object 4712/);
  await server.query('GRANT SELECT ON LARGE OBJECT 4712 TO dumper', 'rights');
  expect((await backUp(as('dumper', 'rights'))).exitCode).toBe(0);
});

it('F06 takes what pg_dump writes in its own form, where its SQL would end in \\unrestrict', async () => {
  const { archive } = JSON.parse((await backUp(shop)).stdout);
  const restored = await bench.run(AGENT, ['restore', archive, '--to', `${bench.directory}/to`]);
  expect(restored.exitCode).toBe(0);
  expect(readFileSync(`${bench.directory}/to/shop.dump`).subarray(0, 5).toString()).toBe('PGDMP');
  // the roles are SQL: their trailer stands before or after it, by the client's version
  expect(readFileSync(`${bench.directory}/to/roles.sql`, 'utf8')).toContain('cluster dump complete');
  const without = { pg_dumpall: '"$REAL" "$@" | grep -v restrict' };
  expect((await backUp(shop, without)).exitCode).toBe(0);
  const after = { pg_dumpall: '"$REAL" "$@"; printf "\\n\\\\\\\\unrestrict abc\\n\\n"' };
  expect((await backUp(shop, after)).exitCode).toBe(0);
});

it('F07 fails where a view can not be dumped, and names it', async () => {
  await server.query('CREATE DATABASE broken');
  await server.query(
    `CREATE TABLE t(i int); CREATE VIEW broken_view AS SELECT i FROM t;
     DELETE FROM pg_rewrite WHERE ev_class = 'broken_view'::regclass`,
    'broken',
  );
  expectFailure(await backUp(rootUrl('broken')), /cannot dump database .*broken_view/);
});

it('F10 refuses clients that are older than the server, for the dump and for the restore', async () => {
  const old = 'echo "$(basename "$0") (PostgreSQL) 9.6.24"';
  expectFailure(await backUp(shop, { pg_restore: old }), /pg_restore 9 is older than the server/);
  const { archive } = JSON.parse((await backUp(shop)).stdout);
  await server.query('CREATE DATABASE target');
  const ran = await restore(archive, rootUrl('target'), { pg_restore: old });
  expect(ran.stderr).toMatch(/cannot restore database .*pg_restore 9 is older than the server/);
  expect(ran.stderr).toMatch(/hint: apt-get install postgresql-client-\d+/);
  expect(await server.query('SELECT count(*) FROM pg_tables WHERE schemaname = $$public$$', 'target')).toBe(
    '0',
  );
});

it('F60 shows no password while roles are stored and a database is restored', async () => {
  const { archive } = JSON.parse((await backUp(shop)).stdout);
  const target = await server.createDatabase('shown', 'shown', 'canary-pg-7143');
  const slow = Object.fromEntries(
    ['psql', 'pg_dumpall', 'pg_restore'].map((name) => [name, 'sleep 0.1; exec "$REAL" "$@"']),
  );
  bench.configure(`${AGENT}.env`, `GARNER_DATABASE_URL="${shop}"\nGARNER_RESTORE_DATABASE_URL="${target}"\n`);
  const env = { PATH: fakeClients(bench.directory, slow) };
  const stop = watchProcesses(['canary-pg-714', 'SCRAM-SHA-256$']);
  const backup = await bench.run(AGENT, [], { env });
  const restored = await bench.run(AGENT, ['restore', archive, '--jobs', '2'], { env });
  const { found, seen } = stop();
  expect([backup.exitCode, restored.exitCode]).toEqual([0, 0]);
  expect(seen).toBeGreaterThan(5);
  expect(found).toEqual([]);
  expect(backup.stderr + restored.stderr).not.toMatch(/canary|SCRAM/);
});

it('comes in with every hazardous character in a password', async () => {
  const passwords = [
    ' lead and trail ',
    `'single' "double" \`back\` $HOME $(id) %41%`,
    'back\\slash\\ colon: at@ slash/ hash# query? & semicolon; *:*',
    '\u00e4\u{1f994} \ttab',
    String.fromCharCode(...Array.from({ length: 94 }, (_, i) => 33 + i)),
    'x'.repeat(900),
  ];
  await server.query('CREATE ROLE hard LOGIN; CREATE DATABASE hard OWNER hard');
  let last = '';
  for (const password of passwords) {
    await server.query(`ALTER ROLE hard PASSWORD $pw$${password}$pw$`);
    const url = `postgresql://hard:${encodeURIComponent(password)}@127.0.0.1:${server.port}/hard`;
    const connection = engine.connectionFromUrl(new URL(url));
    const { serverVersion } = await engine.inspect(connection, new AbortController().signal);
    expect(serverVersion, password).toMatch(/^\d+/);
    last = url;
  }
  expect(await backUp(last)).toMatchObject({ exitCode: 0 });
});
