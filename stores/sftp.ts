// Archives on a host that is reached by SFTP. Blocks are asked for many at once and handed on in order.
// Only regular files are opened; nothing is overwritten. What this can't promise: SFTP has no sync of a directory,
// so after a power cut of the host a file that was just published may be missing there; it is never incomplete.
import type { FileEntryWithStats, SFTPWrapper, Stats } from 'ssh2';
import { partPath } from '../lib/durable.ts';
import { cannot, GarnerError } from '../lib/errors.ts';
import { connectSftp, type Done, type SftpConnection } from './sftp-connection.ts';
import type { SftpOptions } from './sftp-target.ts';
import {
  checkStorePath,
  isPart,
  isPlainName,
  MAX_ENTRIES,
  MAX_NAME_BYTES,
  type Store,
  type StoreEntry,
  type Upload,
} from './store.ts';

export type { SftpOptions };

/** The largest block that OpenSSH reads or writes at once. */
const BLOCK_BYTES = 255 << 10;
const BLOCKS_IN_FLIGHT = 16;

const STATUS = { endOfFile: 1, notFound: 2, permissionDenied: 3, failure: 4 } as const;
const STATUS_TEXT: Record<number, string> = {
  [STATUS.notFound]: 'no such file or directory',
  [STATUS.permissionDenied]: 'permission denied',
  [STATUS.failure]: 'the server says no more than "failure"',
};

/**
 * Connects to a host and opens a directory on it as a store.
 * @throws host-key; store-connect; timeout; configuration, configuration-permissions
 */
