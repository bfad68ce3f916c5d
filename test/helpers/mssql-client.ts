// A program that behaves as the documentation of sqlcmd and of BACKUP, RESTORE and their like says, on a server that is a file of
// JSON: Debian has no SQL Server. MSSQL_SERVER is the file, MSSQL_FAULT (or the file's own `fault`) what goes wrong. Run as sqlcmd.
import { readFileSync, writeFileSync } from 'node:fs';

export interface Server {
  password: string;
  /** What the account may; all that is asked for by name. */
  rights: string[];
  /** The directory of backups, as the server calls it, and as it is on this disk. */
  backups: { name: string; directory: string };
  databases: Record<string, Record<string, string[]>>;
  fault?: string;
}

const args = process.argv.slice(2);
const file = process.env.MSSQL_SERVER as string;
const server: Server = JSON.parse(readFileSync(file, 'utf8'));
const fault = process.env.MSSQL_FAULT ?? server.fault ?? '';
const option = (name: string): string => args[args.indexOf(name) + 1] as string;

function fail(number: number, text: string): never {
  process.stderr.write(`Msg ${number}, Level 16, State 1, Server sql1, Line 1\n${text}\n`);
  process.exit(1);
}

/** For ten minutes, and ends by a signal all the same. */
const hang = (): unknown => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600_000);

const hex = (text: string): string => Buffer.from(text, 'utf16le').toString('hex').toUpperCase();
const print = (...columns: (string | number)[]): void => void process.stdout.write(`${columns.join('\t')}\n`);
const text = (sql: string, after: string): string =>
  new RegExp(`${after} N'((?:''|[^'])*)'`).exec(sql)?.[1]?.replaceAll("''", "'") ?? '';
const named = (sql: string): string =>
  /DATABASE \[((?:\]\]|[^\]])*)\]/.exec(sql)?.[1]?.replaceAll(']]', ']') ?? '';
/** @returns a path of the server as it is on this disk */
const here = (path: string): string =>
  path.startsWith(server.backups.name)
    ? server.backups.directory + path.slice(server.backups.name.length)
    : path;

if (process.env.SQLCMDPASSWORD !== server.password) {
  process.stderr.write(
    `Sqlcmd: Error: Microsoft ODBC Driver 18 for SQL Server : Login failed for user '${option('-U')}'..\n`,
  );
  process.exit(1);
}
if (fault === 'self-signed' && !args.includes('-C')) {
  process.stderr.write(
    'Sqlcmd: Error: Microsoft ODBC Driver 18 for SQL Server : SSL Provider: [error:0A000086:SSL routines::certificate verify failed:self-signed certificate].\n',
  );
  process.exit(1);
}
const current = option('-d');
if (current !== 'master' && server.databases[current] === undefined) {
  process.stderr.write(
    `Sqlcmd: Error: Microsoft ODBC Driver 18 for SQL Server : Cannot open database "${current}" requested by the login. The login failed..\n`,
  );
  process.exit(1);
}
const sql = option('-Q').replace(/^SET NOCOUNT ON; /, '');
const tables = server.databases[current] ?? {};

/** @returns what a backup file holds */
function readBackup(path: string): { database: string; tables: Record<string, string[]> } {
  const bytes = readFileSync(here(path));
  if (bytes.subarray(0, 4).toString() !== 'TAPE')
    fail(3241, `The media family on device '${path}' is incorrectly formed.`);
  try {
    return JSON.parse(bytes.subarray(4).toString('utf8').replaceAll('\0', ''));
  } catch {
    return fail(3013, 'VERIFY DATABASE is terminating abnormally.');
  }
}

if (sql.startsWith('BACKUP DATABASE')) {
  const database = named(sql);
  if (!server.rights.includes('BACKUP DATABASE'))
    fail(262, `BACKUP DATABASE permission denied in database '${database}'.`);
  const path = text(sql, 'DISK =');
  let bytes = Buffer.from(`TAPE${JSON.stringify({ database, tables: server.databases[database] })}`);
  bytes = Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
  if (fault === 'half') bytes = bytes.subarray(0, 100);
  if (fault === 'nothing') bytes = Buffer.alloc(0);
  if (fault === 'damaged') bytes.write('damaged', 20);
  if (fault !== 'elsewhere') writeFileSync(here(path), bytes);
  if (fault === 'hang') hang();
  if (fault === 'disk-full')
    fail(3202, `Write on "${path}" failed: 112(There is not enough space on the disk.)`);
} else if (sql.startsWith('RESTORE VERIFYONLY')) {
  if (!['half', 'nothing', 'elsewhere'].includes(fault)) readBackup(text(sql, 'DISK ='));
} else if (sql.startsWith('RESTORE FILELISTONLY')) {
  const { database } = readBackup(text(sql, 'DISK ='));
  print(database, `D:\\old\\${database}.mdf`, 'D', 'PRIMARY', 8_388_608);
  print(`${database}_log`, `D:\\old\\${database}_log.ldf`, 'L', 'NULL', 8_388_608);
} else if (sql.startsWith('RESTORE DATABASE')) {
  if (fault === 'hang') hang();
  if (fault === 'in-use')
    fail(
      3101,
      'Exclusive access could not be obtained because the database is in use.\nRESTORE DATABASE is terminating abnormally.',
    );
  if (!server.rights.includes('CREATE DATABASE'))
    fail(262, "CREATE DATABASE permission denied in database 'master'.");
  if (!/MOVE N'.*' TO N'\/data\//.test(sql))
    fail(3634, 'The operating system returned the error: path not found.');
  server.databases[named(sql)] = readBackup(text(sql, 'DISK =')).tables;
  writeFileSync(file, JSON.stringify(server));
} else if (sql.includes('HAS_PERMS_BY_NAME')) {
  print(hex('16.0.4135.4'), 8_388_608, server.rights.includes('VIEW DEFINITION') ? 1 : 0);
} else if (sql.includes('sys.partitions')) {
  const seen = server.rights.includes('VIEW DEFINITION') ? Object.entries(tables) : [];
  for (const [name, rows] of seen) print(hex(name), rows.length);
} else if (sql.includes('COUNT(*) FROM sys.databases')) {
  print(server.databases[text(sql, 'name =')] === undefined ? 0 : 1);
} else if (sql.includes('FROM sys.databases')) {
  for (const name of Object.keys(server.databases)) print(hex(name));
} else if (sql.includes('InstanceDefaultDataPath')) print(hex('/data/'), hex('/data/'));
else if (sql.includes('InstanceDefaultBackupPath')) print(hex(server.backups.name));
else if (sql.includes('ProductVersion')) print(hex('16.0.4135.4'));
else fail(102, `Incorrect syntax near '${sql.slice(0, 30)}'.`);
