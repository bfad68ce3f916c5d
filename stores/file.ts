// Archives in a directory of this host: a disk, a mounted share.
// Nothing outside the root is read or written: no link below it is followed, only regular files are opened.
// The root itself may be a link, it is the administrator's. Files are made 0600, directories 0700.
import {
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  fsync,
  lstatSync,
  openSync,
  readdirSync,
  rmSync,
  type Stats,
  write,
} from 'node:fs';
import { type FileHandle, lstat, open, opendir, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import {
  createFile,
  makeDirectory,
  partPath,
  publishTogether,
  startEarlySync,
  syncDirectory,
} from '../lib/durable.ts';
import { cannot, GarnerError, isNoSpace } from '../lib/errors.ts';
import {
  checkStorePath,
  isPart,
  isPlainName,
  isStalePart,
  MAX_ENTRIES,
  type Store,
  type StoreEntry,
  type Upload,
} from './store.ts';

const READ_BYTES = 1 << 20;
// a disk may take seconds for it; other hosts' transfers go on meanwhile
const syncFile = promisify(fsync);
const writeSome = promisify(write);

/**
 * Opens a directory as a store. It need not exist yet: then it holds nothing, and the first file makes it.
 * @param root an absolute path
 */
export function openFileStore(root: string): Store {
  const leftovers: Leftovers = new Map();
  return {
    url: pathToFileURL(root).href,
    list: (directory) => list(root, directory),
    stat: (path) => stat(root, path),
    read: (path, fromBytes) => read(root, path, fromBytes),
    create: (path, source) => create(root, path, leftovers, source),
    remove: (path) => remove(root, path),
    async [Symbol.asyncDispose]() {},
  };
}

function fail(doWhat: string, path: string, error: unknown): GarnerError {
  if (error instanceof GarnerError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return cannot('store-not-found', doWhat, path, error);
  if (code === 'EEXIST') return cannot('store-exists', doWhat, path, error);
  return cannot(isNoSpace(error) ? 'no-space' : 'io', doWhat, path, error);
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/**
 * Walks from the root to the directory `below` it, through directories only.
 * @returns its path, or undefined where it does not exist
 */
function findDirectory(root: string, below: string): string | undefined {
  let path = root;
  for (const part of below.split('/').filter((name) => name !== '')) {
    path = join(path, part);
    const found = lookAt(path);
    if (found === undefined) return undefined;
    if (!found.isDirectory()) throw cannot('io', 'open directory', path, 'it is a link or no directory');
  }
  return path;
}

/** Several of these come before every file: a thread for each would cost ten times as much. */
function lookAt(path: string, doWhat = 'open directory'): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw fail(doWhat, path, error);
  }
}

/** @returns the path of a file in a directory that exists, or undefined */
function findPath(root: string, path: string): string | undefined {
  checkStorePath(path);
  const directory = findDirectory(root, parentOf(path));
  return directory === undefined ? undefined : join(directory, basename(path));
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}

async function list(root: string, below: string): Promise<StoreEntry[]> {
  checkStorePath(below);
  const directory = findDirectory(root, below);
  if (directory === undefined) return [];
  const entries: StoreEntry[] = [];
  try {
    for await (const found of await opendir(directory, { encoding: 'buffer' as BufferEncoding })) {
      const name = (found as unknown as Dirent<Buffer>).name.toString('utf8');
      if (isPart(name)) continue;
      if (entries.length === MAX_ENTRIES) {
        throw cannot('store-limit', 'list', directory, `there are more than ${MAX_ENTRIES} entries`);
      }
      // a name that is no UTF-8 can't be asked for again
      const entry = isPlainName(name) ? await entryOf(join(directory, name), name) : oddEntry(name);
      if (entry !== undefined) entries.push(entry);
    }
  } catch (error) {
    if (isMissing(error)) return [];
    throw fail('list', directory, error);
  }
  return entries;
}

function oddEntry(name: string): StoreEntry {
  return { name, kind: 'other', sizeBytes: 0, modifiedMs: 0 };
}

/** @returns undefined where it has gone */
async function entryOf(path: string, name: string): Promise<StoreEntry | undefined> {
  try {
    return toEntry(name, await lstat(path));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw fail('look at', path, error);
  }
}

function toEntry(name: string, found: Stats): StoreEntry {
  const kind = found.isFile() ? 'file' : found.isDirectory() ? 'directory' : 'other';
  return { name, kind, sizeBytes: found.size, modifiedMs: found.mtimeMs };
}

async function stat(root: string, below: string): Promise<StoreEntry | undefined> {
  const path = findPath(root, below);
  const found = path === undefined ? undefined : lookAt(path, 'look at');
  return found === undefined ? undefined : toEntry(basename(below), found);
}

async function* read(root: string, below: string, fromBytes = 0): AsyncGenerator<Buffer> {
  const path = findPath(root, below);
  const notFound = 'no such file or directory';
  if (path === undefined) throw cannot('store-not-found', 'read', join(root, below), notFound);
  let file: FileHandle;
  try {
    // a fifo must not block the open
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ELOOP') throw cannot('io', 'read', path, 'it is a symbolic link');
    if (code === 'ENXIO') throw cannot('io', 'read', path, 'it is no regular file');
    throw fail('read', path, error);
  }
  try {
    const before = await file.stat({ bigint: true });
    if (!before.isFile()) throw cannot('io', 'read', path, 'it is no regular file');
    let left = Number(before.size) - fromBytes;
    while (left > 0) {
      const length = Math.min(READ_BYTES, left);
      const { buffer, bytesRead } = await file.read({
        buffer: Buffer.allocUnsafe(length),
        length,
        position: Number(before.size) - left,
      });
      if (bytesRead === 0) break;
      left -= bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    const after = await lstat(path, { bigint: true }).catch(() => undefined);
    const same = after?.ino === before.ino && after.size === before.size && after.mtimeNs === before.mtimeNs;
    if (left > 0 || !same) throw cannot('io', 'read', path, 'it changed while it was read');
  } catch (error) {
    throw fail('read', path, error);
  } finally {
    await file.close();
  }
}

/** Unfinished files, by directory: those of ended runs are looked for once, uploads of this store add what they leave. */
type Leftovers = Map<string, string[]>;

/** Removes what a run left that was ended while it wrote this very file. */
function sweepLeftovers(leftovers: Leftovers, directory: string, file: string, keep: string): void {
  let names = leftovers.get(directory);
  if (names === undefined) {
    names = readdirSync(directory).filter((name) => isPart(name));
    for (const name of names) if (name !== keep) sweepStale(join(directory, name));
    leftovers.set(directory, names);
  }
  for (const name of names)
    if (name !== keep && isPart(name, file)) rmSync(join(directory, name), { force: true });
}

/** Of a file that nobody wants any more, nothing else would. */
function sweepStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found?.isFile() || !isStalePart(basename(path), found.mtimeMs)) return;
  try {
    rmSync(path, { force: true });
  } catch {
    // somebody else's: it is in nobody's way
  }
}

