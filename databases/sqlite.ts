// SQLite: one consistent copy through SQLite's own backup, also of a live database in WAL mode; checked, counted, and
// stored as a database file. Needs no server and no client program.
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createFile, partPath, sweepParts, syncDirectory, writeFully } from '../lib/durable.ts';
import { cannot, GarnerError } from '../lib/errors.ts';
import { plural } from '../lib/text.ts';
import type { DumpFacts, Engine } from './toolkit/engine.ts';
import { checkDatabase, copyDatabase, sqliteError } from './toolkit/sqlite-client.ts';
import { COMPANIONS, tableNames } from './toolkit/sqlite-file.ts';
import type { SqliteFacts } from './toolkit/sqlite-program.ts';
import { answerQueries } from './toolkit/sqlite-queries.ts';

export interface SqliteConnection {
  /** The database file. */
  file: string;
}

function checkThere(file: string): void {
  if (!existsSync(file)) throw cannot('database-connect', 'open database', file, 'no such file');
  if (!statSync(file).isFile()) throw cannot('database-connect', 'open database', file, 'it is no file');
}

function judge({ damages, violations, unchecked }: SqliteFacts, file: string): DumpFacts['warnings'] {
  if (damages.length > 0) {
    throw cannot(
      'database-dump',
      'dump database',
      file,
      `its integrity check says: ${damages.slice(0, 3).join('; ')}`,
      {
        hint: '`sqlite3 FILE .recover` saves what can be read; or restore the last good archive',
      },
    );
  }
  const warnings: DumpFacts['warnings'] = [];
  if (violations.length > 0) {
    warnings.push({
      code: 'database-rows',
      message: `${file} is whole, but its rows break its own rules: ${violations.slice(0, 3).join('; ')}`,
    });
  }
  if (unchecked !== undefined) {
    warnings.push({ code: 'database-unchecked', message: `${file} could not be checked: ${unchecked}` });
  }
  return warnings;
}

/** @returns the file that a path leads to through links, or would: a link stays, what it leads to is replaced */
function behindLinks(file: string): string {
  if (existsSync(file)) return realpathSync(file);
  const refuse = (cause: unknown, hint = {}): GarnerError =>
    cannot('database-restore', 'restore database', file, cause, hint);
  try {
    if (lstatSync(file, { throwIfNoEntry: false }) === undefined) return file;
  } catch (error) {
    throw refuse(error); // what is above it is no directory
  }
  throw refuse('it is a link to what is not there', { hint: 'mount what it leads to, or remove the link' });
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
    checkThere(file);
    try {
      using db = new DatabaseSync(file, { readOnly: true });
      const version = db.prepare('SELECT sqlite_version() AS version').get()?.version;
      const tables = tableNames(db).map(({ name }) => name);
      return { serverVersion: String(version), sizeBytes: statSync(file).size, tables };
    } catch (error) {
      throw sqliteError('database-connect', 'read database', file, error as Error);
    }
  },

  async dump({ file }, { encode, signal, scratchPath, queries }) {
    checkThere(file);
    const copy = scratchPath('copy.sqlite');
    try {
      closeSync(createFile(copy)); // SQLite would make it readable by others under a lax umask
      const facts = await copyDatabase(file, copy, signal);
      const warnings = judge(facts, file);
      await answerQueries(copy, queries, signal);
      const fd = openSync(copy, 'r');
      try {
        await encode([], fd).ended;
      } finally {
        closeSync(fd);
      }
      const { serverVersion, tables } = facts;
      return { serverVersion, tables, uncompressedSizeBytes: statSync(copy).size, warnings };
    } finally {
      for (const suffix of ['', ...COMPANIONS]) rmSync(`${copy}${suffix}`, { force: true });
    }
  },

  async occupied(connection) {
    const file = behindLinks(connection.file);
    if (!existsSync(file) || statSync(file).size === 0) {
      // they hold the last writes to a database that was moved away, and are nowhere else
      const left = COMPANIONS.filter((suffix) => existsSync(`${file}${suffix}`));
      return left.length === 0 ? undefined : `no database, but what was written to one: ${left.join(', ')}`;
    }
    try {
      using db = new DatabaseSync(file, { readOnly: true });
      const count = tableNames(db).length;
      return count === 0 ? undefined : plural(count, 'table');
    } catch {
      return 'a file that is no readable SQLite database';
    }
  },

  async restore(connection, { decode, aside, signal }) {
    const file = behindLinks(connection.file);
    const part = partPath(file);
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o750 });
      sweepParts(dirname(file), (rest) => rest.slice(0, rest.lastIndexOf('.')) === basename(file));
      const model = statSync(existsSync(file) ? file : dirname(file));
      const fd = createFile(part);
      try {
        await decode((chunk) => writeFully(fd, chunk));
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      const { damages } = await checkDatabase(part, file, signal);
      if (damages.length > 0) {
        throw cannot(
          'database-restore',
          'restore database',
          file,
          `the integrity check of the dump says: ${damages[0]}`,
        );
      }
      if (process.getuid?.() === 0) chownSync(part, model.uid, model.gid);
      chmodSync(part, model.isDirectory() ? 0o640 : model.mode & 0o777);
      const old = aside?.path(file);
      if (old === undefined) {
        for (const suffix of COMPANIONS) rmSync(`${file}${suffix}`, { force: true });
      } else {
        for (const suffix of ['', ...COMPANIONS]) {
          if (existsSync(`${file}${suffix}`)) renameSync(`${file}${suffix}`, `${old}${suffix}`);
        }
      }
      renameSync(part, file);
      syncDirectory(dirname(file));
      return old;
    } catch (error) {
      rmSync(part, { force: true });
      signal.throwIfAborted();
      if (error instanceof GarnerError) throw error;
      throw cannot('database-restore', 'restore database', file, error);
    }
  },
};

export default engine;
