// The head and the tail of a log of any size, in bounded memory; what is between is counted and left out.
import { redact } from '../lib/redact.ts';
import { escapeControlsInLines } from '../lib/text.ts';

/** How much is kept of each end. */
export const KEPT_BYTES = 64 << 10;
/** Dropped on both sides of the gap where there is no line break: half a secret is not found by its value. */
const SEAM_CHARS = 1024;

/** A log for people: redacted, control characters escaped. */
export interface LogText {
  head: string;
  /** Empty where the head is all of it. */
  tail: string;
  /** How many bytes of the log are not shown, roughly where there were binary ones. */
  leftOutBytes: number;
}

/** Keeps the last bytes that were written to it. */
export class Tail {
  readonly #ring: Buffer;
  #written = 0;

  /** @param sizeBytes how much is kept */
  constructor(sizeBytes: number) {
    this.#ring = Buffer.alloc(sizeBytes);
  }

  write(chunk: Uint8Array): void {
    const size = this.#ring.length;
    const kept = chunk.subarray(Math.max(0, chunk.length - size));
    const at = (this.#written + chunk.length - kept.length) % size;
    this.#ring.set(kept.subarray(0, size - at), at);
    this.#ring.set(kept.subarray(size - at), 0);
    this.#written += chunk.length;
  }

  /** How many bytes were written in all. */
  get writtenBytes(): number {
    return this.#written;
  }

  /** @returns the kept bytes in their order */
  bytes(): Buffer {
    const size = this.#ring.length;
    if (this.#written <= size) return this.#ring.subarray(0, this.#written);
    const at = this.#written % size;
    return Buffer.concat([this.#ring.subarray(at), this.#ring.subarray(0, at)]);
  }

  /** @returns them as text, redacted; where there was more in front of them, from the beginning of a line */
  text(): string {
    const text = redact(this.bytes().toString());
    return this.#written <= this.#ring.length ? text : withoutStart(text);
  }
}

export class LogExcerpt {
  readonly #head: Buffer[] = [];
  #headBytes = 0;
  readonly #tail = new Tail(KEPT_BYTES);

  write(chunk: Buffer): void {
    const forHead = chunk.subarray(0, KEPT_BYTES - this.#headBytes);
    if (forHead.length > 0) {
      this.#head.push(Buffer.from(forHead));
      this.#headBytes += forHead.length;
    }
    if (forHead.length < chunk.length) this.#tail.write(chunk.subarray(forHead.length));
  }

  /** @returns the excerpt, safe to show and to send */
  text(): LogText {
    const head = Buffer.concat(this.#head);
    const tail = this.#tail.bytes();
    const gapBytes = this.#tail.writtenBytes - tail.length;
    if (gapBytes === 0) {
      const whole = escapeControlsInLines(redact(Buffer.concat([head, tail]).toString()));
      if (whole.length <= 2 * KEPT_BYTES) return { head: whole, tail: '', leftOutBytes: 0 };
      // binary output grows by its escapes
      return {
        head: whole.slice(0, KEPT_BYTES),
        tail: whole.slice(-KEPT_BYTES),
        leftOutBytes: whole.length - 2 * KEPT_BYTES,
      };
    }
    return {
      head: escapeControlsInLines(withoutEnd(redact(head.toString()))).slice(0, KEPT_BYTES),
      tail: escapeControlsInLines(this.#tail.text()).slice(-KEPT_BYTES),
      leftOutBytes: gapBytes,
    };
  }
}

/** Cuts off the line that the gap has broken; of a very long line only what may be half a secret. */
function withoutEnd(text: string): string {
  const last = text.lastIndexOf('\n');
  return text.slice(0, last > text.length / 2 ? last + 1 : -SEAM_CHARS);
}

function withoutStart(text: string): string {
  const first = text.indexOf('\n');
  return text.slice(first !== -1 && first < text.length / 2 ? first + 1 : SEAM_CHARS);
}