/** @returns undefined where nothing usable is there */
function openLeftover(part: string): { fd: number; sizeBytes: number } | undefined {
  const found = lstatSync(part, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  if (found.isFile() && found.nlink === 1) {
    const fd = openSync(part, constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW);
    return { fd, sizeBytes: fstatSync(fd).size };
  }
  rmSync(part, { recursive: true });
  return undefined;
}

async function create(
  root: string,
  below: string,
  leftovers: Leftovers,
  source: string | undefined,
): Promise<Upload> {
  checkStorePath(below);
  const path = join(root, below);
  const directory = dirname(path);
  findDirectory(root, parentOf(below));
  const part = partPath(path, source);
  let fd: number;
  let resumedBytes = 0;
  try {
    makeDirectory(directory);
  } catch (error) {
    throw fail('make directory', directory, error);
  }
  try {
    sweepLeftovers(leftovers, directory, basename(path), basename(part));
    const left = source === undefined ? undefined : openLeftover(part);
    fd = left?.fd ?? createFile(part);
    resumedBytes = left?.sizeBytes ?? 0;
  } catch (error) {
    throw fail('write', path, error);
  }
  let isOpen = true;
  let isPublished = false;
  let writtenBytes = resumedBytes;
  let writing = Promise.resolve();
  const early = startEarlySync(fd);
  const close = (): void => {
    if (isOpen) closeSync(fd);
    isOpen = false;
  };
  const settled = (): Promise<void> =>
    writing.catch((error) => {
      throw fail('write', path, error);
    });
  const flush = async (): Promise<void> => {
    await settled();
    if (!isOpen) return;
    try {
      await early.settled();
      await syncFile(fd);
      close();
    } catch (error) {
      throw fail('publish', path, error);
    }
  };
  return {
    resumedBytes,
    local: { file: part, writtenBytes: () => writtenBytes },
    async write(chunk) {
      await settled();
      // the disk writes this one while the next one is fetched
      writing = writeAll(fd, chunk).then(() => {
        writtenBytes += chunk.length;
        early.wrote(chunk.length);
      });
      writing.catch(() => {}); // told by the next call
    },
    flush,
    async publish(elsewhere) {
      await flush();
      try {
        if (elsewhere !== undefined) makeDirectory(dirname(join(root, elsewhere)));
        await publishTogether(part, elsewhere === undefined ? path : join(root, elsewhere));
        isPublished = true;
      } catch (error) {
        throw fail('publish', path, error);
      }
    },
    async abort(keep = false) {
      await writing.catch(() => {});
      await early.settled().catch(() => {}); // its descriptor may be another file's soon
      close();
      if (isPublished) return;
      if (keep && source !== undefined) leftovers.get(directory)?.push(basename(part));
      else rmSync(part, { force: true });
    },
  };
}

/** Writes all of a buffer; one call alone may write less. */
async function writeAll(fd: number, data: Buffer): Promise<void> {
  for (let offset = 0; offset < data.length; ) {
    offset += (await writeSome(fd, data, offset)).bytesWritten;
  }
}

async function remove(root: string, below: string): Promise<void> {
  const path = findPath(root, below);
  if (path === undefined) return;
  try {
    await unlink(path);
    syncDirectory(dirname(path));
  } catch (error) {
    if (!isMissing(error)) throw fail('remove', path, error);
  }
}
