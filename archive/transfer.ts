// One transfer, two directions: an archive goes from any store to any store. Where it is written to this host, it is read
// back from the file while it comes, in another thread; where it goes to another, it is hashed as it passes, and what
// arrived is read back from there, as far as the store lets it be read before it has its name.
// Under its final name it is there whole and as its checksum files say, or not at all; nothing is overwritten.
// The source is only read; removing it there is a step of its own, for when the caller has recorded the copy.
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { cannot, GarnerError } from '../lib/errors.ts';
import type { Store, StoreEntry, Upload } from '../stores/store.ts';
import { ARCHIVE_SUFFIX, CHECKSUMS, formatSidecar, withoutSuffix } from './name.ts';
import { type Digests, readSidecar, readSidecars, writeSidecars } from './sidecars.ts';
import { type Following, followFile, surveyFile, THREAD_FROM_BYTES } from './survey-file.ts';
import { SURVEY_MEMBERS_FROM_BYTES, type Verified, verifyContent } from './verify.ts';

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
  /** The checksum files' content, where the caller has read them already. */
  digests?: Digests | undefined;
  /** What the source was listed as: a transfer that was cut goes on where that, and the checksums, are the same. */
  source?: Pick<StoreEntry, 'sizeBytes' | 'modifiedMs'> | undefined;
  /** Verifies the members too, before it gets its name; `to` must be on this host. One that is bad gets `badPath`. */
  content?: { badPath: string; freeOriginalBytes?: number } | undefined;
}

export interface Transferred {
  /** The archive's name, without `.tar`. */
  name: string;
  sizeBytes: number;
  /** Of every checksum file that the source offers; the bytes have them. */
  digests: Digests;
  /** It was there already, and was read and found the same. */
  existed: boolean;
  /** How good it is, where `content` was asked for and it was not there already. */
  verified: Verified | undefined;
  /** How much of it an earlier transfer had left. */
  resumedBytes: number;
  /** What lies at the destination was read there, all of it, or the store has said by digests what it holds. */
  readBack: boolean;
}

/**
 * Copies an archive and its checksum files: those first, the archive last.
 * @throws checksum-missing where the source offers no sha256, or a malformed checksum file;
 *   checksum-mismatch where the bytes are not what the checksum files say, at the source or, where it was there
 *   already, at the destination; store-exists where another archive of that name is there; what the stores throw;
 *   with `content`: not-an-archive, content-mismatch, then it is at `badPath` with its checksum files
 */
export async function transfer(options: Transfer): Promise<Transferred> {
  const { from, fromPath, to, toPath } = options;
  const file = basename(fromPath);
  const name = withoutSuffix(file);
  if (name === undefined || basename(toPath) !== file) {
    throw cannot('usage', 'transfer', fromPath, `its name must end in ${ARCHIVE_SUFFIX} and stay the same`);
  }
  const expected = options.digests ?? (await readSidecars(from, fromPath));
  const existing = await to.stat(toPath);
  if (existing !== undefined) {
    const sizeBytes = await checkExisting(options, expected, existing.kind);
    const found = { sizeBytes, digests: expected, verified: undefined };
    return { name, ...found, existed: true, resumedBytes: 0, readBack: true };
  }
  const copied = (await copy(options, expected)) ?? (await copy(options, expected));
  if (copied === undefined) throw new Error('what was left was wrong twice'); // the first has removed it
  return { name, digests: expected, existed: false, ...copied };
}

/**
 * Reads an archive in a store and compares it with its checksum files.
 * @param pace waits until so many bytes more may be read
 * @throws checksum-missing; checksum-mismatch; what the store throws
 */
export async function verifyDigests(
  store: Store,
  path: string,
  signal: AbortSignal,
  pace: (count: number) => Promise<void> = async () => {},
): Promise<{ sizeBytes: number; digests: Digests }> {
  const digests = await readSidecars(store, path);
  const sizeBytes = await hashThrough(store.read(path), `${store.url}/${path}`, digests, signal, (chunk) =>
    pace(chunk.length),
  );
  return { sizeBytes, digests };
}

