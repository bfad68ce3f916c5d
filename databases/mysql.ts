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
    const [[serverVersion = '', sizeBytes = '0'] = []] = await query(
      connection,
      'SELECT VERSION(), COALESCE(SUM(DATA_LENGTH), 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()',
      signal,
    );
    const tables = (await listTables(connection, signal)).map(({ name }) => name);
    return { serverVersion, sizeBytes: Number(sizeBytes), tables };
  },

  dump: dumpDatabase,
  occupied: countOccupants,
  restore: restoreDatabase,
};

export default engine;
