// The jira agent: the contract on MariaDB, and which files the rows of attachments name, in both dialects of SQL.
import { mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, expect, it } from 'vitest';
import { jiraAttachments } from '../../agents/toolkit/jira-attachments.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { leftOutOf, PASSWORD, write } from '../helpers/atlassian.ts';
import { ATTACHMENTS, createJiraDatabase, createJiraFiles, databaseConfiguration } from '../helpers/jira.ts';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { type Postgres, startPostgres } from '../helpers/postgres.ts';
import { makeBench, snapshot } from '../helpers/run.ts';

const account = { database: 'jiradb', user: 'jira', password: PASSWORD };

let running: Promise<MariaDb> | undefined;
const mariadb = (): Promise<MariaDb> => {
  running ??= startMariadb();
  return running;
};
afterAll(async () => (await running)?.stop());

agentContract('jira', '9.12 on MariaDB', async (directory) => {
  const server = await mariadb();
  const [install, home] = [join(directory, 'install'), join(directory, 'home')];
  await createJiraDatabase(server, account);
  const leftOut = await createJiraFiles(install, home, '9.12.4');
  const url = `jdbc:mysql://localhost:${server.port}/jiradb?useUnicode=true&characterEncoding=UTF8&sessionVariables=default_storage_engine=InnoDB`;
  write(join(home, 'dbconfig.xml'), databaseConfiguration({ url, user: 'jira', password: PASSWORD }));
  const kept = ['data', 'plugins/installed-plugins', 'dbconfig.xml', 'jira-config.properties', 'keys'];
  const dump = ['--no-defaults', '--user=root', `--socket=${server.socket}`, '--skip-dump-date', 'jiradb'];
  return {
    settings: { JIRA_INSTALL_DIR: install },
    places: [...kept, 'customisations/fifo'].map((path) => join(home, path)),
    members: ['jiradb.sql', 'home.tar', 'home.list'],
    version: /^9\.12\.4$/m,
    secrets: [PASSWORD],
    treeFind: { home: [home, '.', ...leftOutOf(leftOut)] },
    dumpDatabases: async () => (await execa('mariadb-dump', dump)).stdout,
    async wipe() {
      rmSync(home, { recursive: true });
      await server.query('DROP DATABASE jiradb; CREATE DATABASE jiradb COLLATE utf8mb4_bin;');
    },
    broken: {
      settings: { JIRA_HOME: join(directory, 'absent') },
      error: /absent\/dbconfig\.xml": no such file/,
    },
    remove: async () => {},
  };
});

/** The files of all rows, and no other ones. */
async function expectNamed(server: MariaDb | Postgres, engine: string, schema: string): Promise<void> {
  await createJiraDatabase(server, { ...account, database: 'rows' }, `"${schema}"`);
  const { sql, pathsOf, concerns } = jiraAttachments(engine, schema, 'data/attachments');
  const rows = (await server.query(sql, 'rows')).split('\n').map((line) => line.split(/[\t|]/));
  const files = ATTACHMENTS.map((path) => join('data/attachments', path));
  const named = rows.map((row) => pathsOf(row).filter((path) => files.includes(path)));
  expect(named.map((paths) => paths.length)).toEqual(rows.map(() => 1));
  expect(named.flat().sort()).toEqual([...files].sort());
  for (const file of files) expect(concerns(file), file).toBe(true);
}

it('names the file of each attachment on MariaDB', async () => expectNamed(await mariadb(), 'mysql', ''));

it('names the file of each attachment on PostgreSQL, in a schema of its own', async () => {
  await using server = await startPostgres();
  await expectNamed(server, 'postgres', 'JiraSchema');
});

it("brings a cluster's shared home and linked attachments of 10 back to a wiped host, and says what it lacks", async () => {
  const bench = makeBench();
  const at = (name: string): string => join(bench.directory, name);
  const [install, home, shared, disk] = [at('install'), at('jira'), at('shared'), at('disk')];
  await createJiraFiles(install, shared, '10.3.2');
  mkdirSync(home);
  renameSync(join(shared, 'keys'), at('keys'));
  renameSync(join(shared, 'data/attachments'), disk);
  symlinkSync(disk, join(shared, 'data/attachments'));
  const secured = { url: 'jdbc:postgresql://db/jira', user: 'jira', password: '{ATL_SECURED}' };
  write(join(home, 'dbconfig.xml'), databaseConfiguration(secured, { type: 'postgres72', schema: 'public' }));
  write(join(home, 'cluster.properties'), `jira.node.id = node1\njira.shared.home = ${shared}\n`);
  // any database: the one that dbconfig.xml names can't be had without its password
  await execa('sqlite3', [at('jira.db')], {
    input: 'CREATE TABLE project (id); INSERT INTO project VALUES (1);',
  });
  const env = {
    JIRA_INSTALL_DIR: install,
    JIRA_HOME: home,
    GARNER_DATABASE_URL: `sqlite://${at('jira.db')}`,
  };
  const places = [join(home, 'dbconfig.xml'), join(shared, 'data'), disk];
  const before = await snapshot(...places);

  const ran = await bench.run('agent-jira', ['--json'], { env });
  expect(ran).toMatchObject({ exitCode: 0 });
  const { archive, withheld, members } = JSON.parse(ran.stdout);
  expect(withheld).toMatchObject([{ what: expect.stringContaining('{ATL_SECURED}') }]);
  expect(members.map(({ name }: { name: string }) => name)).toEqual(
    expect.arrayContaining(['home.tar.zst', 'shared.tar.zst', 'attachments.tar.zst']),
  );
  for (const lost of [home, shared, disk, at('jira.db')]) rmSync(lost, { recursive: true });
  expect(await bench.run('agent-jira', ['restore', archive], { env })).toMatchObject({ exitCode: 0 });
  expect(await snapshot(...places)).toBe(before);
  expect(readlinkSync(join(shared, 'data/attachments'))).toBe(disk);
  bench.remove();
});
