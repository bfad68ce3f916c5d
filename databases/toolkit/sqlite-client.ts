// Runs sqlite-program.ts, which ends when the run does, and turns what SQLite says into errors that say what to do.
import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import { cannot, type ErrorCode, type GarnerError } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { ownProgram } from '../../lib/own-code.ts';
import { capture, describeExit } from '../../lib/process.ts';
import { shellWord } from '../../lib/text.ts';
import type { SqliteFacts, SqliteFailure } from './sqlite-program.ts';

/** How long another process's lock is waited for. */
const LOCK_MS = 60_000;
/** SQLite's code for a journal that only a writer may roll back. */
const READONLY_ROLLBACK = 776;

async function run(args: string[], file: string, signal: AbortSignal): Promise<SqliteFacts | SqliteFailure> {
  const program = ownProgram('databases/toolkit/sqlite-program');
  const ended = await capture(
    {
      file: program.file,
      args: [...program.args, ...args],
      onStderrLine: (line) => {
        if (line === 'locked') info(`${file}: another process has locked it; waiting`);
      },
    },
    { signal, maxBytes: 256 << 20 },
  );
  if (ended.code === 0) return JSON.parse(ended.stdout);
  return { message: `SQLite's program: ${describeExit(ended)}`, errcode: undefined };
}

/** Copies a live database as it stands between two transactions, checks the copy and counts its rows. */
export async function copyDatabase(file: string, to: string, signal: AbortSignal): Promise<SqliteFacts> {
  const answer = await run(['copy', file, to, `${LOCK_MS}`], file, signal);
  if ('message' in answer) throw sqliteError('database-dump', 'dump database', file, answer);
  return answer;
}

/**
 * Checks a database that nobody uses.
 * @param name what it is called in errors
 */
export async function checkDatabase(path: string, name: string, signal: AbortSignal): Promise<SqliteFacts> {
  const answer = await run(['check', path], name, signal);
  if ('message' in answer) throw sqliteError('database-restore', 'restore database', name, answer);
  return answer;
}

/** @returns the error for what SQLite said, with what can be done about it */
export function sqliteError(
  code: ErrorCode,
  doWhat: string,
  file: string,
  { message, errcode = 0 }: { message: string; errcode?: number | undefined },
): GarnerError {
  const quoted = shellWord(file);
  const error = (cause: string, hint?: string, as: ErrorCode = code): GarnerError =>
    cannot(as, doWhat, file, cause, { hint });
  if (errcode === READONLY_ROLLBACK) {
    return error(
      'a transaction was cut off by a crash, and its journal is still there',
      `start the application, or let SQLite roll it back: sqlite3 ${quoted} 'PRAGMA schema_version'`,
    );
  }
  switch (errcode & 0xff) {
    case 5: // BUSY
      return error('another process keeps it locked', `\`fuser ${quoted}\` tells which`);
    case 8: // READONLY
    case 14: // CANTOPEN
      return mayRead(file)
        ? error(
            message,
            `SQLite keeps -wal and -shm beside it: the account has to write into ${shellWord(dirname(file))}`,
          )
        : error('the account may not read it', `setfacl -m u:ACCOUNT:r ${quoted}`, 'database-rights');
    case 13: // FULL
      return error('no space is left for the copy', undefined, 'no-space');
    case 26: // NOTADB
      return error('it is encrypted or no SQLite database');
    default:
      return error(message);
  }
}

function mayRead(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
