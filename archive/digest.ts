// Digests of a file, read back from the disk: one thread per algorithm where the file is large enough to be worth it.
import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { startThread } from '../lib/own-code.ts';
import type { Checksum } from './name.ts';

const READ_BYTES = 1 << 20;
/** Below this a thread costs more than it saves. */
const THREAD_FROM_BYTES = 32 << 20;

/**
 * Hashes a region of an open file.
 * @throws where the file is shorter than the region
 */
export function digestRegion(
  fd: number,
  algorithm: Checksum,
  offsetBytes: number,
  sizeBytes: number,
): string {
  const steps = digestSteps(fd, algorithm, offsetBytes, sizeBytes, () => {});
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Hashes one chunk a step. */
function* digestSteps(
  fd: number,
  algorithm: Checksum,
  offsetBytes: number,
  sizeBytes: number,
  onChunk: (chunk: Buffer) => void,
): Generator<void, string> {
  const hash = createHash(algorithm);
  const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(sizeBytes, 1)));
  let done = 0;
  while (done < sizeBytes) {
    const count = readSync(fd, buffer, 0, Math.min(buffer.length, sizeBytes - done), offsetBytes + done);
    if (count === 0) throw new Error('the file is shorter than expected');
    const chunk = buffer.subarray(0, count);
    hash.update(chunk);
    onChunk(chunk);
    done += count;
    yield;
  }
  return hash.digest('hex');
}

/**
 * Hashes a whole file with several algorithms. Signals, timers and other transfers go on meanwhile.
 * @param fd open for reading; its position is neither used nor changed
 * @param onChunk sees each chunk once, in order
 */
export async function digestFile(
  fd: number,
  sizeBytes: number,
  algorithms: readonly Checksum[],
  onChunk?: (chunk: Buffer) => void,
): Promise<Partial<Record<Checksum, string>>> {
  const [first, ...others] = algorithms;
  if (first === undefined) return {};
  const elsewhere = others.map(async (algorithm): Promise<[Checksum, string]> => {
    if (sizeBytes < THREAD_FROM_BYTES) return [algorithm, digestRegion(fd, algorithm, 0, sizeBytes)];
    return [algorithm, await digestInThread(fd, algorithm, sizeBytes)];
  });
  for (const one of elsewhere) one.catch(() => {}); // awaited below, unless this one fails first
  const here = await digestHere(fd, first, sizeBytes, onChunk);
  return Object.fromEntries([[first, here], ...(await Promise.all(elsewhere))]);
}

async function digestHere(
  fd: number,
  algorithm: Checksum,
  sizeBytes: number,
  onChunk: (chunk: Buffer) => void = () => {},
): Promise<string> {
  const steps = digestSteps(fd, algorithm, 0, sizeBytes, onChunk);
  for (;;) {
    await nextTurn();
    const { done, value } = steps.next();
    if (done) return value;
  }
}

function digestInThread(fd: number, algorithm: Checksum, sizeBytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = startThread('archive/digest-worker', { fd, algorithm, sizeBytes });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the hashing thread ended early (${code})`)));
  });
}
