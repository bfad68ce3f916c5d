// Reads an RDB, Redis' own dump, as it passes: its keys, counted for each database; where wanted each value as RESTORE
// takes it; its end and its checksum. Values are stepped over, not understood: memory stays flat while they are counted.
import { type Crc64, startJonesCrc64 } from './crc64.ts';
import { RdbBytes } from './redis-rdb-bytes.ts';

export type RdbEvent =
  | {
      kind: 'key';
      database: number;
      key: Buffer;
      /** As DUMP gives it. */
      value: Buffer;
      /** Milliseconds since 1970. */
      expiresAt: bigint | undefined;
      idleSeconds: number | undefined;
      frequency: number | undefined;
    }
  | { kind: 'function'; code: Buffer };

/** Older ones have no checksum; what newer ones have that isn't known here, is found by its type. */
const FIRST_VERSION = 5;
const HEADER_BYTES = 9;
const CHECKSUM_BYTES = 8;

const OP = {
  ...{ slotInfo: 0xf4, function: 0xf5, moduleAux: 0xf7, idle: 0xf8, frequency: 0xf9, aux: 0xfa },
  ...{ sizes: 0xfb, expiresMs: 0xfc, expiresSeconds: 0xfd, database: 0xfe, end: 0xff },
} as const;

/** Values that are one string, whatever is in it: strings, and small collections in the forms that Redis packs them into. */
const ONE_STRING = new Set([0, 9, 10, 11, 12, 13, 16, 17, 20, 23]);

export class RdbReader {
  /** Keys of each database, `db0` and so on, and `functions` where there are any. */
  readonly counts: Record<string, number> = {};
  /** What Redis says of itself: `redis-ver`. */
  readonly facts = new Map<string, string>();
  version = 0;
  isComplete = false;
  /** Bytes after the end: a diskless transfer has its own mark there. */
  excessBytes = 0;

  readonly #withValues: boolean;
  readonly #parser: Generator<void, void>;
  readonly #crc: Crc64 = startJonesCrc64();
  readonly #bytes = new RdbBytes();
  /** Up to where the buffer is in the checksum. */
  #summed = 0;
  /** The value that is being read: what of it is no longer in the buffer, and where it goes on in it. */
  #value: { parts: Buffer[]; from: number } | undefined;
  #events: RdbEvent[] = [];

  constructor({ withValues }: { withValues: boolean }) {
    this.#withValues = withValues;
    this.#parser = this.#parse();
  }

