// Roles and grants of a PostgreSQL server, in an archive and back: on a server that has none of them.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { statementsFor } from '../../databases/toolkit/postgres-roles.ts';
import { fakeClients } from '../helpers/fake-clients.ts';
import { type Postgres, startPostgres } from '../helpers/postgres.ts';
import { type Bench, makeBench, type Ran } from '../helpers/run.ts';

const AGENT = 'agent-postgres';
const PASSWORD = `canary'\\ "pw`;
/** What a name may have, in a name that a statement has to quote. */
const HARD = `we"ird'\\ 🦔; \\! touch /tmp/x --`;
const quoted = `"${HARD.replaceAll('"', '""')}"`;

let old: Postgres;
let fresh: Postgres;
let bench: Bench;

const rootUrl = (server: Postgres, name: string): string =>
  `postgresql://root@localhost:${server.port}/${name}?host=${server.socketDir}`;
const member = async (archive: string, name: string): Promise<string> =>
  (await execa('bash', ['-c', 'tar -xOf "$1" "$2" | zstd -dc', 'bash', archive, `${name}.zst`])).stdout;

beforeAll(async () => {
  [old, fresh] = await Promise.all([startPostgres(), startPostgres()]);
  await old.createDatabase('shop', 'owner', PASSWORD);
  await old.query(
    `CREATE ROLE readers; CREATE ROLE clerk LOGIN CONNECTION LIMIT 7 IN ROLE readers; CREATE ROLE ${quoted} LOGIN;
     COMMENT ON ROLE clerk IS E'it''s \\\\ a "clerk";'; ALTER ROLE clerk SET search_path = 'a b', c;
     CREATE ROLE stranger; CREATE ROLE definer; CREATE ROLE policed; CREATE ROLE existing NOLOGIN; CREATE ROLE other_group;
     GRANT other_group TO clerk; GRANT readers TO existing;
     CREATE TABLE t(i int); ALTER TABLE t OWNER TO owner; INSERT INTO t VALUES (1);
     GRANT SELECT ON t TO readers WITH GRANT OPTION; GRANT INSERT (i) ON t TO existing;
     CREATE TABLE mine(); ALTER TABLE mine OWNER TO ${quoted};
     ALTER DEFAULT PRIVILEGES FOR ROLE definer GRANT SELECT ON TABLES TO readers;
     ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t TO policed USING (true);`,
    'shop',
  );
});
afterAll(async () => {
  await old?.stop();
  await fresh?.stop();
});
beforeEach(() => {
  bench = makeBench();
  return () => bench.remove();
});

async function backUp(url: string, exitCode = 0, env: Record<string, string> = {}) {
  bench.configure(`${AGENT}.env`, `GARNER_DATABASE_URL="${url}"\n`);
  return JSON.parse(await bench.backup(AGENT, { args: ['--json'], exitCode, env }));
}

const restore = (archive: string, url: string, args: string[] = []): Promise<Ran> =>
  bench.run(AGENT, ['restore', archive, ...args], { env: { GARNER_RESTORE_DATABASE_URL: url } });

it('stores all roles once, after the databases, with hashes where the account may read those', async () => {
  const { archive, members } = await backUp(rootUrl(old, 'shop'));
  expect(members.map(({ kind, name }: { kind: string; name: string }) => [kind, name])).toEqual([
    ['version', 'VERSION'],
    ['database', 'shop.dump.zst'],
    ['roles', 'roles.sql.zst'],
  ]);
  expect(members[2].roles).toEqual({ engine: 'postgres', databases: ['shop'] });
  expect(members[1].database.roles).toEqual(
    ['clerk', 'definer', 'existing', 'owner', 'policed', 'readers', 'root', HARD].sort(),
  );
  const plain = (text: string): string => text.replace(/^\\(un)?restrict .*$/gm, '');
  const { stdout } = await execa('pg_dumpall', [
    ...['--globals-only', '-h', old.socketDir, '-p', `${old.port}`, '-U', 'root'],
  ]);
  expect(plain(await member(archive, 'roles.sql'))).toBe(plain(stdout));
  expect(stdout).toContain("PASSWORD 'SCRAM-SHA-256$");
  expect(statSync(archive).mode & 0o777).toBe(0o600);
  const shown = await bench.run('garner', ['archive', 'list', archive]);
  expect(shown.stdout).toMatch(/^roles +roles\.sql\.zst/m);
  expect((await bench.run('garner', ['archive', 'verify', archive])).exitCode).toBe(0);
});

it('stores them without hashes where the account may not read those', async () => {
  await old.createDatabase('plain', 'plain_owner', PASSWORD);
  const url = `postgresql://plain_owner:${encodeURIComponent(PASSWORD)}@127.0.0.1:${old.port}/plain`;
  const sql = await member((await backUp(url)).archive, 'roles.sql');
  expect(sql).toContain('CREATE ROLE clerk;');
  expect(sql).not.toContain('PASSWORD');
});

