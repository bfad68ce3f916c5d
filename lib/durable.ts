// Files that are whole or absent, also after a power cut: written under a `.part-` name, synced, given their
// final name without overwriting, and the directory synced.
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fdatasync,
  fsync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { cannot, isNoSpace } from './errors.ts';

/** What stands before the name of a file that isn't whole yet; readers ignore such names. */
export const PART_PREFIX = '.part-';

export interface FileAccess {
  /** The file's mode, e.g. 0o600. */
  mode: number;
  /** The group that gets the file; undefined: the process's own. */
  gid?: number | undefined;
}

export const PRIVATE: FileAccess = { mode: 0o600 };

/**
 * @param mark 8 hexadecimal digits; left out: random ones
 * @returns a name for the unfinished form of a file, beside it: `<dir>/.part-<name>.<mark>`
 */
export function partPath(finalPath: string, mark = randomBytes(4).toString('hex')): string {
  return join(dirname(finalPath), `${PART_PREFIX}${basename(finalPath)}.${mark}`);
}

/** Opens a new file for writing and reading back; never an existing one, never through a link. */
export function createFile(path: string, access: FileAccess = PRIVATE): number {
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;
  const fd = openSync(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR, 0o600);
  try {
    if (access.gid !== undefined) fchownSync(fd, -1, access.gid);
    fchmodSync(fd, access.mode);
    return fd;
  } catch (error) {
    closeSync(fd);
    unlinkSync(path);
    throw error;
  }
}

/** Writes all of a buffer; `writeSync` alone may write less. */
export function writeFully(fd: number, data: Uint8Array, position: number | null = null): void {
  let offset = 0;
  while (offset < data.length) {
    offset += writeSync(fd, data, offset, data.length - offset, position === null ? null : position + offset);
  }
}

const syncData = promisify(fdatasync);
/** How much is written before the disk is asked to begin with it. */
const SYNC_EVERY_BYTES = 64 << 20;

export interface EarlySync {
  /** @param count how many bytes were written just now */
  wrote(count: number): void;
  /** The caller's own sync comes after this. @throws what the disk has said so far: it says it once */
  settled(): Promise<void>;
}

/** Brings a large file to the disk while it is still being written: the sync at its end then has little left to do. */
export function startEarlySync(fd: number): EarlySync {
  let waitingBytes = 0;
  let running: Promise<void> | undefined;
  let failure: unknown;
  return {
    wrote(count) {
      waitingBytes += count;
      if (waitingBytes < SYNC_EVERY_BYTES || running !== undefined) return;
      waitingBytes = 0;
      running = syncData(fd)
        .catch((error) => {
          failure ??= error;
        })
        .finally(() => {
          running = undefined;
        });
    },
    async settled() {
      await running;
      if (failure !== undefined) throw failure;
    },
  };
}

/** Makes names in a directory durable. */
export function syncDirectory(directory: string): void {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

const syncDescriptor = promisify(fsync);
/** By directory: the sync that runs, and the one that comes after it. */
const directorySyncs = new Map<string, { running: Promise<void>; next: Promise<void> | undefined }>();

/** Makes names in a directory durable while others go on; those who come while it is being synced share the next sync. */
export function syncDirectoryTogether(directory: string): Promise<void> {
  const current = directorySyncs.get(directory);
  if (current !== undefined) {
    current.next ??= current.running.then(
      () => startDirectorySync(directory),
      () => startDirectorySync(directory),
    );
    return current.next;
  }
  return startDirectorySync(directory);
}

function startDirectorySync(directory: string): Promise<void> {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  const running = syncDescriptor(fd).finally(() => {
    closeSync(fd);
    // its successor, if there is one, begins now
    if (directorySyncs.get(directory)?.next === undefined) directorySyncs.delete(directory);
  });
  directorySyncs.set(directory, { running, next: undefined });
  return running;
}

/** Makes what somebody else may have written durable: a file's bytes; its name is its directory's. */
export function syncFile(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Makes a directory, and those above it that are missing, each name durable; one that is there stays as it is. */
export function makeDirectory(path: string, mode = 0o700): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT') throw error;
    makeDirectory(dirname(path), mode);
    makeDirectory(path, mode);
    return;
  }
  syncDirectory(dirname(path));
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** What file systems without hard links say. */
const NO_LINKS = new Set<string | undefined>(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/**
 * Gives a synced file its final name and makes the name durable. Never overwrites.
 * Where the file system has no hard links, a rename after a check does it: callers hold a lock.
 * @throws EEXIST where the final name is taken
 */
export function publish(part: string, finalPath: string): void {
  giveFinalName(part, finalPath);
  syncDirectory(dirname(finalPath));
}

/** Publishes while others go on. @throws EEXIST where the final name is taken */
export async function publishTogether(part: string, finalPath: string): Promise<void> {
  giveFinalName(part, finalPath);
  await syncDirectoryTogether(dirname(finalPath));
}

function giveFinalName(part: string, finalPath: string): void {
  try {
    linkSync(part, finalPath);
    unlinkSync(part);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!NO_LINKS.has(code)) throw error;
    if (exists(finalPath))
      throw Object.assign(new Error('exists already'), { code: 'EEXIST', path: finalPath });
    renameSync(part, finalPath);
  }
}

/**
 * Writes a small file that is whole or absent.
 * @param replace true: an older one is replaced in one step; false: it is an error
 */
export function writeFileDurably(
  path: string,
  data: string | Uint8Array,
  { access = PRIVATE, replace = false }: { access?: FileAccess; replace?: boolean } = {},
): void {
  const part = partPath(path);
  try {
    const fd = createFile(part, access);
    try {
      writeFully(fd, typeof data === 'string' ? Buffer.from(data) : data);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (replace) {
      renameSync(part, path);
      syncDirectory(dirname(path));
    } else {
      publish(part, path);
    }
  } catch (error) {
    rmSync(part, { force: true });
    throw cannot(isNoSpace(error) ? 'no-space' : 'io', 'write file', path, error);
  }
}

/**
 * Removes what ended runs have left unfinished.
 * @param mine tells by `<final name>.<random>`, see partPath, whether an unfinished file is the caller's to remove (it holds that lock)
 * @returns the removed files' names
 */
export function sweepParts(directory: string, mine: (rest: string) => boolean): string[] {
  const swept = readdirSync(directory).filter(
    (name) => name.startsWith(PART_PREFIX) && mine(name.slice(PART_PREFIX.length)),
  );
  return swept.filter((name) => {
    const path = join(directory, name);
    if (mountBelow(path) !== undefined) return false; // it stays until that is unmounted
    removeTree(path);
    return true;
  });
}

/**
 * Removes a file or a directory with all that is in it.
 * @throws where something is mounted below it, which is no part of it: then nothing is removed; what the system says
 */
export function removeTree(path: string): void {
  const mounted = mountBelow(path);
  if (mounted !== undefined) throw new Error(`"${mounted}" is mounted there: umount it first`);
  rmSync(path, { recursive: true, force: true, maxRetries: 3 });
}

/** @returns what is mounted at a path or below it, as the kernel writes it */
function mountBelow(path: string): string | undefined {
  const escaped = join(realpathSync(dirname(path)), basename(path)).replace(/[\s\\]/g, octal);
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return mounts.map((line) => line.split(' ')[4] ?? '').find((at) => `${at}/`.startsWith(`${escaped}/`));
}

/** As the kernel lists mounts. */
const octal = (char: string): string => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`;
