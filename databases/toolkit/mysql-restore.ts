// Puts a dump into a MySQL or MariaDB database. By the kernel's pipes where account and client can take it as it is, else
// through a filter. What was in the database is dumped before it is dropped.
import { cannot, GarnerError } from '../../lib/errors.ts';
import { info, warn } from '../../lib/log.ts';
import { captureOk } from '../../lib/process.ts';
import { plural } from '../../lib/text.ts';
import { clientCommand } from './container.ts';
import { decodeThrough } from './decode-through.ts';
import type { RestoreContext } from './engine.ts';
import {
  describeConnection,
  findClient,
  MAX_PACKET,
  type MysqlConnection,
  openAccess,
  query,
} from './mysql-client.ts';
import { readGrants } from './mysql-grants.ts';
import { listAllTables, listObjects, listTables, quoteName } from './mysql-objects.ts';
import { refuseForeign } from './mysql-part.ts';
import { type DumpFilter, filterDump } from './sql-definers.ts';

/** Privileges that let an account make views and routines that belong to another. */
const DEFINER_PRIVILEGES = ['SUPER', 'SET USER', 'SET_USER_ID', 'SET_ANY_DEFINER'];

/** What to do about errors that restores meet. */
const HINTS: [RegExp, string][] = [
  [
    /\b(1153|2006|2013|2020)\b/,
    'a row may be larger than the server takes: SET GLOBAL max_allowed_packet = 1073741824, and restore again',
  ],
  [
    /\b141[89]\b/,
    'its server writes a binary log: SET GLOBAL log_bin_trust_function_creators = 1, or restore by an account with SUPER',
  ],
  [/\b1227\b/, 'restore by an account with SUPER, or GRANT what the message names'],
  [/\b(1044|1142|1370)\b/, 'GRANT ALL ON the database TO the account'],
  [/\b(1115|1273|1286|4161)\b/, 'the dump is of a newer or another kind of server than this one'],
];

/** @returns how many tables, or other objects, a restore would meet */
export async function countOccupants(
  connection: MysqlConnection,
  signal: AbortSignal,
): Promise<string | undefined> {
  const tables = (await listTables(connection, signal)).length;
  if (tables > 0 || connection.part !== undefined) return tables > 0 ? plural(tables, 'table') : undefined;
  const objects = (await listObjects(connection, signal)).length;
  return objects === 0 ? undefined : plural(objects, 'object');
}

/** Drops the tables of a part, whatever refers to them. */
async function emptyPart(connection: MysqlConnection, signal: AbortSignal): Promise<void> {
  const drops = (await listTables(connection, signal)).map(
    ({ kind, name }) => `DROP ${kind.toUpperCase()} IF EXISTS ${quoteName(name)};`,
  );
  await query(connection, `SET FOREIGN_KEY_CHECKS = 0; ${drops.join('\n')}`, signal);
}

/** Drops all that is in a database, by dropping and making it again with its own character set. */
async function emptyDatabase(connection: MysqlConnection, signal: AbortSignal): Promise<void> {
  if (connection.part !== undefined) return emptyPart(connection, signal);
  const name = quoteName(connection.database);
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

/** @returns what the dump must be changed for, as far as can be told before it is read */
async function planFilter(
  connection: MysqlConnection,
  signal: AbortSignal,
): Promise<Omit<DumpFilter, 'onDefiner'>> {
  const grants = await readGrants(connection, signal);
  const [[account = ''] = []] = await query(connection, 'SELECT CURRENT_USER()', signal);
  const help = await captureOk(clientCommand({ file: findClient(), args: ['--help'] }), { signal });
  return {
    account,
    keepsDefiners: DEFINER_PRIVILEGES.some(grants.hasGlobal),
    keepsSandbox: help.includes('--sandbox'),
  };
}

/** @throws database-restore; the database is then partly filled, which is said, also where a signal ended it */
export async function restoreDatabase(
  connection: MysqlConnection,
  { decode, aside, tables = [], signal }: Pick<RestoreContext, 'decode' | 'aside' | 'tables' | 'signal'>,
): Promise<string | undefined> {
  refuseForeign(connection, tables, await listAllTables(connection, signal));
  const { keepsDefiners, keepsSandbox, account } = await planFilter(connection, signal);
  const old = await aside?.dump();
  if (old !== undefined) await emptyDatabase(connection, signal);
  using access = openAccess(connection);
  let said = '';
  const client = clientCommand({
    file: findClient(),
    // binary mode: strings are taken as they are, and commands such as \! in a dump are not obeyed
    args: [
      ...access.args,
      '--binary-mode',
      '--local-infile=0', // a dump must not read files of this host
      '--skip-force', // in an option file it would make every failure a success
      // rows that are older than a rule of their table; MySQL skips the comment
      '--init-command=SET @garner = 0 /*M!100201 , check_constraint_checks = 0 */',
      '--default-character-set=utf8mb4',
      MAX_PACKET,
      '--',
      connection.database,
    ],
    env: access.env,
    fds: access.fds,
    onStderrLine: (line) => {
      if (said === '' || /^ERROR/.test(line)) said = line;
    },
  });
  const definers = new Map<string, number>();
  const onDefiner = (definer: string): void => void definers.set(definer, (definers.get(definer) ?? 0) + 1);
  try {
    if (keepsDefiners && keepsSandbox) await decode(client);
    else {
      const filter = filterDump({ keepsDefiners, keepsSandbox, account, onDefiner });
      await decodeThrough(client, decode, filter, signal);
    }
  } catch (error) {
    const kept = old === undefined ? '' : `; what was in it is in ${old}`;
    const state = `${describeConnection(connection)} is partly filled${kept}; restore again with --force`;
    if (signal.aborted) warn(state);
    signal.throwIfAborted();
    if (error instanceof GarnerError && error.code !== 'program-failed') throw error;
    const remedy = HINTS.find(([pattern]) => pattern.test(/^ERROR (\d+)/.exec(said)?.[1] ?? ''))?.[1];
    throw cannot('database-restore', 'restore database', describeConnection(connection), said || error, {
      hint: remedy === undefined ? state : `${remedy}; ${state}`,
    });
  }
  for (const [definer, count] of definers) {
    const what = `${plural(count, 'object')} of ${definer}`;
    info(
      `${what}: made for ${account} instead, which may not make views, routines, triggers or events for another`,
    );
  }
  return old;
}
