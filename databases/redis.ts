// Redis, by its own dump (RDB): what a replica gets, of one moment, with all databases of the server, expiry times and
// functions. Proved whole by its end, its checksum and the form of every value; its keys are counted as they pass.
import type { Writable } from 'node:stream';
import { cannot, causeText, GarnerError } from '../lib/errors.ts';
import { type Ended, feed, startPipeline } from '../lib/process.ts';
import { plural } from '../lib/text.ts';
import type { Engine } from './toolkit/engine.ts';
import {
  ask,
  clientError,
  describeConnection,
  hasFailed,
  passwordInput,
  type RedisConnection,
  redisClient,
  startSending,
} from './toolkit/redis-client.ts';
import { type RdbEvent, RdbReader } from './toolkit/redis-rdb.ts';

/** @returns what INFO says, by name */
async function readInfo(connection: RedisConnection, signal: AbortSignal): Promise<Map<string, string>> {
  const lines = (await ask(connection, ['INFO'], signal)).split(/\r?\n/);
  return new Map(
    lines.flatMap((line) => [...line.matchAll(/^(\w+):(.*)$/g)]).map(([, k, v]) => [k, v]) as [],
  );
}

/** @returns the databases that have keys, and how many */
function keyCounts(info: Map<string, string>): [string, number][] {
  return [...info].flatMap(([name, value]) => {
    const keys = /^keys=(\d+)/.exec(value)?.[1];
    return /^db\d+$/.test(name) && keys !== undefined ? [[name, Number(keys)] as [string, number]] : [];
  });
}

const hasFunctions = (info: Map<string, string>): boolean => Number(info.get('number_of_functions') ?? 0) > 0;

/** How many keys the server has thrown away for want of memory, since its start. */
const evictedKeys = (info: Map<string, string>): number => Number(info.get('evicted_keys') ?? 0);

async function restoreEvent(
  event: RdbEvent,
  selected: { database: number },
  send: (words: (string | Buffer)[]) => Promise<void>,
): Promise<void> {
  if (event.kind === 'function') return send(['FUNCTION', 'LOAD', event.code]);
  const { database, key, value, expiresAt, idleSeconds, frequency } = event;
  if (database !== selected.database) {
    await send(['SELECT', `${database}`]);
    selected.database = database;
  }
  const expiry = expiresAt === undefined ? ['0'] : [`${expiresAt}`];
  const options = [
    ...(expiresAt === undefined ? [] : ['ABSTTL']),
    ...(idleSeconds === undefined ? [] : ['IDLETIME', `${idleSeconds}`]),
    ...(frequency === undefined ? [] : ['FREQ', `${frequency}`]),
  ];
  await send(['RESTORE', key, ...expiry, value, ...options]);
}

