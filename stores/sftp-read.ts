// A file of an SFTP server, block by block: many are asked for at once, and handed on in order.
import type { SFTPWrapper, Stats } from 'ssh2';
import { cannot, type GarnerError } from '../lib/errors.ts';
import type { Done, SftpConnection } from './sftp-connection.ts';
import { fail, locate, nameOf, STATUS, STATUS_TEXT, stat, toEntry } from './sftp-look.ts';
import type { SftpOptions } from './sftp-target.ts';

/** The largest block that OpenSSH reads or writes at once. */
export const BLOCK_BYTES = 255 << 10;
export const BLOCKS_IN_FLIGHT = 16;

export async function* read(
  connection: SftpConnection,
  path: string,
  fromBytes = 0,
  pace: SftpOptions['pace'] = undefined,
  lends = false,
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
    const free: Buffer[] = [];
    let lent: Buffer | undefined;
    for (let asked = fromBytes; asked < sizeBytes || blocks.length > 0; ) {
      while (asked < sizeBytes && blocks.length < BLOCKS_IN_FLIGHT) {
        const from = asked;
        const length = Math.min(BLOCK_BYTES, sizeBytes - from);
        const block = free.pop()?.subarray(0, length) ?? Buffer.allocUnsafe(length);
        const ask = (): Promise<Buffer> =>
          request<Buffer>((sftp, done) => readBlock(sftp, file, from, block, refuse, done));
        const filled = pace === undefined ? ask() : pace(length).then(ask);
        filled.catch(() => {}); // told when its turn comes
        blocks.push(filled);
        asked += length;
      }
      const block = (await blocks.shift()) as Buffer;
      yield block;
      if (lends && lent !== undefined) free.push(lent);
      lent = block;
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

/** Fills a block; the server may answer with less than it was asked for. */
function readBlock(
  sftp: SFTPWrapper,
  handle: Buffer,
  from: number,
  block: Buffer,
  refuse: (cause: string) => GarnerError,
  done: Done<Buffer>,
): void {
  const { length } = block;
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
