// One transfer, two directions: an archive goes from any store to any store, hashed while it streams.
// Under its final name it is there whole and as its checksum files say, or not at all; nothing is overwritten.
// The source is only read; removing it there is a step of its own, for when the caller has recorded the copy.
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { cannot, GarnerError } from '../lib/errors.ts';
import type { Store } from '../stores/store.ts';
import {
  ARCHIVE_SUFFIX,
  CHECKSUMS,
  type Checksum,
  formatSidecar,
  MAX_SIDECAR_BYTES,
  parseSidecar,
} from './name.ts';

export type Digests = Partial<Record<Checksum, string>>;

export interface Transfer {
  from: Store;
  /** Ends in `<name>.tar`. */
  fromPath: string;
  to: Store;
  /** Ends in the same `<name>.tar`. */
  toPath: string;
  /** Ends the transfer between two chunks; give it to the stores too, they may be waiting for a host. */
  signal: AbortSignal;
  /** Gets the size of each chunk, in bytes. */
  onBytes?: ((count: number) => void) | undefined;
}

export interface Transferred {
  /** The archive's name, without `.tar`. */
  name: string;
  sizeBytes: number;
  /** Of every checksum file that the source offers; the bytes have them. */
  digests: Digests;
  /** It was there already, and was read and found the same. */
  existed: boolean;
}

/**
 * Copies an archive and its checksum files: those first, the archive last.
 * @throws checksum-missing where the source offers no sha256, or a malformed checksum file;
 *   checksum-mismatch where the bytes are not what the checksum files say, at the source or, where it was there
 *   already, at the destination; store-exists where another archive of that name is there; what the stores throw
 */
export async function transfer(options: Transfer): Promise<Transferred> {
  const { from, fromPath, to, toPath } = options;
  const file = basename(fromPath);
  if (!file.endsWith(ARCHIVE_SUFFIX) || basename(toPath) !== file) {
    throw cannot('usage', 'transfer', fromPath, `its name must end in ${ARCHIVE_SUFFIX} and stay the same`);
  }
  const expected = await readSidecars(from, fromPath);
  const existing = await to.stat(toPath);
  const sizeBytes =
    existing === undefined
      ? await copy(options, expected)
      : await checkExisting(options, expected, existing.kind);
  return {
    name: file.slice(0, -ARCHIVE_SUFFIX.length),
    sizeBytes,
    digests: expected,
    existed: existing !== undefined,
  };
}

/**
 * Reads an archive in a store and compares it with its checksum files.
 * @throws checksum-missing; checksum-mismatch; what the store throws
 */
export async function verifyDigests(
  store: Store,
  path: string,
  signal: AbortSignal,
): Promise<{ sizeBytes: number; digests: Digests }> {
  const digests = await readSidecars(store, path);
  return { sizeBytes: await hashThrough({ from: store, fromPath: path, signal }, digests), digests };
}

/** Removes an archive from a store: the archive first, so that what is left is never one without its checksums. */
export async function removeTransferred(store: Store, path: string): Promise<void> {
  await store.remove(path);
  for (const checksum of CHECKSUMS) await store.remove(`${path}.${checksum}`);
}

/**
 * Reads an archive's checksum files in a store.
 * @throws checksum-missing where there is no sha256, or one is malformed
 */
export async function readSidecars(store: Store, path: string): Promise<Digests> {
  const digests: Digests = {};
  for (const checksum of CHECKSUMS) {
    const content = await readSmallFile(store, `${path}.${checksum}`);
    if (content !== undefined) digests[checksum] = parseSidecar(content, basename(path), checksum);
  }
  if (digests.sha256 !== undefined) return digests;
  throw cannot('checksum-missing', 'transfer', `${store.url}/${path}`, 'it has no .sha256 file');
}

/** @returns undefined where there is none */
async function readSmallFile(store: Store, path: string): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of store.read(path)) {
      sizeBytes += chunk.length;
      if (sizeBytes > MAX_SIDECAR_BYTES) {
        throw cannot('checksum-missing', 'use checksum file', `${store.url}/${path}`, 'it is too large');
      }
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof GarnerError && error.code === 'store-not-found') return undefined;
    throw error;
  }
  return Buffer.concat(chunks).toString('latin1');
}