const engine: Engine<RedisConnection> = {
  name: 'redis',
  schemes: ['redis', 'rediss'],
  dumpSuffix: 'dump',
  fileSuffix: 'rdb',

  connectionFromUrl(url) {
    const known = ['socket', 'cacert', 'cert', 'key'];
    const unknown = [...url.searchParams.keys()].find((name) => !known.includes(name));
    const refuse = (cause: string, hint: string): GarnerError =>
      cannot('configuration', 'use database URL', 'redis:', cause, { hint });
    if (unknown !== undefined) throw refuse(`"${unknown}" is not supported`, `there are ${known.join(', ')}`);
    if (url.pathname.length > 1) {
      // a restore with --force would empty those of others
      throw refuse(
        'it names one database of the server',
        'a dump has all of them: leave out what is after the host',
      );
    }
    const decoded = (part: string): string | undefined => decodeURIComponent(part) || undefined;
    const parameter = (name: string): string | undefined => url.searchParams.get(name) || undefined;
    const { cacert, cert, key } = {
      cacert: parameter('cacert'),
      cert: parameter('cert'),
      key: parameter('key'),
    };
    return {
      host: decoded(url.hostname.replace(/^\[(.*)\]$/, '$1')),
      port: url.port === '' ? undefined : Number(url.port),
      socket: parameter('socket'),
      user: decoded(url.username),
      password: decoded(url.password),
      tls: url.protocol === 'rediss:' ? { cacert, cert, key } : undefined,
    };
  },

  describe: describeConnection,
  databaseName: () => 'redis',

  async inspect(connection, signal) {
    const info = await readInfo(connection, signal);
    return {
      serverVersion: info.get('valkey_version') ?? info.get('redis_version') ?? 'unknown',
      sizeBytes: Number(info.get('used_memory') ?? 0),
      tables: keyCounts(info).map(([name]) => name),
    };
  },

  async dump(connection, { encode, signal, queries }) {
    for (const { onFailure } of queries) onFailure(new Error('Redis answers no queries'));
    const { options, input } = passwordInput(connection);
    const client = redisClient(connection, [...options, '--rdb', '-']);
    const dumping = startPipeline([client], { stdin: 'pipe', signal });
    dumping.stdin?.end(input);
    const storing = encode([], 'pipe');
    const reader = new RdbReader({ withValues: false });
    let damage: unknown;
    let sizeBytes = 0;
    async function* checked(): AsyncGenerator<Buffer> {
      for await (const chunk of dumping.stdout as AsyncIterable<Buffer>) {
        if (damage !== undefined) continue;
        const before = reader.excessBytes;
        try {
          reader.push(chunk);
        } catch (error) {
          damage = error;
          continue;
        }
        const own = chunk.subarray(0, chunk.length - (reader.excessBytes - before));
        sizeBytes += own.length;
        yield own;
      }
    }
    await feed(storing.stdin as Writable, checked());
    const [ended] = (await dumping.ended) as [Ended];
    await storing.ended;
    if (hasFailed(ended)) throw clientError('database-dump', 'dump database', connection, ended);
    if (!reader.isComplete) {
      const cause = sizeBytes === 0 ? 'the client wrote nothing' : 'the dump is cut off';
      throw cannot('database-dump', 'dump database', describeConnection(connection), damage ?? cause);
    }
    return {
      serverVersion: reader.facts.get('valkey-ver') ?? reader.facts.get('redis-ver') ?? 'unknown',
      tables: reader.counts,
      uncompressedSizeBytes: sizeBytes,
      warnings: [],
    };
  },

  async occupied(connection, signal) {
    const info = await readInfo(connection, signal);
    const keys = keyCounts(info).reduce((sum, [, count]) => sum + count, 0);
    if (keys > 0) return plural(keys, 'key');
    return hasFunctions(info) ? 'functions' : undefined;
  },

  async restore(connection, { decode, aside, signal }) {
    await ask(connection, ['ECHO', 'garner'], signal); // the client's own last word: denied, it waits for its answer
    const old = await aside?.dump();
    if (old !== undefined) {
      const functions = hasFunctions(await readInfo(connection, signal));
      await ask(connection, ['FLUSHALL'], signal);
      if (functions) await ask(connection, ['FUNCTION', 'FLUSH'], signal);
    }
    const evicted = evictedKeys(await readInfo(connection, signal));
    const reader = new RdbReader({ withValues: true });
    const sending = startSending(connection, signal);
    const selected = { database: 0 };
    let damage: unknown;
    try {
      await decode(async (chunk) => {
        if (damage !== undefined) return;
        try {
          for (const event of reader.push(chunk)) await restoreEvent(event, selected, sending.send);
        } catch (error) {
          damage = error;
        }
      });
    } finally {
      // what was sent until here has been done all the same
      await sending.end().catch((error) => {
        damage ??= error;
      });
    }
    signal.throwIfAborted();
    if (damage === undefined && reader.isComplete) {
      // each command was answered with OK all the same
      const lost = evictedKeys(await readInfo(connection, signal)) - evicted;
      if (lost <= 0) return old;
      damage = new Error(
        `the server threw ${plural(lost, 'key')} away meanwhile: its maxmemory is too small`,
      );
    }
    const hint = `the database is partly filled now${old === undefined ? '; empty it before the next try' : `; what was in it is in ${old}`}`;
    if (damage instanceof GarnerError) {
      throw new GarnerError(damage.code, damage.message, { cause: damage, hint });
    }
    const cause = damage === undefined ? 'the dump is cut off' : causeText(damage);
    throw cannot('database-restore', 'restore database', describeConnection(connection), cause, { hint });
  },

  runsInContainer: true,
};

export default engine;
