// The mariadb agent: the contract, with credentials from the client's own option file.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agentContract } from '../contract/agent-contract.ts';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { type Bench, makeBench } from '../helpers/run.ts';

const PASSWORD = 'canary-mariadb-1';
const NAMES = ['shop', 'my-wiki.2'];

agentContract('mariadb', 'two databases', async (directory) => {
  const server = await startMariadb();
  for (const name of NAMES) {
    await server.createDatabase(name, 'backup', PASSWORD);
    await server.query(
      "CREATE TABLE `a b`(t TEXT); INSERT INTO `a b` VALUES ('it''s 🦔'), ('),('), (NULL); CREATE DEFINER=backup@'%' VIEW v AS SELECT * FROM `a b`;" +
        "CREATE DEFINER=backup@'%' PROCEDURE p() SELECT 1;",
      name,
    );
  }
  const home = join(directory, 'client-home');
  await execa('mkdir', [home]);
  writeFileSync(
    join(home, '.my.cnf'),
    `[client]\nuser=backup\npassword=${PASSWORD}\nsocket=${server.socket}\n`,
    { mode: 0o600 },
  );
  const dump = [
    '--no-defaults',
    '--user=root',
    `--socket=${server.socket}`,
    '--skip-dump-date',
    '--routines',
  ];
  return {
    settings: {},
    env: { HOME: home },
    places: [],
    members: ['my-wiki_2.sql', 'shop.sql'],
    version: /MariaDB/,
    secrets: [PASSWORD],
    treeFind: {},
    dumpDatabases: async () => (await execa('mariadb-dump', [...dump, '--databases', ...NAMES])).stdout,
    async wipe() {
      for (const name of NAMES)
        await server.query(`DROP DATABASE \`${name}\`; CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4;`);
    },
    broken: { settings: { MARIADB_DATABASES: 'absent' }, error: /absent/ },
    remove: () => server.stop(),
  };
});

describe('several databases', () => {
  let bench: Bench;
  let server: MariaDb;
  let env: Record<string, string>;
  beforeAll(async () => {
    server = await startMariadb();
    for (const name of ['one', 'two', 'empty']) await server.createDatabase(name, 'backup', PASSWORD);
    for (const name of ['one', 'two']) await server.query('CREATE TABLE t (i INT)', name);
    bench = makeBench();
    const account = `user=backup\npassword=${PASSWORD}\nsocket=${server.socket}`;
    writeFileSync(join(bench.home, '.my.cnf'), `[client]\n${account}\n`, { mode: 0o600 });
    env = { MARIADB_DATABASES: 'one,two' };
  });
  afterAll(async () => {
    await server.stop();
    bench.remove();
  });
  const urlOf = (name: string): string => `mysql://backup@127.0.0.1:${server.port}/${name}`;

  it('refuses a list of databases beside the URL of one', async () => {
    const both = await bench.run('agent-mariadb', [], { env: { ...env, GARNER_DATABASE_URL: urlOf('one') } });
    expect(both).toMatchObject({ exitCode: 2, stdout: '' });
    expect(both.stderr).toContain('cannot use setting "MARIADB_DATABASES": GARNER_DATABASE_URL names one');
  });

  it('refuses the URL of another kind of database', async () => {
    const other = { GARNER_DATABASE_URL: 'postgresql://backup@127.0.0.1/one' };
    const ran = await bench.run('agent-mariadb', [], { env: other });
    expect(ran).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('it is of postgres') });
  });

  it('refuses to restore several where a URL names one: the others would go to where they are in use', async () => {
    const archive = await bench.backup('agent-mariadb', { env });
    const to = { ...env, GARNER_RESTORE_DATABASE_URL: urlOf('empty') };
    for (const options of [[], ['--force'], ['--dry-run']]) {
      const ran = await bench.run('agent-mariadb', ['restore', archive, '--json', ...options], { env: to });
      expect(ran.exitCode).toBe(2);
      expect(JSON.parse(ran.stdout)).toMatchObject({
        result: 'failed',
        error: { code: 'usage', message: expect.stringContaining('it has 2 databases') },
      });
    }
    expect(await server.query('SHOW TABLES', 'empty')).toBe('');
    expect(bench.workFiles()).toHaveLength(3);
  });

  it('keeps what was in each, also where the last parts of their names are the same', async () => {
    for (const name of ['a/app', 'b/app']) {
      await server.createDatabase(name, 'backup', PASSWORD);
      await server.query(`CREATE TABLE t (t TEXT); INSERT INTO t VALUES ('of ${name}')`, name);
    }
    const both = { MARIADB_DATABASES: 'a/app,b/app' };
    const archive = await bench.backup('agent-mariadb', { env: both });
    const ran = await bench.run('agent-mariadb', ['restore', archive, '--force'], { env: both });
    expect(ran.exitCode).toBe(0);
    const kept = [...ran.stderr.matchAll(/what was in it before lies in (\S+)/g)].map(([, file]) => file);
    const dumps = await Promise.all(kept.map((file) => execa('zstd', ['-dc', file as string])));
    expect(dumps.map(({ stdout }) => /of ./.exec(stdout)?.[0])).toEqual(['of a', 'of b']);
  });
});
