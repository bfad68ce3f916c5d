// The PostgreSQL engine against a real server, through agent-postgres: what is dumped is counted right and comes back;
// and what it does when the server or its client misbehaves.
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import postgres from '../../databases/postgres.ts';
import type { DumpFacts } from '../../databases/toolkit/engine.ts';
import type { PostgresConnection } from '../../databases/toolkit/postgres-client.ts';
import { dumpTo } from '../helpers/engine.ts';
import { expectFailure as expectFailedRun } from '../helpers/expect-failure.ts';
import { fakeClients, onlyPrograms } from '../helpers/fake-clients.ts';
import { type Postgres, startPostgres } from '../helpers/postgres.ts';
import { untilNoProcessWith, watchProcesses } from '../helpers/processes.ts';
import { type Bench, makeBench, type Ran } from '../helpers/run.ts';

const AGENT = 'agent-postgres';
const PASSWORD = `canary:a\\b'c d%40"$#;:`;

let server: Postgres;
let bench: Bench;
let shop: string;

beforeAll(async () => {
  server = await startPostgres();
  shop = await server.createDatabase('shop', 'shop', PASSWORD);
  await server.query(
    `SET ROLE shop;
     CREATE TABLE a(i int, t text); CREATE TABLE b(i int, t text);
     INSERT INTO b SELECT i, 'some text that fills a row' FROM generate_series(1, 2000) i;`,
    'shop',
  );
});
afterAll(() => server?.stop());
beforeEach(() => {
  bench = makeBench();
  return () => bench.remove();
});

/** The superuser's way in: by the socket. */
const asRoot = (name: string): string =>
  `postgresql://root@localhost:${server.port}/${name}?host=${server.socketDir}`;

const use = (url: string): void => bench.configure(`${AGENT}.env`, `GARNER_DATABASE_URL="${url}"\n`);

async function backUp(url: string): Promise<{ archive: string; tables: Record<string, number> }> {
  use(url);
  const stdout = await bench.backup(AGENT, { args: ['--json'] });
  const { archive, members } = JSON.parse(stdout);
  return { archive, tables: members[1].database.tables };
}

async function restore(archive: string, url: string, args: string[] = []): Promise<Ran> {
  const env = { GARNER_RESTORE_DATABASE_URL: url };
  return bench.run(AGENT, ['restore', archive, ...args], { env });
}

function expectFailure(ran: Ran, cause: RegExp): void {
  expect(ran.stdout).toBe('');
  expectFailedRun(bench, ran, cause);
}

function runWith(scripts: Record<string, string>, env: Record<string, string> = {}): Promise<Ran> {
  use(shop);
  return bench.run(AGENT, [], { env: { PATH: fakeClients(bench.directory, scripts), ...env } });
}

/** `pg_dump` asked for its version, as garner does before a dump. */
const VERSION = 'case "$*" in *--version*) exec "$REAL" "$@";; esac';

