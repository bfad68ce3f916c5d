// SQLite: one consistent copy through SQLite's own backup, also of a live database in WAL mode; checked, counted, and
// stored as a database file. Needs no server and no client program.
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { createFile, partPath, syncDirectory, writeFully } from '../lib/durable.ts';
import { cannot, GarnerError } from '../lib/errors.ts';
import { plural } from '../lib/text.ts';
import type { Engine, SnapshotQuery } from './toolkit/engine.ts';

export interface SqliteConnection {
  /** The database file. */
  file: string;
}

/** How long another process's lock is waited for. */
const BUSY_MS = 60_000;
/** SQLite keeps these beside a database; none may be left beside a restored one. */
const COMPANIONS = ['-wal', '-shm', '-journal'];

function openSource(file: string): DatabaseSync {
  if (!existsSync(file)) throw cannot('database-connect', 'open database', file, 'no such file');
  return new DatabaseSync(file, { readOnly: true, timeout: BUSY_MS });
}

/** Opens a file that nobody else uses, without making companions beside it. */
function openCopy(file: string): DatabaseSync {
  const url = pathToFileURL(file);
  url.search = 'immutable=1';
  return new DatabaseSync(url, { readOnly: true });
}

function checkIntegrity(db: DatabaseSync, file: string): void {
  const [first] = db.prepare('PRAGMA integrity_check(1)').all();
  const answer = String(Object.values(first ?? {})[0]);
  if (answer !== 'ok')
    throw cannot('database-dump', 'dump database', file, `its integrity check says: ${answer}`);
}

function tableNames(db: DatabaseSync): string[] {
  return db
    .prepare(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )
    .all()
    .map(({ name }) => String(name));
}

function countRows(db: DatabaseSync): Record<string, number> {
  return Object.fromEntries(
    tableNames(db).map((name) => {
      const row = db.prepare(`SELECT COUNT(*) AS rows FROM "${name.replaceAll('"', '""')}"`).get();
      return [name, Number(row?.rows)];
    }),
  );
}

function answer(db: DatabaseSync, { sql, onRow, onFailure }: SnapshotQuery): void {
  try {
    const statement = db.prepare(sql);
    statement.setReturnArrays(true);
    statement.setReadBigInts(true);
    // a text may have been stored as bytes
    const text = (value: unknown): string =>
      value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : String(value);
    for (const row of statement.iterate() as Iterable<unknown>) onRow((row as unknown[]).map(text));
  } catch (error) {
    onFailure(error);
  }
}

function sqliteError(file: string, error: unknown): GarnerError {
  if (error instanceof GarnerError) return error;
  const notADatabase = (error as { errcode?: number }).errcode === 26;
  return cannot(
    'database-dump',
    'dump database',
    file,
    notADatabase ? 'it is encrypted or no SQLite database' : error,
  );
}

const engine: Engine<SqliteConnection> = {
  name: 'sqlite',
  schemes: ['sqlite'],
  dumpSuffix: 'dump',
  fileSuffix: 'sqlite',

  connectionFromUrl(url) {
    const file = decodeURIComponent(url.pathname);
    if (url.host !== '' || file.length < 2) {
      throw cannot('configuration', 'use database URL', 'sqlite:', 'it is not sqlite:///path/to/file');
    }
    return { file };
  },

  describe: ({ file }) => file,
  databaseName: ({ file }) => basename(file),

  async inspect({ file }) {
    try {
      using db = openSource(file);
      return { serverVersion: sqliteVersion(db), sizeBytes: statSync(file).size, tables: tableNames(db) };
    } catch (error) {
      throw sqliteError(file, error);
    }
  },

  async dump({ file }, { encode, signal, scratchPath, queries }) {
    const copy = scratchPath('copy.sqlite');
    try {
      closeSync(createFile(copy)); // SQLite would make it readable by others under a lax umask
      using source = openSource(file);
      // all pages in one step: a step ends the read transaction, and a writer between two would start it over
      await backup(source, copy, { rate: 0x7fffffff });
      signal.throwIfAborted();
      using db = openCopy(copy);
      checkIntegrity(db, file);
      const tables = countRows(db);
      for (const query of queries) answer(db, query);
      const fd = openSync(copy, 'r');
      try {
        await encode([], fd).ended;
      } finally {
        closeSync(fd);
      }
      return {
        serverVersion: sqliteVersion(db),
        tables,
        uncompressedSizeBytes: statSync(copy).size,
        warnings: [],
      };
    } catch (error) {
      signal.throwIfAborted();
      throw sqliteError(file, error);
    } finally {
      for (const suffix of ['', ...COMPANIONS]) rmSync(`${copy}${suffix}`, { force: true });
    }
  },

  async occupied({ file }) {
    if (!existsSync(file) || statSync(file).size === 0) {
      // they hold the last writes to a database that was moved away, and are nowhere else
      const left = COMPANIONS.filter((suffix) => existsSync(`${file}${suffix}`));
      return left.length === 0 ? undefined : `no database, but what was written to one: ${left.join(', ')}`;
    }
    try {
      using db = openSource(file);
      const count = tableNames(db).length;
      return count === 0 ? undefined : plural(count, 'table');
    } catch {
      return 'a file that is no readable SQLite database';
    }
  },

  async restore({ file }, { decode, aside }) {
    const part = partPath(file);
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o750 });
      const model = statSync(existsSync(file) ? file : dirname(file));
      const fd = createFile(part);
      try {
        await decode((chunk) => writeFully(fd, chunk));
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      using db = openCopy(part);
      checkIntegrity(db, file);
      if (process.getuid?.() === 0) chownSync(part, model.uid, model.gid);
      chmodSync(part, model.isDirectory() ? 0o640 : model.mode & 0o777);
      const old = aside === undefined ? undefined : aside.path(file);
      if (old !== undefined) {
        for (const suffix of ['', ...COMPANIONS]) {
          if (existsSync(`${file}${suffix}`)) renameSync(`${file}${suffix}`, `${old}${suffix}`);
        }
      } else {
        for (const suffix of COMPANIONS) rmSync(`${file}${suffix}`, { force: true });
      }
      renameSync(part, file);
      syncDirectory(dirname(file));
      return old;
    } catch (error) {
      if (existsSync(part)) rmSync(part);
      if (error instanceof GarnerError) throw error;
      throw cannot('database-restore', 'restore database', file, error);
    }
  },
};

function sqliteVersion(db: DatabaseSync): string {
  return String(db.prepare('SELECT sqlite_version() AS version').get()?.version);
}

export default engine;
