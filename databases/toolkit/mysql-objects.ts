// What a MySQL or MariaDB database consists of, as far as the account may see it, and whether the account may read it all.
import { randomUUID } from 'node:crypto';
import { cannot, GarnerError } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import type { DumpContext, DumpFacts } from './engine.ts';
import { describeConnection, type MysqlConnection, query } from './mysql-client.ts';
import { type Grants, readGrants } from './mysql-grants.ts';
import { tablesOfPart } from './mysql-part.ts';
import { listed } from './sql-names.ts';

export interface ServerTable {
  name: string;
  kind: 'table' | 'view' | 'sequence';
  isVersioned: boolean;
  storageEngine: string;
  /** When it was made, or altered, or put in place of another. */
  madeAt: string;
  sizeBytes: number;
  /** Whether the server keeps names of tables without their case. */
  ignoresCase: boolean;
}

/** What stands in a dump besides tables. */
export interface StoredObject {
  /** `view`, `sequence`, `trigger`, `event`, `procedure`, `function`, `package`, `package body` */
  kind: string;
  name: string;
  /** Whether the account may not have its definition. */
  isHidden: boolean;
  /** Of a trigger: its table. */
  table: string | undefined;
}

export const quoteName = (name: string): string => `\`${name.replaceAll('`', '``')}\``;

/** @returns all tables of the database, others' too */
export async function listAllTables(
  connection: MysqlConnection,
  signal: AbortSignal,
): Promise<ServerTable[]> {
  const rows = await query(
    connection,
    `SELECT TABLE_NAME, TABLE_TYPE, ENGINE, CREATE_TIME, COALESCE(DATA_LENGTH, 0), @@lower_case_table_names
     FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME`,
    signal,
  );
  return rows.map(([name = '', type = '', storageEngine = '', madeAt = '', size, lower]) => ({
    name,
    kind: type.includes('VIEW') ? 'view' : type === 'SEQUENCE' ? 'sequence' : 'table',
    isVersioned: type === 'SYSTEM VERSIONED',
    storageEngine,
    madeAt,
    sizeBytes: Number(size),
    ignoresCase: lower !== '0',
  }));
}

/** @returns those that are the application's */
export const listTables = async (connection: MysqlConnection, signal: AbortSignal): Promise<ServerTable[]> =>
  tablesOfPart(await listAllTables(connection, signal), connection.part);

/** Sorted by kind and name. */
export async function listObjects(connection: MysqlConnection, signal: AbortSignal): Promise<StoredObject[]> {
  const rows = await query(
    connection,
    `SELECT 'view', TABLE_NAME, VIEW_DEFINITION = '', '' FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()
     UNION ALL SELECT 'sequence', TABLE_NAME, 0, '' FROM information_schema.TABLES
       WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'SEQUENCE'
     UNION ALL SELECT LOWER(ROUTINE_TYPE), ROUTINE_NAME, ROUTINE_DEFINITION IS NULL, '' FROM information_schema.ROUTINES
       WHERE ROUTINE_SCHEMA = DATABASE()
     UNION ALL SELECT 'trigger', TRIGGER_NAME, 0, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS
       WHERE TRIGGER_SCHEMA = DATABASE()
     UNION ALL SELECT 'event', EVENT_NAME, 0, '' FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()
     ORDER BY 1, 2`,
    signal,
  );
  return rows.map(([kind = '', name = '', hidden, table]) => ({
    kind,
    name,
    isHidden: hidden === '1',
    table: table || undefined,
  }));
}

/** @returns names of system-versioned tables whose rows carry transactions instead of times */
export async function listTransactionPrecise(
  connection: MysqlConnection,
  signal: AbortSignal,
): Promise<string[]> {
  const rows = await query(
    connection,
    "SELECT TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND DATA_TYPE = 'bigint' AND GENERATION_EXPRESSION = 'ROW START'",
    signal,
  );
  return rows.map(([name = '']) => name);
}

/**
 * Asks for a table that nobody has: who may read the whole database hears that it isn't there, others that they may not. What
 * rights come to, by roles, patterns and revocations, the server knows best.
 */
async function readsEveryTable(connection: MysqlConnection, signal: AbortSignal): Promise<boolean> {
  try {
    await query(connection, `SELECT 1 FROM \`garner-${randomUUID()}\``, signal);
    return false;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof GarnerError)) throw error;
    if (error.code === 'database-rights') return false;
    if (/\b1146\b/.test(error.message)) return true;
    throw error;
  }
}

/**
 * An account that may not see a table gets a dump without it, with exit 0 and the trailer. So the account must hold SELECT
 * on the whole database, and what it sees it must be allowed to dump. What it may not even see is a
 * warning, but for routines where the application has none.
 * @throws database-rights with the names and the statement that helps
 */
