// A dump on its way into a client, through a filter of ours.
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { cannot } from '../../lib/errors.ts';
import { type Command, describeExit, startPipeline } from '../../lib/process.ts';
import type { Decode } from './engine.ts';

/**
 * Runs a client that gets a dump through a filter.
 * @param filter gets chunks, which may be reused once it returns, and at last undefined; what it gives back goes on
 * @throws program-failed; what the filter throws, when the client has ended
 */
export async function decodeThrough(
  client: Command,
  decode: Decode,
  filter: (chunk: Buffer | undefined) => Buffer[],
  signal: AbortSignal,
): Promise<void> {
  const running = startPipeline([client], { stdin: 'pipe', signal });
  const stdin = running.stdin as Writable;
  running.stdout.resume();
  const closed = once(stdin, 'close').catch(() => {});
  async function put(parts: readonly Buffer[]): Promise<void> {
    for (const part of parts) {
      if (stdin.destroyed || stdin.write(part)) continue;
      const waiting = new AbortController();
      await Promise.race([once(stdin, 'drain', { signal: waiting.signal }).catch(() => {}), closed]);
      waiting.abort();
    }
  }
  try {
    // chunks may be reused once they are taken
    await decode((chunk) => put(filter(chunk)));
    await put(filter(undefined));
  } catch (error) {
    stdin.end();
    await running.ended; // it may still be at work with what it was given
    throw error;
  }
  stdin.end();
  const [ended] = await running.ended;
  if (ended !== undefined && ended.code !== 0) {
    throw cannot('program-failed', 'run program', client.file, describeExit(ended));
  }
}
