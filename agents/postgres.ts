// PostgreSQL databases by name, for applications that have no agent of their own, and the server's roles.
// The connection is libpq's default (the local socket, the current user, `~/.pgpass`), or with one database
// GARNER_DATABASE_URL.
import { ask } from '../databases/toolkit/postgres-client.ts';
import { cannot } from '../lib/errors.ts';
import { list } from '../lib/settings.ts';
import { defineAgent } from './toolkit/define-agent.ts';
import { databasesOf, uniqueNames } from './toolkit/sources.ts';

const agent = defineAgent({
  application: 'postgres',
  title: 'PostgreSQL databases',
  testedWith: 'the real thing: PostgreSQL of Debian',
  settings: {
    POSTGRES_DATABASES: {
      parse: list,
      describe: 'the databases to back up: wiki,shop; unset: all that the account may connect to',
    },
  },

  databaseServer: { engine: 'postgres', list: 'POSTGRES_DATABASES' },

  async version(context) {
    const [source] = await databasesOf(agent, context);
    const version = await ask<string>(
      source?.connection as Parameters<typeof ask>[0],
      "SELECT to_jsonb(current_setting('server_version'))",
      context.signal,
    );
    return version.split(' ')[0] as string; // `15.14 (Debian 15.14-0+deb12u1)`
  },

  async databases({ settings, signal }) {
    const names =
      settings.POSTGRES_DATABASES ??
      (await ask<string[]>(
        { database: 'postgres' },
        `SELECT coalesce(jsonb_agg(datname ORDER BY datname), '[]') FROM pg_database
          WHERE NOT datistemplate AND datallowconn AND has_database_privilege(oid, 'CONNECT')`,
        signal,
      ));
    if (names.length === 0) {
      throw cannot('configuration', 'back up', 'PostgreSQL databases', 'the account may connect to none', {
        hint: 'set POSTGRES_DATABASES, or give the account rights',
      });
    }
    const members = uniqueNames(names);
    return names.map((database, index) => ({
      name: members[index] as string,
      engine: 'postgres',
      connection: { database },
    }));
  },

  trees: () => [],
});

export default agent;
