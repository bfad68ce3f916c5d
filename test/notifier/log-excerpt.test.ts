import fc from 'fast-check';
import { expect, it } from 'vitest';
import { registerSecret } from '../../lib/redact.ts';
import { KEPT_BYTES, LogExcerpt, Tail } from '../../notifier/log-excerpt.ts';

it('keeps exactly the last bytes, however they came', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 })),
      fc.integer({ min: 1, max: 60 }),
      (chunks, size) => {
        const tail = new Tail(size);
        for (const chunk of chunks) tail.write(chunk);
        const all = Buffer.concat(chunks);
        expect(tail.bytes()).toEqual(all.subarray(Math.max(0, all.length - size)));
        expect(tail.writtenBytes).toBe(all.length);
      },
    ),
  );
});

it('shows a log whole that fits', () => {
  const excerpt = new LogExcerpt();
  const lines = Array.from({ length: 9000 }, (_, i) => `line ${i}`).join('\n');
  for (let at = 0; at < lines.length; at += 1000) excerpt.write(Buffer.from(lines.slice(at, at + 1000)));
  expect(excerpt.text()).toEqual({ head: lines, tail: '', leftOutBytes: 0 });
});

it('shows whole lines of head and tail of a longer one, and says how much is missing', () => {
  const excerpt = new LogExcerpt();
  for (let i = 0; i < 100_000; i += 1) excerpt.write(Buffer.from(`line ${i}\n`));
  const { head, tail, leftOutBytes } = excerpt.text();
  expect(head).toMatch(/^line 0\nline 1\n(?:.*\n)*line \d+\n$/);
  expect(tail).toMatch(/^line \d+\n(?:.*\n)*line 99999\n$/);
  expect(head.length).toBeGreaterThan(KEPT_BYTES - 20);
  expect(leftOutBytes).toBeGreaterThan(700_000);
});

it('shows control characters and broken UTF-8 as text, in bounded length', () => {
  const excerpt = new LogExcerpt();
  for (let i = 0; i < 200; i += 1)
    excerpt.write(Buffer.from([27, 91, 51, 49, 109, 0, 255, 8, ...Buffer.alloc(1000)]));
  const { head, tail } = excerpt.text();
  expect(head).toMatch(/^\\x1b\[31m\\x00\ufffd\\x08\\x00/);
  expect(`${head}${tail}`).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f]/);
  expect(head.length + tail.length).toBeLessThanOrEqual(2 * KEPT_BYTES);
});

it('leaves no part of a secret at the gap', () => {
  const secret = 'correct-horse-battery-staple';
  registerSecret(secret);
  for (let shift = 0; shift < secret.length; shift += 1) {
    const excerpt = new LogExcerpt();
    const before = KEPT_BYTES - shift;
    // one long line without a break: the head ends inside the secret, and so does the tail begin
    excerpt.write(
      Buffer.from(`${'x'.repeat(before)}${secret}${'y'.repeat(300_000)}${secret}${'z'.repeat(before)}`),
    );
    const { head, tail } = excerpt.text();
    expect(`${head}${tail}`).not.toMatch(/[c-wC-W]/);
  }
});

it('F57 leaves no part of a secret where the end of a long line begins', () => {
  const secret = 'swordfish-and-chips';
  registerSecret(secret);
  for (let shift = 0; shift < secret.length; shift += 1) {
    const tail = new Tail(4096);
    tail.write(Buffer.from(`0000${secret}${'1'.repeat(4096 - shift)}`));
    expect(tail.text()).toMatch(/^1+$/);
  }
});
