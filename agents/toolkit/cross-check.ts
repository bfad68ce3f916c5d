// The cross-check of rows and files: what the rows of a database name against what of a tree lies in the archive. The names
// go to the log, the counts to the manifest; whatever goes wrong with it, the backup is kept. Memory stays flat: names wait
// in a database that has no name on the disk. Names are held as in walk.ts: bytes as latin1.
import { closeSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import type { CrossCheckCounts, Warning } from '../../archive/manifest.ts';
import type { SnapshotQuery } from '../../databases/toolkit/engine.ts';
import { createFile } from '../../lib/durable.ts';
import { causeText } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { plural } from '../../lib/text.ts';
import type { CrossCheck } from './define-agent.ts';
import { nameText } from './walk.ts';

/** How many names of each kind the log gets. */
const NAMED_FILES = 100;

/** Hears of the files of a tree. */
export interface TreeListener {
  /** The tree is read from its start; what was heard before does not count. */
  begin(): void;
  /** @param path below the root, latin1 */
  file(path: string): void;
  /** It vanished before it was read. */
  gone(path: string): void;
}

/** How many of each are too many; undefined: never. */
export interface CrossCheckLimits {
  missing: number;
  unnamed: number | undefined;
}

export interface RunningCrossCheck extends TreeListener, Disposable {
  readonly check: CrossCheck;
  /** What the dump of its database is to be asked. */
  readonly query: SnapshotQuery;
  /** Logs the names. @returns no counts where a part of the work has failed */
  conclude(limits: CrossCheckLimits): { counts: CrossCheckCounts | undefined; warnings: Warning[] };
}

/** Ready for names: `row` has the paths of each row as JSON, `named` all of them, `file` what is in the archive but `gone`. */
function openScratch(path: string): DatabaseSync {
  closeSync(createFile(path)); // SQLite would make it readable by others under a lax umask
  try {
    const url = pathToFileURL(path);
    url.search = 'nolock=1'; // nobody else can find it, and network file systems may have no locks
    const scratch = new DatabaseSync(url);
    scratch.exec(`PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16000; BEGIN;
      CREATE TABLE row (paths TEXT);
      CREATE TABLE named (path TEXT);
      CREATE TABLE file (path TEXT, concerned INTEGER);
      CREATE TABLE gone (path TEXT)`);
    return scratch;
  } finally {
    rmSync(path); // without a name, nothing is left of it however the run ends
  }
}

/** Sorted in one go: a million names that were put into an index one by one would take minutes. */
const SETTLE = `DELETE FROM file WHERE path IN (SELECT path FROM gone);
  CREATE INDEX named_path ON named (path); CREATE INDEX file_path ON file (path)`;
const MISSING =
  'FROM row WHERE NOT EXISTS (SELECT 1 FROM json_each(row.paths) AS candidate JOIN file ON file.path = candidate.value)';
const UNNAMED = 'FROM file WHERE concerned AND NOT EXISTS (SELECT 1 FROM named WHERE named.path = file.path)';

/**
 * Starts one cross-check.
 * @param scratchPath a path in the work directory that nobody uses
 */
export function startCrossCheck(check: CrossCheck, scratchPath: string): RunningCrossCheck {
  const scratch = openScratch(scratchPath);
  const addRow = scratch.prepare('INSERT INTO row VALUES (?)');
  const addNamed = scratch.prepare('INSERT INTO named VALUES (?)');
  const addFile = scratch.prepare('INSERT INTO file VALUES (?, ?)');
  const addGone = scratch.prepare('INSERT INTO gone VALUES (?)');
  let failure: unknown;
  /** Other tables or columns than the agent knows: nothing that somebody has to do something about every night. */
  let unanswered: unknown;
  /** A name that the agent's functions choke on, or a full disk, must end neither the dump nor the tree. */
  const attempt = (work: () => void): void => {
    if (failure !== undefined) return;
    try {
      work();
    } catch (error) {
      failure = error;
    }
  };
  const count = (rest: string): number => Number(scratch.prepare(`SELECT count(*) AS n ${rest}`).get()?.n);
  const tellNames = (what: string, total: number, sql: string): void => {
    for (const { path } of scratch.prepare(`${sql} LIMIT ${NAMED_FILES}`).iterate()) {
      info(`${what}: ${nameText(String(path))}`);
    }
    if (total > NAMED_FILES) info(`${what}: and ${total - NAMED_FILES} more`);
  };
  const title = `cross-check of ${check.database} and ${check.tree}`;

  function compare({ missing, unnamed }: CrossCheckLimits): {
    counts: CrossCheckCounts;
    warnings: Warning[];
  } {
    scratch.exec(SETTLE);
    const rowCount = count('FROM row');
    const fileCount = count('FROM file WHERE concerned');
    const missingCount = count(MISSING);
    const unnamedCount = count(UNNAMED);
    info(
      `${title}: ${plural(rowCount, 'row')}, ${missingCount} without a file; ${plural(fileCount, 'file')}, ${unnamedCount} without a row`,
    );
    tellNames('not in the archive', missingCount, `SELECT paths ->> 0 AS path ${MISSING}`);
    tellNames('named by no row', unnamedCount, `SELECT path ${UNNAMED}`);
    const warnings: Warning[] = [];
    if (missingCount > missing) {
      const message = `${title}: the files of ${missingCount} of ${plural(rowCount, 'row')} are not in the archive`;
      warnings.push({ code: 'files-missing', message });
    }
    if (unnamed !== undefined && unnamedCount > unnamed) {
      const message = `${title}: no row names ${unnamedCount} of ${plural(fileCount, 'file')}`;
      warnings.push({ code: 'files-unnamed', message });
    }
    const { database, tree } = check;
    return { counts: { database, tree, rowCount, fileCount, missingCount, unnamedCount }, warnings };
  }

  return {
    check,
    query: {
      sql: check.sql,
      onRow: (values) =>
        attempt(() => {
          const paths = check.pathsOf(values).map((path) => Buffer.from(path).toString('latin1'));
          if (paths.length === 0) return;
          addRow.run(JSON.stringify(paths));
          for (const path of paths) addNamed.run(path);
        }),
      onFailure(error) {
        unanswered = error;
      },
    },
    begin: () => attempt(() => scratch.exec('DELETE FROM file; DELETE FROM gone')),
    file: (path) => attempt(() => void addFile.run(path, check.concerns(nameText(path)) ? 1 : 0)),
    gone: (path) => attempt(() => void addGone.run(path)),
    conclude(limits) {
      if (unanswered !== undefined) {
        info(`${title} is not made: ${causeText(unanswered)}`);
        return { counts: undefined, warnings: [] };
      }
      let result: ReturnType<typeof compare> | undefined;
      attempt(() => {
        result = compare(limits);
      });
      if (result !== undefined) return result;
      const message = `${title} could not be made: ${causeText(failure)}`;
      return { counts: undefined, warnings: [{ code: 'cross-check-failed', message }] };
    },
    [Symbol.dispose]: () => scratch.close(),
  };
}