describe('a database with what PostgreSQL has', () => {
  beforeAll(async () => {
    await server.createDatabase('rich', 'rich', PASSWORD);
    await server.query(
      `CREATE EXTENSION pgcrypto;
       CREATE ROLE reader;
       CREATE SCHEMA "Other one"; CREATE SCHEMA "pgfans";
       CREATE TABLE "we""ird 🦔 (x"(id serial PRIMARY KEY, "a'),(" text);
       INSERT INTO "we""ird 🦔 (x"("a'),(") VALUES (E'\\\\.'), (E'\\n\\t\\r'), (NULL), ('it''s'), (E'\\u2028');
       CREATE TABLE "Other one".t(id int GENERATED ALWAYS AS IDENTITY, twice int, n int GENERATED ALWAYS AS (twice * 2) STORED);
       INSERT INTO "Other one".t(twice) SELECT generate_series(1, 50000);
       CREATE TABLE pgfans.t(b bytea, u uuid DEFAULT gen_random_uuid(), j jsonb);
       INSERT INTO pgfans.t SELECT gen_random_bytes(100), gen_random_uuid(), '{"a": [1, null]}' FROM generate_series(1, 7);
       CREATE TABLE log(day date, t text) PARTITION BY RANGE (day);
       CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
       CREATE TABLE log_2 PARTITION OF log DEFAULT;
       INSERT INTO log VALUES ('2025-02-02', 'x'), ('2027-02-02', 'y'), (NULL, 'z');
       CREATE TABLE parent(i int); CREATE TABLE child() INHERITS (parent);
       INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2), (3);
       CREATE UNLOGGED TABLE unlogged_one(i int); INSERT INTO unlogged_one VALUES (1);
       CREATE TABLE empty_one(); CREATE VIEW v AS SELECT * FROM parent;
       CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM parent;
       CREATE SEQUENCE s START 42; SELECT nextval('s');
       CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
       CREATE TRIGGER tr AFTER INSERT ON parent FOR EACH ROW EXECUTE FUNCTION f();
       GRANT SELECT ON parent TO reader; ALTER TABLE child OWNER TO rich;
       COMMENT ON TABLE parent IS 'a comment';
       SELECT lo_from_bytea(4711, 'a large object'), lo_from_bytea(4712, '\\x00ff');`,
      'rich',
    );
  });

  it('is counted as SELECT count(*) counts it, partitions and heirs once', async () => {
    const { tables } = await backUp(asRoot('rich'));
    expect(tables).toEqual({
      'we"ird 🦔 (x': 5,
      'Other one.t': 50_000,
      'pgfans.t': 7,
      log_1: 1,
      log_2: 2,
      parent: 1,
      child: 2,
      unlogged_one: 1,
      empty_one: 0,
    });
  });

  it('comes back the same, with owners, grants and large objects, where a superuser restores it', async () => {
    const { archive } = await backUp(asRoot('rich'));
    await server.query('CREATE DATABASE again');
    expect(await restore(archive, asRoot('again'))).toMatchObject({ exitCode: 0 });
    expect(await server.dump('again')).toBe(await server.dump('rich'));
    expect(await server.query("SELECT encode(lo_get(4712), 'hex')", 'again')).toBe('00ff');
  });

  it('is put aside with --force, and what was put aside is a dump that pg_restore takes', async () => {
    const { archive } = await backUp(shop);
    const before = await server.dump('rich');
    await server.query('CREATE DATABASE forced TEMPLATE rich');
    const refused = await restore(archive, asRoot('forced'));
    expect(refused).toMatchObject({ exitCode: 1 });
    expect(refused.stderr).toMatch(/it would replace .*forced \(\d+ tables\)/);
    expect(await server.dump('forced')).toBe(before);

    const forced = await restore(archive, asRoot('forced'), ['--force']);
    expect(forced).toMatchObject({ exitCode: 0 });
    expect(await server.dump('forced')).toBe(await server.dump('shop'));
    const aside = /what was in it before lies in (\S+)/.exec(forced.stderr)?.[1] as string;
    await server.query('CREATE DATABASE old');
    const script = 'zstd -dc "$1" | pg_restore --exit-on-error -h "$2" -p "$3" -U root -d old';
    await execa('bash', ['-c', script, 'bash', aside, server.socketDir, `${server.port}`]);
    expect(await server.dump('old')).toBe(before);
  });

  it('belongs to the account that restores it, where that is no superuser', async () => {
    const { archive } = await backUp(asRoot('rich'));
    const target = await server.createDatabase('owned', 'owner', PASSWORD);
    const ran = await restore(archive, target);
    expect(ran).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('grants are left out') });
    expect(
      await server.query(
        'SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname !~ $$^(pg_|info)$$',
        'owned',
      ),
    ).toBe('owner');
    expect(await server.query('SELECT count(*) FROM "Other one".t', 'owned')).toBe('50000');
  });
});