export async function checkRights(
  connection: MysqlConnection,
  {
    expectedTables,
    withoutRoutines,
    tables,
    objects,
  }: Pick<DumpContext, 'expectedTables' | 'withoutRoutines'> & {
    tables: readonly ServerTable[];
    objects: readonly StoredObject[];
  },
  signal: AbortSignal,
): Promise<{ grants: Grants; warnings: DumpFacts['warnings'] }> {
  const { database } = connection;
  const grants = await readGrants(connection, signal);
  const [[serverVersion = '', account = ''] = []] = await query(
    connection,
    'SELECT VERSION(), CURRENT_USER()',
    signal,
  );
  const to = `TO ${account.replace(/^(.*)@([^@]*)$/, "'$1'@'$2'")}`;
  const refuse = (cause: string, statement: string): GarnerError =>
    cannot('database-rights', 'dump database', describeConnection(connection), cause, {
      hint: `${statement} ${to}; what an account can't see would be missing without a word`,
    });
  const onDatabase = `ON ${quoteName(database)}.*`;
  if (!(await readsEveryTable(connection, signal))) {
    const visible = new Set(tables.map(({ name }) => name));
    const readable = new Set(grants.readableTables);
    const hidden = expectedTables.filter((table) => !visible.has(table) || !readable.has(table));
    const cause =
      hidden.length > 0
        ? `the account may not read ${listed(hidden)}`
        : `the account may not read the whole database, only ${listed([...readable]) || 'nothing'}`;
    throw refuse(cause, `GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ${onDatabase}`);
  }
  const hiddenViews = objects.filter(({ kind, isHidden }) => kind === 'view' && isHidden);
  if (hiddenViews.length > 0 && !grants.has('SHOW VIEW')) {
    const names = listed(hiddenViews.map(({ name }) => name));
    throw refuse(`the account lacks SHOW VIEW for ${names}`, `GRANT SHOW VIEW ${onDatabase}`);
  }
  const routineGrant = serverVersion.includes('MariaDB')
    ? 'GRANT SELECT ON mysql.proc'
    : 'GRANT SHOW_ROUTINE ON *.*';
  const hiddenRoutines = objects.filter(({ kind, isHidden }) => kind !== 'view' && isHidden);
  if (hiddenRoutines.length > 0) {
    const names = listed(hiddenRoutines.map(({ kind, name }) => `${kind} ${name}`));
    throw refuse(`the account may not show what belongs to another: ${names}`, routineGrant);
  }
  const warnings = ['TRIGGER', 'EVENT']
    .filter((privilege) => !grants.has(privilege))
    .map((privilege) => ({
      code: 'database-rights',
      message: `the account lacks ${privilege} on ${database}: what needs it may be missing from the dump; GRANT ${privilege} ${onDatabase} ${to}`,
    }));
  if (!grants.seesRoutines) {
    const message = `the account can't see routines of others in ${database}: they may be missing from the dump; ${routineGrant} ${to}`;
    if (withoutRoutines) info(message);
    else warnings.push({ code: 'database-rights', message });
  }
  return { grants, warnings };
}

/**
 * Looks whether views work: the client fails on one that is broken, without naming the others.
 * @returns a warning of views that are whole in a dump, but that nobody can use
 * @throws database-dump naming those whose tables are gone
 */
export async function checkViews(
  connection: MysqlConnection,
  objects: readonly StoredObject[],
  signal: AbortSignal,
): Promise<DumpFacts['warnings']> {
  const views = objects.filter(({ kind }) => kind === 'view').map(({ name }) => name);
  if (views.length === 0) return [];
  const causes = new Map<string, string>();
  for (const [table = '', , type, text = ''] of await query(
    connection,
    `CHECK TABLE ${views.map(quoteName).join(', ')}`,
    signal,
  )) {
    const view = table.slice(connection.database.length + 1);
    if (type === 'Error' && !causes.has(view)) causes.set(view, text);
  }
  const byDefiner = (text: string): boolean => /as a definer|Access denied|command denied/.test(text);
  const broken = [...causes].filter(([, text]) => !byDefiner(text));
  if (broken.length > 0) {
    throw cannot(
      'database-dump',
      'dump database',
      describeConnection(connection),
      `broken views: ${listed(broken.map(([view, text]) => `${view} (${text})`))}`,
      { hint: 'repair them, or DROP VIEW' },
    );
  }
  if (causes.size === 0) return [];
  const names = listed([...causes].map(([view, text]) => `${view} (${text})`));
  return [
    { code: 'view-unusable', message: `views of ${connection.database} that nobody can use: ${names}` },
  ];
}
