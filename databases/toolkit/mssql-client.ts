// Running sqlcmd for SQL Server. It takes a password by argument, by a question on a terminal, or as SQLCMDPASSWORD: that is the
// least, an environment that only the same account and root can read. In a container it is set there, by the client's input.
import { cannot, type ErrorCode, type GarnerError } from '../../lib/errors.ts';
import { type Command, capture, describeExit, type Ended } from '../../lib/process.ts';
import { registerSecret } from '../../lib/redact.ts';
import { escapeControls } from '../../lib/text.ts';
import {
  clientCommand,
  containerName,
  containerSuffix,
  findClientProgram,
  serverAddress,
} from './container.ts';

export interface MssqlConnection {
  host: string;
  /** Undefined: 1433, or what the server's browser says of the instance. */
  port?: number | undefined;
  instance?: string | undefined;
  /** Undefined: the account that garner runs as (Kerberos). */
  user?: string | undefined;
  password?: string | undefined;
  database: string;
  /** Where the server writes its backups, as it is called on this host; undefined: the server's own default, in its container. */
  backupDir?: string | undefined;
  /** The same as the server calls it; undefined: the same path. */
  serverBackupDir?: string | undefined;
  encrypt?: boolean | undefined;
  trustServerCertificate?: boolean | undefined;
}

const LOOPBACK = '127.0.0.1';

/** @returns where clients find the server: `host\instance`, its port, and whether all are in one container */
function placeOf({ host, port, instance }: MssqlConnection) {
  const to = serverAddress({ host, port });
  const name = to.host ?? LOOPBACK;
  const isTheirOwn = containerName() !== undefined && name === LOOPBACK;
  // a container has one server
  const hasInstance = instance !== undefined && !isTheirOwn;
  return { name: hasInstance ? `${name}\\${instance}` : name, port: to.port, isTheirOwn };
}

/** @returns `user@host:port/database` */
export function describeConnection(connection: MssqlConnection): string {
  const { name, port } = placeOf(connection);
  const at = `${name}${port === undefined ? '' : `:${port}`}/${connection.database}${containerSuffix()}`;
  return connection.user === undefined ? at : `${connection.user}@${at}`;
}

/** @returns a name in Transact-SQL */
export const quoteName = (name: string): string => `[${name.replaceAll(']', ']]')}]`;
/** @returns a text in Transact-SQL */
export const quoteText = (text: string): string => `N'${text.replaceAll("'", "''")}'`;

/** Texts come as hexadecimal UTF-16: no name can end a column or a line. */
export const asHex = (expression: string): string =>
  `CONVERT(varchar(2000), CONVERT(varbinary(1000), CONVERT(nvarchar(500), ${expression})), 2)`;
export const fromHex = (hex: string | undefined): string => Buffer.from(hex ?? '', 'hex').toString('utf16le');

function sqlClient(connection: MssqlConnection, database: string, sql: string): Command {
  const { user, password, encrypt, trustServerCertificate } = connection;
  registerSecret(password);
  const { name, port, isTheirOwn } = placeOf(connection);
  const trusts = trustServerCertificate || isTheirOwn; // self-signed, and nobody is in between
  const file = findClientProgram(['sqlcmd'], 'mssql-tools18 (from Microsoft)');
  const args = [
    ...['-S', `tcp:${name}${port === undefined ? '' : `,${port}`}`],
    ...[...(user === undefined ? ['-E'] : ['-U', user]), '-d', database, '-l', '20'],
    ...(encrypt ? ['-N'] : []),
    ...(trusts ? ['-C'] : []),
    // errors end it and go to stderr; no variables, no headings, no padding
    ...['-b', '-r1', '-x', '-h', '-1', '-W', '-s', '\t', '-w', '65535', '-Q', `SET NOCOUNT ON; ${sql}`],
  ];
  return clientCommand({ file, args }, password === undefined ? {} : { SQLCMDPASSWORD: password });
}

const CONNECT_ERRORS =
  /.*(?:Login failed|Login timeout|TCP Provider|SSL Provider|Cannot open database|network-related).*/i;
const RIGHTS_ERRORS = /.*(?:permission (?:was )?denied|does not have permission|Msg 262\b).*/i;

/** Turns what the client said into the error that tells what it means. */
export function clientError(
  code: ErrorCode,
  doWhat: string,
  connection: MssqlConnection,
  ended: Ended,
): GarnerError {
  const where = describeConnection(connection);
  // its first line has the number, the second what it means
  const said = ended.stderr.replaceAll(/^(Msg \d+.*)\n/gm, '$1: ');
  const denied = RIGHTS_ERRORS.exec(said)?.[0];
  if (denied !== undefined) {
    return cannot('database-rights', doWhat, where, escapeControls(denied), {
      hint: `ALTER ROLE db_backupoperator ADD MEMBER the account; docs/databases.md has the statements`,
    });
  }
  const connecting = CONNECT_ERRORS.exec(said)?.[0];
  if (connecting !== undefined) {
    const hint = /certificate/i.test(connecting)
      ? 'where nobody vouches for it: trustServerCertificate=true in the URL, MSSQL_TRUST_CERTIFICATE=true for agent-mssql'
      : undefined;
    return cannot('database-connect', doWhat, where, escapeControls(connecting), { hint });
  }
  return cannot(code, doWhat, where, describeExit({ ...ended, stderr: said }));
}

/**
 * Runs statements.
 * @param database where; the connection's own may not be there yet
 * @returns the rows of the one that gives any, their columns as texts
 */
export async function query(
  connection: MssqlConnection,
  sql: string,
  signal: AbortSignal,
  { database = connection.database, code = 'database-connect', doWhat = 'use database' } = {} as {
    database?: string;
    code?: ErrorCode;
    doWhat?: string;
  },
): Promise<string[][]> {
  const result = await capture(sqlClient(connection, database, sql), { signal, maxBytes: 256 << 20 });
  if (result.code !== 0) throw clientError(code, doWhat, connection, result);
  return result.stdout
    .split(/\r?\n/)
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));
}