it('dumps a database that is not in UTF-8, whatever its tables are called', async () => {
  const utf8 = "SET client_encoding = 'UTF8';";
  const latin = (name: string): string =>
    `CREATE DATABASE ${name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'`;
  await server.query(latin('latin'));
  await server.query(
    `${utf8} CREATE TABLE "tä" AS SELECT 'é'::text AS t; CREATE TABLE "tö"(i int);
     CREATE SCHEMA "ß"; CREATE TABLE "ß"."t ñ" AS SELECT 1 AS i FROM generate_series(1, 3)`,
    'latin',
  );
  // of the environment: another encoding for the dump
  const env = { GARNER_DATABASE_URL: asRoot('latin'), PGCLIENTENCODING: 'UTF8' };
  const ran = await bench.run(AGENT, ['--json'], { env });
  expect(ran).toMatchObject({ exitCode: 0 });
  const { archive, members } = JSON.parse(ran.stdout);
  expect(members[1].database.tables).toEqual({ tä: 1, tö: 0, 'ß.t ñ': 3 });

  await server.query(latin('latin2'));
  expect(await restore(archive, asRoot('latin2'))).toMatchObject({ exitCode: 0 });
  expect(await server.dump('latin2')).toBe(await server.dump('latin'));

  const without = `${VERSION}\nexec "$REAL" "$@" --exclude-table='t?' --encoding=LATIN1`;
  const PATH = fakeClients(bench.directory, { pg_dump: without });
  const lacking = await bench.run(AGENT, [], { env: { ...env, PATH } });
  expect(lacking.exitCode).toBe(1);
  expect(lacking.stderr).toMatch(/tables are missing from the dump: tä, tö$/m);
});

it('dumps and counts one moment, while others write', async () => {
  await server.query('CREATE DATABASE busy');
  await server.query(
    'CREATE TABLE x(i int); CREATE TABLE y(i int); INSERT INTO x SELECT generate_series(1, 1000); INSERT INTO y TABLE x',
    'busy',
  );
  let writing = true;
  let written = 0;
  const writer = (async () => {
    for (; writing; written++) {
      await server.query(
        'BEGIN; INSERT INTO x SELECT generate_series(1, 10); INSERT INTO y SELECT generate_series(1, 10); COMMIT',
        'busy',
      );
    }
  })();
  const slow = { pg_dump: `${VERSION}\nsleep 0.5; exec "$REAL" "$@"` };
  use(asRoot('busy'));
  const stdout = await bench.backup(AGENT, {
    args: ['--json'],
    env: { PATH: fakeClients(bench.directory, slow) },
  });
  writing = false;
  await writer;
  expect(written).toBeGreaterThan(2);
  const { archive, members } = JSON.parse(stdout);
  const { x, y } = members[1].database.tables;
  expect(x).toBe(y);
  await server.query('CREATE DATABASE calm');
  expect(await restore(archive, asRoot('calm'))).toMatchObject({ exitCode: 0 });
  expect(await server.query('SELECT (SELECT count(*) FROM x), (SELECT count(*) FROM y)', 'calm')).toBe(
    `${x}|${y}`,
  );
});

it('F02 fails where the server ends the dump, or the session with the snapshot', async () => {
  const kill = (who: string): string =>
    `psql -X -q -h ${server.socketDir} -p ${server.port} -U root -d postgres -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop' AND application_name = '${who}'" >/dev/null`;
  const dump = `${VERSION}\n(sleep 0.5; ${kill('pg_dump')}) & "$REAL" "$@" | (head -c 1000; sleep 1; cat); wait; exec "$REAL" --no-such-option`;
  expectFailure(await runWith({ pg_dump: dump }), /cannot dump database/);
  const session = `${VERSION}\n"$REAL" "$@"; code=$?; ${kill('psql')}; exit $code`;
  expectFailure(await runWith({ pg_dump: session }), /cannot reach database .*terminating connection/);
});

