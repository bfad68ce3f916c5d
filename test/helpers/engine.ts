// A database engine's dump and restore without an agent around it: into a file, as it is before it is stored, and back.
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { Writable } from 'node:stream';
import type { Aside, DumpFacts, Engine } from '../../databases/toolkit/engine.ts';
import { startPipeline } from '../../lib/process.ts';

const { signal: never } = new AbortController();

/** Dumps a database into a file. */
export async function dumpTo<C>(engine: Engine<C>, connection: C, file: string): Promise<DumpFacts> {
  const fd = openSync(file, 'w');
  try {
    return await engine.dump(connection, {
      encode: (commands, stdin) => {
        const cat = { file: 'cat', args: [] };
        const pipeline = startPipeline([...commands, cat], {
          stdin,
          signal: never,
          onOutput: (chunk) => writeSync(fd, chunk),
        });
        return {
          stdin: pipeline.stdin as Writable | undefined,
          ended: pipeline.ended.then((all) => all.slice(0, -1)),
        };
      },
      signal: never,
      scratchPath: (name) => `${file}.${name}`,
      expectedTables: [],
      derivedTables: [],
      withoutRoutines: false,
      clientOptions: [],
      queries: [],
    });
  } finally {
    closeSync(fd);
  }
}

/**
 * Puts a dump back.
 * @param chunkBytes how much of it comes at once
 */
export function restoreFrom<C>(
  engine: Engine<C>,
  connection: C,
  file: string,
  {
    aside,
    chunkBytes = 65_536,
    signal = never,
  }: { aside?: Aside; chunkBytes?: number; signal?: AbortSignal } = {},
): Promise<string | undefined> {
  return engine.restore(connection, {
    async decode(sink) {
      const bytes = readFileSync(file);
      if (typeof sink !== 'function') {
        const pipeline = startPipeline([sink], { stdin: 'pipe', signal });
        pipeline.stdin?.end(bytes);
        pipeline.stdout.resume();
        const [ended] = await pipeline.ended;
        if (ended?.code !== 0) throw new Error(ended?.stderr);
        return 0;
      }
      for (let at = 0; at < bytes.length; at += chunkBytes) await sink(bytes.subarray(at, at + chunkBytes));
      return bytes.length;
    },
    decodeToFile: async () => ({ path: file, [Symbol.dispose]() {} }),
    aside,
    roles: undefined,
    jobs: undefined,
    signal,
  });
}
