// The jira agent: the contract on MariaDB, and which files the rows of attachments name, in both dialects of SQL.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { jiraAttachments } from '../../agents/toolkit/jira-attachments.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { leftOutOf, PASSWORD, write } from '../helpers/atlassian.ts';
import { ATTACHMENTS, createJiraDatabase, createJiraFiles, databaseConfiguration } from '../helpers/jira.ts';
import { startMariadb } from '../helpers/mariadb.ts';
import { startPostgres } from '../helpers/postgres.ts';

const account = { database: 'jiradb', user: 'jira', password: PASSWORD };

agentContract('jira', '9.12 on MariaDB', async (directory) => {
  const server = await startMariadb();
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
    remove: () => server.stop(),
  };
});

it.each([
  ['MariaDB', startMariadb, 'mysql', '\t', ''],
  ['PostgreSQL', startPostgres, 'postgres', '|', 'JiraSchema'],
] as const)(
  'names the file of each attachment, and no thumbnail, on %s',
  async (_, start, engine, separator, schema) => {
    await using server = await start();
    await createJiraDatabase(server, account, `"${schema}"`);
    const { sql, pathsOf, concerns } = jiraAttachments(engine, schema, 'data/attachments');
    const rows = (await server.query(sql, 'jiradb')).split('\n').map((line) => line.split(separator));
    const files = ATTACHMENTS.map((path) => join('data/attachments', path));
    const named = rows.map((row) => pathsOf(row).filter((path) => files.includes(path)));
    expect(named.map((paths) => paths.length)).toEqual(rows.map(() => 1));
    expect(named.flat().sort()).toEqual([...files].sort());
    for (const file of files) expect(concerns(file), file).toBe(true);
  },
);
