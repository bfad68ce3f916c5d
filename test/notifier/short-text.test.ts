import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Message, makeMessage } from '../../notifier/message.ts';
import { cutEnd, shortTextOf } from '../../notifier/short-text.ts';

function failure(log: string, cause = 'exit code 7'): Message {
  return makeMessage({
    result: 'FAILED',
    level: 'failed',
    name: 'wiki',
    host: 'web1',
    summary: cause,
    facts: [
      { label: 'Host', value: 'web1' },
      { label: 'Cause', value: cause },
    ],
    log: { head: log, tail: '', leftOutBytes: 0 },
  });
}

it('has all of a message that is short', () => {
  const message = failure('one\ntwo\n');
  expect(shortTextOf(message, 1024)).toBe(
    `Host: web1\nCause: exit code 7\n\none\ntwo\n\nMessage ${message.id}`,
  );
});

it('leaves out the beginning of a long log, by whole lines', () => {
  const lines = Array.from({ length: 500 }, (_, i) => `line ${i}`);
  const text = shortTextOf(failure(lines.join('\n')), 1024);
  expect(text).toMatch(/Cause: exit code 7\n\n…line 3\d\d\n/);
  expect(text).toMatch(/\nline 499\n\nMessage [0-9a-f-]{36}$/);
});

it('shows the end of a log whose middle is missing', () => {
  const message = failure('first');
  message.log = { head: 'first\n', tail: 'last\n', leftOutBytes: 5_000_000 };
  expect(shortTextOf(message, 1024)).toContain('\n\nfirst\n\n[… 5.0 MB left out …]\nlast\n\nMessage ');
});

it('cuts facts that leave no room, and never the id', () => {
  const message = failure('log', 'x'.repeat(5000));
  const text = shortTextOf(message, 500);
  expect(text).toHaveLength(500);
  expect(text).toMatch(new RegExp(`^Host: web1\nCause: x+…\n\nMessage ${message.id}$`));
});

it('is never longer than the service takes, and cuts no character in two', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'ü', '€', '💾', '\n'), maxLength: 900 });
  const limit = fc.integer({ min: 60, max: 1200 });
  fc.assert(
    fc.property(text, text, limit, (log, cause, longest) => {
      const message = failure(log, cause);
      for (const unit of ['characters', 'bytes'] as const) {
        const short = shortTextOf(message, longest, unit);
        expect(unit === 'bytes' ? Buffer.byteLength(short) : short.length).toBeLessThanOrEqual(longest);
        expect(short.isWellFormed()).toBe(true);
        expect(short).not.toContain('\ufffd');
        const cut = cutEnd(cause, longest, unit);
        expect(cut === cause || cut.endsWith('…')).toBe(true);
        expect(cause.startsWith(cut.replace(/…$/, ''))).toBe(true);
      }
    }),
  );
});
