// One dump of a MySQL or MariaDB database: rights, versions and views are judged before, the dump is scanned as it passes
// by, and is whole if the client says so, its trailer is there, and every table and object of the database is in it.
import type { Writable } from 'node:stream';
import { cannot, type GarnerError } from '../../lib/errors.ts';
import { type Command, captureOk, describeExit, type Ended, feed, startPipeline } from '../../lib/process.ts';
import { formatSize, plural } from '../../lib/text.ts';
import { clientCommand } from './container.ts';
import type { DumpContext, DumpFacts } from './engine.ts';
import {
  type ClientAccess,
  clientError,
  describeConnection,
  findDumpClient,
  MAX_PACKET,
  type MysqlConnection,
  openAccess,
  query,
} from './mysql-client.ts';
import {
  checkRights,
  checkViews,
  listAllTables,
  listObjects,
  listTables,
  listTransactionPrecise,
  type ServerTable,
  type StoredObject,
} from './mysql-objects.ts';
import { harmfulDefaults } from './mysql-options.ts';
import { objectsOfPart, selectTables, tablesOfPart } from './mysql-part.ts';
import { startQueries } from './mysql-queries.ts';
import { type DumpClient, judgePair, probeClient, readVersion } from './mysql-versions.ts';
import { listed } from './sql-names.ts';
import { type SqlScanner, scanSqlDump } from './sql-scanner.ts';

const SNAPSHOT_ENGINES = new Set(['InnoDB', 'ROCKSDB', 'TokuDB']);
/** Tables that only lead to rows elsewhere, which the client leaves out (`--no-data-med`). */
const OUTSIDE_ENGINES = new Set([
  'MRG_MyISAM',
  'MRG_ISAM',
  'CONNECT',
  'OQGRAPH',
  'SPIDER',
  'VP',
  'FEDERATED',
]);

type Warnings = DumpFacts['warnings'];

function dumpCommand(
  connection: MysqlConnection,
  access: ClientAccess,
  client: DumpClient,
  more: readonly string[],
  only: readonly string[] | undefined,
): Command {
  // MySQL's client asks for statistics that others don't have, and sets what only a superuser may set
  const own = ['column-statistics=0', 'set-gtid-purged=OFF'].filter((option) =>
    client.knows(option.split('=')[0] as string),
  );
  const snapshot = more.some((option) => /^(-x$|--lock-all)/.test(option)) ? [] : ['--single-transaction'];
  return clientCommand({
    file: client.file,
    // what a whole dump needs comes last, and wins
    args: [
      ...access.args,
      ...more,
      ...snapshot,
      ...[
        '--quick',
        only === undefined ? '--routines' : '--skip-routines',
        '--triggers',
        '--hex-blob',
        '--create-options',
        '--set-charset',
        '--tz-utc',
      ],
      '--no-tablespaces',
      '--skip-add-locks', // a lock of one table forbids the sequences of its defaults; and takes a right
      '--default-character-set=utf8mb4',
      MAX_PACKET,
      ...own.map((option) => `--${option}`),
      '--',
      connection.database,
      ...(only ?? []),
    ],
    env: access.env,
    fds: access.fds,
  });
}

/** System-versioned tables are dumped with their history, where the client can. */
async function judgeHistory(
  connection: MysqlConnection,
  client: DumpClient,
  tables: readonly ServerTable[],
  signal: AbortSignal,
): Promise<{ options: string[]; warnings: Warnings }> {
  const versioned = tables.filter(({ isVersioned }) => isVersioned).map(({ name }) => name);
  if (versioned.length === 0) return { options: [], warnings: [] };
  const precise = await listTransactionPrecise(connection, signal);
  if (precise.length === 0 && client.knows('dump-history'))
    return { options: ['--dump-history'], warnings: [] };
  const why =
    precise.length > 0
      ? `${listed(precise)} ha${precise.length === 1 ? 's' : 've'} transactions instead of times`
      : `${client.text} of the client can't dump it`;
  const message = `the history of ${listed(versioned)} is not in the dump, only what is current: ${why}`;
  return { options: [], warnings: [{ code: 'no-history', message }] };
}

