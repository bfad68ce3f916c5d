// Reads an RDB, Redis' own dump, as it passes: its keys, counted for each database; where wanted each value as RESTORE
// takes it; its end and its checksum. Values are stepped over, not understood: memory stays flat while they are counted.
import { type Crc64, startJonesCrc64 } from './crc64.ts';

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

/** What a string or a length begins with. */
const [SIX_BITS, FOURTEEN_BITS, MORE_BITS] = [0, 1, 2];
const [INT8, INT16, INT32, COMPRESSED] = [0, 1, 2, 3];

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
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;
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
    this.#buffer = chunk;
    this.#events = [];
    if (this.#parser.next().done) {
      this.isComplete = true;
      this.excessBytes = this.#buffer.length - this.#at;
    }
    // it was read to its end, and is its sender's again
    this.#settle();
    this.#buffer = Buffer.alloc(0);
    this.#at = 0;
    this.#summed = 0;
    if (this.#value !== undefined) this.#value.from = 0;
    return this.#events;
  }

  /** Puts what was read where it is needed once the buffer is gone. */
  #settle(): void {
    this.#crc.update(this.#buffer.subarray(this.#summed, this.#at));
    this.#summed = this.#at;
    if (this.#value === undefined) return;
    this.#value.parts.push(Buffer.from(this.#buffer.subarray(this.#value.from, this.#at)));
    this.#value.from = this.#at;
  }

  *#parse(): Generator<void, void> {
    const header = (yield* this.#take(HEADER_BYTES)).toString('latin1');
    this.version = Number(/^REDIS(\d{4})$/.exec(header)?.[1]);
    if (Number.isNaN(this.version)) throw new Error('it is no RDB');
    if (this.version < FIRST_VERSION)
      throw new Error(`it is an RDB of version ${this.version}, which has no checksum`);
    let database = 0;
    let expiresAt: bigint | undefined;
    let idleSeconds: number | undefined;
    let frequency: number | undefined;
    for (;;) {
      const type = yield* this.#byte();
      switch (type) {
        case OP.aux: {
          const name = (yield* this.#string()).toString('latin1');
          this.facts.set(name, (yield* this.#string()).toString('latin1'));
          break;
        }
        case OP.database:
          database = yield* this.#length();
          break;
        case OP.sizes:
          yield* this.#lengths(2);
          break;
        case OP.slotInfo:
          yield* this.#lengths(3);
          break;
        case OP.expiresMs:
          expiresAt = (yield* this.#take(8)).readBigInt64LE();
          break;
        case OP.expiresSeconds:
          expiresAt = BigInt((yield* this.#take(4)).readInt32LE()) * 1000n;
          break;
        case OP.idle:
          idleSeconds = yield* this.#length();
          break;
        case OP.frequency:
          frequency = yield* this.#byte();
          break;
        case OP.function: {
          const code = yield* this.#string();
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
          const key = yield* this.#string();
          if (this.#withValues) this.#value = { parts: [Buffer.of(type)], from: this.#at };
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
    const body = Buffer.concat([...parts, this.#buffer.subarray(from, this.#at), version]);
    const crc = startJonesCrc64();
    crc.update(body);
    return Buffer.concat([body, crc.digest()]);
  }

  *#checkSum(): Generator<void, void> {
    this.#settle();
    const expected = this.#crc.digest();
    const stored = yield* this.#take(CHECKSUM_BYTES);
    const isOff = stored.every((byte) => byte === 0); // rdbchecksum no
    if (!isOff && !stored.equals(expected)) throw new Error('its checksum is wrong');
  }

  *#skipValue(type: number): Generator<void, void> {
    if (ONE_STRING.has(type)) return yield* this.#skipStrings(1);
    switch (type) {
      case 1: // list
      case 2: // set
      case 14: // list of packed lists
        return yield* this.#skipStrings(yield* this.#length());
      case 4: // hash
        return yield* this.#skipStrings(2 * (yield* this.#length()));
      case 3: // sorted set, its scores as text
      case 5: // sorted set
        for (let left = yield* this.#length(); left > 0; left--) {
          yield* this.#skipStrings(1);
          const size = type === 5 ? 8 : yield* this.#byte();
          yield* this.#skip(size >= 0xfd ? 0 : size); // 253 to 255 stand for NaN and infinities
        }
        return;
      case 18: // list of packed and of plain lists
        for (let left = yield* this.#length(); left > 0; left--) {
          yield* this.#lengths(1);
          yield* this.#skipStrings(1);
        }
        return;
      case 22: // hash whose fields expire, before Redis 7.4 was done
      case 24: // the same since
        if (type === 24) yield* this.#skip(8);
        for (let left = yield* this.#length(); left > 0; left--) {
          yield* this.#lengths(1);
          yield* this.#skipStrings(2);
        }
        return;
      case 25: // small hash whose fields expire
        yield* this.#skip(8);
        return yield* this.#skipStrings(1);
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
    yield* this.#skipStrings(2 * (yield* this.#length()));
    yield* this.#lengths(type === 15 ? 3 : 8); // count and last id; first id, deleted id, how many ever
    for (let groups = yield* this.#length(); groups > 0; groups--) {
      yield* this.#skipStrings(1);
      yield* this.#lengths(type === 15 ? 2 : 3);
      for (let pending = yield* this.#length(); pending > 0; pending--) {
        yield* this.#skip(16 + 8); // id, when it was delivered
        yield* this.#lengths(1);
      }
      for (let consumers = yield* this.#length(); consumers > 0; consumers--) {
        yield* this.#skipStrings(1);
        yield* this.#skip(type === 21 ? 16 : 8);
        yield* this.#skip(16 * (yield* this.#length()));
      }
    }
  }

  /** What a module has stored says of each part what it is. */
  *#skipModule(): Generator<void, void> {
    yield* this.#lengths(1);
    for (;;) {
      const part = yield* this.#length();
      if (part === 0) return;
      if (part === 1 || part === 2) yield* this.#lengths(1);
      else if (part === 3) yield* this.#skip(4);
      else if (part === 4) yield* this.#skip(8);
      else if (part === 5) yield* this.#skipStrings(1);
      else throw new Error("a module's value in it is damaged");
    }
  }

  *#skipStrings(count: number): Generator<void, void> {
    for (let left = count; left > 0; left--) if (!this.#skipStringAtOnce()) yield* this.#skipString();
  }

  /** The way of nearly all strings, without a generator for each. */
  #skipStringAtOnce(): boolean {
    const at = this.#at;
    const first = this.#buffer[at];
    if (first === undefined) return false;
    const form = first >> 6;
    let end: number;
    if (form === SIX_BITS) end = at + 1 + first;
    else if (form === FOURTEEN_BITS && at + 1 < this.#buffer.length)
      end = at + 2 + (((first & 0x3f) << 8) | (this.#buffer[at + 1] as number));
    else return false;
    if (end > this.#buffer.length) return false;
    this.#at = end;
    return true;
  }

  *#skipString(): Generator<void, void> {
    const { length, form } = yield* this.#lengthOrForm();
    if (form === COMPRESSED) {
      const size = yield* this.#length();
      yield* this.#lengths(1);
      yield* this.#skip(size);
    } else yield* this.#skip(form === undefined ? length : intBytes(form));
  }

  *#string(): Generator<void, Buffer> {
    const { length, form } = yield* this.#lengthOrForm();
    if (form === undefined) return yield* this.#take(length);
    if (form !== COMPRESSED) {
      const size = intBytes(form);
      return Buffer.from(`${(yield* this.#take(size)).readIntLE(0, size)}`);
    }
    const size = yield* this.#length();
    const fullSize = yield* this.#length();
    return expand(yield* this.#take(size), fullSize);
  }

  *#lengths(count: number): Generator<void, void> {
    for (let left = count; left > 0; left--) yield* this.#length();
  }

  *#length(): Generator<void, number> {
    const { length, form } = yield* this.#lengthOrForm();
    if (form !== undefined) throw new Error('it is damaged: a length is none');
    return length;
  }

  *#lengthOrForm(): Generator<void, { length: number; form: number | undefined }> {
    const first = yield* this.#byte();
    const low = first & 0x3f;
    switch (first >> 6) {
      case SIX_BITS:
        return { length: low, form: undefined };
      case FOURTEEN_BITS:
        return { length: (low << 8) | (yield* this.#byte()), form: undefined };
      case MORE_BITS:
        return low === 0
          ? { length: (yield* this.#take(4)).readUInt32BE(), form: undefined }
          : { length: Number((yield* this.#take(8)).readBigUInt64BE()), form: undefined };
      default:
        return { length: 0, form: low };
    }
  }

  *#byte(): Generator<void, number> {
    while (this.#at >= this.#buffer.length) yield;
    return this.#buffer[this.#at++] as number;
  }

  /** @returns bytes of their own */
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

  *#skip(count: number): Generator<void, void> {
    for (let left = count; left > 0; ) {
      while (this.#at >= this.#buffer.length) yield;
      const size = Math.min(left, this.#buffer.length - this.#at);
      this.#at += size;
      left -= size;
    }
  }
}

function intBytes(form: number): number {
  if (form === INT8) return 1;
  if (form === INT16) return 2;
  if (form === INT32) return 4;
  throw new Error('it is damaged: a string of no known form');
}

/** Undoes LZF, with which Redis compresses strings. */
function expand(packed: Buffer, fullSize: number): Buffer {
  if (fullSize > 512 << 20) throw new Error('it is damaged: a string of more than Redis takes');
  const full = Buffer.alloc(fullSize);
  let to = 0;
  for (let at = 0; at < packed.length; ) {
    const control = packed[at++] as number;
    if (control < 32) {
      packed.copy(full, to, at, at + control + 1);
      at += control + 1;
      to += control + 1;
      continue;
    }
    let count = control >> 5;
    if (count === 7) count += packed[at++] ?? 0;
    let from = to - ((control & 0x1f) << 8) - (packed[at++] ?? 0) - 1;
    if (from < 0 || to + count + 2 > fullSize) throw new Error('it is damaged: a compressed string');
    for (let left = count + 2; left > 0; left--) full[to++] = full[from++] as number; // they may overlap
  }
  if (to !== fullSize) throw new Error('it is damaged: a compressed string');
  return full;
}