it('puts them into the directory with --to, for psql', async () => {
  const { archive } = await backUp(rootUrl(old, 'shop'));
  const to = join(bench.directory, 'to');
  expect(await bench.run(AGENT, ['restore', archive, '--to', to])).toMatchObject({ exitCode: 0 });
  expect((await execa('ls', [to])).stdout).toBe('roles.sql\nshop.dump');
  await using server = await startPostgres();
  const psql = ['-X', '-q', '-h', server.socketDir, '-p', `${server.port}`, '-U', 'root', '-d', 'postgres'];
  await execa('psql', [...psql, '-f', join(to, 'roles.sql')]);
  expect(await server.query('SELECT rolname FROM pg_roles WHERE rolname = $$clerk$$')).toBe('clerk');
});

it('makes the missing roles that a database names on a server that has none of them, and changes none', async () => {
  const { archive } = await backUp(rootUrl(old, 'shop'));
  await fresh.query("CREATE DATABASE shop; CREATE ROLE existing LOGIN PASSWORD 'own' CONNECTION LIMIT 3");
  const facts = `SELECT rolname, rolcanlogin, rolsuper, rolconnlimit, rolpassword, rolconfig, shobj_description(a.oid, 'pg_authid')
    FROM pg_authid a JOIN pg_roles r USING (rolname)`;
  const facts15 = facts
    .replaceAll(/\brol(canlogin|super|connlimit|password)/g, 'a.rol$1')
    .replace('rolname,', 'a.rolname,');
  const existing = await fresh.query(`${facts15} WHERE a.rolname = 'existing'`);
  const ran = await restore(archive, rootUrl(fresh, 'shop'));
  expect(ran).toMatchObject({ exitCode: 0 });
  expect(await fresh.dump('shop')).toBe(await old.dump('shop'));
  const made = "('clerk', 'definer', 'owner', 'policed', 'readers')";
  const look = `${facts15} WHERE a.rolname IN ${made} OR a.rolname LIKE 'we"ird%' ORDER BY 1`;
  expect(await fresh.query(look)).toBe(await old.query(look));
  expect(await fresh.query(`${facts15} WHERE a.rolname = 'existing'`)).toBe(existing);
  expect(
    await fresh.query("SELECT count(*) FROM pg_roles WHERE rolname IN ('stranger', 'other_group')"),
  ).toBe('0');
  expect(
    await fresh.query('SELECT roleid::regrole, member::regrole FROM pg_auth_members WHERE roleid > 16383'),
  ).toBe('readers|clerk');
  expect(ran.stderr.match(/role .* was missing: made/g)).toHaveLength(6);
  await execa(
    'psql',
    ['-X', '-h', '127.0.0.1', '-p', `${fresh.port}`, '-U', 'owner', '-d', 'shop', '-c', 'TABLE t'],
    {
      env: { PGPASSWORD: PASSWORD },
    },
  );

  const again = await restore(archive, rootUrl(fresh, 'shop'), ['--force']);
  expect(again).toMatchObject({ exitCode: 0, stderr: expect.not.stringContaining('was missing') });
  expect(await fresh.dump('shop')).toBe(await old.dump('shop'));
});

it('says what is left out where no superuser restores, and makes no role', async () => {
  const { archive } = await backUp(rootUrl(old, 'shop'));
  const url = await fresh.createDatabase('owned', 'restorer', PASSWORD);
  const before = await fresh.query('SELECT count(*) FROM pg_roles');
  const ran = await restore(archive, url);
  expect(ran).toMatchObject({
    exitCode: 0,
    stderr: expect.stringContaining('roles, owners and grants are left out'),
  });
  expect(await fresh.query('SELECT count(*) FROM pg_roles')).toBe(before);
});

it('F03 F04 keeps the backup, with a warning, where the roles can not be had whole', async () => {
  const PATH = (body: string): Record<string, string> => ({
    PATH: fakeClients(bench.directory, { pg_dumpall: body }),
  });
  for (const [body, cause] of [
    ['"$REAL" "$@"; exit 2', 'exit code 2'],
    ['"$REAL" "$@" | head -c 900', 'cut off'],
    ['exit 0', 'cut off'],
  ] as const) {
    const { warnings, members } = await backUp(rootUrl(old, 'shop'), 3, PATH(body));
    expect(warnings).toEqual([
      {
        code: 'roles-missing',
        message: expect.stringMatching(new RegExp(`the archive has no roles: .*${cause}`)),
      },
    ]);
    expect(members).toHaveLength(2);
  }
});

it('reads statements as the server does, and gives psql none of them', async () => {
  const sql = `\\restrict abc\n-- User Config "a;b"\nCREATE ROLE "a;b";\nALTER ROLE "a;b" WITH LOGIN PASSWORD 'x''; \\! y';
    COMMENT ON ROLE "a;b" IS E'\\\\'';';\nCREATE TABLESPACE s LOCATION '/x';\nCREATE ROLE c;\nALTER ROLE c IN DATABASE d SET x TO 'y';
    GRANT c TO "a;b" WITH ADMIN OPTION GRANTED BY root;\nGRANT gone TO "a;b";\nGRANT "a;b" TO c;\n\\unrestrict abc\n`;
  expect(statementsFor(new Set(['a;b']), new Set(['c']), sql)).toEqual([
    'CREATE ROLE "a;b"',
    `ALTER ROLE "a;b" WITH LOGIN PASSWORD 'x''; \\! y'`,
    `COMMENT ON ROLE "a;b" IS E'\\\\'';'`,
    'GRANT c TO "a;b" WITH ADMIN OPTION',
  ]);
});
