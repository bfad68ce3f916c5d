// The history of an application on a host: `<work directory>/history/<series>-<host>.jsonl`, one run a line, the newest
// last. The archiver copies it, so that it survives the host. It grows by appending only; what a power cut has torn is
// one damaged line, which readers count and leave out. Lines are read as foreign text.
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { syncDirectory, writeFully } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';
import { ensureDirectory, type WorkDir } from '../lib/work-dir.ts';

export const HISTORY_DIRECTORY = 'history';
/** A line of more is none of ours. */
export const MAX_LINE_BYTES = 256 << 10;
/** How much of the end of a history is read: some hundred runs. */
const TAIL_BYTES = 2 << 20;
const MOST_MEMBERS = 200;

const text = (longest: number) => z.string().max(longest);
const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const time = z.iso.datetime();

const memberSchema = z.object({
  name: text(100),
  kind: text(20),
  sizeBytes: count,
  uncompressedSizeBytes: count,
  /** Of a database: the rows of all its tables. */
  rowCount: count.optional(),
  /** Of a tree. */
  fileCount: count.optional(),
});

const runSchema = z.object({
  /** What messages call the run. */
  name: text(100),
  startedAt: time,
  finishedAt: time,
  /** `missed`: it should have run and did not; `startedAt` is when that was found. */
  result: z.enum(['ok', 'warnings', 'failed', 'locked', 'missed']),
  /** null: nothing ran. */
  exitCode: z.number().int().min(0).max(255).nullable(),
  /** Size of the archive, or the cause, in one line. */
  summary: text(2000),
  /** The archives' names, without directory. */
  archives: z.array(text(255)).max(1000),
  /** Of all archives together. */
  sizeBytes: count.optional(),
  rowCount: count.optional(),
  fileCount: count.optional(),
  members: z.array(memberSchema).max(MOST_MEMBERS).optional(),
  /** What was beyond the usual, the most telling first; told where the run before did not have it. */
  variations: z
    .array(
      z.object({
        of: z.enum(['size', 'duration', 'rows', 'files']),
        /** The database or tree, where it is not all of the archive. */
        member: text(100).optional(),
        /** `collapse`: less than a tenth is left. */
        beyond: z.enum(['rise', 'drop', 'collapse']),
        /** In bytes, milliseconds or counts. */
        value: z.number().nonnegative(),
        usual: z.number().nonnegative(),
      }),
    )
    .max(100)
    .optional(),
  /** What the next run goes by: a crontab's five fields, or `every 1d`. */
  schedule: text(200).optional(),
  nextDueAt: time.optional(),
  /** Whether somebody was to be told of this run. */
  told: z.boolean().optional(),
});

/** One run, as a line of the history has it. */
export type HistoryRun = z.infer<typeof runSchema>;
export type HistoryMember = z.infer<typeof memberSchema>;

export interface History {
  /** Oldest first. */
  runs: HistoryRun[];
  /** How many lines are none. */
  damagedCount: number;
}

/** @returns `<series>-<host>.jsonl`; a series is `<application>[.<instance>]`, or `job.<instance>` for other commands */
export function historyFile(series: string, host: string): string {
  return `${series}-${host}.jsonl`;
}

/** @returns the series of a history's file; undefined where it is none of this host */
export function parseHistoryFile(file: string, host: string): string | undefined {
  const series = file.slice(0, -`-${host}.jsonl`.length);
  const isOne = file === historyFile(series, host) && /^[a-z][a-z0-9]*(\.[a-z0-9_]+)?$/.test(series);
  return isOne ? series : undefined;
}

/**
 * Adds a run, durably. The directory may be one that a group can write to (GARNER_GROUP): a link or a foreign file in
 * place of the history is refused.
 * @throws io, work-dir, no-space
 */