  /**
   * Takes further bytes.
   * @returns what they completed; nothing without values
   * @throws a text where they are no RDB, or a damaged one
   */
  push(chunk: Buffer): RdbEvent[] {
    if (this.isComplete) {
      this.excessBytes += chunk.length;
      return [];
    }
    this.#bytes.buffer = chunk;
    this.#events = [];
    if (this.#parser.next().done) {
      this.isComplete = true;
      this.excessBytes = this.#bytes.buffer.length - this.#bytes.at;
    }
    // it was read to its end, and is its sender's again
    this.#settle();
    this.#bytes.buffer = Buffer.alloc(0);
    this.#bytes.at = 0;
    this.#summed = 0;
    if (this.#value !== undefined) this.#value.from = 0;
    return this.#events;
  }

  /** Puts what was read where it is needed once the buffer is gone. */
  #settle(): void {
    this.#crc.update(this.#bytes.buffer.subarray(this.#summed, this.#bytes.at));
    this.#summed = this.#bytes.at;
    if (this.#value === undefined) return;
    this.#value.parts.push(Buffer.from(this.#bytes.buffer.subarray(this.#value.from, this.#bytes.at)));
    this.#value.from = this.#bytes.at;
  }

  *#parse(): Generator<void, void> {
    const header = (yield* this.#bytes.take(HEADER_BYTES)).toString('latin1');
    this.version = Number(/^REDIS(\d{4})$/.exec(header)?.[1]);
    if (Number.isNaN(this.version)) throw new Error('it is no RDB');
    if (this.version < FIRST_VERSION)
      throw new Error(`it is an RDB of version ${this.version}, which has no checksum`);
    let database = 0;
    let expiresAt: bigint | undefined;
    let idleSeconds: number | undefined;
    let frequency: number | undefined;
    for (;;) {
      const type = yield* this.#bytes.byte();
      switch (type) {
        case OP.aux: {
          const name = (yield* this.#bytes.string()).toString('latin1');
          this.facts.set(name, (yield* this.#bytes.string()).toString('latin1'));
          break;
        }
        case OP.database:
          database = yield* this.#bytes.length();
          break;
        case OP.sizes:
          yield* this.#bytes.lengths(2);
          break;
        case OP.slotInfo:
          yield* this.#bytes.lengths(3);
          break;
        case OP.expiresMs:
          expiresAt = (yield* this.#bytes.take(8)).readBigInt64LE();
          break;
        case OP.expiresSeconds:
          expiresAt = BigInt((yield* this.#bytes.take(4)).readInt32LE()) * 1000n;
          break;
        case OP.idle:
          idleSeconds = yield* this.#bytes.length();
          break;
        case OP.frequency:
          frequency = yield* this.#bytes.byte();
          break;
        case OP.function: {
          const code = yield* this.#bytes.string();
          this.#count('functions');
          if (this.#withValues) this.#events.push({ kind: 'function', code });
          break;
        }
        case OP.moduleAux:
          yield* this.#skipModule();
          break;
        case OP.end:
          return yield* this.#checkSum();
        default: {
          const key = yield* this.#bytes.string();
          if (this.#withValues) this.#value = { parts: [Buffer.of(type)], from: this.#bytes.at };
          yield* this.#skipValue(type);
          this.#count(`db${database}`);
          const value = this.#endValue();
          if (value !== undefined)
            this.#events.push({ kind: 'key', database, key, value, expiresAt, idleSeconds, frequency });
          expiresAt = undefined;
          idleSeconds = undefined;
          frequency = undefined;
        }
      }
    }
  }

  #count(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }

  /** @returns the value with the version and the checksum that RESTORE wants behind it */
  #endValue(): Buffer | undefined {
    if (this.#value === undefined) return undefined;
    const { parts, from } = this.#value;
    this.#value = undefined;
    const version = Buffer.alloc(2);
    version.writeUInt16LE(this.version);
    const body = Buffer.concat([...parts, this.#bytes.buffer.subarray(from, this.#bytes.at), version]);
    const crc = startJonesCrc64();
    crc.update(body);
    return Buffer.concat([body, crc.digest()]);
  }

  *#checkSum(): Generator<void, void> {
    this.#settle();
    const expected = this.#crc.digest();
    const stored = yield* this.#bytes.take(CHECKSUM_BYTES);
    const isOff = stored.every((byte) => byte === 0); // rdbchecksum no
    if (!isOff && !stored.equals(expected)) throw new Error('its checksum is wrong');
  }

  *#skipValue(type: number): Generator<void, void> {
    if (ONE_STRING.has(type)) return yield* this.#bytes.skipStrings(1);
    switch (type) {
      case 1: // list
      case 2: // set
      case 14: // list of packed lists
        return yield* this.#bytes.skipStrings(yield* this.#bytes.length());
      case 4: // hash
        return yield* this.#bytes.skipStrings(2 * (yield* this.#bytes.length()));
      case 3: // sorted set, its scores as text
      case 5: // sorted set
        for (let left = yield* this.#bytes.length(); left > 0; left--) {
          yield* this.#bytes.skipStrings(1);
          const size = type === 5 ? 8 : yield* this.#bytes.byte();
          yield* this.#bytes.skip(size >= 0xfd ? 0 : size); // 253 to 255 stand for NaN and infinities
        }
        return;
      case 18: // list of packed and of plain lists
        for (let left = yield* this.#bytes.length(); left > 0; left--) {
          yield* this.#bytes.lengths(1);
          yield* this.#bytes.skipStrings(1);
        }
        return;
      case 22: // hash whose fields expire, before Redis 7.4 was done
      case 24: // the same since
        if (type === 24) yield* this.#bytes.skip(8);
        for (let left = yield* this.#bytes.length(); left > 0; left--) {
          yield* this.#bytes.lengths(1);
          yield* this.#bytes.skipStrings(2);
        }
        return;
      case 25: // small hash whose fields expire
        yield* this.#bytes.skip(8);
        return yield* this.#bytes.skipStrings(1);
      case 15:
      case 19:
      case 21:
        return yield* this.#skipStream(type);
      case 7:
        return yield* this.#skipModule();
      default:
        throw new Error(`it has a value of type ${type}, which garner does not know`);
    }
  }

  *#skipStream(type: number): Generator<void, void> {
    yield* this.#bytes.skipStrings(2 * (yield* this.#bytes.length()));
    yield* this.#bytes.lengths(type === 15 ? 3 : 8); // count and last id; first id, deleted id, how many ever
    for (let groups = yield* this.#bytes.length(); groups > 0; groups--) {
      yield* this.#bytes.skipStrings(1);
      yield* this.#bytes.lengths(type === 15 ? 2 : 3);
      for (let pending = yield* this.#bytes.length(); pending > 0; pending--) {
        yield* this.#bytes.skip(16 + 8); // id, when it was delivered
        yield* this.#bytes.lengths(1);
      }
      for (let consumers = yield* this.#bytes.length(); consumers > 0; consumers--) {
        yield* this.#bytes.skipStrings(1);
        yield* this.#bytes.skip(type === 21 ? 16 : 8);
        yield* this.#bytes.skip(16 * (yield* this.#bytes.length()));
      }
    }
  }

  /** What a module has stored says of each part what it is. */
  *#skipModule(): Generator<void, void> {
    yield* this.#bytes.lengths(1);
    for (;;) {
      const part = yield* this.#bytes.length();
      if (part === 0) return;
      if (part === 1 || part === 2) yield* this.#bytes.lengths(1);
      else if (part === 3) yield* this.#bytes.skip(4);
      else if (part === 4) yield* this.#bytes.skip(8);
      else if (part === 5) yield* this.#bytes.skipStrings(1);
      else throw new Error("a module's value in it is damaged");
    }
  }
}