async function copy(options: Transfer, expected: Digests): Promise<number> {
  const { to, toPath } = options;
  const upload = await to.create(toPath);
  try {
    const sizeBytes = await hashThrough(options, expected, (chunk) => upload.write(chunk));
    await writeSidecars(to, toPath, expected);
    await upload.publish();
    return sizeBytes;
  } catch (error) {
    await withdrawSidecars(to, toPath);
    throw error;
  } finally {
    await upload.abort();
  }
}

/** Takes back what stands for an archive that did not come; where that can't be done, the next transfer does. */
async function withdrawSidecars(store: Store, path: string): Promise<void> {
  try {
    if ((await store.stat(path)) !== undefined) return;
    for (const checksum of CHECKSUMS) await store.remove(`${path}.${checksum}`);
  } catch {
    // the store is gone: why is told already
  }
}

async function checkExisting(options: Transfer, expected: Digests, kind: string): Promise<number> {
  const { to, toPath, signal, onBytes } = options;
  const where = `${to.url}/${toPath}`;
  if (kind !== 'file') throw cannot('store-exists', 'transfer to', where, 'something else is there');
  const sidecar = await readSmallFile(to, `${toPath}.sha256`);
  if (sidecar !== undefined && sidecar !== formatSidecar(expected.sha256 as string, basename(toPath))) {
    throw cannot('store-exists', 'transfer to', where, 'another archive of that name is there', {
      hint: 'compare the checksum files of the two; one of the archives has been made anew or damaged',
    });
  }
  const sizeBytes = await hashThrough({ from: to, fromPath: toPath, signal, onBytes }, expected);
  await writeSidecars(to, toPath, expected);
  // sweeps the second name of a run that ended while it published
  await (await to.create(toPath)).abort();
  return sizeBytes;
}

/**
 * Reads an archive to its end and compares its digests.
 * @returns its size in bytes
 */
async function hashThrough(
  { from, fromPath, signal, onBytes }: Pick<Transfer, 'from' | 'fromPath' | 'signal' | 'onBytes'>,
  expected: Digests,
  onChunk: (chunk: Buffer) => Promise<void> | void = () => {},
): Promise<number> {
  const hashes = CHECKSUMS.filter((checksum) => expected[checksum] !== undefined).map((checksum) => ({
    checksum,
    hash: createHash(checksum),
  }));
  let sizeBytes = 0;
  signal.throwIfAborted();
  for await (const chunk of from.read(fromPath)) {
    signal.throwIfAborted();
    for (const { hash } of hashes) hash.update(chunk);
    await onChunk(chunk);
    sizeBytes += chunk.length;
    onBytes?.(chunk.length);
  }
  signal.throwIfAborted();
  for (const { checksum, hash } of hashes) {
    const found = hash.digest('hex');
    if (found === expected[checksum]) continue;
    throw cannot(
      'checksum-mismatch',
      'verify',
      `${from.url}/${fromPath}`,
      `its ${checksum} is ${found}, its checksum file says ${expected[checksum]}`,
    );
  }
  return sizeBytes;
}

/** Puts checksum files beside an archive that isn't published yet, or whose bytes have been compared with them. */
async function writeSidecars(store: Store, path: string, digests: Digests): Promise<void> {
  for (const checksum of CHECKSUMS) {
    const sidecar = `${path}.${checksum}`;
    const digest = digests[checksum];
    const content = digest === undefined ? undefined : formatSidecar(digest, basename(path));
    const found = await readSmallFile(store, sidecar);
    // left by a run that ended before it published its archive
    if (found !== undefined && found !== content) await store.remove(sidecar);
    if (content === undefined) continue;
    const upload = await store.create(sidecar);
    try {
      if (found === content) continue;
      await upload.write(Buffer.from(content));
      await upload.publish();
    } finally {
      await upload.abort();
    }
  }
}
