// Running MySQL's and MariaDB's clients: credentials in an option file that has no name on the disk, queries over stdin.
import { closeSync } from 'node:fs';
import { cannot, type GarnerError } from '../../lib/errors.ts';
import { type Command, capture, describeExit, type Ended } from '../../lib/process.ts';
import { registerSecret } from '../../lib/redact.ts';
import { escapeControls } from '../../lib/text.ts';
import { clientCommand, containerSuffix, findClientProgram, serverAddress } from './container.ts';
import type { TablePart } from './mysql-part.ts';
import { openUnnamedFile } from './unnamed-file.ts';

/** What isn't set comes from the client's own option files (`~/.my.cnf`). */
export interface MysqlConnection {
  host?: string | undefined;
  port?: number | undefined;
  socket?: string | undefined;
  user?: string | undefined;
  password?: string | undefined;
  database: string;
  /** Only these tables are the application's; undefined: all. */
  part?: TablePart | undefined;
}

/** The largest statement that clients take; the server has a limit of its own. */
export const MAX_PACKET = '--max-allowed-packet=1073741824';

/** @returns a value as option files read it: quoted, with the characters escaped that would end or change it */
function quoteOption(value: string): string {
  return `"${value.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t')}"`;
}

/**
 * Opens an option file with the credentials. It has no name, so nothing of it is left however the run ends; programs
 * get it as file descriptor 3.
 */
function openOptionFile({ user, password, ...address }: MysqlConnection): number {
  registerSecret(password);
  const { host, port, socket } = serverAddress(address);
  const options = { host, port: port?.toString(), socket, user, password };
  const lines = Object.entries(options).map(([name, value]) =>
    value === undefined ? '' : `${name}=${quoteOption(value)}\n`,
  );
  return openUnnamedFile(`[client]\n${lines.join('')}`).fd;
}

/** What a program needs to connect: the arguments that come first, the descriptor they name, and its environment. */
export interface ClientAccess extends Disposable {
  args: string[];
  env: Record<string, string>;
  fds: number[];
}

export function openAccess(connection: MysqlConnection): ClientAccess {
  const fd = openOptionFile(connection);
  return {
    args: ['--defaults-extra-file=/dev/fd/3'],
    // clients read ~/.my.cnf after the file that we name: another account's password there would win over ours
    env: connection.user === undefined ? {} : { HOME: '/nonexistent' },
    fds: [fd],
    [Symbol.dispose]() {
      closeSync(fd);
    },
  };
}

export const findClient = (): string => findClientProgram(['mariadb', 'mysql'], 'mariadb-client');
export const findDumpClient = (): string =>
  findClientProgram(['mariadb-dump', 'mysqldump'], 'mariadb-client');

/** @returns `user@host/database`, as far as it is set, and the container if it is reached through one */
export function describeConnection({ user, database, ...address }: MysqlConnection): string {
  const { host, port, socket } = serverAddress(address);
  const where =
    socket ?? (host === undefined ? 'localhost' : `${host}${port === undefined ? '' : `:${port}`}`);
  return `${user === undefined ? '' : `${user}@`}${where}/${database}${containerSuffix()}`;
}

/** Errors of the client that mean "not reached or not let in" rather than "this statement failed". */
const CONNECT_ERRORS =
  /\b(1040|1045|1049|1129|1130|1203|1226|1251|1698|2002|2003|2005|2006|2013|2026|2054|2059)\b/;
/** Errors that mean "let in, but not allowed to". */
const RIGHTS_ERRORS = /\b(1044|1142|1143|1227|1370)\b/;

/**
 * Turns a client's exit into the error that says what it means.
 * @param connecting what could not be done where the server was not reached or let nobody in
 */
export function clientError(
  ended: Ended,
  doWhat: string,
  connection: MysqlConnection,
  connecting = doWhat,
): GarnerError {
  const said = ended.stderr
    .split('\n')
    .filter((line) => /error/i.test(line))
    .at(-1);
  const cause = said?.replace(/^(mariadb-dump|mysqldump|mariadb|mysql): /, '') ?? describeExit(ended);
  const number = /\b\d{4}\b/.exec(said ?? '')?.[0] ?? '';
  const where = describeConnection(connection);
  if (RIGHTS_ERRORS.test(number)) {
    return cannot('database-rights', doWhat, where, escapeControls(cause), {
      hint: `GRANT what is denied ON \`${connection.database}\`.* TO the account; docs/databases.md has the statements`,
    });
  }
  return CONNECT_ERRORS.test(number)
    ? cannot('database-connect', connecting, where, escapeControls(cause))
    : cannot('database-dump', doWhat, where, escapeControls(cause));
}

/** @returns the client that takes SQL from stdin and prints rows for {@link readRow} */
export function sqlClient(
  connection: MysqlConnection,
  access: ClientAccess,
  options: readonly string[] = [],
): Command {
  return clientCommand({
    file: findClient(),
    args: [
      ...[...access.args, '--batch', '--skip-column-names', '--default-character-set=utf8mb4'],
      // safe updates show no more than 1000 rows
      ...['--connect-timeout=20', '--skip-safe-updates', ...options, '--', connection.database],
    ],
    env: access.env,
    fds: access.fds,
  });
}

/**
 * Runs one statement.
 * @returns its rows, each a list of texts; NULL is `NULL`
 */
export async function query(
  connection: MysqlConnection,
  sql: string,
  signal: AbortSignal,
): Promise<string[][]> {
  using access = openAccess(connection);
  const result = await capture(sqlClient(connection, access), { signal, input: sql, maxBytes: 256 << 20 });
  if (result.code !== 0) throw clientError(result, 'use database', connection, 'reach database');
  return result.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map(readRow);
}

/** Reads a line of a client that was asked with `--batch`. */
export const readRow = (line: string): string[] => line.split('\t').map(unescapeField);

/** `--batch` writes tabs, line breaks and backslashes of a value as `\t`, `\n`, `\\`. */
function unescapeField(field: string): string {
  const meanings: Record<string, string> = { t: '\t', n: '\n', '0': '\0', '\\': '\\' };
  return field.replace(/\\(.)/g, (whole, char: string) => meanings[char] ?? whole);
}
