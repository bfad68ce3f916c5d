// Reads an archive of mongodump as it passes (its format is in mongo-tools, common/archive/spec.md): the documents of each
// collection counted, the checksum of each compared, the end of each seen. Documents are stepped over, not understood.
import { type Crc64, startEcmaCrc64 } from './crc64.ts';

const MAGIC = 0x8199e26d;
const TERMINATOR = 0xffffffff;
/** Documents have up to 16 MiB, and a little more inside the server. */
const MAX_DOCUMENT_BYTES = 17 << 20;

interface Collection {
  crc: Crc64;
  count: number;
  isEnded: boolean;
  /** A view has no documents, and so no end. */
  isView: boolean;
}

type Fields = Record<string, string | boolean | bigint | undefined>;

export class MongoArchiveReader {
  serverVersion = 'unknown';
  readonly #collections = new Map<string, Collection>();
  readonly #parser: Generator<void, never>;
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;
  /** Whether nothing is begun and not ended. */
  #isBetween = false;

  constructor() {
    this.#parser = this.#parse();
  }

  /**
   * Takes further bytes.
   * @throws where they are no archive, or a damaged one
   */
  push(chunk: Buffer): void {
    this.#buffer = chunk;
    this.#at = 0;
    this.#parser.next();
    this.#buffer = Buffer.alloc(0);
  }

  /** @returns the collections whose end has not come */
  unfinished(): string[] {
    return [...this.#collections]
      .filter(([, { isEnded, isView }]) => !isEnded && !isView)
      .map(([name]) => name);
  }

  /** Whether the archive ended where one may end, each collection with it. */
  get isComplete(): boolean {
    return this.#isBetween && this.unfinished().length === 0;
  }

  /** Whether writes that came during the dump are in it. */
  get hasOplog(): boolean {
    return this.#collections.has('.oplog');
  }

  /** @returns the documents of each collection, `database.collection`; a view has none */
  counts(): Record<string, number> {
    const named = [...this.#collections].filter(([name]) => name !== '.oplog');
    return Object.fromEntries(named.map(([name, { count }]) => [name, count]));
  }

  *#parse(): Generator<void, never> {
    if ((yield* this.#uint32()) !== MAGIC) throw new Error('it is no archive of mongodump');
    const header = readFields(yield* this.#document(yield* this.#uint32()));
    this.serverVersion = String(header.server_version ?? 'unknown');
    for (let size = yield* this.#uint32(); size !== TERMINATOR; size = yield* this.#uint32()) {
      const { db, collection, metadata, type } = readFields(yield* this.#document(size));
      const isView = type === 'view' || /"type"\s*:\s*"view"/.test(String(metadata ?? ''));
      this.#collections.set(`${db}.${collection}`, {
        crc: startEcmaCrc64(),
        count: 0,
        isEnded: false,
        isView,
      });
    }
    for (;;) {
      this.#isBetween = true;
      const size = yield* this.#uint32();
      this.#isBetween = false;
      yield* this.#segment(readFields(yield* this.#document(size)));
    }
  }

  *#segment({ db, collection, EOF, CRC }: Fields): Generator<void, void> {
    // measurements of a time series lie in a collection of their own
    const plain = String(collection).replace(/^system\.buckets\./, '');
    const found = [`${db}.${collection}`, `${db}.${plain}`].map((name) => this.#collections.get(name));
    const of = found[0] ?? found[1];
    if (of === undefined) throw new Error(`it has documents of ${db}.${collection}, which it does not list`);
    for (let size = yield* this.#uint32(); size !== TERMINATOR; size = yield* this.#uint32()) {
      const document = yield* this.#document(size);
      of.crc.update(document);
      of.count += 1;
    }
    if (EOF !== true) return;
    of.isEnded = true;
    if (typeof CRC === 'bigint' && of.crc.digest().readBigInt64LE() !== CRC)
      throw new Error(`the checksum of ${db}.${collection} is wrong`);
  }

  *#uint32(): Generator<void, number> {
    return (yield* this.#take(4)).readUInt32LE();
  }

  *#document(sizeBytes: number): Generator<void, Buffer> {
    if (sizeBytes < 5 || sizeBytes > MAX_DOCUMENT_BYTES)
      throw new Error('it is damaged: a document has no length');
    const size = Buffer.alloc(4);
    size.writeUInt32LE(sizeBytes);
    const document = Buffer.concat([size, yield* this.#take(sizeBytes - 4)]);
    if (document.at(-1) !== 0) throw new Error('it is damaged: a document has no end');
    return document;
  }

  *#take(count: number): Generator<void, Buffer> {
    const parts: Buffer[] = [];
    for (let left = count; left > 0; ) {
      while (this.#at >= this.#buffer.length) yield;
      const part = Buffer.from(this.#buffer.subarray(this.#at, this.#at + left));
      parts.push(part);
      this.#at += part.length;
      left -= part.length;
    }
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }
}

/** @returns the fields of a document of mongodump's own: texts, flags and numbers */
function readFields(document: Buffer): Fields {
  const fields: Fields = {};
  for (let at = 4; at < document.length - 1; ) {
    const type = document[at];
    const nameEnd = document.indexOf(0, at + 1);
    const name = document.toString('utf8', at + 1, nameEnd);
    at = nameEnd + 1;
    if (type === 0x02) {
      const size = document.readInt32LE(at);
      fields[name] = document.toString('utf8', at + 4, at + 3 + size);
      at += 4 + size;
    } else if (type === 0x08) fields[name] = document[at++] === 1;
    else if (type === 0x10) {
      fields[name] = BigInt(document.readInt32LE(at));
      at += 4;
    } else if (type === 0x12) {
      fields[name] = document.readBigInt64LE(at);
      at += 8;
    } else if (type === 0x0a) fields[name] = undefined;
    else throw new Error('it is damaged, or newer than garner: a heading of another form');
  }
  return fields;
}
