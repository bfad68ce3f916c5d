// Gives Node's own SQLite the shape that Kysely's dialect expects, and its errors the one shape of garner.
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import { SqliteDialect } from 'kysely';
import { cannot } from '../../lib/errors.ts';

/** Statements that are kept ready: each host of many is asked the same. */
const MAX_PREPARED = 100;

/**
 * Makes a Kysely dialect of an open database; Kysely closes it.
 * @param file its path, for messages
 */
export function nodeSqliteDialect(db: DatabaseSync, file: string): SqliteDialect {
  const prepared = new Map<string, Prepared>();
  return new SqliteDialect({
    database: {
      close: () => db.close(),
      prepare(sql) {
        const ready = prepared.get(sql) ?? guard(() => prepareRows(db, sql));
        if (prepared.size === MAX_PREPARED) prepared.clear();
        prepared.set(sql, ready);
        const { statement, columns } = ready;
        const values = (parameters: readonly unknown[]): SQLInputValue[] => parameters as SQLInputValue[];
        return {
          reader: columns.length > 0,
          all: (parameters) => guard(() => toRows(ready, statement.all(...values(parameters)))),
          run(parameters) {
            // SQLite has ended it itself, and why is to be told
            if (sql === 'rollback' && !db.isTransaction) return { changes: 0, lastInsertRowid: 0 };
            return guard(() => statement.run(...values(parameters)));
          },
          iterate: (parameters) =>
            guard(() => {
              const own = prepareRows(db, sql); // another may be under way
              return eachRow(own, own.statement.iterate(...values(parameters)));
            }),
        };
      },
    },
  });

  function guard<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      throw cannot('catalog', 'use the catalog', file, error);
    }
  }
}

interface Prepared {
  statement: StatementSync;
  columns: string[];
}

/** Node's own row objects are slow and large: a catalog may have a hundred thousand. */
function prepareRows(db: DatabaseSync, sql: string): Prepared {
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  return { statement, columns: statement.columns().map(({ name }) => name) };
}

function toRow(columns: string[], values: SQLOutputValue[]): Record<string, SQLOutputValue> {
  const row: Record<string, SQLOutputValue> = {};
  for (let i = 0; i < columns.length; i += 1) row[columns[i] as string] = values[i] as SQLOutputValue;
  return row;
}

function toRows({ columns }: Prepared, all: unknown): unknown[] {
  return (all as SQLOutputValue[][]).map((values) => toRow(columns, values));
}

function* eachRow({ columns }: Prepared, all: Iterable<unknown>): IterableIterator<unknown> {
  for (const values of all) yield toRow(columns, values as SQLOutputValue[]);
}
