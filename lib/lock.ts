// One run at a time. The lock is the kernel's own: an exclusive SQLite transaction on an empty file, which ends
// with the process however it ends. So there are no stale locks to judge: a dead pid, a reused one, a zombie,
// another boot or garbage in the file can't hold it, and a live run can't lose it.
// The directory must be local to the host (GARNER_RUN_DIR): locks on network file systems are not relied on.
import {
  chmodSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { cannot } from './errors.ts';

const SQLITE_BUSY = 5;
const SQLITE_NOTADB = 26;

/** The locks of this process: opening one again would release it, see below. */
const held = new Set<string>();

/**
 * Takes a lock or fails at once.
 * @param runDir where locks lie (setting GARNER_RUN_DIR); made if missing
 * @param name what is locked, e.g. `agent-mediawiki`
 * @param what it is for, as a message calls it
 * @returns the lock; disposing it, or the end of the process, releases it
 * @throws locked, naming the holder
 */
export function acquireLock(runDir: string, name: string, what = name): Disposable {
  // who holds it, for the message only; a file of its own, because closing a second descriptor of the lock file
  // would release the lock
  const holder = join(runDir, `${name}.holder`);
  let path = join(runDir, `${name}.lock`);
  let db: DatabaseSync;
  try {
    mkdirSync(runDir, { recursive: true, mode: 0o700 });
    path = join(realpathSync(runDir), `${name}.lock`);
    if (held.has(path)) throw Object.assign(new Error('held by this process'), { errcode: SQLITE_BUSY });
    // SQLite follows links; a lock file is only ever made by us
    closeSync(openSync(path, constants.O_CREAT | constants.O_RDWR | constants.O_NOFOLLOW, 0o600));
    chmodSync(path, 0o600);
    db = lockFile(path);
  } catch (error) {
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) {
      throw cannot('locked', 'start', what, `another run is under way${readHolder(holder)}`);
    }
    throw cannot('io', 'make the lock', path, error, {
      hint: 'set GARNER_RUN_DIR to a local directory of your own',
    });
  }
  held.add(path);
  writeHolder(holder, `pid ${process.pid}, since ${new Date().toISOString()}\n`);
  return {
    [Symbol.dispose]() {
      writeHolder(holder, undefined);
      held.delete(path);
      db.close();
    },
  };
}

/** @param text undefined removes it. It is for a message only: a disk that fails here is no reason to fail. */
function writeHolder(holder: string, text: string | undefined): void {
  try {
    rmSync(holder, { force: true });
    if (text !== undefined) writeFileSync(holder, text, { flag: 'wx', mode: 0o600 });
  } catch {
    // the next run tries again
  }
}

function lockFile(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    db.exec('BEGIN EXCLUSIVE');
    return db;
  } catch (error) {
    db.close();
    if ((error as { errcode?: number }).errcode !== SQLITE_NOTADB) throw error;
    truncateSync(path); // garbage; the inode stays, so a lock that somebody holds on it stays too
    const again = new DatabaseSync(path, { timeout: 0 });
    again.exec('BEGIN EXCLUSIVE');
    return again;
  }
}

function readHolder(holder: string): string {
  try {
    return ` (${readFileSync(holder, 'utf8').trim()})`;
  } catch {
    return '';
  }
}
