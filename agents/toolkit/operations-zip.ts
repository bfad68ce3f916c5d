// A folder as a zip in the work directory, under a name of the administrator's, with checksum files as an archive has them. Links are
// stored as links, nothing outside the folder is read. What a zip can't hold (names that are no UTF-8, pipes) fails the run.
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  createReadStream,
  fsyncSync,
  lstatSync,
  openSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ZipFile } from 'yazl';
import { digestFile } from '../../archive/digest.ts';
import { formatSidecar } from '../../archive/name.ts';
import type { PublishedArchive } from '../../archive/write.ts';
import { garnerVersion } from '../../lib/command-line.ts';
import { createFile, partPath, publish, writeFileDurably, writeFully } from '../../lib/durable.ts';
import { cannot, GarnerError, isNoSpace } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { formatSize, plural } from '../../lib/text.ts';
import type { WorkDir } from '../../lib/work-dir.ts';
import type { TreeSource } from './define-agent.ts';
import type { BackupRun } from './make-archive.ts';
import { nameText, walkTree } from './walk.ts';

/**
 * @param file as the administrator names it, filled in; its slashes, which a bucket's key may have, become underscores
 * @returns the zip's path
 * @throws store-exists where an earlier one has the name; usage where it is none
 */
export function zipName(file: string, workDir: WorkDir): string {
  const name = file.replaceAll('/', '_');
  if (/^[.-]/.test(name) || Buffer.byteLength(name) > 200)
    throw cannot(
      'configuration',
      'name a zip',
      file,
      'it begins with a dot or a dash, or is longer than 200 bytes',
    );
  const path = join(workDir.path, name);
  for (const taken of [path, `${path}.sha256`, `${path}.sha1`]) {
    if (lstatSync(taken, { throwIfNoEntry: false }) === undefined) continue;
    throw cannot('store-exists', 'make zip', taken, 'there is one of an earlier run', {
      hint: 'put $Date into the file name, or take the earlier one away first',
    });
  }
  return path;
}

/**
 * Makes a zip, with its checksum files; complete or absent.
 * @throws file-unreadable, no-space, io; checksum-mismatch where the disk gives back other bytes
 */
export async function zipInto(
  path: string,
  tree: TreeSource,
  { context, identity, warnings }: BackupRun,
  workDir: WorkDir,
): Promise<PublishedArchive> {
  const { settings, signal } = context;
  const startedAt = new Date();
  // swept with what else this operation may leave
  const part = partPath(join(workDir.path, `${identity.application}.${identity.instance}-zip`));
  const sidecars: string[] = [];
  const fd = createFile(part, workDir.access);
  try {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    const fileCount = await writeZip(tree, signal, (chunk) => {
      writeFully(fd, chunk);
      hash.update(chunk);
      sizeBytes += chunk.length;
    });
    fsyncSync(fd);
    const digests = await digestFile(fd, sizeBytes, settings.GARNER_CHECKSUMS, () => signal.throwIfAborted());
    if (digests.sha256 !== hash.digest('hex'))
      throw cannot('checksum-mismatch', 'verify', path, 'the disk gave back other bytes than were written');
    for (const checksum of settings.GARNER_CHECKSUMS) {
      const sidecar = `${path}.${checksum}`;
      const text = formatSidecar(digests[checksum] as string, path.slice(workDir.path.length + 1));
      sidecars.push(sidecar);
      writeFileDurably(sidecar, text, { access: workDir.access });
    }
    publish(part, path);
    info(`${path}: ${plural(fileCount, 'file')}, ${formatSize(sizeBytes)}`);
    const { application, instance = null, host } = identity;
    const times = { startedAt: startedAt.toISOString(), finishedAt: new Date().toISOString() };
    const tool = { name: 'garner', version: garnerVersion() };
    const manifest = { format: 1 as const, application, instance, host, version: '1', ...times, tool };
    return { path, sizeBytes, digests, manifest: { ...manifest, members: [], warnings } };
  } catch (error) {
    for (const sidecar of sidecars) rmSync(sidecar, { force: true });
    signal.throwIfAborted();
    if (error instanceof GarnerError) throw error;
    throw cannot(isNoSpace(error) ? 'no-space' : 'io', 'make zip', path, error);
  } finally {
    closeSync(fd);
    rmSync(part, { force: true });
  }
}

/** @returns how many files are in it */
async function writeZip(
  tree: TreeSource,
  signal: AbortSignal,
  write: (chunk: Buffer) => void,
): Promise<number> {
  const zip = new ZipFile();
  const output = zip.outputStream as Readable;
  let fileCount = 0;
  const ended = new Promise<void>((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    zip.on('error', reject);
    output.on('error', reject);
    output.on('end', resolve);
    output.on('data', (chunk: Buffer) => {
      try {
        write(chunk);
      } catch (error) {
        reject(error);
      }
    });
  });
  try {
    for (const { path, isDirectory } of walkTree(tree)) {
      if (path === '.') continue;
      if (!isDirectory) fileCount += 1;
      addEntry(zip, tree.root, path);
    }
    zip.end();
    await ended;
    return fileCount;
  } finally {
    ended.catch(() => {});
    output.destroy();
  }
}

function addEntry(zip: ZipFile, root: string, path: string): void {
  const name = nameText(path);
  const absolute = Buffer.from(`${Buffer.from(root).toString('latin1')}/${path}`, 'latin1');
  const refuse = (cause: unknown): GarnerError =>
    cannot('file-unreadable', 'put into a zip', name, cause, {
      hint: 'without .zip at the end of its file name the operation makes an archive, which holds anything',
    });
  if (Buffer.from(name).toString('latin1') !== path || /\\|^[a-z]:/i.test(name))
    throw refuse('no zip holds such a name');
  const stat = lstatSync(absolute);
  const { mtime, mode } = stat;
  if (stat.isDirectory()) {
    zip.addEmptyDirectory(name, { mtime, mode });
    return;
  }
  if (stat.isSymbolicLink()) {
    zip.addBuffer(readlinkSync(absolute, { encoding: 'buffer' }), name, { mtime, mode });
    return;
  }
  if (!stat.isFile()) throw refuse('it is neither a file nor a directory nor a link');
  zip.addReadStreamLazy(name, { mtime, mode, size: stat.size }, (done) => {
    try {
      const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
      const fd = openSync(absolute, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      const stream = createReadStream('', { fd, highWaterMark: 1 << 20 });
      stream.on('error', (error) => zip.emit('error', refuse(error)));
      done(null, stream);
    } catch (error) {
      done(refuse(error), null as never);
    }
  });
}
