// MongoDB, by its own tools: mongodump's archive, with what was written meanwhile (--oplog) where all databases of a replica
// set are dumped. Proved whole by every collection's end and checksum, read as they pass, and by the server's own list.
import type { Writable } from 'node:stream';
import { cannot, GarnerError } from '../lib/errors.ts';
import { type Ended, feed, startPipeline } from '../lib/process.ts';
import { plural } from '../lib/text.ts';
import type { DumpFacts, Engine } from './toolkit/engine.ts';
import { MongoArchiveReader } from './toolkit/mongo-archive.ts';
import {
  clientError,
  describeConnection,
  type MongoConnection,
  openToolConfig,
  readMongoUri,
  runScript,
  toolCommand,
} from './toolkit/mongo-client.ts';
import { listed } from './toolkit/sql-names.ts';

interface Look {
  version: string;
  sizeBytes: number;
  /** `database.collection`, without views and what is the server's own. */
  collections: string[];
}

const LOOK = `tell({
  version: db.version(),
  sizeBytes: names.reduce((sum, name) => sum + Number(db.getSiblingDB(name).stats().dataSize), 0),
  collections: names.flatMap((name) => db.getSiblingDB(name).getCollectionInfos()
    .filter((one) => one.type !== 'view' && !one.name.startsWith('system.'))
    .map((one) => name + '.' + one.name)),
});`;

const isMissing = (error: unknown): boolean =>
  error instanceof GarnerError && error.code === 'program-missing';

/** Without the shell nobody tells what a dump should have. */
async function lookBefore(
  connection: MongoConnection,
  signal: AbortSignal,
): Promise<{ collections: string[]; warnings: DumpFacts['warnings'] }> {
  try {
    return { ...(await runScript<Look>(connection, LOOK, signal)), warnings: [] };
  } catch (error) {
    if (!isMissing(error)) throw error;
    const message = `${describeConnection(connection)}: without mongosh it is unknown whether the account sees all of it`;
    return { collections: [], warnings: [{ code: 'database-unchecked', message }] };
  }
}

/** Reads a dump to its end. @throws where it is none, or not whole */
async function readDump(
  decode: (take: (chunk: Buffer) => void) => Promise<unknown>,
): Promise<MongoArchiveReader> {
  const reader = new MongoArchiveReader();
  await decode((chunk) => reader.push(chunk));
  if (!reader.isComplete) throw new Error('the dump is cut off');
  return reader;
}

/** @returns the options that put one database into another of a different name */
function renaming(names: readonly string[], { database }: MongoConnection): string[] {
  const [name] = names;
  if (database === undefined || name === undefined || (names.length === 1 && name === database)) return [];
  if (names.length > 1) throw new Error(`it has ${names.length} databases, the URI names one`);
  if (/[*$\\]/.test(name + database)) throw new Error('a name with * or $ can not be another');
  return [`--nsFrom=${name}.*`, `--nsTo=${database}.*`];
}

