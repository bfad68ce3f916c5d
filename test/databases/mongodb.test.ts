// The MongoDB engine, with programs that behave as its clients' documentation says (test/helpers/mongo-clients.ts): Debian
// has no MongoDB. What a dump must have, what is refused, and where the password does not go.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import engine from '../../databases/mongodb.ts';
import { startEcmaCrc64, startJonesCrc64 } from '../../databases/toolkit/crc64.ts';
import { connectionFromUrl } from '../../databases/toolkit/engines.ts';
import { MongoArchiveReader } from '../../databases/toolkit/mongo-archive.ts';
import { readMongoUri } from '../../databases/toolkit/mongo-client.ts';
import { dumpTo, restoreFrom } from '../helpers/engine.ts';
import { document, type Mongo, makeMongo } from '../helpers/mongo.ts';

const PASSWORD = `canary &%40'"\\$#;:/@x`;
let directory: string;
let mongo: Mongo;
let dump: string;
const { signal } = new AbortController();
const at = (options?: string) => readMongoUri(mongo.uri(options));
const use = ({ env }: Mongo, more: Record<string, string> = {}): void => {
  for (const [name, value] of Object.entries({ ...env, ...more })) vi.stubEnv(name, value);
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-mongo-'));
  dump = join(directory, 'dump');
  mongo = makeMongo(directory, PASSWORD);
  use(mongo);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

it('dumps all databases of a replica set at one moment, and counts the documents of each collection', async () => {
  const facts = await dumpTo(engine, at(), dump);
  expect(facts).toEqual({
    serverVersion: '7.0.14',
    tables: { 'app.users': 3, 'app.empty': 0, 'app.named': 0, 'shop.orders': 2 },
    uncompressedSizeBytes: readFileSync(dump).length,
    warnings: [],
  });
  expect(readFileSync(mongo.seen, 'utf8')).toContain('--archive --oplog');
});

it('warns where a dump is not of one moment: a single database, a server that is no replica set', async () => {
  for (const options of ['/app?replicaSet=rs0', '/']) {
    const { warnings } = await dumpTo(engine, at(options), dump);
    expect(warnings).toMatchObject([{ code: 'no-snapshot' }]);
  }
  expect(readFileSync(mongo.seen, 'utf8')).not.toContain('--oplog');
});

it('F60 puts the password into no argument, no variable and no file', async () => {
  await dumpTo(engine, at(), dump);
  const aside = { path: String, dump: async () => 'aside' };
  await restoreFrom(engine, at(), dump, { aside });
  const seen = readFileSync(mongo.seen, 'utf8');
  expect(seen).toContain('--config=/dev/fd/3');
  expect(seen).toContain('mongosh');
  for (const secret of [PASSWORD, encodeURIComponent(PASSWORD)]) expect(seen).not.toContain(secret);
});

describe('a dump that is not whole is refused', () => {
  it.each([
    ['F04 half of it, and exit 0', 'half', 'database-dump', /cut off|missing/],
    ['F04 all but the last end', 'end', 'database-dump', /cut off/],
    ['F08 nothing', 'nothing', 'database-dump', /wrote nothing/],
    ['a document that was changed on its way', 'flipped', 'database-dump', /checksum of app\.users is wrong/],
    ['F03 exit 1', 'exit', 'database-dump', /exit code 1/],
    [
      'F05 a collection that the server has is not in it',
      'left-out',
      'database-dump',
      /missing from the dump: shop\.orders/,
    ],
  ])('%s', async (_, fault, code, message) => {
    vi.stubEnv('MONGO_FAULT', fault);
    await expect(dumpTo(engine, at(), dump)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  it('F05 by an account that sees some databases only, though mongodump is content with these', async () => {
    mongo.change((server) => {
      server.visible = ['app'];
    });
    await expect(dumpTo(engine, at(), dump)).rejects.toMatchObject({
      code: 'database-rights',
      hint: expect.stringContaining('backup'),
    });
    await expect(dumpTo(engine, at('/shop'), dump)).rejects.toMatchObject({ code: 'database-rights' });
  });

  it('without mongosh it is a warning that nobody can tell', async () => {
    vi.unstubAllEnvs();
    use(makeMongo(directory, PASSWORD, ['mongodump']));
    expect((await dumpTo(engine, at(), dump)).warnings).toMatchObject([{ code: 'database-unchecked' }]);
    expect(await engine.occupied(at(), signal)).toContain('without mongosh');
  });

  it('F10 a wrong password: one clear line without it; clients that are missing: by name', async () => {
    const wrong = readMongoUri('mongodb://backup:canary-wrong@127.0.0.1/');
    const error = await dumpTo(engine, wrong, dump).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'database-connect',
      message: expect.stringMatching(/^cannot use database "backup@127\.0\.0\.1": .*Authentication failed/),
    });
    expect(String(error)).not.toContain('canary-wrong');
    vi.stubEnv('PATH', '/usr/bin:/bin');
    await expect(dumpTo(engine, at(), dump)).rejects.toMatchObject({ code: 'program-missing' });
  });
});

describe('a restore', () => {
  it('brings all back, views too, with the writes that came during the dump', async () => {
    const before = mongo.read().databases;
    await dumpTo(engine, at(), dump);
    mongo.change((server) => {
      server.databases = {};
    });
    expect(await engine.occupied(at(), signal)).toBeUndefined();
    await restoreFrom(engine, at(), dump, { chunkBytes: 5 });
    expect(mongo.read().databases).toEqual(before);
    expect(readFileSync(mongo.seen, 'utf8')).toContain('--stopOnError --oplogReplay');
  });

  it('drops what is there only after it was put aside', async () => {
    await dumpTo(engine, at('/app'), dump);
    mongo.change((server) => {
      server.databases.app = { other: [document('mine')] };
    });
    const aside = join(directory, 'aside');
    const put = {
      path: String,
      dump: async () => {
        expect((await dumpTo(engine, at('/app'), aside)).tables).toEqual({ 'app.other': 1 });
        return aside;
      },
    };
    expect(await engine.occupied(at('/app'), signal)).toBe('1 collection');
    expect(await restoreFrom(engine, at('/app'), dump, { aside: put })).toBe(aside);
    expect(Object.keys(mongo.read().databases.app ?? {}).sort()).toEqual(['empty', 'named', 'users']);
    expect(mongo.read().databases.shop).toBeDefined();
  });

  it('takes a database to one of another name, and not several', async () => {
    await dumpTo(engine, at('/app'), dump);
    await restoreFrom(engine, at('/copy'), dump);
    expect(mongo.read().databases.copy?.users).toEqual(mongo.read().databases.app?.users);
    await dumpTo(engine, at(), dump);
    await expect(restoreFrom(engine, at('/copy'), dump)).rejects.toMatchObject({
      message: expect.stringMatching(/it has \d databases, the URI names one/),
      hint: 'nothing was changed',
    });
  });

  it('replays no writes to other databases than the one that the URI names', async () => {
    mongo.change((server) => {
      delete server.databases.shop;
    });
    await dumpTo(engine, at(), dump);
    await expect(restoreFrom(engine, at('/copy'), dump)).rejects.toMatchObject({
      message: expect.stringContaining('it has writes to any database (oplog), the URI names one'),
      hint: 'nothing was changed',
    });
    expect(mongo.read().databases.copy).toBeUndefined();
  });

  it('fails for documents that mongorestore could not restore, though it exits with 0', async () => {
    await dumpTo(engine, at('/app'), dump);
    await expect(restoreFrom(engine, at('/app'), dump)).rejects.toMatchObject({
      code: 'database-restore',
      message: expect.stringContaining('3 documents could not be restored'),
      hint: expect.stringContaining('partly filled'),
    });
  });

  it('changes nothing for a dump that is damaged, and names the right that is missing', async () => {
    await dumpTo(engine, at(), dump);
    const before = mongo.read();
    const cut = join(directory, 'cut');
    vi.stubEnv('MONGO_FAULT', 'half');
    await dumpTo(engine, at(), cut).catch(() => {});
    vi.stubEnv('MONGO_FAULT', 'restore');
    await expect(restoreFrom(engine, at(), cut)).rejects.toMatchObject({ hint: 'nothing was changed' });
    expect(mongo.read()).toEqual(before);
    await expect(restoreFrom(engine, at(), dump)).rejects.toMatchObject({ code: 'database-rights' });
  });
});

it('takes URIs of several hosts with ports, and of a domain; a password that is not encoded is told without it', async () => {
  const read = async (uri: string) => (await connectionFromUrl(uri, 'GARNER_DATABASE_URL')).connection;
  expect(await read('mongodb://u:p%40@a:27017,b:27018/app?replicaSet=rs0')).toMatchObject({
    hosts: 'a:27017,b:27018',
    user: 'u',
    database: 'app',
    isReplicaSet: true,
  });
  expect(await read('mongodb+srv://u@example.org')).toMatchObject({
    database: undefined,
    isReplicaSet: true,
  });
  const error = await read('mongodb://u:canary@wrong@h/app').catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'configuration', hint: expect.stringContaining('%40') });
  expect(String(error)).not.toContain('canary');
});

it('computes the checksums that the catalogue of CRCs lists, and reads no archive of another kind', () => {
  const hex = (crc: { update(b: Uint8Array): void; digest(): Buffer }): string => {
    crc.update(Buffer.from('12345'));
    crc.update(Buffer.from('6789'));
    return crc.digest().reverse().toString('hex');
  };
  expect(hex(startEcmaCrc64())).toBe('995dc9bbdf1939fa'); // CRC-64/XZ
  expect(hex(startJonesCrc64())).toBe('e9c6d914c4b8d9ca'); // CRC-64/REDIS
  expect(() => new MongoArchiveReader().push(Buffer.from('no archive'))).toThrow('no archive of mongodump');
});
