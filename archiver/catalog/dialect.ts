// Gives Node's own SQLite the shape that Kysely's dialect expects, and its errors the one shape of garner.
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { SqliteDialect } from 'kysely';
import { cannot } from '../../lib/errors.ts';

/**
 * Makes a Kysely dialect of an open database; Kysely closes it.
 * @param file its path, for messages
 */
export function nodeSqliteDialect(db: DatabaseSync, file: string): SqliteDialect {
  return new SqliteDialect({
    database: {
      close: () => db.close(),
      prepare(sql) {
        const statement = guard(() => db.prepare(sql));
        const values = (parameters: readonly unknown[]): SQLInputValue[] => parameters as SQLInputValue[];
        return {
          reader: statement.columns().length > 0,
          all: (parameters) => guard(() => statement.all(...values(parameters))),
          run: (parameters) => guard(() => statement.run(...values(parameters))),
          iterate: (parameters) => guard(() => statement.iterate(...values(parameters))),
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
