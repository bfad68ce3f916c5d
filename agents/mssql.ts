// SQL Server databases by name, for applications that have no agent of their own: each by the server's own backup, through a
// directory that the server and this host share, or out of the server's container.
import { asHex, fromHex, type MssqlConnection, query } from '../databases/toolkit/mssql-client.ts';
import { cannot } from '../lib/errors.ts';
import { count, list, path, text } from '../lib/settings.ts';
import { defineAgent } from './toolkit/define-agent.ts';
import { databasesOf, uniqueNames } from './toolkit/sources.ts';

/** The server's own; a restore of them belongs to an installation, not to an application. */
const SYSTEM = "N'master', N'tempdb', N'model', N'msdb'";

const agent = defineAgent({
  application: 'mssql',
  title: 'SQL Server databases',
  testedWith: "executables that behave as the documentation of SQL Server's clients says",
  settings: {
    MSSQL_HOST: { parse: text, default: 'localhost', describe: 'the server' },
    MSSQL_PORT: { parse: count, default: '1433', describe: 'its port' },
    MSSQL_USER: { parse: text, describe: "the account; unset: garner's own (Kerberos)" },
    MSSQL_PASSWORD: { parse: text, secret: true, describe: "the account's password" },
    MSSQL_DATABASES: {
      parse: list,
      describe: "the databases to back up: wiki,shop; unset: all but the server's own",
    },
    MSSQL_BACKUP_DIR: {
      parse: path,
      describe:
        "where the server writes backups, as this host calls it; unset: the server's default, in its container with GARNER_CONTAINER",
    },
    MSSQL_SERVER_BACKUP_DIR: {
      parse: text,
      describe: 'the same directory as the server calls it, where that differs; alone: one in its container',
    },
    MSSQL_TRUST_CERTIFICATE: {
      parse: (value) => value === 'true',
      default: 'false',
      describe: "true: the server's certificate is not checked",
    },
  },

  databaseServer: { engine: 'mssql', list: 'MSSQL_DATABASES' },

  async version(context) {
    const [source] = await databasesOf(agent, context);
    const sql = `SELECT ${asHex("SERVERPROPERTY('ProductVersion')")};`;
    const connection = source?.connection as MssqlConnection;
    const [[version] = []] = await query(connection, sql, context.signal, { database: 'master' });
    return fromHex(version);
  },

  async databases({ settings, signal }) {
    const server: Omit<MssqlConnection, 'database'> = {
      host: settings.MSSQL_HOST,
      port: settings.MSSQL_PORT,
      user: settings.MSSQL_USER,
      password: settings.MSSQL_PASSWORD,
      backupDir: settings.MSSQL_BACKUP_DIR,
      serverBackupDir: settings.MSSQL_SERVER_BACKUP_DIR,
      trustServerCertificate: settings.MSSQL_TRUST_CERTIFICATE,
    };
    const all = `SELECT ${asHex('name')} FROM sys.databases WHERE name NOT IN (${SYSTEM}) ORDER BY name;`;
    const names =
      settings.MSSQL_DATABASES ??
      (await query({ ...server, database: 'master' }, all, signal)).map(([name]) => fromHex(name));
    if (names.length === 0) {
      throw cannot('configuration', 'back up', 'SQL Server databases', 'the account sees none', {
        hint: 'set MSSQL_DATABASES, or GRANT VIEW ANY DATABASE TO the account',
      });
    }
    const members = uniqueNames(names);
    return names.map((database, index) => ({
      name: members[index] as string,
      engine: 'mssql',
      connection: { ...server, database },
    }));
  },

  trees: () => [],
});

export default agent;
