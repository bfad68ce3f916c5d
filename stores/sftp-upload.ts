// A file on its way to an SFTP server: unfinished and unseen until it is published, nothing is overwritten. What this can't
// promise: SFTP has no sync of a directory, so after a power cut of the host a file that was just published may be missing
// there; it is never incomplete.
import { partPath } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';
import type { SftpConnection } from './sftp-connection.ts';
import { fail, locate, nameOf, parentOf, scan, stat } from './sftp-look.ts';
import { BLOCK_BYTES, BLOCKS_IN_FLIGHT, read } from './sftp-read.ts';
import type { SftpOptions } from './sftp-target.ts';
import { checkStorePath, isPart, isPlainName, isStalePart, type Upload } from './store.ts';

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

/**
 * Removes what a run left that was ended while it wrote this very file, and what others left days ago.
 * @param keep the name of what may be gone on with
 */
async function sweepParts(connection: SftpConnection, path: string, keep: string): Promise<void> {
  const directory = parentOf(path);
  const remove = (name: string): Promise<void> => {
    const where = `${locate(connection, directory)}/${name}`;
    return connection.request<void>((sftp, done) => sftp.unlink(where, done));
  };
  const [own, stale]: [string[], string[]] = [[], []];
  await scan(connection, directory, (name, attrs) => {
    if (name === keep) return;
    if (isPart(name, nameOf(path))) own.push(name);
    else if (isPlainName(name) && attrs.isFile() && isStalePart(name, attrs.mtime * 1000)) stale.push(name);
  });
  for (const name of own) await remove(name);
  for (const name of stale) await remove(name).catch(() => {}); // somebody else's: it is in nobody's way
}

/** Opens an unfinished file: a new one, or one that is there. */
async function openPart(
  connection: SftpConnection,
  part: string,
  mayResume: boolean,
): Promise<{ handle: Buffer; sizeBytes: number }> {
  const where = locate(connection, part);
  const left = mayResume ? await stat(connection, part) : undefined;
  const isUsable = left?.kind === 'file';
  if (left !== undefined && !isUsable)
    await connection.request<void>((sftp, done) => sftp.unlink(where, done));
  const flags = isUsable ? 'r+' : 'wx';
  const handle = await connection.request<Buffer>((sftp, done) => sftp.open(where, flags, 0o600, done));
  return { handle, sizeBytes: isUsable ? left.sizeBytes : 0 };
}

/**
 * Starts a file; see {@link Store.create}.
 * @param pace waits until so many bytes more may be sent, or read back
 */
export async function create(
  connection: SftpConnection,
  path: string,
  source: string | undefined,
  pace: SftpOptions['pace'],
): Promise<Upload> {
  checkStorePath(path);
  const { request, url } = connection;
  const part = partPath(path, source);
  const partWhere = locate(connection, part);
  let handle: Buffer;
  let resumedBytes: number;
  try {
    await makeDirectory(connection, parentOf(path));
    await sweepParts(connection, path, nameOf(part));
    ({ handle, sizeBytes: resumedBytes } = await openPart(connection, part, source !== undefined));
  } catch (error) {
    throw fail(connection, 'write', path, error);
  }
  const inFlight: Promise<void>[] = [];
  let position = resumedBytes;
  let isFlushed = false;
  let published = false;
  const flush = async (): Promise<void> => {
    if (isFlushed) return;
    try {
      await Promise.all(inFlight);
      await syncFile(connection, handle);
      isFlushed = true;
    } catch (error) {
      throw fail(connection, 'write', path, error);
    }
  };
  return {
    resumedBytes,
    async write(chunk) {
      isFlushed = false;
      try {
        for (let offset = 0; offset < chunk.length; offset += BLOCK_BYTES) {
          if (inFlight.length === BLOCKS_IN_FLIGHT) await inFlight.shift();
          const length = Math.min(BLOCK_BYTES, chunk.length - offset);
          await pace?.(length);
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
    readBack: () => read(connection, part, 0, pace),
    async publish(elsewhere = path) {
      await flush();
      try {
        if (elsewhere !== path) await makeDirectory(connection, parentOf(elsewhere));
        if ((await stat(connection, elsewhere)) !== undefined) {
          throw cannot('store-exists', 'publish', `${url}/${elsewhere}`, 'it exists already');
        }
        const target = locate(connection, elsewhere);
        // never overwrites: OpenSSH links and unlinks, and the protocol asks it of all
        await request<void>((sftp, done) => sftp.rename(partWhere, target, done));
        published = true;
        // on file systems with a journal this makes the new name durable too
        await syncFile(connection, handle);
        await request<void>((sftp, done) => sftp.close(handle, done));
      } catch (error) {
        throw fail(connection, 'publish', path, error);
      }
    },
    async abort(keep = false) {
      if (published) return;
      // a broken connection is no news here; the next create of this file sweeps, or goes on
      await request<void>((sftp, done) => sftp.close(handle, done)).catch(() => {});
      if (keep && source !== undefined) return;
      await request<void>((sftp, done) => sftp.unlink(partWhere, done)).catch(() => {});
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
