// MySQL and MariaDB, through the servers' own clients: one consistent snapshot, proved whole by the client's exit, its
// trailer and every expected table, with the rows counted as they pass.
import type { Writable } from 'node:stream';
import { cannot, GarnerError } from '../lib/errors.ts';
import { type Command, capture, describeExit, type Ended, feed, startPipeline } from '../lib/process.ts';
import { plural } from '../lib/text.ts';
import type { DumpFacts, Engine } from './toolkit/engine.ts';
import {
  type ClientAccess,
  clientError,
  describeConnection,
  findClient,
  findDumpClient,
  type MysqlConnection,
  openAccess,
  query,
} from './toolkit/mysql-client.ts';
import { startQueries } from './toolkit/mysql-queries.ts';
import { type SqlScanner, scanSqlDump } from './toolkit/sql-scanner.ts';

/** The largest row that clients take; the server has a limit of its own. */
const MAX_PACKET = '--max-allowed-packet=1073741824';
const SNAPSHOT_ENGINES = new Set(['InnoDB', 'ROCKSDB', 'TokuDB']);

interface ServerTable {
  name: string;
  isBaseTable: boolean;
  storageEngine: string;
}

async function listTables(connection: MysqlConnection, signal: AbortSignal): Promise<ServerTable[]> {
  const rows = await query(
    connection,
    'SELECT TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME',
    signal,
  );
  return rows.map(([name, type, storageEngine]) => ({
    name: name as string,
    isBaseTable: type === 'BASE TABLE' || type === 'SYSTEM VERSIONED',
    storageEngine: storageEngine as string,
  }));
}

/**
 * An account that may not see a table gets a dump without it, with exit 0 and the trailer. So the account must hold
 * SELECT on the whole database; what it lacks besides is a warning.
 */
async function checkRights(
  connection: MysqlConnection,
  expectedTables: readonly string[],
  signal: AbortSignal,
): Promise<DumpFacts['warnings']> {
  const held = new Set<string>();
  const seen: string[] = [];
  for (const [grant = ''] of await query(connection, 'SHOW GRANTS', signal)) {
    const match = /^GRANT (.+?) ON (?:(?:TABLE )?`?((?:[^`]|``)+?)`?\.(\*|`(?:[^`]|``)+`)) TO /.exec(grant);
    if (match === null) continue;
    const [, privileges = '', schema = '', object = ''] = match;
    const covers = schema === '*' || likeMatches(schema.replaceAll('``', '`'), connection.database);
    if (!covers) continue;
    if (object !== '*') {
      seen.push(object.slice(1, -1));
      continue;
    }
    for (const privilege of privileges.split(/, (?![^(]*\))/)) held.add(privilege.trim());
  }
  const has = (privilege: string): boolean => held.has(privilege) || held.has('ALL PRIVILEGES');
  if (!has('SELECT')) {
    const visible = new Set((await listTables(connection, signal)).map(({ name }) => name));
    const hidden = expectedTables.filter((table) => !visible.has(table) || !seen.includes(table));
    const cause =
      hidden.length > 0
        ? `the account may not read ${hidden.slice(0, 20).join(', ')}`
        : `the account may not read the whole database, only ${seen.slice(0, 20).join(', ') || 'nothing'}`;
    throw cannot('database-rights', 'dump database', describeConnection(connection), cause, {
      hint: `GRANT SELECT, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT ON \`${connection.database}\`.* TO the account: what it can't see would be missing without a word`,
    });
  }
  return ['TRIGGER', 'EVENT', 'SHOW VIEW']
    .filter((privilege) => !has(privilege))
    .map((privilege) => ({
      code: 'database-rights',
      message: `the account lacks ${privilege} on ${connection.database}: what needs it may be missing from the dump`,
    }));
}

/** The database part of a grant is a LIKE pattern: `wiki\_%`. */
function likeMatches(pattern: string, name: string): boolean {
  const expression = pattern.replace(/\\(.)|(%)|(_)|(.)/gs, (_, literal, any, one, char) =>
    any ? '.*' : one ? '.' : RegExp.escape(literal ?? char),
  );
  return new RegExp(`^${expression}$`, 's').test(name);
}

async function dumpCommand(
  connection: MysqlConnection,
  access: ClientAccess,
  options: readonly string[],
  signal: AbortSignal,
): Promise<Command> {
  const file = findDumpClient();
  // MySQL's client asks for statistics that MariaDB and MySQL 5.7 don't have
  const help = await capture({ file, args: ['--help'] }, { signal });
  const statistics = help.stdout.includes('column-statistics') ? ['--column-statistics=0'] : [];
  return {
    file,
    args: [
      ...access.args,
      '--single-transaction',
      '--quick',
      '--routines',
      '--triggers',
      '--events',
      '--hex-blob',
      '--no-tablespaces',
      '--default-character-set=utf8mb4',
      MAX_PACKET,
      ...statistics,
      ...options,
      '--',
      connection.database,
    ],
    env: access.env,
    fds: access.fds,
  };
}