/** Removes an archive from a store: the archive first, so that what is left is never one without its checksums. */
export async function removeTransferred(store: Store, path: string): Promise<void> {
  await store.remove(path);
  for (const checksum of CHECKSUMS) await store.remove(`${path}.${checksum}`);
}

type Copied = Pick<Transferred, 'sizeBytes' | 'verified' | 'resumedBytes' | 'readBack'>;

/** @returns undefined where what an earlier transfer had left was wrong: it is gone now */
async function copy(options: Transfer, expected: Digests): Promise<Copied | undefined> {
  const { to, toPath, source, signal } = options;
  const upload = await to.create(toPath, source === undefined ? undefined : identify(source, expected));
  const { resumedBytes } = upload;
  let isCut = false;
  try {
    if (source !== undefined && resumedBytes > source.sizeBytes) return undefined;
    const received = await (upload.local === undefined
      ? copyAway(options, expected, upload)
      : copyHere(options, expected, upload, upload.local));
    await writeSidecars(to, toPath, expected);
    signal.throwIfAborted(); // the last moment at which nothing has come
    await upload.publish();
    return { ...received, resumedBytes };
  } catch (error) {
    isCut = signal.aborted || isOneOf(error, CUT);
    if (resumedBytes > 0 && isOneOf(error, ['checksum-mismatch'])) return undefined;
    await withdrawSidecars(to, toPath);
    throw error;
  } finally {
    await upload.abort(isCut);
  }
}

/** What ends a transfer that may go on later. */
const CUT = ['store-connect', 'timeout'];

function isOneOf(error: unknown, codes: string[]): boolean {
  return error instanceof GarnerError && codes.includes(error.code);
}

/** @returns 8 hexadecimal digits that are others where the source, or what it should be, has changed */
function identify({ sizeBytes, modifiedMs }: NonNullable<Transfer['source']>, expected: Digests): string {
  return createHash('sha256')
    .update(JSON.stringify([sizeBytes, modifiedMs, expected.sha256, expected.sha1]))
    .digest('hex')
    .slice(0, 8);
}

/** What an earlier transfer has left there is hashed here as it passes, and there with the rest. */
async function copyAway(
  { from, fromPath, to, toPath, signal, onBytes, content }: Transfer,
  expected: Digests,
  upload: Upload,
): Promise<Omit<Copied, 'resumedBytes'>> {
  if (content !== undefined) throw new Error('members are verified on this host only');
  let there = upload.resumedBytes;
  const send = async (chunk: Buffer): Promise<void> => {
    const rest = chunk.subarray(Math.min(there, chunk.length));
    there -= chunk.length - rest.length;
    if (rest.length === 0) return;
    await upload.write(rest);
    onBytes?.(rest.length);
  };
  const sizeBytes = await hashThrough(from.read(fromPath), `${from.url}/${fromPath}`, expected, signal, send);
  await upload.flush();
  const arrived = upload.readBack?.();
  if (arrived !== undefined) await hashThrough(arrived, `${to.url}/${toPath}`, expected, signal);
  return { sizeBytes, verified: undefined, readBack: arrived !== undefined || upload.confirms === true };
}

