// MySQL and MariaDB, through the servers' own clients: one consistent snapshot, proved whole by the client's exit, its
// trailer and every table, view, routine, trigger and event, with the rows counted as they pass.
import { cannot } from '../lib/errors.ts';
import type { Engine } from './toolkit/engine.ts';
import { describeConnection, type MysqlConnection, query } from './toolkit/mysql-client.ts';
import { dumpDatabase } from './toolkit/mysql-dump.ts';
import { listTables } from './toolkit/mysql-objects.ts';
import { countOccupants, restoreDatabase } from './toolkit/mysql-restore.ts';

const engine: Engine<MysqlConnection> = {
  name: 'mysql',
  schemes: ['mysql', 'mariadb'],
  dumpSuffix: 'sql',
  fileSuffix: 'sql',

  connectionFromUrl(url) {
    const database = decodeURIComponent(url.pathname.slice(1));
    if (database === '') throw cannot('configuration', 'use database URL', 'mysql:', 'it names no database');
    const decoded = (part: string): string | undefined => decodeURIComponent(part) || undefined;
    return {
      host: decoded(url.hostname.replace(/^\[(.*)\]$/, '$1')),
      port: url.port === '' ? undefined : Number(url.port),
      socket: url.searchParams.get('socket') ?? undefined,
      user: decoded(url.username),
      password: decoded(url.password),
      database,
    };
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
