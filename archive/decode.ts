// The original bytes of a member: read from the archive, compared with its digest, decrypted, decompressed, and given
// to a program or a function. A member that is not what the manifest says is an error, also when its reader was content.
import { createHash } from 'node:crypto';
import type { Writable } from 'node:stream';
import { cannot } from '../lib/errors.ts';
import { type Command, describeExit, feed, firstFailure, startPipeline } from '../lib/process.ts';
import { decoders } from './encode.ts';
import type { Member } from './manifest.ts';
import { type ArchiveReader, storedChunks } from './read.ts';

export interface DecodeOptions {
  signal: AbortSignal;
  identityFile?: string | undefined;
  /** Gets the count of stored bytes that were read. */
  onBytes?: ((count: number) => void) | undefined;
}

/**
 * Reads a member to its end.
 * @param sink a program that gets the original bytes on stdin, or a function that gets them chunk by chunk
 *   (it may return a promise: the next chunk waits for it)
 * @returns the size of the original in bytes (0 where a program got them)
 * @throws content-mismatch; program-failed where the program fails
 */
export async function decodeMember(
  archive: ArchiveReader,
  member: Member,
  sink: Command | ((chunk: Buffer) => void | Promise<void>),
  { signal, identityFile, onBytes }: DecodeOptions,
): Promise<number> {
  const hash = createHash('sha256');
  function* hashed(): Generator<Buffer> {
    for (const chunk of storedChunks(archive, member)) {
      signal.throwIfAborted();
      hash.update(chunk);
      onBytes?.(chunk.length);
      yield chunk;
    }
  }
  const commands = decoders(member.encoding, identityFile);
  const program = typeof sink === 'function' ? undefined : sink;
  if (program !== undefined) commands.push(program);

  let sizeBytes = 0;
  let failure: Error | undefined;
  if (commands.length === 0) {
    for (const chunk of hashed()) {
      sizeBytes += chunk.length;
      await (sink as (chunk: Buffer) => void | Promise<void>)(chunk);
    }
  } else {
    const pipeline = startPipeline(commands, { stdin: 'pipe', signal });
    const fed = feed(pipeline.stdin as Writable, hashed());
    fed.catch(() => {});
    if (program !== undefined) pipeline.stdout.resume();
    else {
      for await (const chunk of pipeline.stdout as AsyncIterable<Buffer>) {
        sizeBytes += chunk.length;
        if (sizeBytes > member.uncompressedSizeBytes) break; // a bomb: the programs lose their reader
        await (sink as (chunk: Buffer) => void | Promise<void>)(chunk);
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
