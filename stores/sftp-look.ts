// What an SFTP server says of what lies there: listings and attributes, hostile until checked, and what its answers mean.
import type { FileEntryWithStats, Stats } from 'ssh2';
import { cannot, GarnerError } from '../lib/errors.ts';
import type { SftpConnection } from './sftp-connection.ts';
import {
  checkStorePath,
  isPart,
  isPlainName,
  MAX_ENTRIES,
  MAX_NAME_BYTES,
  type StoreEntry,
} from './store.ts';

export const STATUS = { endOfFile: 1, notFound: 2, permissionDenied: 3, failure: 4 } as const;
export const STATUS_TEXT: Record<number, string> = {
  [STATUS.notFound]: 'no such file or directory',
  [STATUS.permissionDenied]: 'permission denied',
  [STATUS.failure]: 'the server says no more than "failure"',
};

export function statusOf(error: unknown): unknown {
  return error instanceof GarnerError ? undefined : (error as { code?: unknown } | undefined)?.code;
}

export function fail({ url }: SftpConnection, doWhat: string, path: string, error: unknown): GarnerError {
  if (error instanceof GarnerError) return error;
  const status = statusOf(error);
  const text = STATUS_TEXT[status as number] ?? String((error as Error).message).slice(0, MAX_NAME_BYTES);
  const wrote = doWhat === 'write' || doWhat === 'publish';
  const hint = wrote && status === STATUS.failure ? { hint: 'is the disk of the host full?' } : {};
  return cannot(status === STATUS.notFound ? 'store-not-found' : 'io', doWhat, `${url}/${path}`, text, hint);
}

/** @returns the path on the server */
export function locate({ directory }: SftpConnection, path: string): string {
  checkStorePath(path);
  return path === '' ? directory || '/' : `${directory}/${path}`;
}

export async function list(connection: SftpConnection, path: string): Promise<StoreEntry[]> {
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
export function scan(
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

export function toEntry(url: string, path: string, name: string, attrs: Stats): StoreEntry {
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

export async function stat(connection: SftpConnection, path: string): Promise<StoreEntry | undefined> {
  const where = locate(connection, path);
  try {
    const attrs = await connection.request<Stats>((sftp, done) => sftp.lstat(where, done));
    return toEntry(connection.url, path, nameOf(path), attrs);
  } catch (error) {
    if (statusOf(error) === STATUS.notFound) return undefined;
    throw fail(connection, 'look at', path, error);
  }
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
