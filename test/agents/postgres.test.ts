// The postgres agent: the contract, with credentials from libpq's own password file.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { agentContract } from '../contract/agent-contract.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { makeBench } from '../helpers/run.ts';

const PASSWORD = 'canary-postgres-1';
const NAMES = ['my-wiki.2', 'shop'];

agentContract('postgres', 'two databases', async (directory) => {
  const server = await startPostgres();
  for (const name of NAMES) {
    await server.createDatabase(name, 'backup', PASSWORD);
    await server.query(
      `SET ROLE backup;
       CREATE TABLE "a b"(t TEXT); INSERT INTO "a b" VALUES ('it''s 🦔'), ('),('), (NULL);
       CREATE VIEW v AS SELECT * FROM "a b";
       CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';`,
      name,
    );
  }
  const home = join(directory, 'client-home');
  mkdirSync(home);
  writeFileSync(join(home, '.pgpass'), `127.0.0.1:${server.port}:*:backup:${PASSWORD}\n`, { mode: 0o600 });
  return {
    settings: { POSTGRES_DATABASES: NAMES.join(',') },
    env: { HOME: home, PGHOST: '127.0.0.1', PGPORT: `${server.port}`, PGUSER: 'backup' },
    places: [],
    members: ['my-wiki_2.dump', 'shop.dump', 'roles.sql'],
    dumpFileSuffix: 'dump',
    version: /^1\d(\.\d+)?$/,
    secrets: [PASSWORD],
    treeFind: {},
    dumpDatabases: async () => (await Promise.all(NAMES.map((name) => server.dump(name)))).join('\n'),
    async wipe() {
      for (const name of NAMES)
        await server.query(`DROP DATABASE "${name}"; \n CREATE DATABASE "${name}" OWNER backup`);
    },
    broken: { settings: { POSTGRES_DATABASES: 'absent' }, error: /absent/ },
    remove: () => server.stop(),
  };
});

it('backs up all databases that the account may connect to, where none is named', async () => {
  await using server = await startPostgres();
  await server.createDatabase('one', 'backup', PASSWORD);
  await server.createDatabase('hidden', 'other', PASSWORD);
  await server.query('REVOKE CONNECT ON DATABASE hidden FROM PUBLIC');
  const bench = makeBench();
  const env = { PGHOST: '127.0.0.1', PGPORT: `${server.port}`, PGUSER: 'backup' };
  writeFileSync(join(bench.home, '.pgpass'), `*:*:*:backup:${PASSWORD}\n`, { mode: 0o600 });
  const ran = await bench.run('agent-postgres', ['describe', '--json'], { env });
  bench.remove();
  const names = JSON.parse(ran.stdout).databases.map(({ name }: { name: string }) => name);
  expect(names).toEqual(['one', 'postgres']);
});
