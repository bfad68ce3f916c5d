// The original bytes of a member: read from the archive, compared with its digest, decrypted, decompressed, and given
// to a program or a function. A member that is not what the manifest says is an error, also when its reader was content.
import { createHash } from 'node:crypto';
import type { Writable } from 'node:stream';
import { zstdDecompressSync } from 'node:zlib';
import { cannot } from '../lib/errors.ts';
import { type Command, describeExit, feed, firstFailure, startPipeline } from '../lib/process.ts';
import { decoders } from './encode.ts';
import type { Member } from './manifest.ts';
import { type ArchiveReader, storedChunks } from './read.ts';

/** Members that are decompressed in this process: two programs less to start, for each member of thousands of archives. */
const SMALL_STORED_BYTES = 1 << 20;
const SMALL_ORIGINAL_BYTES = 4 << 20;

export interface DecodeOptions {
  signal: AbortSignal;
  identityFile?: string | undefined;
  /** Gets the count of stored bytes that were read. */
  onBytes?: ((count: number) => void) | undefined;
}

/**
 * Reads a member to its end.
 * @param sink a program that gets the original bytes on stdin, or a function that gets them chunk by chunk
 *   (it may return a promise: the next chunk waits for it); undefined: the member is only verified
 * @returns the size of the original in bytes (0 where a program got them)
 * @throws content-mismatch; program-failed where the program fails
 */
export async function decodeMember(
  archive: ArchiveReader,
  member: Member,
  sink: Command | ((chunk: Buffer) => void | Promise<void>) | undefined,
  { signal, identityFile, onBytes }: DecodeOptions,
): Promise<number> {
  const hash = createHash('sha256');
  /** Of a small member: read once, for this process and, where they are needed all the same, for the programs. */
  const stored = isSmall(member) ? [readWhole(archive, member)] : undefined;
  function* hashed(): Generator<Buffer> {
    for (const chunk of stored ?? storedChunks(archive, member)) {
      signal.throwIfAborted();
      hash.update(chunk);
      onBytes?.(chunk.length);
      yield chunk;
    }
  }
  const program = typeof sink === 'object' ? sink : undefined;
  const take = typeof sink === 'function' ? sink : undefined;

  let sizeBytes = 0;
  let failure: Error | undefined;
  const small =
    program === undefined && stored !== undefined ? decodeSmall(stored[0] as Buffer, member) : undefined;
  const commands = small === undefined ? decoders(member.encoding, identityFile) : [];
  if (program !== undefined) commands.push(program);
  if (small !== undefined) {
    for (const _ of hashed()); // its digest is looked at below
    sizeBytes = small.length;
    await take?.(small);
  } else if (commands.length === 0) {
    for (const chunk of hashed()) {
      sizeBytes += chunk.length;
      await take?.(chunk);
    }
  } else {
    const isOver = (): boolean => sizeBytes > member.uncompressedSizeBytes; // a bomb: the programs lose their reader
    const count = (chunk: Buffer): void => {
      sizeBytes += chunk.length;
      if (isOver()) pipeline.stdout.destroy();
    };
    const onOutput = sink === undefined ? count : undefined;
    const pipeline = startPipeline(commands, { stdin: 'pipe', signal, onOutput });
    const fed = feed(pipeline.stdin as Writable, hashed());
    fed.catch(() => {});
    if (program !== undefined) pipeline.stdout.resume();
    else if (take !== undefined) {
      for await (const chunk of pipeline.stdout as AsyncIterable<Buffer>) {
        sizeBytes += chunk.length;
        if (isOver()) break;
        await take(chunk);
      }
    }
    const failed = firstFailure(await pipeline.ended);
    await fed;
    if (failed !== undefined) {
      const code = failed.command === program ? 'program-failed' : 'content-mismatch';
      failure = cannot(code, 'read member', member.name, `${failed.command.file}: ${describeExit(failed)}`);
    }
  }
  // a damaged member explains every other failure
  if (hash.digest('hex') !== member.sha256) {
    throw cannot(
      'content-mismatch',
      'read member',
      member.name,
      'its bytes are not those that the manifest records',
    );
  }
  const isBomb = sizeBytes > member.uncompressedSizeBytes;
  if (failure !== undefined && !isBomb) throw failure;
  if (program === undefined && sizeBytes !== member.uncompressedSizeBytes) {
    throw cannot(
      'content-mismatch',
      'read member',
      member.name,
      `it has ${isBomb ? 'at least ' : ''}${sizeBytes} bytes, the manifest says ${member.uncompressedSizeBytes}`,
    );
  }
  return sizeBytes;
}

function isSmall({ sizeBytes, uncompressedSizeBytes, encoding }: Member): boolean {
  if (sizeBytes > SMALL_STORED_BYTES || uncompressedSizeBytes > SMALL_ORIGINAL_BYTES) return false;
  return encoding.length === 1 && encoding[0] === 'zst';
}

function readWhole(archive: ArchiveReader, member: Member): Buffer {
  const whole = Buffer.alloc(member.sizeBytes);
  let done = 0;
  for (const chunk of storedChunks(archive, member)) done += chunk.copy(whole, done);
  return whole;
}

/** @returns the original bytes of a small member that is just as the manifest says; of others the programs tell more */
function decodeSmall(stored: Buffer, { uncompressedSizeBytes }: Member): Buffer | undefined {
  try {
    const { buffer, engine } = zstdDecompressSync(stored, {
      info: true,
      maxOutputLength: uncompressedSizeBytes + 1,
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
    // it reads the first frame and no more: what follows is for zstd itself
    const whole = engine.bytesWritten === stored.length && buffer.length === uncompressedSizeBytes;
    return whole ? buffer : undefined;
  } catch {
    return undefined;
  }
}
