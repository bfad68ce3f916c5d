// Archives on a host that is reached by SFTP. Only regular files are opened; nothing is overwritten.
import { connectSftp, type SftpConnection } from './sftp-connection.ts';
import { fail, list, locate, STATUS, stat, statusOf } from './sftp-look.ts';
import { read } from './sftp-read.ts';
import type { SftpOptions } from './sftp-target.ts';
import { create } from './sftp-upload.ts';
import type { Store } from './store.ts';

export type { SftpOptions };

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
    read: (path, fromBytes, lends) => read(connection, path, fromBytes, options.pace, lends),
    create: (path, source) => create(connection, path, source, options.pace),
    remove: (path) => remove(connection, path),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

async function remove(connection: SftpConnection, path: string): Promise<void> {
  const where = locate(connection, path);
  try {
    await connection.request<void>((sftp, done) => sftp.unlink(where, done));
  } catch (error) {
    if (statusOf(error) !== STATUS.notFound) throw fail(connection, 'remove', path, error);
  }
}
