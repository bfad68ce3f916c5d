// SQL Server, by its own backup (BACKUP DATABASE … WITH COPY_ONLY, CHECKSUM), which is of one moment and whole, and which the server
// itself verifies: through a file in a directory that the server and this host share, or in the server's container. Rows are counted
// just before.
import { randomBytes } from 'node:crypto';
import { cannot, GarnerError } from '../lib/errors.ts';
import { plural } from '../lib/text.ts';
import { containerName } from './toolkit/container.ts';
import type { DumpFacts, Engine } from './toolkit/engine.ts';
import type { BackupFile } from './toolkit/mssql-backup-file.ts';
import {
  asHex,
  describeConnection,
  fromHex,
  type MssqlConnection,
  query,
  quoteName,
  quoteText,
} from './toolkit/mssql-client.ts';
import { nameContainerFile } from './toolkit/mssql-container-file.ts';
import { nameSharedFile } from './toolkit/mssql-shared-file.ts';
import { readServerUrl } from './toolkit/server-url.ts';

const FACTS = `SELECT ${asHex("SERVERPROPERTY('ProductVersion')")},
  (SELECT SUM(CONVERT(bigint, size)) * 8192 FROM sys.database_files WHERE type = 0),
  HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'VIEW DEFINITION');`;

/** Without a right to a table it is not seen here, and in the backup all the same. */
const TABLES = `SELECT ${asHex("SCHEMA_NAME(t.schema_id) + N'.' + t.name")}, SUM(p.rows) FROM sys.tables t
  JOIN sys.partitions p ON p.object_id = t.object_id AND p.index_id IN (0, 1)
  WHERE t.is_ms_shipped = 0 GROUP BY t.schema_id, t.name ORDER BY 1;`;

async function readTables(connection: MssqlConnection, signal: AbortSignal): Promise<Record<string, number>> {
  const rows = await query(connection, TABLES, signal);
  return Object.fromEntries(
    rows.map(([name, count]) => [fromHex(name).replace(/^dbo\./, ''), Number(count)]),
  );
}

async function readFacts(
  connection: MssqlConnection,
  signal: AbortSignal,
): Promise<{ serverVersion: string; sizeBytes: number; seesAll: boolean }> {
  const [[version, size, seesAll] = []] = await query(connection, FACTS, signal);
  return { serverVersion: fromHex(version), sizeBytes: Number(size), seesAll: seesAll === '1' };
}

/** @returns where each file of a backup goes: beside the server's other databases, by the name of this one */
async function moves(
  { database, ...connection }: MssqlConnection,
  serverPath: string,
  signal: AbortSignal,
): Promise<string[]> {
  const master = { ...connection, database: 'master' };
  const property = (name: string): string => asHex(`SERVERPROPERTY('${name}')`);
  const paths = `SELECT ${property('InstanceDefaultDataPath')}, ${property('InstanceDefaultLogPath')};`;
  const [[data, log] = []] = await query(master, paths, signal);
  // the first columns: logical name, path, kind (D, L, F, S)
  const files = await query(master, `RESTORE FILELISTONLY FROM DISK = ${quoteText(serverPath)};`, signal);
  const plain = database.replaceAll(/[^\w-]/g, '_');
  return files.map(([name = '', , kind], index) => {
    const suffix = kind === 'L' ? '_log.ldf' : '.mdf';
    const number = index === 0 ? '' : `_${index}`;
    const path = `${fromHex(kind === 'L' ? log : data)}${plain}${number}${suffix}`;
    return `MOVE ${quoteText(name)} TO ${quoteText(path)}`;
  });
}

/** @returns a fresh name, for the server or for us to write; the file is gone when it is disposed */
async function nameBackupFile(connection: MssqlConnection, signal: AbortSignal): Promise<BackupFile> {
  const name = `garner-${randomBytes(8).toString('hex')}.bak`;
  const { backupDir, serverBackupDir: set = backupDir } = connection;
  const directory = set ?? (await defaultBackupDir(connection, signal));
  return backupDir === undefined && containerName() !== undefined
    ? nameContainerFile(connection, directory, name, signal)
    : nameSharedFile(backupDir ?? directory, directory, name);
}

async function defaultBackupDir(connection: MssqlConnection, signal: AbortSignal): Promise<string> {
  const property = asHex("SERVERPROPERTY('InstanceDefaultBackupPath')");
  const [[hex] = []] = await query(connection, `SELECT ${property};`, signal, { database: 'master' });
  return (hex === undefined || hex === 'NULL' ? '' : fromHex(hex)) || '/var/opt/mssql/data';
}

const exists = async (connection: MssqlConnection, signal: AbortSignal): Promise<boolean> => {
  const sql = `SELECT COUNT(*) FROM sys.databases WHERE name = ${quoteText(connection.database)};`;
  return (await query(connection, sql, signal, { database: 'master' }))[0]?.[0] !== '0';
};