it('F02 fails where the server crashes while it is dumped', async () => {
  await using doomed = await startPostgres();
  use(await doomed.createDatabase('x', 'x', PASSWORD));
  await doomed.query('CREATE TABLE t AS SELECT generate_series(1, 100000) i; ALTER TABLE t OWNER TO x', 'x');
  const PATH = fakeClients(bench.directory, {
    pg_dump: `${VERSION}\ntouch ${bench.directory}/dumping; sleep 2; exec "$REAL" "$@"`,
  });
  const running = bench.run(AGENT, [], { env: { PATH } });
  while (!readdirSync(bench.directory).includes('dumping'))
    await new Promise((resolve) => setTimeout(resolve, 20));
  await doomed.kill();
  expectFailure(await running, /cannot (dump|reach) database/);
});

it('F03 fails where the client prints everything and then exits with 2', async () => {
  expectFailure(
    await runWith({ pg_dump: `${VERSION}\n"$REAL" "$@"; exit 2` }),
    /cannot dump database .*exit code 2/,
  );
});

it('F04 fails where the client ends with 0 after part of the dump, wherever it was cut', async () => {
  for (const bytes of [1, 700, 5000, 40_000]) {
    const cut = `${VERSION}\n"$REAL" "$@" | head -c ${bytes}; exit 0`;
    expectFailure(await runWith({ pg_dump: cut }), /the dump is cut off or damaged: /);
  }
  const without = `${VERSION}\nexec "$REAL" "$@" --exclude-table=b`;
  expectFailure(await runWith({ pg_dump: without }), /tables are missing from the dump: b/);
});

it('F08 fails where the client writes nothing and exits with 0', async () => {
  expectFailure(await runWith({ pg_dump: `${VERSION}\nexit 0` }), /the client wrote nothing/);
});

it('F05 names the tables that the account may not read', async () => {
  await server.query("CREATE ROLE half LOGIN PASSWORD 'canary-half'");
  await server.query(
    'GRANT SELECT ON a TO half; GRANT SELECT (i) ON b TO half; CREATE SCHEMA secret; CREATE TABLE secret.t(i int); GRANT SELECT ON secret.t TO half',
    'shop',
  );
  use(`postgresql://half:canary-half@127.0.0.1:${server.port}/shop`);
  expectFailure(await bench.run(AGENT), /the account may not read b, secret\.t$/);
  await server.query(
    'DROP SCHEMA secret CASCADE; GRANT SELECT ON b TO half; ALTER TABLE b ENABLE ROW LEVEL SECURITY',
    'shop',
  );
  const hidden = await bench.run(AGENT);
  await server.query('ALTER TABLE b DISABLE ROW LEVEL SECURITY', 'shop');
  expectFailure(hidden, /row-level security policy for table "b"/);
});

it('F05 warns of what the account may not see of user mappings, and the dump lacks', async () => {
  const url = await server.createDatabase('foreign', 'foreign', 'canary-f');
  await server.query(
    `CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w;
     CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (password 'canary-far')`,
    'foreign',
  );
  const file = join(bench.directory, 'foreign');
  const dumped = (connection: PostgresConnection): Promise<DumpFacts> => dumpTo(postgres, connection, file);
  const { warnings } = await dumped(postgres.connectionFromUrl(new URL(url)));
  expect(warnings).toEqual([
    {
      code: 'database-rights',
      message: expect.stringMatching(/user mappings .* without .* options.*: public on far$/),
    },
  ]);
  expect(readFileSync(file, 'latin1')).not.toContain('canary-far');
  const superuser = { host: server.socketDir, port: server.port, user: 'root', database: 'foreign' };
  const whole = await dumped(superuser);
  expect(whole.warnings).toEqual([]);
  expect(readFileSync(file, 'latin1')).toContain('canary-far');
});

