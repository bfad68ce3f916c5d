// Gives Node's own SQLite the shape that Kysely's dialect expects, and its errors the one shape of garner.
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { SqliteDialect } from 'kysely';
import { cannot } from '../../lib/errors.ts';

/** Statements that are kept ready: each host of many is asked the same. */
const MAX_PREPARED = 100;

/**
 * Makes a Kysely dialect of an open database; Kysely closes it.
 * @param file its path, for messages
 */
export function nodeSqliteDialect(db: DatabaseSync, file: string): SqliteDialect {
  const prepared = new Map<string, StatementSync>();
  return new SqliteDialect({
    database: {
      close: () => db.close(),
      prepare(sql) {
        const statement = prepared.get(sql) ?? guard(() => db.prepare(sql));
        if (prepared.size === MAX_PREPARED) prepared.clear();
        prepared.set(sql, statement);
        const values = (parameters: readonly unknown[]): SQLInputValue[] => parameters as SQLInputValue[];
        return {
          reader: statement.columns().length > 0,
          all: (parameters) => guard(() => statement.all(...values(parameters))),
          run: (parameters) => guard(() => statement.run(...values(parameters))),
          // its own: another may be under way
          iterate: (parameters) => guard(() => db.prepare(sql).iterate(...values(parameters))),
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