export async function openSftpStore(options: SftpOptions): Promise<Store> {
  const connection = await connectSftp(options);
  return {
    url: connection.url,
    list: (directory) => list(connection, directory),
    stat: (path) => stat(connection, path),
    read: (path, fromBytes) => read(connection, path, fromBytes, options.pace),
    create: (path) => create(connection, path),
    remove: (path) => remove(connection, path),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

function statusOf(error: unknown): unknown {
  return error instanceof GarnerError ? undefined : (error as { code?: unknown } | undefined)?.code;
}

function fail({ url }: SftpConnection, doWhat: string, path: string, error: unknown): GarnerError {
  if (error instanceof GarnerError) return error;
  const status = statusOf(error);
  const text = STATUS_TEXT[status as number] ?? String((error as Error).message).slice(0, MAX_NAME_BYTES);
  const wrote = doWhat === 'write' || doWhat === 'publish';
  const hint = wrote && status === STATUS.failure ? { hint: 'is the disk of the host full?' } : {};
  return cannot(status === STATUS.notFound ? 'store-not-found' : 'io', doWhat, `${url}/${path}`, text, hint);
}

/** @returns the path on the server */
function locate({ directory }: SftpConnection, path: string): string {
  checkStorePath(path);
  return path === '' ? directory || '/' : `${directory}/${path}`;
}

async function list(connection: SftpConnection, path: string): Promise<StoreEntry[]> {
  const entries: StoreEntry[] = [];
  try {
    await scan(connection, path, (name, attrs) => {
      // '' would be the directory itself
      if (name !== '' && !isPart(name)) entries.push(toEntry(connection.url, path, name, attrs));
    });
  } catch (error) {
    if (statusOf(error) === STATUS.notFound) return [];
    throw fail(connection, 'list', path, error);
  }
  return entries;
}

/** Goes through a directory, batch by batch, so that a listing without an end comes to one. */
function scan(
  connection: SftpConnection,
  path: string,
  onEntry: (name: string, attrs: Stats) => void,
): Promise<void> {
  const where = locate(connection, path);
  const refuse = (cause: string): GarnerError =>
    cannot('store-limit', 'list', `${connection.url}/${path}`, cause);
  let count = 0;
  const take = (batch: FileEntryWithStats[]): void => {
    for (const { filename, attrs } of batch) {
      count += 1;
      if (count > MAX_ENTRIES) throw refuse(`there are more than ${MAX_ENTRIES} entries`);
      if (Buffer.byteLength(filename) > MAX_NAME_BYTES) {
        throw refuse(`a name has more than ${MAX_NAME_BYTES} bytes`);
      }
      onEntry(filename, attrs);
    }
  };
  // one request: the idle limit is that of the whole
  return connection.request<void>((sftp, done) => {
    sftp.opendir(where, (error, handle) => {
      if (error) return done(error);
      const finish = (failed?: Error): void => {
        sftp.close(handle, () => {});
        done(statusOf(failed) === STATUS.endOfFile ? undefined : failed);
      };
      const next = (): void =>
        sftp.readdir(handle, (failed, batch) => {
          if (failed) return finish(failed);
          try {
            take(batch);
          } catch (limit) {
            return finish(limit as Error);
          }
          next();
        });
      next();
    });
  });
}

function toEntry(url: string, path: string, name: string, attrs: Stats): StoreEntry {
  const sizeBytes = attrs.size ?? 0;
  if (!Number.isSafeInteger(sizeBytes)) {
    throw cannot(
      'store-limit',
      'use',
      `${url}/${path}`,
      `the host says that "${name}" has ${sizeBytes} bytes`,
    );
  }
  const plain = isPlainName(name) || name === ''; // '' is the store's own directory
  const kind = plain && attrs.isFile() ? 'file' : plain && attrs.isDirectory() ? 'directory' : 'other';
  return { name, kind, sizeBytes, modifiedMs: (attrs.mtime ?? 0) * 1000 };
}

async function stat(connection: SftpConnection, path: string): Promise<StoreEntry | undefined> {
  const where = locate(connection, path);
  try {
    const attrs = await connection.request<Stats>((sftp, done) => sftp.lstat(where, done));
    return toEntry(connection.url, path, nameOf(path), attrs);
  } catch (error) {
    if (statusOf(error) === STATUS.notFound) return undefined;
    throw fail(connection, 'look at', path, error);
  }
}

async function* read(
  connection: SftpConnection,
  path: string,
  fromBytes = 0,
  pace: SftpOptions['pace'] = undefined,
): AsyncGenerator<Buffer> {
  const where = locate(connection, path);
  const { url, request } = connection;
  const refuse = (cause: string): GarnerError => cannot('io', 'read', `${url}/${path}`, cause);
  let handle: Buffer | undefined;
  try {
    // before the open: that of a fifo would wait for its writer
    const before = await stat(connection, path);
    if (before === undefined)
      throw cannot('store-not-found', 'read', `${url}/${path}`, STATUS_TEXT[STATUS.notFound]);
    if (before.kind !== 'file') throw refuse('it is no regular file');
    handle = await request<Buffer>((sftp, done) => sftp.open(where, 'r', done));
    const file = handle;
    const opened = await request<Stats>((sftp, done) => sftp.fstat(file, done));
    if (!opened.isFile()) throw refuse('it is no regular file');
    const { sizeBytes, modifiedMs } = toEntry(url, path, nameOf(path), opened);
    const blocks: Promise<Buffer>[] = [];
    for (let asked = fromBytes; asked < sizeBytes || blocks.length > 0; ) {
      while (asked < sizeBytes && blocks.length < BLOCKS_IN_FLIGHT) {
        const from = asked;
        const length = Math.min(BLOCK_BYTES, sizeBytes - from);
        const ask = (): Promise<Buffer> =>
          request<Buffer>((sftp, done) => readBlock(sftp, file, from, length, refuse, done));
        const block = pace === undefined ? ask() : pace(length).then(ask);
        block.catch(() => {}); // told when its turn comes
        blocks.push(block);
        asked += length;
      }
      yield (await blocks.shift()) as Buffer;
    }
    const after = await stat(connection, path);
    if (after?.kind !== 'file' || after.sizeBytes !== sizeBytes || after.modifiedMs !== modifiedMs) {
      throw refuse('it changed while it was read');
    }
  } catch (error) {
    throw fail(connection, 'read', path, error);
  } finally {
    const open = handle;
    if (open !== undefined) request<void>((sftp, done) => sftp.close(open, done)).catch(() => {});
  }
}

/** Reads a block whole; the server may answer with less than it was asked for. */
function readBlock(
  sftp: SFTPWrapper,
  handle: Buffer,
  from: number,
  length: number,
  refuse: (cause: string) => GarnerError,
  done: Done<Buffer>,
): void {
  const block = Buffer.allocUnsafe(length);
  const readOn = (have: number): void => {
    sftp.read(handle, block, have, length - have, from + have, (error, count) => {
      if (error) done(error);
      else if (count === 0) done(refuse('it ended before the size that it had'));
      else if (have + count === length) done(undefined, block);
      else readOn(have + count);
    });
  };
  readOn(0);
}

/** Makes a directory and those above it where they are missing; up to the store's own, links are not followed. */
async function makeDirectory(connection: SftpConnection, path: string): Promise<void> {
  const found = await stat(connection, path);
  if (found?.kind === 'directory' || (path === '' && found !== undefined)) return;
  const where = locate(connection, path);
  if (found !== undefined)
    throw cannot('io', 'make directory', `${connection.url}/${path}`, 'it is a link or no directory');
  if (path === '')
    throw cannot('store-not-found', 'write into', connection.url, 'there is no such directory on the host');
  await makeDirectory(connection, parentOf(path));
  try {
    await connection.request<void>((sftp, done) => sftp.mkdir(where, { mode: 0o700 }, done));
  } catch (error) {
    // somebody else may have made it just now
    if ((await stat(connection, path))?.kind !== 'directory')
      throw fail(connection, 'make directory', path, error);
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Removes what a run left that was ended while it wrote this very file. */
async function sweepParts(connection: SftpConnection, path: string): Promise<void> {
  const directory = parentOf(path);
  const parts: string[] = [];
  await scan(connection, directory, (name) => {
    if (isPart(name, nameOf(path))) parts.push(name);
  });
  for (const name of parts) {
    const where = `${locate(connection, directory)}/${name}`;
    await connection.request<void>((sftp, done) => sftp.unlink(where, done));
  }
}

async function create(connection: SftpConnection, path: string): Promise<Upload> {
  const { request, url } = connection;
  const where = locate(connection, path);
  const part = partPath(where);
  let handle: Buffer;
  try {
    await makeDirectory(connection, parentOf(path));
    await sweepParts(connection, path);
    handle = await request<Buffer>((sftp, done) => sftp.open(part, 'wx', 0o600, done));
  } catch (error) {
    throw fail(connection, 'write', path, error);
  }
  const inFlight: Promise<void>[] = [];
  let position = 0;
  let published = false;
  const flush = async (): Promise<void> => {
    try {
      await Promise.all(inFlight);
      await syncFile(connection, handle);
    } catch (error) {
      throw fail(connection, 'write', path, error);
    }
  };
  return {
    resumedBytes: 0,
    async write(chunk) {
      try {
        for (let offset = 0; offset < chunk.length; offset += BLOCK_BYTES) {
          if (inFlight.length === BLOCKS_IN_FLIGHT) await inFlight.shift();
          const length = Math.min(BLOCK_BYTES, chunk.length - offset);
          const to = position;
          const sent = request<void>((sftp, done) => sftp.write(handle, chunk, offset, length, to, done));
          sent.catch(() => {}); // told when its turn comes
          inFlight.push(sent);
          position += length;
        }
      } catch (error) {
        throw fail(connection, 'write', path, error);
      }
    },
    flush,
    async publish(elsewhere = path) {
      await flush();
      try {
        if (elsewhere !== path) await makeDirectory(connection, parentOf(elsewhere));
        if ((await stat(connection, elsewhere)) !== undefined) {
          throw cannot('store-exists', 'publish', `${url}/${elsewhere}`, 'it exists already');
        }
        const target = locate(connection, elsewhere);
        // never overwrites: OpenSSH links and unlinks, and the protocol asks it of all
        await request<void>((sftp, done) => sftp.rename(part, target, done));
        published = true;
        // on file systems with a journal this makes the new name durable too
        await syncFile(connection, handle);
        await request<void>((sftp, done) => sftp.close(handle, done));
      } catch (error) {
        throw fail(connection, 'publish', path, error);
      }
    },
    async abort() {
      if (published) return;
      // a broken connection is no news here; the next create of this file sweeps
      await request<void>((sftp, done) => sftp.close(handle, done)).catch(() => {});
      await request<void>((sftp, done) => sftp.unlink(part, done)).catch(() => {});
    },
  };
}

/** Makes a file durable on the host, where its server offers that. */
async function syncFile({ request }: SftpConnection, handle: Buffer): Promise<void> {
  try {
    await request<void>((sftp, done) => sftp.ext_openssh_fsync(handle, done));
  } catch (error) {
    if (!String(error).includes('does not support')) throw error;
  }
}

async function remove(connection: SftpConnection, path: string): Promise<void> {
  const where = locate(connection, path);
  try {
    await connection.request<void>((sftp, done) => sftp.unlink(where, done));
  } catch (error) {
    if (statusOf(error) !== STATUS.notFound) throw fail(connection, 'remove', path, error);
  }
}
