// The lengths and strings that an RDB is made of, read from chunks as they come: each reader is a generator that yields where the
// bytes in hand have ended, and goes on when `buffer` has the next.

/** What a string or a length begins with. */
const [SIX_BITS, FOURTEEN_BITS, MORE_BITS] = [0, 1, 2];
const [INT8, INT16, INT32, COMPRESSED] = [0, 1, 2, 3];

export class RdbBytes {
  buffer: Buffer = Buffer.alloc(0);
  /** Where the next byte is in it. */
  at = 0;

  *skipStrings(count: number): Generator<void, void> {
    for (let left = count; left > 0; left--) if (!this.#skipStringAtOnce()) yield* this.#skipString();
  }

  /** The way of nearly all strings, without a generator for each. */
  #skipStringAtOnce(): boolean {
    const at = this.at;
    const first = this.buffer[at];
    if (first === undefined) return false;
    const form = first >> 6;
    let end: number;
    if (form === SIX_BITS) end = at + 1 + first;
    else if (form === FOURTEEN_BITS && at + 1 < this.buffer.length)
      end = at + 2 + (((first & 0x3f) << 8) | (this.buffer[at + 1] as number));
    else return false;
    if (end > this.buffer.length) return false;
    this.at = end;
    return true;
  }

  *#skipString(): Generator<void, void> {
    const { length, form } = yield* this.#lengthOrForm();
    if (form === COMPRESSED) {
      const size = yield* this.length();
      yield* this.lengths(1);
      yield* this.skip(size);
    } else yield* this.skip(form === undefined ? length : intBytes(form));
  }

  *string(): Generator<void, Buffer> {
    const { length, form } = yield* this.#lengthOrForm();
    if (form === undefined) return yield* this.take(length);
    if (form !== COMPRESSED) {
      const size = intBytes(form);
      return Buffer.from(`${(yield* this.take(size)).readIntLE(0, size)}`);
    }
    const size = yield* this.length();
    const fullSize = yield* this.length();
    return expand(yield* this.take(size), fullSize);
  }

  *lengths(count: number): Generator<void, void> {
    for (let left = count; left > 0; left--) yield* this.length();
  }

  *length(): Generator<void, number> {
    const { length, form } = yield* this.#lengthOrForm();
    if (form !== undefined) throw new Error('it is damaged: a length is none');
    return length;
  }

  *#lengthOrForm(): Generator<void, { length: number; form: number | undefined }> {
    const first = yield* this.byte();
    const low = first & 0x3f;
    switch (first >> 6) {
      case SIX_BITS:
        return { length: low, form: undefined };
      case FOURTEEN_BITS:
        return { length: (low << 8) | (yield* this.byte()), form: undefined };
      case MORE_BITS:
        return low === 0
          ? { length: (yield* this.take(4)).readUInt32BE(), form: undefined }
          : { length: Number((yield* this.take(8)).readBigUInt64BE()), form: undefined };
      default:
        return { length: 0, form: low };
    }
  }

  *byte(): Generator<void, number> {
    while (this.at >= this.buffer.length) yield;
    return this.buffer[this.at++] as number;
  }

  /** @returns bytes of their own */
  *take(count: number): Generator<void, Buffer> {
    const parts: Buffer[] = [];
    for (let left = count; left > 0; ) {
      while (this.at >= this.buffer.length) yield;
      const part = Buffer.from(this.buffer.subarray(this.at, this.at + left));
      parts.push(part);
      this.at += part.length;
      left -= part.length;
    }
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }

  *skip(count: number): Generator<void, void> {
    for (let left = count; left > 0; ) {
      while (this.at >= this.buffer.length) yield;
      const size = Math.min(left, this.buffer.length - this.at);
      this.at += size;
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
