import fc from 'fast-check';
import { expect, test } from 'vitest';
import { redact, registerSecret, registerUrlSecret } from '../../lib/redact.ts';

test('a secret is replaced as it is, in a URL, in JSON and escaped for a terminal', () => {
  const secret = 'p@ss "w\u00f6rd"/\x1b1';
  registerSecret(secret);
  for (const form of [secret, encodeURIComponent(secret), JSON.stringify(secret), 'p@ss "wörd"/\\x1b1']) {
    expect(redact(`<${form}>`)).toMatch(/^<"?\[redacted\]"?>$/);
  }
});

test('a secret is replaced in base64 wherever it stands in the encoded text', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 8, unit: 'grapheme' }),
      fc.string(),
      fc.string(),
      (secret, before, after) => {
        registerSecret(secret);
        const core = Buffer.from(secret).toString('base64').slice(3, -4);
        const shown = redact(Buffer.from(before + secret + after).toString('base64'));
        expect(shown).toContain('[redacted]');
        if (before === '' && core.length > 4) expect(shown).not.toContain(core);
      },
    ),
    { numRuns: 50 },
  );
});

test('of a URL only the password is a secret, raw and decoded, also where the URL is malformed', () => {
  registerUrlSecret('smtp://mailer:top%2Fsecret@mail.example:587');
  expect(redact('mailer@mail.example: top/secret top%2Fsecret')).toBe(
    'mailer@mail.example: [redacted] [redacted]',
  );
  registerUrlSecret('mysql://wiki:half#done@db:port/wiki');
  expect(redact('denied for half#done')).toBe('denied for [redacted]');
});

test('the longer of two secrets is replaced whole, and very short ones blank out nothing', () => {
  registerSecret('swordfish');
  registerSecret('swordfish-and-more');
  registerSecret('abc');
  registerSecret('');
  registerSecret(undefined);
  expect(redact('swordfish-and-more abc')).toBe('[redacted] abc');
});

test('any secret is gone from any text that holds it', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 4, unit: 'binary' }), fc.string(), (secret, around) => {
      registerSecret(secret);
      // what is put in its place is no secret
      fc.pre(!'[redacted]'.includes(secret));
      expect(redact(around + secret + around).replaceAll('[redacted]', '')).not.toContain(secret);
    }),
    { numRuns: 50 },
  );
});
