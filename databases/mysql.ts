// MySQL and MariaDB, through the servers' own clients: one consistent snapshot, proved whole by the client's exit, its
// trailer and every table, view, routine, trigger and event, with the rows counted as they pass.
import type { Engine } from './toolkit/engine.ts';
import { describeConnection, type MysqlConnection, query } from './toolkit/mysql-client.ts';
import { dumpDatabase } from './toolkit/mysql-dump.ts';
import { listTables } from './toolkit/mysql-objects.ts';
import { countOccupants, restoreDatabase } from './toolkit/mysql-restore.ts';
import { readServerUrl } from './toolkit/server-url.ts';

const engine: Engine<MysqlConnection> = {
  name: 'mysql',
  schemes: ['mysql', 'mariadb'],
  dumpSuffix: 'sql',
  fileSuffix: 'sql',

  connectionFromUrl(url) {
    return { ...readServerUrl(url, 'mysql:'), socket: url.searchParams.get('socket') ?? undefined };
  },

  describe: describeConnection,
  databaseName: ({ database }) => database,

  async inspect(connection, signal) {
    const [[serverVersion = ''] = []] = await query(connection, 'SELECT VERSION()', signal);
    const tables = await listTables(connection, signal);
    const sizeBytes = tables.reduce((sum, table) => sum + table.sizeBytes, 0);
    return { serverVersion, sizeBytes, tables: tables.map(({ name }) => name) };
  },

  dump: dumpDatabase,
  occupied: countOccupants,
  restore: restoreDatabase,
  runsInContainer: true,
};

export default engine;
