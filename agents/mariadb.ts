// MariaDB and MySQL databases by name, for applications that have no agent of their own. Credentials come from the
// client's own option files (`~/.my.cnf`), or with one database from GARNER_DATABASE_URL.
import { query } from '../databases/toolkit/mysql-client.ts';
import { cannot } from '../lib/errors.ts';
import { list } from '../lib/settings.ts';
import { defineAgent } from './toolkit/define-agent.ts';
import { databasesOf, uniqueNames } from './toolkit/sources.ts';

/** The server's own; a restore of them belongs to an installation, not to an application. */
const SYSTEM = "'information_schema', 'performance_schema', 'mysql', 'sys'";

const agent = defineAgent({
  application: 'mariadb',
  title: 'MariaDB databases',
  testedWith: 'the real thing: MariaDB of Debian',
  settings: {
    MARIADB_DATABASES: {
      parse: list,
      describe: 'the databases to back up: wiki,shop; unset: all that the account sees',
    },
  },

  databaseServer: { engine: 'mysql', list: 'MARIADB_DATABASES' },

  async version(context) {
    const [source] = await databasesOf(agent, context);
    const [[version = 'unknown'] = []] = await query(
      source?.connection as Parameters<typeof query>[0],
      'SELECT VERSION()',
      context.signal,
    );
    return version;
  },

  async databases({ settings, signal }) {
    const names =
      settings.MARIADB_DATABASES ??
      (
        await query(
          { database: 'information_schema' },
          `SELECT SCHEMA_NAME FROM SCHEMATA WHERE SCHEMA_NAME NOT IN (${SYSTEM}) ORDER BY SCHEMA_NAME`,
          signal,
        )
      ).map(([name]) => name as string);
    if (names.length === 0) {
      throw cannot('configuration', 'back up', 'MariaDB databases', 'the account sees none', {
        hint: 'set MARIADB_DATABASES, or give the account rights',
      });
    }
    const members = uniqueNames(names);
    return names.map((database, index) => ({
      name: members[index] as string,
      engine: 'mysql',
      connection: { database },
    }));
  },

  trees: () => [],
});

export default agent;