const engine: Engine<MssqlConnection> = {
  name: 'mssql',
  schemes: ['sqlserver', 'mssql'],
  dumpSuffix: 'dump',
  fileSuffix: 'bak',

  connectionFromUrl(url) {
    const { host = 'localhost', ...named } = readServerUrl(url, 'sqlserver:');
    const known = ['instance', 'backupDir', 'serverBackupDir', 'encrypt', 'trustServerCertificate'];
    const unknown = [...url.searchParams.keys()].find((name) => !known.includes(name));
    if (unknown !== undefined) {
      throw cannot('configuration', 'use database URL', 'sqlserver:', `"${unknown}" is not supported`, {
        hint: `there are ${known.join(', ')}`,
      });
    }
    const parameter = (name: string): string | undefined => url.searchParams.get(name) || undefined;
    return {
      host,
      ...named,
      instance: parameter('instance'),
      backupDir: parameter('backupDir'),
      serverBackupDir: parameter('serverBackupDir'),
      encrypt: parameter('encrypt') === 'true',
      trustServerCertificate: parameter('trustServerCertificate') === 'true',
    };
  },

  describe: describeConnection,
  databaseName: ({ database }) => database,

  async inspect(connection, signal) {
    const { serverVersion, sizeBytes } = await readFacts(connection, signal);
    return { serverVersion, sizeBytes, tables: Object.keys(await readTables(connection, signal)) };
  },

  async dump(connection, { encode, signal, queries, expectedTables }) {
    for (const { onFailure } of queries) onFailure(new Error('garner asks SQL Server no questions'));
    const where = describeConnection(connection);
    const doWhat = 'dump database';
    const { serverVersion, seesAll } = await readFacts(connection, signal);
    const tables = await readTables(connection, signal);
    const warnings: DumpFacts['warnings'] = [];
    if (!seesAll) {
      const message = `${where}: the account sees not all tables; the dump has them, the manifest does not count them (GRANT VIEW DEFINITION)`;
      warnings.push({ code: 'database-rights', message });
    }
    // of an application in a schema of its own too
    const seen = new Set(Object.keys(tables).map((name) => name.toLowerCase().replace(/^.*\./, '')));
    const absent = expectedTables.filter((name) => !seen.has(name.toLowerCase()));
    if (seesAll && absent.length > 0)
      throw cannot('database-dump', doWhat, where, `the database lacks the tables ${absent.join(', ')}`);

    await using file = await nameBackupFile(connection, signal);
    const disk = `DISK = ${quoteText(file.serverPath)}`;
    const options = { database: 'master', code: 'database-dump', doWhat } as const;
    const backup = `BACKUP DATABASE ${quoteName(connection.database)} TO ${disk} WITH COPY_ONLY, CHECKSUM, INIT, FORMAT;`;
    await query(connection, backup, signal, options);
    await query(connection, `RESTORE VERIFYONLY FROM ${disk} WITH CHECKSUM;`, signal, options);
    try {
      return { serverVersion, tables, uncompressedSizeBytes: await file.store(encode), warnings };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof GarnerError) throw error;
      throw cannot('database-dump', doWhat, where, error, { hint: file.hint });
    }
  },

  async occupied(connection, signal) {
    if (!(await exists(connection, signal))) return undefined;
    const count = Object.keys(await readTables(connection, signal)).length;
    return count === 0 ? undefined : plural(count, 'table');
  },

  async restore(connection, { decode, aside, signal }) {
    const doWhat = 'restore database';
    const options = { database: 'master', code: 'database-restore', doWhat } as const;
    await using file = await nameBackupFile(connection, signal);
    await file.fill(decode);
    const disk = `DISK = ${quoteText(file.serverPath)}`;
    await query(connection, `RESTORE VERIFYONLY FROM ${disk} WITH CHECKSUM;`, signal, options);
    const withOptions = [
      'CHECKSUM',
      'REPLACE',
      'RECOVERY',
      ...(await moves(connection, file.serverPath, signal)),
    ];
    const old = await aside?.dump();
    const restore = `RESTORE DATABASE ${quoteName(connection.database)} FROM ${disk} WITH ${withOptions.join(', ')};`;
    try {
      await query(connection, restore, signal, options);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof GarnerError)) throw error;
      const inUse = /exclusive access/i.test(error.message) ? 'stop the application first; ' : '';
      const kept =
        old === undefined ? 'the database may be gone or half restored' : `what was in it is in ${old}`;
      throw new GarnerError(error.code, error.message, {
        cause: error,
        hint: error.hint ?? `${inUse}${kept}`,
      });
    }
    return old;
  },

  runsInContainer: true,
};

export default engine;
