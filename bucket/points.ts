// The directory of a set's restoration points: which there are, one read, one written. A point is whole or absent, also after
// a power cut, and never overwritten. What is on its way out has another name, by which nothing but its removal is done.
import {
  closeSync,
  createReadStream,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGunzip, createGzip } from 'node:zlib';
import {
  createFile,
  makeDirectory,
  partPath,
  publish,
  sweepParts,
  syncDirectory,
  writeFully,
} from '../lib/durable.ts';
import { cannot, GarnerError, isNoSpace } from '../lib/errors.ts';
import {
  type PointPiece,
  type PointSummary,
  type PointVersion,
  readPointText,
  writePointText,
} from './point-text.ts';

/** What stands before the name of a point whose versions are being removed. */
const REMOVING_PREFIX = '.removing-';
const GZIP_MAGIC = 0x1f8b;
/** As the original names them: the time, its offset and zone. */
const NAME = /^\d{14}[+-]\d{4}[A-Z0-9+-]{1,6}(\.Z)?$/;

export interface PointFile {
  /** As the command line names it. */
  name: string;
  path: string;
  /** Whether a run has begun to remove it. */
  removing: boolean;
}

/**
 * @returns all points of a directory, also those being removed, by name; none where there is no directory. Every file counts
 *   that is not hidden: one by another name may be the only one to name a version
 */
export function pointFiles(directory: string): PointFile[] {
  let names: string[];
  try {
    names = readdirSync(directory, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map(({ name }) => name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw cannot('io', 'read the directory of points', directory, error);
  }
  return names
    .filter((name) => !name.startsWith('.') || name.startsWith(REMOVING_PREFIX))
    .map((name) => {
      const removing = name.startsWith(REMOVING_PREFIX);
      return {
        name: removing ? name.slice(REMOVING_PREFIX.length) : name,
        path: join(directory, name),
        removing,
      };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * @param name a point's, with or without its `.Z`; `latest`: the newest by name
 * @throws usage where there is no such point
 */
export function findPoint(directory: string, name: string): PointFile {
  const points = pointFiles(directory).filter(({ removing }) => !removing);
  const found =
    name === 'latest'
      ? points.filter((point) => NAME.test(point.name)).at(-1)
      : (points.find((point) => point.name === name) ?? points.find((point) => point.name === `${name}.Z`));
  if (found !== undefined) return found;
  throw cannot('usage', 'find restoration point', name, `it is not in ${directory}`, {
    hint:
      points.length === 0
        ? 'there is none yet: bucket snapshot makes one'
        : 'bucket list shows those that there are',
  });
}

/**
 * Reads a point to its end.
 * @throws point-damaged
 */
export async function* readPoint(
  { name, path }: PointFile,
  signal: AbortSignal,
): AsyncGenerator<PointPiece, PointSummary> {
  try {
    return yield* readPointText(textOf(path, signal));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof GarnerError) throw error;
    const isOfDisk = (error as NodeJS.ErrnoException).syscall !== undefined;
    if (isOfDisk) throw cannot('io', 'read restoration point', name, error);
    throw cannot('point-damaged', 'read restoration point', name, error, {
      hint: 'bucket verify says which points are good; move the file of this one away, or bring it back from a copy',
    });
  }
}

/** Reads a point to its end, with work on each piece. @throws point-damaged, and what the work throws */
export async function eachPiece(
  point: PointFile,
  work: (piece: PointPiece) => void | Promise<void>,
  signal: AbortSignal,
): Promise<PointSummary> {
  const pieces = readPoint(point, signal);
  try {
    for (;;) {
      const { done, value } = await pieces.next();
      if (done === true) return value;
      await work(value);
    }
  } finally {
    await pieces.return(undefined as never);
  }
}

async function* textOf(path: string, signal: AbortSignal): AsyncGenerator<string> {
  if (!lstatSync(path).isFile()) throw 'it is no regular file';
  const file = createReadStream(path, { highWaterMark: 1 << 18, signal });
  const isPacked = startsAsGzip(path);
  const unpacked = isPacked ? file.pipe(createGunzip({ chunkSize: 1 << 18 })) : file;
  // pipe() hands no error on
  if (isPacked) file.once('error', (error) => unpacked.destroy(error));
  const decoder = new TextDecoder('utf-8', { fatal: true });
  try {
    for await (const bytes of unpacked) yield decoder.decode(bytes, { stream: true });
    yield decoder.decode();
  } finally {
    file.destroy();
  }
}

function startsAsGzip(path: string): boolean {
  const start = Buffer.alloc(2);
  const fd = openSync(path, 'r');
  try {
    return readSync(fd, start) === 2 && start.readUInt16BE() === GZIP_MAGIC;
  } finally {
    closeSync(fd);
  }
}

/**
 * Takes a name that no point has yet, and makes the directory where it is missing; the caller holds the set's lock.
 * @returns the time that the name tells
 */
export async function nextPoint(directory: string): Promise<{ name: string; time: Date }> {
  makeDirectory(directory);
  sweepParts(directory, () => true);
  for (;;) {
    const time = new Date();
    const name = `${time.toISOString().slice(0, 19).replace(/[-:T]/g, '')}+0000UTC`;
    if (!pointFiles(directory).some((point) => point.name.replace(/\.Z$/, '') === name))
      return { name, time };
    await sleep(1000 - (time.getTime() % 1000));
  }
}

/**
 * Writes a point.
 * @returns its file's name
 * @throws no-space, io; what the versions' source throws
 */
export async function writePoint(
  directory: string,
  { name, time, bucket, compress }: { name: string; time: Date; bucket: string; compress: boolean },
  versions: AsyncIterable<PointVersion>,
  signal: AbortSignal,
): Promise<string> {
  const fileName = compress ? `${name}.Z` : name;
  const path = join(directory, fileName);
  const part = partPath(path);
  try {
    const fd = createFile(part);
    try {
      const text = Readable.from(writePointText({ file: path, time, bucket }, versions), {
        objectMode: true,
      });
      // a stream of the file would close it by itself where another fails
      const write = async (chunks: AsyncIterable<string | Buffer>): Promise<void> => {
        for await (const chunk of chunks)
          writeFully(fd, typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
      };
      if (compress) await pipeline(text, createGzip({ chunkSize: 1 << 16 }), write, { signal });
      else await pipeline(text, write, { signal });
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    publish(part, path);
    return fileName;
  } catch (error) {
    rmSync(part, { force: true });
    signal.throwIfAborted();
    if (error instanceof GarnerError) throw error;
    throw cannot(isNoSpace(error) ? 'no-space' : 'io', 'write restoration point', path, error);
  }
}

/** Takes a point out of the points that there are, durably: from now on it names no version any more. */
export function beginRemoval(directory: string, { name, path, removing }: PointFile): PointFile {
  if (removing) return { name, path, removing };
  const next = join(directory, `${REMOVING_PREFIX}${name}`);
  renameSync(path, next);
  syncDirectory(directory);
  return { name, path: next, removing: true };
}

/** Removes the file of a point whose versions are gone. */
export function endRemoval(directory: string, { path }: PointFile): void {
  rmSync(path, { force: true });
  syncDirectory(directory);
}
