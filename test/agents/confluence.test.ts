// The confluence agent: the contract on MariaDB with the older layout of attachments and on PostgreSQL with the newer
// one, and what misleads careless readers of its configuration.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { agentContract } from '../contract/agent-contract.ts';
import { createConfluence } from '../helpers/confluence.ts';
import { startMariadb } from '../helpers/mariadb.ts';
import { startPostgres } from '../helpers/postgres.ts';

/** Every character that some quoting somewhere gives a meaning. */
const PASSWORD = `p&amp;%40'"\\\\n$x\${y}#; =w<ö>`;

agentContract('confluence', '7.19 on MariaDB', async (directory) => {
  const server = await startMariadb();
  const site = await createConfluence({
    directory,
    version: '7.19.2',
    server,
    user: 'confluence',
    password: PASSWORD,
  });
  const dump = [
    '--no-defaults',
    '--user=root',
    `--socket=${server.socket}`,
    '--skip-dump-date',
    'confluence',
  ];
  return {
    settings: site.settings,
    places: site.places,
    members: ['confluence.sql', 'home.tar', 'home.list'],
    version: /^7\.19\.2$/,
    secrets: [PASSWORD],
    treeFind: { home: [site.home, '.', ...site.find] },
    dumpDatabases: async () => (await execa('mariadb-dump', dump)).stdout,
    async wipe() {
      rmSync(site.home, { recursive: true });
      await server.query('DROP DATABASE confluence; CREATE DATABASE confluence COLLATE utf8mb4_bin;');
    },
    broken: {
      settings: { CONFLUENCE_HOME_DIR: join(directory, 'absent') },
      error: /absent\/confluence\.cfg\.xml": no such file/,
    },
    remove: () => server.stop(),
  };
});

agentContract('confluence', '9.2 on PostgreSQL', async (directory) => {
  const server = await startPostgres();
  const site = await createConfluence({
    directory,
    version: '9.2.1',
    server,
    user: 'confluence',
    password: PASSWORD,
  });
  return {
    settings: site.settings,
    places: site.places,
    members: ['confluence.dump', 'roles.sql', 'home.tar', 'home.list'],
    dumpFileSuffix: 'dump',
    version: /^9\.2\.1$/,
    secrets: [PASSWORD],
    treeFind: { home: [site.home, '.', ...site.find] },
    dumpDatabases: () => server.dump('confluence'),
    async wipe() {
      rmSync(site.home, { recursive: true });
      await server.query('DROP DATABASE confluence');
      await server.query('CREATE DATABASE confluence OWNER confluence');
    },
    broken: {
      settings: { CONFLUENCE_HOME_DIR: join(directory, 'absent') },
      error: /absent\/confluence\.cfg\.xml": no such file/,
    },
    remove: () => server.stop(),
  };
});
