// Copies, checks and counts a SQLite database, as a program of its own: SQLite's calls block for as long as a lock, a copy
// or a check takes, and nothing but a process can be ended in the middle of one. Run by sqlite-client.ts.
//   check FILE | copy FILE COPY LOCK_MS
// Prints one JSON object; writes `locked` on stderr when it begins to wait for another process.
import { backup, DatabaseSync } from 'node:sqlite';
import { quoteName } from './sql-names.ts';
import { openQuiet, tableNames } from './sqlite-file.ts';

/** What `sqlite3.h` calls them. */
const SQLITE_ERROR = 1;
const SQLITE_BUSY = 5;

export interface SqliteFacts {
  serverVersion: string;
  tables: Record<string, number>;
  /** What is damaged; none: the database is whole. */
  damages: string[];
  /** Rows that break a rule of their own table: the application's concern, not damage. */
  violations: string[];
  /** Why it could not be checked. */
  unchecked: string | undefined;
}

export interface SqliteFailure {
  message: string;
  errcode: number | undefined;
}

const errcodeOf = (error: unknown): number | undefined => (error as { errcode?: number }).errcode;

/** Opens a database with its read transaction begun: here it is told whether it is one, and free. */
function openForReading(file: string, lockMs: number): DatabaseSync {
  const db = new DatabaseSync(file, { readOnly: true, timeout: lockMs });
  try {
    db.exec('BEGIN; SELECT count(*) FROM sqlite_schema');
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

async function copy(file: string, to: string, lockMs: number): Promise<SqliteFacts> {
  let source: DatabaseSync;
  try {
    source = openForReading(file, 0);
  } catch (error) {
    if (((errcodeOf(error) ?? 0) & 0xff) !== SQLITE_BUSY) throw error;
    process.stderr.write('locked\n');
    source = openForReading(file, lockMs);
  }
  await backup(source, to, { rate: 0x7fffffff }); // all pages in one step
  source.close();
  return check(to);
}

function check(file: string): SqliteFacts {
  using db = openQuiet(file);
  const damages: string[] = [];
  const violations: string[] = [];
  let unchecked: string | undefined;
  try {
    for (const row of db.prepare('PRAGMA integrity_check(20)').iterate()) {
      const said = String(Object.values(row)[0]);
      if (/^(CHECK constraint failed in |\S+ value in )/.test(said)) violations.push(said);
      else if (said !== 'ok') damages.push(said);
    }
  } catch (error) {
    // collations and functions that only the application has
    if (((errcodeOf(error) ?? 0) & 0xff) !== SQLITE_ERROR) throw error;
    unchecked = (error as Error).message;
  }
  const counts: [string, number][] = [];
  for (const { name, isVirtual } of damages.length > 0 ? [] : tableNames(db)) {
    try {
      // NOT INDEXED: an index may need a collation that only the application has
      const index = isVirtual ? '' : 'NOT INDEXED';
      const row = db.prepare(`SELECT count(*) AS n FROM ${quoteName(name)} ${index}`).get();
      counts.push([name, Number(row?.n)]);
    } catch (error) {
      // its module is the application's own; what it holds are rows of other tables
      if (!isVirtual) throw error;
    }
  }
  const version = db.prepare('SELECT sqlite_version() AS version').get()?.version;
  return {
    serverVersion: String(version),
    tables: Object.fromEntries(counts),
    damages,
    violations,
    unchecked,
  };
}

async function answer(): Promise<SqliteFacts | SqliteFailure> {
  const [task, file, to, lockMs] = process.argv.slice(2) as [string, string, string, string];
  try {
    return task === 'copy' ? await copy(file, to, Number(lockMs)) : check(file);
  } catch (error) {
    return { message: (error as Error).message, errcode: errcodeOf(error) };
  }
}

answer().then((given) => process.stdout.write(JSON.stringify(given)));
