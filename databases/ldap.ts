// OpenLDAP, by its own tools: slapcat reads one database in one transaction, also while slapd runs, with the operational
// attributes (entryUUID, entryCSN); slapadd puts it back while slapd is stopped. Entries are counted as they pass.
import {
  chownSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { syncDirectory } from '../lib/durable.ts';
import { cannot, GarnerError } from '../lib/errors.ts';
import { type Command, describeExit, type Ended, feed, startPipeline } from '../lib/process.ts';
import { decodeThrough } from './toolkit/decode-through.ts';
import type { Engine } from './toolkit/engine.ts';
import { filterLdif } from './toolkit/ldif-filter.ts';
import {
  directoryOf,
  findTool,
  type LdapConnection,
  openedBy,
  slapdVersion,
  toolOptions,
} from './toolkit/slapd-tools.ts';

/** The files of a database of the kind mdb. */
const [DATA, LOCK] = ['data.mdb', 'lock.mdb'];

/** Each entry begins with its name and ends with an empty line. */
function countEntries(): { write(chunk: Buffer): void; count(): number; endsWhole(): boolean } {
  let count = 0;
  let tail = '\n';
  return {
    write(chunk) {
      const text = tail + chunk.toString('latin1');
      for (let at = text.indexOf('\ndn:'); at !== -1; at = text.indexOf('\ndn:', at + 1)) count += 1;
      tail = text.slice(-3);
    },
    count: () => count,
    endsWhole: () => tail.endsWith('\n\n'),
  };
}

/** Runs slapcat. @param take gets what it prints */
async function readEntries(
  connection: LdapConnection,
  signal: AbortSignal,
  take: (chunks: AsyncIterable<Buffer>) => Promise<void>,
): Promise<number> {
  directoryOf(connection); // a suffix that it doesn't know is told in the words of the configuration
  const args = [...toolOptions(connection), '-o', 'ldif-wrap=no'];
  const reading = startPipeline([{ file: findTool('slapcat'), args }], { signal });
  const entries = countEntries();
  async function* counted(): AsyncGenerator<Buffer> {
    for await (const chunk of reading.stdout as AsyncIterable<Buffer>) {
      entries.write(chunk);
      yield chunk;
    }
  }
  await take(counted());
  const [ended] = (await reading.ended) as [Ended];
  const refuse = (cause: string, code: 'database-dump' | 'database-rights' = 'database-dump'): GarnerError =>
    cannot(code, 'dump database', connection.suffix, cause);
  if (ended.code !== 0) {
    const denied = /permission denied/i.test(ended.stderr);
    throw refuse(describeExit(ended), denied ? 'database-rights' : 'database-dump');
  }
  if (entries.count() === 0) throw refuse('slapcat wrote no entry');
  if (!entries.endsWhole()) throw refuse('the dump is cut off');
  return entries.count();
}

/** Gives new files to whoever owned the old, or what they lie in. */
function giveAway(directory: string, model: { uid: number; gid: number }, mode: number): void {
  for (const name of [DATA, LOCK] as string[]) {
    const file = join(directory, name);
    if (!existsSync(file)) continue;
    const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW); // the directory is another account's
    if (process.getuid?.() === 0) fchownSync(fd, model.uid, model.gid);
    fchmodSync(fd, mode);
    fsyncSync(fd);
    closeSync(fd);
  }
  syncDirectory(directory);
}

const engine: Engine<LdapConnection> = {
  name: 'ldap',
  schemes: ['slapd'],
  dumpSuffix: 'dump',
  fileSuffix: 'ldif',

  connectionFromUrl(url) {
    const suffix = url.searchParams.get('suffix');
    if (url.host !== '' || url.pathname.length < 2 || !suffix) {
      throw cannot(
        'configuration',
        'use database URL',
        'slapd:',
        'it is not slapd:///etc/ldap/slapd.d?suffix=dc=example,dc=org',
      );
    }
    return { config: decodeURIComponent(url.pathname), suffix };
  },

  describe: ({ suffix }) => suffix,
  databaseName: ({ suffix }) => suffix,

  async inspect(connection, signal) {
    const data = statSync(join(directoryOf(connection), DATA), { throwIfNoEntry: false });
    return {
      serverVersion: await slapdVersion(signal),
      sizeBytes: (data?.blocks ?? 0) * 512, // the file has the size that it may grow to
      tables: [connection.suffix],
    };
  },

  async dump(connection, { encode, signal, queries }) {
    for (const { onFailure } of queries) onFailure(new Error('LDAP answers no queries'));
    const serverVersion = await slapdVersion(signal);
    const storing = encode([], 'pipe');
    let uncompressedSizeBytes = 0;
    const count = await readEntries(connection, signal, async (chunks) => {
      async function* measured(): AsyncGenerator<Buffer> {
        for await (const chunk of chunks) {
          uncompressedSizeBytes += chunk.length;
          yield chunk;
        }
      }
      await feed(storing.stdin as Writable, measured());
      await storing.ended;
    });
    return { serverVersion, tables: { [connection.suffix]: count }, uncompressedSizeBytes, warnings: [] };
  },

  async occupied(connection, signal) {
    const directory = directoryOf(connection);
    if (!existsSync(join(directory, DATA))) return undefined;
    try {
      const count = await readEntries(connection, signal, async (chunks) => {
        for await (const _ of chunks); // it is only counted
      });
      return count === 1 ? '1 entry' : `${count} entries`;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof GarnerError && /wrote no entry/.test(error.message)) return undefined;
      return 'a database that slapcat can not read';
    }
  },

  async restore(connection, { decode, aside, signal }) {
    const { suffix, config } = connection;
    const directory = directoryOf(connection);
    const [data, lock] = [join(directory, DATA), join(directory, LOCK)];
    const pid = openedBy(data);
    if (pid !== undefined) {
      throw cannot('database-restore', 'restore database', suffix, `process ${pid} (slapd?) has it open`, {
        hint: 'systemctl stop slapd, restore again, systemctl start slapd',
      });
    }
    const model = statSync(directory, { throwIfNoEntry: false }) ?? statSync(config);
    if (!existsSync(directory)) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      if (process.getuid?.() === 0) chownSync(directory, model.uid, model.gid);
    }
    const before = statSync(data, { throwIfNoEntry: false });
    const old = aside?.path(data);
    // without entries it is nothing to keep, and slapadd makes it anew
    const kept = before === undefined ? undefined : (old ?? `${data}.empty`);
    if (kept !== undefined) renameSync(data, kept);
    rmSync(lock, { force: true });
    let stderr = '';
    const client: Command = {
      file: findTool('slapadd'),
      args: ['-q', ...toolOptions(connection)], // -q: what was dumped was checked once; after a failure it is thrown away
      onStderrLine: (line) => {
        if (stderr.length < 10_000) stderr += `${line}\n`;
      },
    };
    try {
      await decodeThrough(client, decode, filterLdif(), signal);
    } catch (error) {
      for (const file of [data, lock]) rmSync(file, { force: true });
      if (kept !== undefined) renameSync(kept, data);
      signal.throwIfAborted();
      if (error instanceof GarnerError && error.code !== 'program-failed') throw error;
      const isClients = error instanceof GarnerError && stderr !== '';
      const said = !isClients ? error : describeExit({ command: client, code: 1, signal: null, stderr });
      throw cannot('database-restore', 'restore database', suffix, said, {
        hint: 'nothing of it was kept: the database is as before',
      });
    }
    giveAway(directory, before ?? model, (before?.mode ?? 0o600) & 0o777);
    if (kept !== undefined && old === undefined) rmSync(kept);
    return old;
  },
};

export default engine;
