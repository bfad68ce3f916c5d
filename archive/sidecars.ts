// The checksum files of an archive, in any store.
import { basename } from 'node:path';
import { cannot, GarnerError } from '../lib/errors.ts';
import type { Store } from '../stores/store.ts';
import { CHECKSUMS, type Checksum, formatSidecar, MAX_SIDECAR_BYTES, parseSidecar } from './name.ts';

export type Digests = Partial<Record<Checksum, string>>;

/**
 * Reads an archive's checksum files in a store.
 * @throws checksum-missing where there is no sha256, or one is malformed
 */
export async function readSidecars(store: Store, path: string): Promise<Digests> {
  const digests: Digests = {};
  for (const checksum of CHECKSUMS) {
    const content = await readSidecar(store, `${path}.${checksum}`);
    if (content !== undefined) digests[checksum] = parseSidecar(content, basename(path), checksum);
  }
  if (digests.sha256 !== undefined) return digests;
  throw cannot('checksum-missing', 'transfer', `${store.url}/${path}`, 'it has no .sha256 file');
}

/**
 * Reads one checksum file as it is.
 * @returns undefined where there is none
 * @throws checksum-missing where it is too large to be one
 */
export async function readSidecar(store: Store, path: string): Promise<string | undefined> {
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

/** Puts checksum files beside an archive that isn't published yet, or whose bytes have been compared with them. */
export async function writeSidecars(store: Store, path: string, digests: Digests): Promise<void> {
  for (const checksum of CHECKSUMS) {
    const sidecar = `${path}.${checksum}`;
    const digest = digests[checksum];
    const content = digest === undefined ? undefined : formatSidecar(digest, basename(path));
    // mostly there is none: an error would cost more than to look
    const isThere = (await store.stat(sidecar)) !== undefined;
    const found = isThere ? await readSidecar(store, sidecar) : undefined;
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
