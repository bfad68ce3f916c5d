// The Redis engine on real servers: every kind of value, there and back, judged by Redis' own digest and its checker; what
// an account may not do; dumps that are cut off or damaged.
import { mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import engine from '../../databases/redis.ts';
import { connectionFromUrl } from '../../databases/toolkit/engines.ts';
import { RdbReader } from '../../databases/toolkit/redis-rdb.ts';
import { dumpTo, restoreFrom } from '../helpers/engine.ts';
import { fakeClients } from '../helpers/fake-clients.ts';
import { type Redis, startRedis } from '../helpers/redis.ts';

const PASSWORD = `p &%40'"\\$#;x`;
let source: Redis;
let target: Redis;
let directory: string;
let dump: string;
const of = ({ socket }: Redis) => ({ socket, password: PASSWORD });
const { signal } = new AbortController();

/** Every kind of value in each form that Redis keeps it in. */
const VALUES = [
  'SET "a\\x00b\\r\\n" "\\x00\\xff"',
  'SET 12345 67890',
  `SET ${'k'.repeat(400)} ${'compressible '.repeat(50).replaceAll(' ', '_')}`,
  'SET soon x PXAT 4102444800123',
  'HSET small f 1 "\\xff" 2',
  'SADD ints 1 2 3',
  'SADD words a b "\\x00"',
  'ZADD scores 1.5 a -inf b 3 c',
  'RPUSH list a 1 2',
  'SELECT 3',
  'SET other y',
  'PEXPIREAT other 4102444800000',
  'SELECT 15',
  'XADD empty 1-1 f v',
  'XDEL empty 1-1',
  'XADD stream 1-1 temperature 20',
  'XADD stream 2-1 temperature "\\x00"',
  'XADD stream 3-1 other 1',
  'XGROUP CREATE stream group 0',
  'XREADGROUP GROUP group one COUNT 2 STREAMS stream >',
  'XREADGROUP GROUP group two COUNT 1 STREAMS stream >',
  'XACK stream group 1-1',
  'PFADD visitors a b c',
  'SETBIT bits 100000 1',
  'GEOADD places 13.361389 38.115556 Palermo',
  `EVAL "for i=1,3000 do redis.call('HSET','big-hash',i,string.rep('x',i%70)); redis.call('SADD','big-set','m'..i); redis.call('ZADD','big-zset',i/3,'m'..i); redis.call('RPUSH','big-list',string.rep('y',i%200)); redis.call('XADD','big-stream','*','f',i) end" 0`,
  `EVAL "redis.call('RPUSH','plain',string.rep('z',20000),'a')" 0`,
  `FUNCTION LOAD "#!lua name=lib\\nredis.register_function('f', function() return 'räksmörgås' end)"`,
];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'garner-redis-test-'));
  dump = join(directory, 'dump.rdb');
  [source, target] = await Promise.all([startRedis(PASSWORD), startRedis(PASSWORD)]);
  await source.runLines(VALUES.join('\n'));
});
afterAll(async () => {
  await Promise.all([source.stop(), target.stop()]);
  rmSync(directory, { recursive: true });
});

describe('a dump', () => {
  it("has all databases, expiry times and functions, counted as Redis counts them, and Redis' own checker is content", async () => {
    const facts = await dumpTo(engine, of(source), dump);
    const size = async (database: string) => Number(await source.run('-n', database, 'DBSIZE'));
    expect(facts).toMatchObject({
      serverVersion: (await source.run('INFO', 'server')).match(/redis_version:(\S+)/)?.[1],
      tables: { db0: await size('0'), db3: await size('3'), db15: await size('15'), functions: 1 },
      uncompressedSizeBytes: readFileSync(dump).length,
      warnings: [],
    });
    const { stdout } = await execa('redis-check-rdb', [dump]);
    expect(stdout).toContain('RDB looks OK');
    expect(stdout).toContain(`[offset ${readFileSync(dump).length}] Checksum OK`); // nothing of the transfer's is behind it
    const keys = Number(/(\d+) keys read/.exec(stdout)?.[1]);
    expect(keys).toBe((await size('0')) + (await size('3')) + (await size('15')));
  });

  it('comes back into an empty server: every value, expiry time, group and function, also in small pieces', async () => {
    for (const chunkBytes of [65_536, 7, 1]) {
      await target.run('FLUSHALL');
      await target.run('FUNCTION', 'FLUSH');
      expect(await engine.occupied(of(target), signal)).toBeUndefined();
      await restoreFrom(engine, of(target), dump, { chunkBytes });
      expect(await target.state()).toBe(await source.state());
    }
  });

  it('is loaded by a server that starts with it, as in a restore by hand', async () => {
    const settings = [`dir ${directory}`, `dbfilename ${basename(dump)}`, 'appendonly no'];
    await using server = await startRedis(PASSWORD, settings);
    expect(await server.state()).toBe(await source.state());
  });

  it('replaces what is there only after that was put aside', async () => {
    await target.run('FLUSHALL');
    await target.run('SET', 'mine', '1');
    await target.run('FUNCTION', 'DELETE', 'lib');
    expect(await engine.occupied(of(target), signal)).toBe('1 key');
    const aside = join(directory, 'aside.rdb');
    const old = await restoreFrom(engine, of(target), dump, {
      aside: {
        path: String,
        dump: async () => {
          await dumpTo(engine, of(target), aside);
          return aside;
        },
      },
    });
    expect(old).toBe(aside);
    expect((await execa('redis-check-rdb', [aside])).stdout).toContain('1 keys read');
    expect(await target.state()).toBe(await source.state());
  });

  it('takes no key twice: what is in the way is named, and that the database is partly filled', async () => {
    await target.run('FUNCTION', 'FLUSH');
    await expect(restoreFrom(engine, of(target), dump)).rejects.toMatchObject({
      code: 'database-restore',
      message: expect.stringContaining('BUSY'),
      hint: expect.stringContaining('partly filled'),
    });
  });
});