function warnOfTables(
  database: string,
  tables: readonly ServerTable[],
  derivedTables: readonly string[],
): Warnings {
  const unsafe = tables.filter(
    ({ name, kind, storageEngine }) =>
      kind === 'table' &&
      !SNAPSHOT_ENGINES.has(storageEngine) &&
      !OUTSIDE_ENGINES.has(storageEngine) &&
      !derivedTables.includes(name),
  );
  if (unsafe.length === 0) return [];
  const message = `${plural(unsafe.length, 'table')} of ${database} not in the snapshot, may have changed while dumped: ${withEngines(unsafe)}`;
  return [{ code: 'no-snapshot', message }];
}

const withEngines = (tables: readonly ServerTable[]): string =>
  listed(tables.map(({ name, storageEngine }) => `${name} (${storageEngine})`));

/** @param counts the rows in the dump: an option may have brought them in */
function warnOfOutside(
  database: string,
  tables: readonly ServerTable[],
  counts: ReadonlyMap<string, number>,
): Warnings {
  const outside = tables.filter(
    ({ name, storageEngine }) => OUTSIDE_ENGINES.has(storageEngine) && counts.get(name) === 0,
  );
  if (outside.length === 0) return [];
  const message = `${plural(outside.length, 'table')} of ${database} whose rows are elsewhere and not in the dump: ${withEngines(outside)}`;
  return [{ code: 'rows-elsewhere', message }];
}

/** A line break in a name would be one in the client's output. */
const isPlain = (name: string): boolean => !/[\r\n]/.test(name);

/** @returns tables and objects that should be in the dump and are not */
function missingFrom(
  scanner: SqlScanner,
  tables: readonly ServerTable[],
  objects: readonly StoredObject[],
): string[] {
  const missing = tables.filter(({ kind, name }) => kind === 'table' && !scanner.tables.has(name));
  const lost = Object.entries(Object.groupBy(objects, ({ kind }) => kind)).flatMap(([kind, ofKind = []]) => {
    const found = scanner.objects.get(kind) ?? [];
    // names of triggers stand as their authors wrote them: the count decides
    if (found.length >= ofKind.length) return [];
    return ofKind
      .filter(({ name }) => !found.includes(name) && isPlain(name))
      .map(({ name }) => `${kind} ${name}`);
  });
  return [...missing.map(({ name }) => name), ...lost];
}

function checkWhole(
  connection: MysqlConnection,
  ended: Ended,
  scanner: SqlScanner,
  tables: readonly ServerTable[],
  objects: readonly StoredObject[],
): void {
  const refuse = (cause: string, hint?: string): GarnerError =>
    cannot('database-dump', 'dump database', describeConnection(connection), cause, { hint });
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
  const missing = missingFrom(scanner, tables, objects);
  if (missing.length > 0) {
    const what = missing.some((name) => scanner.objects.size > 0 && name.includes(' '))
      ? 'objects'
      : 'tables';
    throw refuse(
      `${what} are missing from the dump: ${listed(missing)}`,
      'the account may lack rights on them',
    );
  }
}

/**
 * A table that took the name of another meanwhile, as those do that alter tables online, is dumped as it was in the snapshot:
 * half filled. The client does not notice.
 */
function warnOfReplaced(
  database: string,
  before: readonly ServerTable[],
  after: readonly ServerTable[],
): Warnings {
  const madeAt = new Map(after.map((table) => [table.name, table.madeAt]));
  const replaced = before.filter(
    ({ name, kind, madeAt: then }) => kind === 'table' && madeAt.has(name) && madeAt.get(name) !== then,
  );
  if (replaced.length === 0) return [];
  const message = `tables of ${database} were altered or replaced while dumped, rows of them may be missing from the dump: ${listed(replaced.map(({ name }) => name))}; back up again`;
  return [{ code: 'tables-replaced', message }];
}

/** A server takes no statement that is longer than its limit: what it holds may be more than it takes back. */
function warnOfPackets(database: string, scanner: SqlScanner, maxPacketBytes: number): Warnings {
  const longest = scanner.longestInsertBytes;
  if (longest <= maxPacketBytes) return [];
  const message = `a row of ${database} makes a statement of ${formatSize(longest)}, the server takes back ${formatSize(maxPacketBytes)}: before a restore, SET GLOBAL max_allowed_packet = ${Math.min(1 << 30, 2 ** Math.ceil(Math.log2(longest)))}`;
  return [{ code: 'packet-limit', message }];
}

