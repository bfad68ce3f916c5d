// Running PostgreSQL's clients: the password in a file that has no name on the disk, queries over stdin, answers as JSON,
// and sessions that stay open so that a snapshot lives while others dump it.
import { closeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { cannot, type ErrorCode, type GarnerError } from '../../lib/errors.ts';
import { captureOk, describeExit, type Ended, startPipeline } from '../../lib/process.ts';
import { registerSecret } from '../../lib/redact.ts';
import { escapeControls } from '../../lib/text.ts';
import { clientCommand, containerSuffix, findClientProgram, serverAddress } from './container.ts';
import { openUnnamedFile } from './unnamed-file.ts';

/** What isn't set comes from libpq: the local socket, the current user, `~/.pgpass`, PG… variables. */
export interface PostgresConnection {
  /** A name, an address, or the directory of a socket; several in a list, as libpq takes it: the first that answers. */
  host?: string | undefined;
  /** One for all hosts, or a list. */
  port?: number | string | undefined;
  user?: string | undefined;
  password?: string | undefined;
  database: string;
  /** Libpq's sslmode and sslrootcert, where set. */
  sslmode?: string | undefined;
  sslrootcert?: string | undefined;
}

/** @returns `user@host/database`, as far as it is set, and the container if it is reached through one */
export function describeConnection({ user, database, ...address }: PostgresConnection): string {
  const { host, port } = addressOf(address);
  const where = `${host ?? 'localhost'}${port === undefined ? '' : `:${port}`}`;
  return `${user === undefined ? '' : `${user}@`}${where}/${database}${containerSuffix()}`;
}

/** Where libpq finds the server: its host may be the path of a socket. */
function addressOf(address: Pick<PostgresConnection, 'host' | 'port'>): typeof address {
  const { host, port, socket } = serverAddress(address);
  return { host: socket ?? host, port };
}

/** Opens a password file without a name, so that nothing of it is left however the run ends. */
function openPasswordFile(connection: PostgresConnection, password: string): number {
  registerSecret(password);
  if (/[\n\r\0]/.test(password)) {
    throw cannot(
      'configuration',
      'use the password of',
      describeConnection(connection),
      'it has a line break',
    );
  }
  return openUnnamedFile(`*:*:*:*:${password.replace(/[\\:]/g, '\\$&')}\n`).fd;
}

/** @returns a libpq connection string; what it names wins over every PG… variable */
function connectionString(parameters: Record<string, string | undefined>): string {
  return Object.entries(parameters)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}='${(value as string).replace(/['\\]/g, '\\$&')}'`)
    .join(' ');
}

/** What a program needs to connect: its arguments, its environment and the descriptor that they name. */
export interface ClientAccess extends Disposable {
  args: string[];
  env: Record<string, string>;
  fds: number[];
}

export function openAccess(connection: PostgresConnection, more: Record<string, string> = {}): ClientAccess {
  const { user, password, database, sslmode, sslrootcert } = connection;
  const { host, port } = addressOf(connection);
  const fd = password === undefined ? undefined : openPasswordFile(connection, password);
  const parameters = {
    host,
    port: port?.toString(),
    user,
    dbname: database,
    // a path that is opened anew by each program: the file's position does not matter
    passfile: fd === undefined ? undefined : '/dev/fd/3',
    sslmode,
    sslrootcert,
    connect_timeout: '20',
    ...more,
  };
  return {
    args: ['--no-password', `--dbname=${connectionString(parameters)}`],
    env: {
      // Debian's wrapper takes the newest client where a host is named, else that of the local cluster
      // PGHOSTADDR would win over the name; pg_dumpall drops empty ones from its arguments
      ...(host === undefined ? {} : { PGHOST: host, PGHOSTADDR: '', PGOPTIONS: '' }),
      PGCLIENTENCODING: '', // a dump is in the database's own encoding
      ...(password === undefined ? {} : { PGPASSWORD: '' }), // another account's: it would win over the file
    },
    fds: fd === undefined ? [] : [fd],
    [Symbol.dispose]() {
      if (fd !== undefined) closeSync(fd);
    },
  };
}

type Client = 'psql' | 'pg_dump' | 'pg_dumpall' | 'pg_restore';

export const findClient = (name: Client): string => findClientProgram([name], 'postgresql-client');

/** @throws the code, where a client is older than the server: it would refuse, or leave out what it doesn't know */
export async function checkClient(
  name: Client,
  connection: PostgresConnection,
  serverMajor: number,
  code: 'database-dump' | 'database-restore',
  env: Record<string, string>,
  signal: AbortSignal,
): Promise<void> {
  const text = await captureOk(clientCommand({ file: findClient(name), args: ['--version'], env }), {
    signal,
  });
  const major = Number(/(\d+)/.exec(text)?.[1]);
  if (major >= serverMajor) return;
  throw cannot(
    code,
    `${code === 'database-dump' ? 'dump' : 'restore'} database`,
    describeConnection(connection),
    `${name} ${major} is older than the server, which is PostgreSQL ${serverMajor}`,
    { hint: `apt-get install postgresql-client-${serverMajor}` },
  );
}

