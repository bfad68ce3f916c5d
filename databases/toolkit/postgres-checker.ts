// Lets pg_restore read a dump as a restore would, to its end, into nothing: one that is cut off fails.
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { type Ended, startPipeline } from '../../lib/process.ts';
import { clientCommand } from './container.ts';
import { findClient } from './postgres-client.ts';

export interface Checker {
  /** Takes a part of the dump; waits while there is too much of it. */
  write(chunk: Buffer): Promise<void>;
  /** @returns how it ended, and the tables whose rows it has read: the bytes of `schema.name` in the database's encoding */
  end(): Promise<{ ended: Ended; tables: Set<string>; error: string }>;
}

export function startChecker(signal: AbortSignal): Checker {
  const tables = new Set<string>();
  let error = '';
  const command = clientCommand({
    file: findClient('pg_restore'),
    args: ['--verbose', '--file=/dev/null'],
    stderrEncoding: 'latin1', // names come as the dump has them
    onStderrLine(line) {
      const table = /^pg_restore: processing data for table "(.*)"$/.exec(line)?.[1];
      if (table !== undefined) tables.add(table);
      else error ||= /^pg_restore: (?:error|fatal): (.*)$/.exec(line)?.[1] ?? '';
    },
  });
  const { stdin, stdout, ended } = startPipeline([command], { stdin: 'pipe', signal });
  const input = stdin as Writable;
  stdout.resume();
  const closed = once(input, 'close').catch(() => {});
  return {
    async write(chunk) {
      if (input.destroyed || input.write(chunk)) return;
      const waiting = new AbortController();
      await Promise.race([once(input, 'drain', { signal: waiting.signal }).catch(() => {}), closed]);
      waiting.abort();
    },
    async end() {
      input.end();
      const [exit] = await ended;
      return { ended: exit as Ended, tables, error: Buffer.from(error, 'latin1').toString('utf8') };
    },
  };
}