/** @throws database-dump where settings of others would make a dump less than whole, with nothing to be seen in it */
async function refuseLimits(
  connection: MysqlConnection,
  client: DumpClient,
  access: ClientAccess,
  maxRows: string,
  signal: AbortSignal,
): Promise<void> {
  const refuse = (cause: string, hint: string): GarnerError =>
    cannot('database-dump', 'dump database', describeConnection(connection), cause, { hint });
  if (Number(maxRows) < Number.MAX_SAFE_INTEGER) {
    throw refuse(
      `the server gives no more than ${maxRows} rows of a table`,
      'SET GLOBAL sql_select_limit = 18446744073709551615, and look for it in the settings and init_connect of the server',
    );
  }
  const defaults = await captureOk(
    clientCommand({ file: client.file, args: ['--print-defaults'], env: access.env }),
    { signal },
  );
  const harmful = harmfulDefaults(defaults);
  if (harmful.length === 0) return;
  throw refuse(
    `a dump is not whole with ${listed(harmful)}, which the client's option files have`,
    'look in ~/.my.cnf and /etc/mysql, under [client], [mysqldump] and [mariadb-dump]',
  );
}

/**
 * Dumps one snapshot.
 * @throws database-rights, database-dump: nothing less than a whole dump is returned
 */
export async function dumpDatabase(
  connection: MysqlConnection,
  { encode, signal, expectedTables, derivedTables, withoutRoutines, clientOptions, queries }: DumpContext,
): Promise<DumpFacts> {
  const [[serverVersion = '', maxPacket = '', maxRows = ''] = []] = await query(
    connection,
    'SELECT VERSION(), @@max_allowed_packet, @@sql_select_limit',
    signal,
  );
  const client = await probeClient(findDumpClient(), signal);
  using access = openAccess(connection);
  await refuseLimits(connection, client, access, maxRows, signal);
  const all = await listAllTables(connection, signal);
  const tables = tablesOfPart(all, connection.part);
  const only = selectTables(connection, all, tables);
  const stored = await listObjects(connection, signal);
  const objects = only === undefined ? stored : objectsOfPart(stored, tables);
  const { grants, warnings } = await checkRights(
    connection,
    { expectedTables, withoutRoutines, tables, objects },
    signal,
  );
  const history = await judgeHistory(connection, client, tables, signal);
  warnings.push(
    ...judgePair(client, readVersion(serverVersion)),
    ...warnOfTables(connection.database, tables, derivedTables),
    ...(await checkViews(connection, objects, signal)),
    ...history.warnings,
  );

  const events = only === undefined && grants.has('EVENT') ? ['--events'] : [];
  const options = [...events, ...history.options, ...clientOptions];
  const command = dumpCommand(connection, access, client, options, only);
  const over = new AbortController();
  try {
    const { answered } = await startQueries(connection, queries, AbortSignal.any([signal, over.signal]));
    const dumping = startPipeline([command], { signal });
    const storing = encode([], 'pipe');
    const scanner = scanSqlDump();
    async function* scanned(): AsyncGenerator<Buffer> {
      for await (const chunk of dumping.stdout as AsyncIterable<Buffer>) {
        scanner.scan(chunk);
        yield chunk;
      }
    }
    // a failure of one side must not leave the other waiting
    const fed = feed(storing.stdin as Writable, scanned()).catch(() => (storing.stdin as Writable).destroy());
    const [ended] = await dumping.ended;
    await fed;
    await storing.ended;
    checkWhole(connection, ended as Ended, scanner, tables, objects);
    await answered;
    warnings.push(...warnOfReplaced(connection.database, tables, await listTables(connection, signal)));
    warnings.push(...warnOfOutside(connection.database, tables, scanner.tables));
    warnings.push(...warnOfPackets(connection.database, scanner, Number(maxPacket)));
    return {
      serverVersion,
      tables: Object.fromEntries(scanner.tables),
      uncompressedSizeBytes: scanner.sizeBytes,
      warnings,
    };
  } finally {
    over.abort(); // where the dump failed: a query may still run
  }
}