const engine: Engine<MongoConnection> = {
  name: 'mongodb',
  schemes: ['mongodb', 'mongodb+srv'],
  dumpSuffix: 'dump',
  fileSuffix: 'archive',

  connectionFromUrl: (url) => readMongoUri(url.href),
  connectionFromText: readMongoUri,

  describe: describeConnection,
  databaseName: ({ database }) => database ?? 'mongodb',

  async inspect(connection, signal) {
    const { version, sizeBytes, collections } = await runScript<Look>(connection, LOOK, signal);
    return { serverVersion: version, sizeBytes, tables: collections };
  },

  async dump(connection, { encode, signal, queries }) {
    for (const { onFailure } of queries) onFailure(new Error('MongoDB answers no queries'));
    const { collections, warnings } = await lookBefore(connection, signal);
    const isOneMoment = connection.isReplicaSet && connection.database === undefined;
    using config = openToolConfig(connection);
    const client = toolCommand('mongodump', config.fd, ['--archive', ...(isOneMoment ? ['--oplog'] : [])]);
    const dumping = startPipeline([client], { signal });
    const storing = encode([], 'pipe');
    const reader = new MongoArchiveReader();
    let damage: unknown;
    let sizeBytes = 0;
    async function* checked(): AsyncGenerator<Buffer> {
      for await (const chunk of dumping.stdout as AsyncIterable<Buffer>) {
        sizeBytes += chunk.length;
        try {
          if (damage === undefined) reader.push(chunk);
        } catch (error) {
          damage = error;
        }
        yield chunk;
      }
    }
    await feed(storing.stdin as Writable, checked());
    const [ended] = (await dumping.ended) as [Ended];
    await storing.ended;
    const refuse = (cause: unknown): GarnerError =>
      cannot('database-dump', 'dump database', describeConnection(connection), cause);
    if (ended.code !== 0) throw clientError('database-dump', 'dump database', connection, ended);
    if (sizeBytes === 0) throw refuse('the client wrote nothing');
    if (damage !== undefined) throw refuse(damage);
    if (!reader.isComplete) throw refuse(`the dump is cut off: ${listed(reader.unfinished())}`);
    const counts = reader.counts();
    const missing = collections.filter((name) => counts[name] === undefined);
    if (missing.length > 0) throw refuse(`collections are missing from the dump: ${listed(missing)}`);
    if (!isOneMoment) {
      const message = `${describeConnection(connection)} is not of one moment: what was written while it was dumped may be in it in part`;
      warnings.push({ code: 'no-snapshot', message });
    }
    return {
      serverVersion: reader.serverVersion,
      tables: counts,
      uncompressedSizeBytes: sizeBytes,
      warnings,
    };
  },

  async occupied(connection, signal) {
    try {
      const { collections } = await runScript<Look>(connection, LOOK, signal);
      return collections.length === 0 ? undefined : plural(collections.length, 'collection');
    } catch (error) {
      if (!isMissing(error)) throw error;
      return 'nobody knows what, without mongosh';
    }
  },

  async restore(connection, { decode, aside, signal }) {
    const where = describeConnection(connection);
    const dropping = "for (const name of names) db.getSiblingDB(name).dropDatabase();\ntell('dropped');";
    let old: string | undefined;
    const refuse = (cause: unknown, hint = 'nothing was changed'): GarnerError =>
      cannot('database-restore', 'restore database', where, cause, { hint });
    let reader: MongoArchiveReader;
    let renamed: string[];
    try {
      reader = await readDump(decode);
      renamed = renaming(
        [...new Set(Object.keys(reader.counts()).map((name) => name.split('.')[0] as string))],
        connection,
      );
      // replayed under their own names, whatever database the rest goes into
      if (reader.hasOplog && connection.database !== undefined)
        throw new Error('it has writes to any database (oplog), the URI names one');
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof GarnerError ? error : refuse(error);
    }
    if (aside !== undefined) {
      old = await aside.dump();
      await runScript(connection, dropping, signal);
    }
    using config = openToolConfig(connection);
    let stderr = '';
    const client = {
      ...toolCommand('mongorestore', config.fd, [
        ...['--archive', '--stopOnError', ...(reader.hasOplog ? ['--oplogReplay'] : []), ...renamed],
      ]),
      onStderrLine: (line: string) => {
        stderr = `${stderr}${line}\n`.slice(-20_000);
      },
    };
    const partly = `the database is partly filled now${old === undefined ? '; empty it before the next try' : `; what was in it is in ${old}`}`;
    try {
      await decode(client);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof GarnerError && error.code !== 'program-failed') throw error;
      const ended = { command: client, code: 1, signal: null, stderr };
      const said = clientError('database-restore', 'restore database', connection, ended);
      throw new GarnerError(said.code, said.message, { cause: error, hint: said.hint ?? partly });
    }
    // it exits with 0 for documents that it could not restore
    const failed = /(\d+) documents?(?:\(s\))? failed to restore/.exec(stderr)?.[1] ?? '0';
    if (failed !== '0') throw refuse(`${plural(Number(failed), 'document')} could not be restored`, partly);
    return old;
  },

  runsInContainer: true,
};

export default engine;
