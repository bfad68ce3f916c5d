// The mariadb agent: the contract, with credentials from the client's own option file.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { agentContract } from '../contract/agent-contract.ts';
import { startMariadb } from '../helpers/mariadb.ts';

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