it('a restore whose keys the server throws away again, for want of memory, has failed', async () => {
  await using small = await startRedis(PASSWORD, ['maxmemory-policy allkeys-random']);
  const used = Number(/used_memory:(\d+)/.exec(await small.run('INFO', 'memory'))?.[1]);
  await small.run('CONFIG', 'SET', 'maxmemory', `${used + 300_000}`);
  await expect(restoreFrom(engine, of(small), dump)).rejects.toMatchObject({
    code: 'database-restore',
    message: expect.stringMatching(/threw \d+ keys? away/),
    hint: expect.stringContaining('partly filled'),
  });
});

describe('F04 a dump that is cut off or damaged', () => {
  it.each([
    ['cut off', 'head -c 1000', /cut off/],
    ['cut off within its checksum', 'head -c -45', /cut off/],
    ['changed in one byte', "sed 's/temperature/temperaturf/'", /checksum is wrong/],
    ['nothing', 'head -c 0', /wrote nothing/],
    ['no RDB', "sed '1s/^REDIS/REDIX/'", /no RDB/],
  ])('is refused: %s, though the client exits with 0', async (_, filter, message) => {
    vi.stubEnv('PATH', fakeClients(directory, { 'redis-cli': `"$REAL" "$@" | ${filter}` }));
    try {
      await expect(dumpTo(engine, of(source), join(directory, 'bad.rdb'))).rejects.toMatchObject({
        code: 'database-dump',
        message: expect.stringMatching(message),
      });
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('F03 fails where the client does, though the dump is whole', async () => {
    vi.stubEnv('PATH', fakeClients(directory, { 'redis-cli': '"$REAL" "$@"; exit 2' }));
    const dumping = dumpTo(engine, of(source), join(directory, 'bad.rdb'));
    await expect(dumping.finally(() => vi.unstubAllEnvs())).rejects.toMatchObject({ code: 'database-dump' });
  });

  it('says at a restore that the database is partly filled', async () => {
    await target.run('FLUSHALL');
    await target.run('FUNCTION', 'FLUSH');
    const cut = join(directory, 'cut.rdb');
    await dumpTo(engine, of(source), cut);
    truncateSync(cut, 3000);
    await expect(restoreFrom(engine, of(target), cut)).rejects.toMatchObject({
      message: expect.stringContaining('the dump is cut off'),
      hint: expect.stringContaining('partly filled'),
    });
  });
});

it('F01 names the cause where the server ends in the middle of it', async () => {
  const server = await startRedis(PASSWORD);
  await server.run('DEBUG', 'POPULATE', '5000', 'key', '1000');
  await server.run('CONFIG', 'SET', 'rdb-key-save-delay', '1000');
  const dumping = dumpTo(engine, of(server), join(directory, 'cut-off.rdb'));
  const ended = expect(dumping).rejects.toMatchObject({
    code: 'database-dump',
    message: expect.stringMatching(/": (I\/O Error|Error reading) [^;]* \(exit code 1\)$/),
  });
  while (!(await server.run('INFO', 'persistence')).includes('rdb_bgsave_in_progress:1'));
  await server.stop();
  await ended;
});

describe('accounts', () => {
  it('F05 an account without the right to it gets no dump, and one with the rights of the page gets all of it', async () => {
    await source.run('ACL', 'SETUSER', 'few', 'on', '>canary-few', '~app:*', '+@all', '-sync', '-psync');
    const few = { socket: source.socket, user: 'few', password: 'canary-few' };
    await expect(dumpTo(engine, few, join(directory, 'few.rdb'))).rejects.toMatchObject({
      code: 'database-rights',
      message: expect.stringContaining('NOPERM'),
    });
    const page = readFileSync(join(import.meta.dirname, '../../docs/databases.md'), 'utf8');
    const accountOf = async ({ run, socket }: Redis, user: string) => {
      const rights = new RegExp(`^ACL SETUSER ${user} on (.*)$`, 'm').exec(page)?.[1] ?? '';
      await run('ACL', 'SETUSER', user, 'on', ...rights.replace(/>'.*?'/, '>canary').split(' '));
      return { socket, user, password: 'canary' };
    };
    const account = await accountOf(source, 'garner_dump');
    const whole = await dumpTo(engine, account, join(directory, 'account.rdb'));
    expect(whole.tables).toEqual((await dumpTo(engine, of(source), join(directory, 'all.rdb'))).tables);
    expect((await engine.inspect(account, signal)).tables).toEqual(['db0', 'db3', 'db15']);
    const restorer = await accountOf(target, 'garner_restore');
    const aside = { path: String, dump: async () => 'aside' };
    await dumpTo(engine, restorer, join(directory, 'aside.rdb'));
    await restoreFrom(engine, restorer, join(directory, 'all.rdb'), { aside });
    expect(await target.state()).toBe(await source.state());
  });

  it.each([
    ['a wrong password', { password: 'canary-wrong' }, /WRONGPASS/],
    ['none', {}, /NOAUTH|Authentication required/],
    ['no server', { socket: '/nonexistent/redis.sock' }, /Could not connect/],
  ])('F10 %s: one clear line, without the password', async (_, connection, message) => {
    const to = { socket: source.socket, ...connection };
    for (const ask of [
      () => dumpTo(engine, to, join(directory, 'none.rdb')),
      () => engine.inspect(to, signal),
    ]) {
      const error = await ask().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: 'database-connect',
        message: expect.stringMatching(message),
      });
      expect(String(error)).not.toContain('canary-wrong');
    }
  });

  it('F60 gives the password to the client on stdin: neither its arguments nor its environment have it', async () => {
    const seen = join(directory, 'seen');
    const spy = `{ echo "$@"; env; } >> ${seen}; exec "$REAL" "$@"`;
    await target.run('FLUSHALL');
    await target.run('FUNCTION', 'FLUSH');
    vi.stubEnv('PATH', fakeClients(directory, { 'redis-cli': spy }));
    await dumpTo(engine, of(source), dump);
    await restoreFrom(engine, of(target), dump);
    vi.unstubAllEnvs();
    const text = readFileSync(seen, 'utf8');
    expect(text).toContain('--askpass');
    expect(text).not.toContain(PASSWORD);
  });
});

describe('URLs', () => {
  const read = async (url: string) => (await connectionFromUrl(url, 'GARNER_DATABASE_URL')).connection;

  it('take accounts, sockets and TLS', async () => {
    expect(await read('redis://:p%40%3A@[::1]:6380')).toMatchObject({
      host: '::1',
      port: 6380,
      password: 'p@:',
    });
    expect(await read('redis://app:x@h/?socket=/run/redis.sock')).toMatchObject({
      user: 'app',
      socket: '/run/redis.sock',
    });
    expect(await read('rediss://h?cacert=/ca.pem')).toMatchObject({ host: 'h', tls: { cacert: '/ca.pem' } });
  });

  it('name no database: a dump has all of them, and a restore would empty those of others', async () => {
    await expect(read('redis://h/3')).rejects.toThrow('it names one database of the server');
  });

  it('reach a server by TLS, whose certificate is checked', async () => {
    const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    await execa('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-keyout', key, '-out', cert, ...subject],
    ]);
    const settings = [`tls-cert-file ${cert}`, `tls-key-file ${key}`, `tls-ca-cert-file ${cert}`];
    await using server = await startRedis(PASSWORD, [...settings, 'tls-auth-clients no']);
    await server.run('CONFIG', 'SET', 'port', '0', 'tls-port', `${server.port}`);
    await server.run('SET', 'over', 'tls');
    const connection = { host: '127.0.0.1', port: server.port, password: PASSWORD };
    const file = join(directory, 'tls.rdb');
    await expect(dumpTo(engine, { ...connection, tls: {} }, file)).rejects.toMatchObject({
      code: 'database-connect',
      message: expect.stringMatching(/certificate/),
    });
    const trusting = { ...connection, tls: { cacert: cert } };
    await dumpTo(engine, trusting, file);
    await server.run('FLUSHALL');
    await restoreFrom(engine, trusting, file);
    expect(await server.run('GET', 'over')).toBe('tls');
  });
});

it('reads older and newer forms than this server writes, and names what it does not know', () => {
  const header = Buffer.from('REDIS0012');
  const feed = (...bytes: number[]) =>
    new RdbReader({ withValues: true }).push(Buffer.concat([header, Buffer.from(bytes)]));
  // a hash whose fields expire: when the first does, one field, its time, name and value
  const [hash] = feed(
    0xfe,
    1,
    24,
    1,
    107,
    ...[0, 0, 0, 0, 0, 0, 0, 0],
    1,
    5,
    1,
    102,
    1,
    118,
    0xff,
    ...Array(8).fill(0),
  );
  expect(hash).toMatchObject({ kind: 'key', database: 1, key: Buffer.from('k') });
  expect(() => feed(99, 1, 107)).toThrow('a value of type 99, which garner does not know');
  expect(() => new RdbReader({ withValues: false }).push(Buffer.from('VALKEY080'))).toThrow('no RDB');
});
