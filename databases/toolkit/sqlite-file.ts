// What is done with a SQLite file that is there, at once: opening it and reading its list of tables.
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

/** SQLite keeps these beside a database; none may be left beside a restored one. */
export const COMPANIONS = ['-wal', '-shm', '-journal'];

/** Opens a file that nobody else uses, without making companions beside it. */
export function openQuiet(file: string): DatabaseSync {
  const url = pathToFileURL(file);
  url.search = 'immutable=1';
  return new DatabaseSync(url, { readOnly: true });
}

/** @returns the tables, SQLite's own ones left out; a virtual table keeps its rows in others or outside */
export function tableNames(db: DatabaseSync): { name: string; isVirtual: boolean }[] {
  return db
    .prepare(
      `SELECT name, sql LIKE 'CREATE VIRTUAL%' AS isVirtual FROM sqlite_schema
       WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name`,
    )
    .all()
    .map(({ name, isVirtual }) => ({ name: String(name), isVirtual: isVirtual === 1 }));
}