export function appendRun(
  { path, access }: Pick<WorkDir, 'path' | 'access'>,
  series: string,
  host: string,
  run: HistoryRun,
): void {
  const directory = join(path, HISTORY_DIRECTORY);
  const file = historyFile(series, host);
  const line = Buffer.from(`${JSON.stringify(runSchema.parse(run))}\n`);
  // the group reads it, and neither removes nor replaces anything in it
  ensureDirectory(directory, access.gid, 0o2750);
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;
  try {
    const inside = openDirectory(directory);
    try {
      const fd = openSync(
        `/proc/self/fd/${inside}/${file}`,
        O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_RDWR,
        0o600,
      );
      try {
        const stat = fstatSync(fd);
        if (!stat.isFile() || stat.nlink !== 1) throw new Error('it is no file of its own');
        if (stat.uid !== process.geteuid?.()) throw new Error(`it is owned by user ${stat.uid}`);
        if (access.gid !== undefined && stat.gid !== access.gid) fchownSync(fd, -1, access.gid);
        if ((stat.mode & 0o777) !== access.mode) fchmodSync(fd, access.mode);
        // a torn last line must not take this one with it
        const isWhole = stat.size === 0 || lastByte(fd, stat.size) === 0x0a;
        writeFully(fd, isWhole ? line : Buffer.concat([Buffer.from('\n'), line]));
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      syncDirectory(directory);
    } finally {
      closeSync(inside);
    }
  } catch (error) {
    throw cannot('io', 'write the history', join(directory, file), error);
  }
}

/**
 * Opens the directory of the histories. Whoever belongs to the group of the work directory can put another one in its
 * place, with lines by which trouble seems to be told already: it must be the same owner's, and be changed by nobody
 * else. What is in it is reached by what was looked at here, whatever the name leads to by then.
 */
function openDirectory(directory: string): number {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const { uid, mode } = fstatSync(fd);
    if (!ownersOf(directory).has(uid)) throw new Error(`its directory is owned by user ${uid}`);
    if (mode & 0o022) throw new Error('others can write into its directory');
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** @returns who may own histories: root, this process's user and the owner of the work directory */
function ownersOf(directory: string): Set<number | undefined> {
  return new Set([0, process.geteuid?.(), lstatSync(dirname(directory)).uid]);
}

function lastByte(fd: number, sizeBytes: number): number | undefined {
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, sizeBytes - 1);
  return byte[0];
}

/**
 * Reads the newest runs of a history.
 * @returns none where there is no such file
 * @throws io
 */
export function readHistory(file: string): History {
  let fd: number;
  try {
    const inside = openDirectory(dirname(file));
    try {
      fd = openSync(
        `/proc/self/fd/${inside}/${basename(file)}`,
        constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      );
    } finally {
      closeSync(inside);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { runs: [], damagedCount: 0 };
    throw cannot('io', 'read the history', file, error);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw cannot('io', 'read the history', file, 'it is no regular file');
    if (!ownersOf(dirname(file)).has(stat.uid))
      throw cannot('io', 'read the history', file, `it is owned by user ${stat.uid}`);
    const from = Math.max(0, stat.size - TAIL_BYTES);
    const tail = Buffer.alloc(stat.size - from);
    const got = readSync(fd, tail, 0, tail.length, from);
    const read = tail.subarray(0, got);
    // of a line that begins before the tail nothing is known
    return parseHistory(from === 0 ? read : read.subarray(read.indexOf(0x0a) + 1));
  } finally {
    closeSync(fd);
  }
}

/** Reads lines of a history, whoever wrote them. */
export function parseHistory(content: Buffer): History {
  const history: History = { runs: [], damagedCount: 0 };
  for (const line of content.toString().split('\n')) {
    if (line === '') continue;
    const run = parseRun(line);
    if (run === undefined) history.damagedCount += 1;
    else history.runs.push(run);
  }
  return history;
}

function parseRun(line: string): HistoryRun | undefined {
  if (line.length > MAX_LINE_BYTES) return undefined;
  try {
    return runSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** @returns the histories of a host in its work directory: their series, in alphabetical order; none where there are none */
export function listHistories(workDir: string, host: string): string[] {
  const directory = join(workDir, HISTORY_DIRECTORY);
  try {
    const inside = openDirectory(directory);
    let files: string[];
    try {
      files = readdirSync(`/proc/self/fd/${inside}/.`);
    } finally {
      closeSync(inside);
    }
    return files
      .map((file) => parseHistoryFile(file, host))
      .filter((series) => series !== undefined)
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw cannot('io', 'list the histories in', directory, error);
  }
}