/** Writes, and has what was written read back right behind it. */
async function copyHere(
  { from, fromPath, to, toPath, signal, onBytes, content, source }: Transfer,
  expected: Digests,
  upload: Upload,
  { file, writtenBytes }: NonNullable<Upload['local']>,
): Promise<Omit<Copied, 'resumedBytes'>> {
  const algorithms = CHECKSUMS.filter((checksum) => expected[checksum] !== undefined);
  let following: Following | undefined;
  try {
    signal.throwIfAborted();
    for await (const chunk of readListed({ from, fromPath, source }, upload.resumedBytes)) {
      signal.throwIfAborted();
      await upload.write(chunk);
      onBytes?.(chunk.length);
      if (writtenBytes() < THREAD_FROM_BYTES) continue;
      following ??= followFile(file, { algorithms, members: content !== undefined }, signal);
      following.grew(writtenBytes());
    }
    signal.throwIfAborted();
    await upload.flush();
    const sizeBytes = writtenBytes();
    const members = content !== undefined && sizeBytes >= SURVEY_MEMBERS_FROM_BYTES;
    const found =
      (await following?.finish(sizeBytes)) ??
      (await surveyFile(file, sizeBytes, { algorithms, members }, signal));
    compare(found.digests, expected, `${from.url}/${fromPath}`);
    if (content === undefined) return { sizeBytes, verified: undefined, readBack: true };
    try {
      const { freeOriginalBytes } = content;
      const verified = await verifyContent(file, toPath, found, { signal, freeOriginalBytes });
      return { sizeBytes, verified, readBack: true };
    } catch (error) {
      if (!isOneOf(error, ['not-an-archive', 'content-mismatch'])) throw error;
      await writeSidecars(to, content.badPath, expected);
      await upload.publish(content.badPath);
      throw error;
    }
  } finally {
    following?.stop();
  }
}

/** Reads no more than was listed: by that it was decided that there is room for it. */
async function* readListed(
  { from, fromPath, source }: Pick<Transfer, 'from' | 'fromPath' | 'source'>,
  fromBytes: number,
): AsyncGenerator<Buffer> {
  let leftBytes = (source?.sizeBytes ?? Number.POSITIVE_INFINITY) - fromBytes;
  // an upload to this host has written a chunk when it takes the next
  for await (const chunk of from.read(fromPath, fromBytes, true)) {
    leftBytes -= chunk.length;
    if (leftBytes < 0)
      throw cannot('io', 'read', `${from.url}/${fromPath}`, 'it is larger than it was listed');
    yield chunk;
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
  const sidecar = await readSidecar(to, `${toPath}.sha256`);
  if (sidecar !== undefined && sidecar !== formatSidecar(expected.sha256 as string, basename(toPath))) {
    throw cannot('store-exists', 'transfer to', where, 'another archive of that name is there', {
      hint: 'compare the checksum files of the two; one of the archives has been made anew or damaged',
    });
  }
  const sizeBytes = await hashThrough(to.read(toPath), where, expected, signal, (chunk) =>
    onBytes?.(chunk.length),
  );
  await writeSidecars(to, toPath, expected);
  // sweeps the second name of a run that ended while it published
  await (await to.create(toPath)).abort();
  return sizeBytes;
}

/**
 * Reads an archive to its end and compares its digests.
 * @param where it lies, for messages
 * @returns its size in bytes
 */
async function hashThrough(
  chunks: AsyncIterable<Buffer>,
  where: string,
  expected: Digests,
  signal: AbortSignal,
  onChunk: (chunk: Buffer) => Promise<void> | void = () => {},
): Promise<number> {
  const hashes = CHECKSUMS.filter((checksum) => expected[checksum] !== undefined).map((checksum) => ({
    checksum,
    hash: createHash(checksum),
  }));
  let sizeBytes = 0;
  signal.throwIfAborted();
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    for (const { hash } of hashes) hash.update(chunk);
    await onChunk(chunk);
    sizeBytes += chunk.length;
  }
  signal.throwIfAborted();
  const found = Object.fromEntries(hashes.map(({ checksum, hash }) => [checksum, hash.digest('hex')]));
  compare(found, expected, where);
  return sizeBytes;
}

/** @throws checksum-mismatch */
function compare(found: Digests, expected: Digests, where: string): void {
  const checksum = CHECKSUMS.find((one) => expected[one] !== undefined && found[one] !== expected[one]);
  if (checksum === undefined) return;
  const cause = `its ${checksum} is ${found[checksum]}, its checksum file says ${expected[checksum]}`;
  throw cannot('checksum-mismatch', 'verify', where, cause);
}