/** @returns the first error that a client printed, without its own name; else how it ended */
export function errorOf(ended: Ended): string {
  const said = /^(?:.*?\b(?:error|ERROR|FATAL|PANIC)): +(.+)$/m.exec(ended.stderr)?.[1];
  return said === undefined ? describeExit(ended) : escapeControls(said.replace(/^(ERROR|FATAL): +/, ''));
}

/** A client's exit as the error that says what it means. */
export function clientError(
  code: ErrorCode,
  doWhat: string,
  connection: PostgresConnection,
  ended: Ended,
): GarnerError {
  const cause = errorOf(ended);
  const locks =
    code === 'database-dump' && /max_locks_per_transaction|out of shared memory/.test(ended.stderr);
  const rights = code === 'database-dump' && /permission denied|row-level security/.test(cause);
  return cannot(
    rights ? 'database-rights' : code,
    doWhat,
    describeConnection(connection),
    cause,
    locks
      ? { hint: 'raise max_locks_per_transaction of the server: a dump takes a lock for each table' }
      : {},
  );
}

/** One connection that stays open. */
export interface Session {
  /** Runs SQL that gives one row with one JSON value in one line. @throws what the server said */
  ask<T>(sql: string): Promise<T>;
}

/** Lines end with a line feed and nothing else: values may have every other separator. */
async function* linesOf(stream: Readable): AsyncGenerator<string> {
  let rest = '';
  for await (const text of stream.setEncoding('utf8') as AsyncIterable<string>) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() as string;
    yield* lines;
  }
}

/** psql's exit code where the connection could not be made or broke; 3 is an error in a statement. */
const CONNECTION_BAD = 2;

/** Runs work with psql, which reads SQL from stdin; it is ended with the work, and its connection with it. */
async function withPsql<T>(
  connection: PostgresConnection,
  signal: AbortSignal,
  work: (psql: {
    write(sql: string): void;
    lines: AsyncGenerator<string>;
    failure(): Promise<GarnerError>;
    end(): Promise<void>;
  }) => Promise<T>,
): Promise<T> {
  using access = openAccess(connection, { client_encoding: 'UTF8' });
  const command = clientCommand({
    file: findClient('psql'),
    args: [
      ...['--no-psqlrc', '--quiet', '--no-align', '--tuples-only', '--set=ON_ERROR_STOP=1'],
      ...access.args,
    ],
    env: access.env,
    fds: access.fds,
  });
  const over = new AbortController();
  const client = startPipeline([command], { stdin: 'pipe', signal: AbortSignal.any([signal, over.signal]) });
  async function failure(): Promise<GarnerError> {
    const [ended] = await client.ended;
    const lost = ended?.code === CONNECTION_BAD;
    return clientError(
      lost ? 'database-connect' : 'database-dump',
      lost ? 'reach database' : 'read database',
      connection,
      ended as Ended,
    );
  }
  try {
    return await work({
      write: (sql) => client.stdin?.write(sql),
      lines: linesOf(client.stdout),
      failure,
      async end() {
        client.stdin?.end();
        const [ended] = await client.ended;
        if (ended?.code !== 0) throw await failure();
      },
    });
  } finally {
    over.abort(); // where the work failed: a statement may still run
  }
}

/**
 * Runs work with a connection of its own, which is ended with the work.
 * @throws database-connect where the server can't be reached or the connection breaks; database-dump for failed SQL
 */
export function withSession<T>(
  connection: PostgresConnection,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  return withPsql(connection, signal, async ({ write, lines, failure, end }) => {
    // what others put into the schemas of the database must not be taken for the server's own
    write('SET search_path = pg_catalog;\n');
    const result = await work({
      async ask(sql) {
        write(`${sql};\n`);
        const line = await lines.next();
        if (line.done) throw await failure();
        return JSON.parse(line.value);
      },
    });
    await end();
    return result;
  });
}

/** What stands for characters in COPY's text. */
const UNESCAPED: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/**
 * Streams the rows of a SELECT, however many, in a connection of its own.
 * @param before statements that come first, each with its semicolon
 * @param onRow gets the columns in their order, as the server prints them
 */
export function streamRows(
  connection: PostgresConnection,
  { before, select }: { before: string; select: string },
  onRow: (values: string[]) => void,
  signal: AbortSignal,
): Promise<void> {
  return withPsql(connection, signal, async ({ write, lines, end }) => {
    write(`${before}\nCOPY (${select}\n) TO STDOUT;\n\\q\n`);
    for await (const line of lines) {
      onRow(line.split('\t').map((value) => value.replace(/\\(.)/g, (_, char) => UNESCAPED[char] ?? char)));
    }
    await end();
  });
}

/** Runs one statement in a connection of its own, see {@link Session.ask}. */
export function ask<T>(connection: PostgresConnection, sql: string, signal: AbortSignal): Promise<T> {
  return withSession(connection, signal, (session) => session.ask<T>(sql));
}
