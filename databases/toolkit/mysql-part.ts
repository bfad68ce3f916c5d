// Part of a MySQL or MariaDB database: the tables of one application, where several share a database by prefixes of names.
// What is others' is neither dumped nor touched.
import { cannot } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { plural } from '../../lib/text.ts';
import { describeConnection, type MysqlConnection } from './mysql-client.ts';
import type { ServerTable, StoredObject } from './mysql-objects.ts';
import { listed } from './sql-names.ts';

export interface TablePart {
  /** What the names of its tables begin with. */
  prefix: string;
  /**
   * Names, without the prefix, of tables that every installation of the application has. A longer prefix that has them all
   * is another installation's: `wp_` and `wp_shop_` may stand side by side.
   */
  marks: readonly string[];
}

/**
 * @param names all tables there are
 * @returns those of the part
 */
export function namesOfPart(
  names: readonly string[],
  { prefix, marks }: TablePart,
  ignoresCase = false,
): Set<string> {
  const plain = (name: string): string => (ignoresCase ? name.toLowerCase() : name);
  const all = new Set(names.map(plain));
  const begin = plain(prefix);
  const [first = ''] = marks;
  const others = [...all]
    .filter((name) => name.startsWith(begin) && name.endsWith(first) && name !== begin + first)
    .map((name) => name.slice(0, name.length - first.length))
    .filter((longer) => first !== '' && marks.every((mark) => all.has(longer + mark)));
  const isOther = (name: string): boolean => others.some((other) => name.startsWith(other));
  return new Set(names.filter((name) => plain(name).startsWith(begin) && !isOther(plain(name))));
}

/** @returns the tables of the connection's part; all where it has none */
export function tablesOfPart<T extends Pick<ServerTable, 'name' | 'ignoresCase'>>(
  tables: readonly T[],
  part: TablePart | undefined,
): T[] {
  if (part === undefined) return [...tables];
  const names = tables.map(({ name }) => name);
  const own = namesOfPart(names, part, tables[0]?.ignoresCase);
  return tables.filter(({ name }) => own.has(name));
}

/** @returns the views and triggers of the tables; routines and events are no application's where several share */
export const objectsOfPart = (
  objects: readonly StoredObject[],
  tables: readonly ServerTable[],
): StoredObject[] => {
  const own = new Set(tables.map(({ name }) => name));
  return objects.filter(({ kind, name, table }) =>
    kind === 'view' || kind === 'sequence' ? own.has(name) : table !== undefined && own.has(table),
  );
};

/**
 * Tells what a dump leaves to others.
 * @returns the names that the client is to dump; undefined: the whole database
 * @throws database-dump where the application has no table at all
 */
export function selectTables(
  connection: MysqlConnection,
  all: readonly ServerTable[],
  own: readonly ServerTable[],
): string[] | undefined {
  const { part } = connection;
  if (part === undefined) return undefined;
  if (own.length === 0) {
    const cause = `no table's name begins with "${part.prefix}"`;
    throw cannot('database-dump', 'dump database', describeConnection(connection), cause);
  }
  if (own.length === all.length) return undefined;
  const ours = new Set(own.map(({ name }) => name));
  const others = all.filter(({ name }) => !ours.has(name)).map(({ name }) => name);
  info(`left to others in ${connection.database}: ${plural(others.length, 'table')}: ${listed(others)}`);
  return [...ours];
}

/**
 * @param archived the tables that a dump brings
 * @param there those of the database
 * @throws restore-refused where the dump would replace what is others'
 */
export function refuseForeign(
  connection: MysqlConnection,
  archived: readonly string[],
  there: readonly ServerTable[],
): void {
  const { part } = connection;
  if (part === undefined) return;
  const own = namesOfPart([...archived, ...there.map(({ name }) => name)], part, there[0]?.ignoresCase);
  const foreign = archived.filter((name) => !own.has(name));
  if (foreign.length === 0) return;
  throw cannot(
    'restore-refused',
    'restore database',
    describeConnection(connection),
    `the archive has tables that are not of the prefix "${part.prefix}": ${listed(foreign)}`,
    { hint: 'restore with --to DIR, or into a database of its own by GARNER_RESTORE_DATABASE_URL' },
  );
}