function checkWhole(
  connection: MysqlConnection,
  ended: Ended,
  scanner: SqlScanner,
  expected: readonly string[],
): void {
  const refuse = (cause: string, hint?: string): GarnerError =>
    cannot(
      'database-dump',
      'dump database',
      describeConnection(connection),
      cause,
      hint === undefined ? {} : { hint },
    );
  if (ended.code !== 0) {
    if (ended.stderr !== '') throw clientError(ended, 'dump database', connection);
    throw refuse(`${ended.command.file}: ${describeExit(ended)}`);
  }
  if (scanner.sizeBytes === 0) throw refuse('the client wrote nothing');
  if (!scanner.hasTrailer()) {
    throw refuse(
      'the dump is cut off: the trailer "-- Dump completed" is missing',
      'look for --skip-comments in MYSQLDUMP_PARAMS and in ~/.my.cnf, and for the disk of the server',
    );
  }
  const missing = expected.filter((table) => !scanner.tables.has(table));
  if (missing.length > 0) {
    throw refuse(
      `tables are missing from the dump: ${missing.slice(0, 20).join(', ')}${missing.length > 20 ? ' …' : ''}`,
      'the account may lack rights on them',
    );
  }
}

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

  async dump(connection, { encode, signal, expectedTables, derivedTables, clientOptions, queries }) {
    const [[serverVersion = ''] = []] = await query(connection, 'SELECT VERSION()', signal);
    const warnings = await checkRights(connection, expectedTables, signal);
    const tables = await listTables(connection, signal);
    const unsafe = tables.filter(
      ({ name, isBaseTable, storageEngine }) =>
        isBaseTable && !SNAPSHOT_ENGINES.has(storageEngine) && !derivedTables.includes(name),
    );
    if (unsafe.length > 0) {
      const names = unsafe.slice(0, 10).map(({ name, storageEngine }) => `${name} (${storageEngine})`);
      warnings.push({
        code: 'no-snapshot',
        message: `${plural(unsafe.length, 'table')} of ${connection.database} not in the snapshot, may have changed while dumped: ${names.join(', ')}`,
      });
    }

    using access = openAccess(connection);
    const command = await dumpCommand(connection, access, clientOptions, signal);
    using over = new DisposableStack();
    const failed = over.adopt(new AbortController(), (controller) => controller.abort());
    const { answered } = await startQueries(connection, queries, AbortSignal.any([signal, failed.signal]));
    const client = startPipeline([command], { signal });
    const storing = encode([], 'pipe');
    const scanner = scanSqlDump();
    async function* scanned(): AsyncGenerator<Buffer> {
      for await (const chunk of client.stdout as AsyncIterable<Buffer>) {
        scanner.scan(chunk);
        yield chunk;
      }
    }
    // a failure of one side must not leave the other waiting
    const fed = feed(storing.stdin as Writable, scanned()).catch(() => (storing.stdin as Writable).destroy());
    const [ended] = await client.ended;
    await fed;
    await storing.ended;
    const expected = tables.filter(({ isBaseTable }) => isBaseTable).map(({ name }) => name);
    checkWhole(connection, ended as Ended, scanner, expected);
    await answered;
    return {
      serverVersion,
      tables: Object.fromEntries(scanner.tables),
      uncompressedSizeBytes: scanner.sizeBytes,
      warnings,
    };
  },

  async occupied(connection, signal) {
    const count = (await listTables(connection, signal)).length;
    return count === 0 ? undefined : plural(count, 'table');
  },

  async restore(connection, { decode, aside, signal }) {
    const old = await aside?.dump();
    if (old !== undefined) await emptyDatabase(connection, signal);
    using access = openAccess(connection);
    let said = '';
    const client: Command = {
      file: findClient(),
      // binary mode: strings are taken as they are, and commands such as \! in a dump are not obeyed
      args: [
        ...access.args,
        '--binary-mode',
        '--local-infile=0', // a dump must not read files of this host
        '--default-character-set=utf8mb4',
        MAX_PACKET,
        '--',
        connection.database,
      ],
      env: access.env,
      fds: access.fds,
      onStderrLine: (line) => {
        said = line;
      },
    };
    try {
      await decode(client);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof GarnerError && error.code !== 'program-failed') throw error;
      throw cannot('database-restore', 'restore database', describeConnection(connection), said || error, {
        hint:
          old === undefined
            ? 'the database is partly filled: empty it before the next try'
            : `what was in it is in ${old}`,
      });
    }
    return old;
  },
};

/** Drops all that is in a database, by dropping and making it again with its own character set. */
async function emptyDatabase(connection: MysqlConnection, signal: AbortSignal): Promise<void> {
  const name = `\`${connection.database.replaceAll('`', '``')}\``;
  const [[charset, collation] = []] = await query(
    connection,
    'SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE()',
    signal,
  );
  await query(
    connection,
    `DROP DATABASE ${name}; CREATE DATABASE ${name} CHARACTER SET ${charset} COLLATE ${collation}`,
    signal,
  );
}

export default engine;
