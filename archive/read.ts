// Reads an archive by seeking from header to header. Its bytes are foreign: whatever isn't exactly the format is refused.
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import { cannot } from '../lib/errors.ts';
import { MANIFEST_NAME, MAX_MANIFEST_BYTES, type Manifest, type Member, parseManifest } from './manifest.ts';
import { type Checksum, MAX_SIDECAR_BYTES, parseName, parseSidecar, withoutSuffix } from './name.ts';
import { BLOCK_BYTES, decodeHeader, END_OF_ARCHIVE, paddingBytes } from './tar-header.ts';

const MAX_MEMBERS = 10_000;
const READ_BYTES = 1 << 20;

export interface ArchiveReader extends Disposable {
  readonly file: string;
  readonly fd: number;
  readonly sizeBytes: number;
  readonly manifest: Manifest;
}

/**
 * Opens an archive and checks its structure: headers, manifest, and that each tells the same of every member.
 * The bytes of the members are not read; see verify.ts.
 * @param name what it will be called, where the file has another name for now; for messages too
 * @throws not-an-archive
 */
export function openArchive(file: string, name = file): ArchiveReader {
  const fd = openRegularFile(file);
  try {
    const sizeBytes = fstatSync(fd).size;
    const manifest = readStructure(fd, sizeBytes, name);
    return {
      file: name,
      fd,
      sizeBytes,
      manifest,
      [Symbol.dispose]() {
        closeSync(fd);
      },
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * Reads a checksum file beside a local archive.
 * @returns undefined where there is none
 * @throws checksum-missing where it is malformed; not-an-archive where it is no regular file
 */
export function readSidecar(file: string, checksum: Checksum): string | undefined {
  const path = `${file}.${checksum}`;
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
  const fd = openRegularFile(path);
  try {
    const buffer = Buffer.alloc(MAX_SIDECAR_BYTES);
    return parseSidecar(buffer.toString('latin1', 0, readSync(fd, buffer)), basename(file), checksum);
  } finally {
    closeSync(fd);
  }
}

/** @throws not-an-archive where it is anything but a regular file; io */
export function openRegularFile(file: string): number {
  let fd: number;
  try {
    // a fifo must not block the open
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw cannot('io', 'open archive', file, error);
  }
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw cannot('not-an-archive', 'open archive', file, 'it is no regular file');
}

function readStructure(fd: number, sizeBytes: number, file: string): Manifest {
  const refuse = (cause: string): Error => cannot('not-an-archive', 'read archive', file, cause);
  const found: Pick<Member, 'name' | 'offsetBytes' | 'sizeBytes'>[] = [];
  let position = 0;
  for (;;) {
    if (found.length > MAX_MEMBERS) throw refuse(`it has more than ${MAX_MEMBERS} members`);
    const header = decodeHeader(readExactly(fd, position, BLOCK_BYTES, file), file);
    if (header === undefined) break;
    const offsetBytes = position + BLOCK_BYTES;
    position = offsetBytes + header.sizeBytes + paddingBytes(header.sizeBytes);
    if (position > sizeBytes) throw refuse('it is cut off');
    found.push({ ...header, offsetBytes });
  }
  if (sizeBytes !== position + END_OF_ARCHIVE.length) throw refuse('it does not end where its tar ends');
  if (!readExactly(fd, position, END_OF_ARCHIVE.length, file).equals(END_OF_ARCHIVE)) {
    throw refuse('the end of its tar is damaged');
  }

  const last = found.pop();
  if (last?.name !== MANIFEST_NAME) throw refuse(`its last member is not ${MANIFEST_NAME}`);
  if (last.sizeBytes > MAX_MANIFEST_BYTES)
    throw refuse(`its manifest is larger than ${MAX_MANIFEST_BYTES} bytes`);
  const manifest = parseManifest(
    readExactly(fd, last.offsetBytes, last.sizeBytes, file).toString('utf8'),
    file,
  );

  const names = new Set<string>();
  for (const [index, member] of manifest.members.entries()) {
    const inTar = found[index];
    const same =
      inTar?.name === member.name &&
      inTar.offsetBytes === member.offsetBytes &&
      inTar.sizeBytes === member.sizeBytes;
    if (!same) throw refuse(`its manifest and its tar differ about member "${member.name}"`);
    if (names.has(member.name)) throw refuse(`it has two members "${member.name}"`);
    names.add(member.name);
  }
  if (found.length !== manifest.members.length)
    throw refuse('its tar has a member that the manifest does not name');
  checkIdentity(manifest, file);
  return manifest;
}

/** A file that carries an archive's name must hold that application, instance and host. */
function checkIdentity(manifest: Manifest, file: string): void {
  const name = parseName(withoutSuffix(basename(file)) ?? '');
  if (name === undefined) return; // renamed by its owner
  const { application, instance, host } = manifest;
  if (application !== name.application || instance !== (name.instance ?? null) || host !== name.host) {
    throw cannot(
      'not-an-archive',
      'read archive',
      file,
      'its manifest is of another application, instance or host than its name',
    );
  }
}

function readExactly(fd: number, position: number, sizeBytes: number, file: string): Buffer {
  const buffer = Buffer.alloc(sizeBytes);
  let done = 0;
  while (done < sizeBytes) {
    const count = readSync(fd, buffer, done, sizeBytes - done, position + done);
    if (count === 0) throw cannot('not-an-archive', 'read archive', file, 'it is cut off');
    done += count;
  }
  return buffer;
}

/** @returns the stored bytes of a member, in chunks that are valid until the next one is taken: one buffer holds them all */
export function* storedChunks(archive: ArchiveReader, member: Member): Generator<Buffer> {
  const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, member.sizeBytes));
  let done = 0;
  while (done < member.sizeBytes) {
    const wanted = Math.min(buffer.length, member.sizeBytes - done);
    const count = readSync(archive.fd, buffer, 0, wanted, member.offsetBytes + done);
    if (count === 0) throw cannot('not-an-archive', 'read archive', archive.file, 'it is cut off');
    yield buffer.subarray(0, count);
    done += count;
  }
}
