// Programs that behave as the documentation of mongodump, mongorestore and mongosh says, on a server that is a file of JSON:
// Debian has no MongoDB. Run as `node mongo-clients.ts mongodump …`; MONGO_SERVER is the file, MONGO_FAULT what goes wrong.
import { readFileSync, writeFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { type Crc64, startEcmaCrc64 } from '../../databases/toolkit/crc64.ts';

export interface Server {
  password: string;
  /** What the account may see; undefined: all. */
  visible?: string[];
  /** Documents, as BSON in base64. */
  databases: Record<string, Record<string, string[]>>;
  views: string[];
}

const [program, ...args] = process.argv.slice(2);
const file = process.env.MONGO_SERVER as string;
const fault = process.env.MONGO_FAULT ?? '';
const server: Server = JSON.parse(readFileSync(file, 'utf8'));

const END = Buffer.from([0xff, 0xff, 0xff, 0xff]);
const OWN = ['admin', 'config', 'local'];
const log = (text: string): void => void process.stderr.write(`2026-01-01T00:00:00.000+0000\t${text}\n`);
const save = (): void => writeFileSync(file, JSON.stringify(server));

function fail(text: string): never {
  log(`Failed: ${text}`);
  process.exit(1);
}

function bson(fields: Record<string, string | boolean | bigint | number>): Buffer {
  const parts = Object.entries(fields).map(([name, value]) => {
    const key = Buffer.from(`${name}\0`);
    if (typeof value === 'string') {
      const text = Buffer.from(`${value}\0`);
      const size = Buffer.alloc(4);
      size.writeInt32LE(text.length);
      return Buffer.concat([Buffer.of(2), key, size, text]);
    }
    if (typeof value === 'boolean') return Buffer.concat([Buffer.of(8), key, Buffer.of(value ? 1 : 0)]);
    const bytes = Buffer.alloc(typeof value === 'bigint' ? 8 : 4);
    if (typeof value === 'bigint') bytes.writeBigInt64LE(value);
    else bytes.writeInt32LE(value);
    return Buffer.concat([Buffer.of(typeof value === 'bigint' ? 0x12 : 0x10), key, bytes]);
  });
  const body = Buffer.concat(parts);
  const size = Buffer.alloc(4);
  size.writeInt32LE(body.length + 5);
  return Buffer.concat([size, body, Buffer.of(0)]);
}

/** @returns the database that a URI names, once it was let in */
function connect(uri: string): string | undefined {
  const { username, password, pathname } = new URL(uri);
  if (decodeURIComponent(password) !== server.password) {
    fail(
      `can't create session: failed to connect: connection() error occurred during connection handshake: auth error: sasl conversation error: unable to authenticate using mechanism "SCRAM-SHA-256": (AuthenticationFailed) Authentication failed. ${username}`,
    );
  }
  return decodeURIComponent(pathname.slice(1)) || undefined;
}

const configured = (): string | undefined => {
  const path = args.find((arg) => arg.startsWith('--config='))?.slice('--config='.length) as string;
  return connect(JSON.parse(readFileSync(path, 'utf8').replace(/^uri: /, '')));
};

function dump(): void {
  const only = configured();
  // listDatabases shows an account what it may see, and says nothing of the rest
  const names = Object.keys(server.databases).filter(
    (name) => (only ?? name) === name && (server.visible?.includes(name) ?? true),
  );
  if (only !== undefined && names.length === 0 && server.visible !== undefined) {
    fail(
      `error getting collections for database \`${only}\`: (Unauthorized) not authorized on ${only} to execute command { listCollections: 1 }`,
    );
  }
  const spaces = names.flatMap((db) =>
    Object.keys(server.databases[db] ?? {}).map((collection) => ({ db, collection })),
  );
  const parts: Buffer[] = [Buffer.from([0x6d, 0xe2, 0x99, 0x81])];
  parts.push(
    bson({ concurrent_collections: 4, version: '0.1', server_version: '7.0.14', tool_version: '100.10.0' }),
  );
  if (fault === 'left-out') spaces.pop();
  for (const { db, collection } of spaces) {
    const type = server.views.includes(`${db}.${collection}`) ? 'view' : 'collection';
    parts.push(bson({ db, collection, metadata: JSON.stringify({ indexes: [], type }), size: 0, type }));
  }
  const hasOplog = args.includes('--oplog');
  if (hasOplog) parts.push(bson({ db: '', collection: 'oplog', metadata: '', size: 0, type: '' }));
  parts.push(END);
  const real = spaces.filter(({ db, collection }) => !server.views.includes(`${db}.${collection}`));
  const all: { db: string; collection: string; documents: Buffer[]; crc: Crc64 }[] = real.map(
    ({ db, collection }) => ({
      db,
      collection,
      documents: (server.databases[db]?.[collection] ?? []).map((text) => Buffer.from(text, 'base64')),
      crc: startEcmaCrc64(),
    }),
  );
  if (hasOplog)
    all.push({ db: '', collection: 'oplog', documents: [bson({ ts: 1n })], crc: startEcmaCrc64() });
  // several collections at once: their segments are mixed
  for (const half of [0, 1]) {
    for (const { db, collection, documents, crc } of all) {
      const middle = Math.ceil(documents.length / 2);
      const segment = half === 0 ? documents.slice(0, middle) : documents.slice(middle);
      if (segment.length > 0) {
        parts.push(bson({ db, collection, EOF: false, CRC: 0n }), ...segment, END);
        for (const document of segment) crc.update(document);
      }
    }
  }
  for (const { db, collection, documents, crc } of all) {
    parts.push(bson({ db, collection, EOF: true, CRC: crc.digest().readBigInt64LE() }), END);
    log(`done dumping ${db}.${collection} (${documents.length} documents)`);
  }
  let bytes = Buffer.concat(parts);
  if (fault === 'half') bytes = bytes.subarray(0, bytes.length / 2);
  if (fault === 'end') bytes = bytes.subarray(0, -20);
  if (fault === 'nothing') bytes = bytes.subarray(0, 0);
  if (fault === 'flipped') {
    const at = bytes.indexOf('canary-document');
    bytes[at] = (bytes[at] as number) ^ 1;
  }
  process.stdout.write(bytes, () => process.exit(fault === 'exit' ? 1 : 0));
}

function restore(): void {
  const only = configured();
  const option = (name: string) =>
    args
      .find((arg) => arg.startsWith(`--${name}=`))
      ?.split('=')[1]
      ?.slice(0, -2);
  const [from, to] = [option('nsFrom'), option('nsTo')];
  const bytes = readFileSync(0);
  let at = 4;
  const next = (): Buffer | undefined => {
    const size = bytes.readUInt32LE(at);
    const document = size === 0xffffffff ? undefined : bytes.subarray(at, at + size);
    at += document === undefined ? 4 : size;
    return document;
  };
  const text = (document: Buffer, name: string): string => {
    const start = document.indexOf(`\x02${name}\0`) + name.length + 2;
    return document.toString('utf8', start + 4, start + 3 + document.readInt32LE(start));
  };
  next();
  for (let meta = next(); meta !== undefined; meta = next()) {
    const [db, collection] = [text(meta, 'db'), text(meta, 'collection')];
    if (db === '') continue;
    const name = db === from ? (to as string) : db;
    if (only !== undefined && name !== only) continue;
    server.databases[name] ??= {};
    (server.databases[name] as Record<string, string[]>)[collection] ??= [];
    if (text(meta, 'type') === 'view') server.views.push(`${name}.${collection}`);
  }
  let [restored, failed] = [0, 0];
  while (at < bytes.length) {
    const header = next() as Buffer;
    const [db, collection] = [text(header, 'db'), text(header, 'collection')];
    const documents = server.databases[db === from ? (to as string) : db]?.[collection];
    for (let document = next(); document !== undefined; document = next()) {
      const value = document.toString('base64');
      if (documents?.includes(value)) failed += 1;
      else {
        documents?.push(value);
        restored += 1;
      }
    }
  }
  save();
  if (fault === 'restore')
    fail('app.users: error restoring from archive: (Unauthorized) not authorized on app to execute command');
  log(`${restored} document(s) restored successfully. ${failed} document(s) failed to restore.`);
}

/** The shell runs a script with its objects: as much of them as garner uses. */
function shell(): void {
  const script = readFileSync(args[args.indexOf('--file') + 1] as string, 'utf8');
  const database = (name: string) => ({
    version: () => '7.0.14',
    getSiblingDB: database,
    stats: () => ({
      dataSize: Object.values(server.databases[name] ?? {})
        .flat()
        .join('').length,
    }),
    getCollectionInfos: () =>
      Object.keys(server.databases[name] ?? {}).map((collection) => ({
        name: collection,
        type: server.views.includes(`${name}.${collection}`) ? 'view' : 'collection',
      })),
    dropDatabase() {
      delete server.databases[name];
      save();
    },
    adminCommand({ authorizedDatabases }: { authorizedDatabases?: boolean }) {
      if (authorizedDatabases === false && server.visible !== undefined)
        throw new Error('MongoServerError: not authorized on admin to execute command { listDatabases: 1 }');
      return { databases: [...OWN, ...Object.keys(server.databases)].map((name) => ({ name })) };
    },
  });
  try {
    runInNewContext(script, {
      connect: (uri: string) => database(connect(uri) ?? 'test'),
      print: (text: string) => process.stdout.write(`${text}\n`),
    });
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exit(1);
  }
}

if (program === 'mongodump') dump();
else if (program === 'mongorestore') restore();
else if (program === 'mongosh') shell();