it('F09 ends a dump that hangs on a lock at the time limit, with all that it started', async () => {
  const holder = execa(
    'psql',
    ['-X', '-h', server.socketDir, '-p', `${server.port}`, '-U', 'root', '-d', 'shop'],
    {
      input: 'BEGIN; LOCK TABLE b; SELECT pg_sleep(600);',
      reject: false,
    },
  );
  try {
    while (
      (await server.query(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND wait_event = 'PgSleep'",
      )) === '0'
    );
    use(shop);
    const ran = await bench.run(AGENT, [], { env: { GARNER_TIMEOUT: '3s', TEST_MARK: bench.directory } });
    expectFailure(ran, /the time limit of 3.0 s has passed/);
    expect(await untilNoProcessWith(bench.directory)).toEqual([]);
  } finally {
    holder.kill('SIGKILL');
    await holder;
    await server.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()",
    );
  }
});

it('F10 says in one line that the password is wrong, the server down, the database missing', async () => {
  use(`postgresql://shop:canary-wrong@127.0.0.1:${server.port}/shop`);
  expectFailure(
    await bench.run(AGENT),
    /cannot reach database "shop@127.0.0.1:\d+\/shop": .*password authentication failed/,
  );
  use('postgresql://shop:canary-x@127.0.0.1:1/shop');
  expectFailure(await bench.run(AGENT), /cannot reach database .*Connection refused/);
  use(shop.replace(/shop$/, 'absent'));
  expectFailure(await bench.run(AGENT), /cannot reach database .*"absent" does not exist/);
});

it('F10 says which program is missing, or too old, and which package has it', async () => {
  const names = ['sh', 'readlink', 'basename', 'dirname', 'node', 'zstd', 'tar'];
  use(shop);
  const ran = await bench.run(AGENT, [], { env: { PATH: await onlyPrograms(bench.directory, names) } });
  expectFailure(ran, /cannot find program "psql": it is not on the PATH/);
  expect(ran.stderr).toContain('hint: apt-get install postgresql-client');
  const old = await runWith({ pg_dump: 'echo "pg_dump (PostgreSQL) 9.6.24"' });
  expectFailure(old, /pg_dump 9 is older than the server, which is PostgreSQL \d+/);
  expect(old.stderr).toMatch(/hint: apt-get install postgresql-client-\d+/);
});

it('F60 shows the password to nobody while it runs, and leaves it nowhere', async () => {
  use(shop);
  const slow = Object.fromEntries(['psql', 'pg_dump'].map((name) => [name, 'sleep 0.2; exec "$REAL" "$@"']));
  const stop = watchProcesses(['canary:a', encodeURIComponent(PASSWORD)]);
  const ran = await bench.run(AGENT, [], { env: { PATH: fakeClients(bench.directory, slow) } });
  const { found, seen } = stop();
  expect(ran.exitCode).toBe(0);
  expect(seen).toBeGreaterThan(5);
  expect(found).toEqual([]);
  expect(readdirSync(tmpdir()).filter((name) => name.startsWith('.part-garner.'))).toEqual([]);
});

it('lets no variable of the environment lead to another server or account', async () => {
  use(shop);
  const env = {
    PGHOST: 'absent.invalid',
    PGHOSTADDR: '127.0.0.2',
    PGPORT: '1',
    PGUSER: 'nobody',
    PGDATABASE: 'x',
    PGPASSWORD: 'wrong',
    PGPASSFILE: '/nonexistent',
    PGOPTIONS: '-c role=nobody -c client_encoding=nothing',
  };
  const ran = await bench.run(AGENT, [], { env });
  expect(ran).toMatchObject({ exitCode: 0 });
  const target = await server.createDatabase('target', 'shop', PASSWORD);
  const to = { ...env, GARNER_RESTORE_DATABASE_URL: target };
  expect(await bench.run(AGENT, ['restore', ran.stdout], { env: to })).toMatchObject({ exitCode: 0 });
  const rows = 'SELECT count(*), md5(string_agg(b::text, $$,$$ ORDER BY i)) FROM b';
  expect(await server.query(rows, 'target')).toBe(await server.query(rows, 'shop'));
});
