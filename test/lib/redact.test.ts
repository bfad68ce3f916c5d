import fc from 'fast-check';
import { encode, wrap } from 'nodemailer/lib/qp';
import { expect, test } from 'vitest';
import { redact, registerSecret, registerUrlSecret } from '../../lib/redact.ts';
import { escapeControls, shellWord } from '../../lib/text.ts';
import { SEED } from '../helpers/random.ts';

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

/** How programs write text; each begins and ends where the text does. */
const WRITERS: Record<string, (text: string) => string> = {
  'in a URL': encodeURIComponent,
  'in a URL, in lower case': (text) => encodeURIComponent(text).replace(/%../g, (hex) => hex.toLowerCase()),
  'in a URL, each byte': (text) => [...Buffer.from(text)].map((byte) => `%${hexOf(byte)}`).join(''),
  'in a form': (text) => new URLSearchParams({ x: text }).toString().slice(2),
  'in JSON': (text) => JSON.stringify(text).slice(1, -1),
  'in JSON without other letters': (text) =>
    JSON.stringify(text)
      .slice(1, -1)
      .replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  'in JSON by PHP': (text) => JSON.stringify(text).slice(1, -1).replaceAll('/', '\\/'),
  'in a page': (text) =>
    text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;').replaceAll("'", '&#39;'),
  'in a page, by numbers': (text) =>
    [...text].map((char) => `&#x${(char.codePointAt(0) as number).toString(16)};`).join(''),
  'in quoted-printable': (text) => wrap(encode(text), 20),
  'as a word of a shell': (text) => shellWord(text).replace(/^'|'$/g, ''),
  'for a terminal': escapeControls,
  'as bytes of Python': (text) =>
    [...Buffer.from(text)]
      .map((byte) =>
        byte < 0x20 || byte > 0x7e || byte === 0x5c ? `\\x${hexOf(byte)}` : String.fromCharCode(byte),
      )
      .join(''),
  'in hexadecimal': (text) => Buffer.from(text).toString('hex').toUpperCase(),
};
const hexOf = (byte: number): string => byte.toString(16).padStart(2, '0');

const secretText = fc.oneof(
  fc.string({ minLength: 8, maxLength: 40, unit: 'grapheme' }),
  fc.string({ minLength: 8, maxLength: 40, unit: fc.constantFrom(...'ab+/=%&<>"\'\\ \n;é💾0123') }),
);

test.each(Object.entries(WRITERS))('F57 a secret is replaced %s', (_, write) => {
  fc.assert(
    fc.property(secretText, (secret) => {
      // what is all blanks at its ends is no way to write a password
      fc.pre(secret.trim() === secret);
      registerSecret(secret);
      expect(redact(`(${write(secret)})`)).toBe('([redacted])');
    }),
    { numRuns: 15, seed: SEED },
  );
});

test('F57 a secret is replaced also where one way to write it stands in another', () => {
  const plain = 'p@ss "wörd"/&<1>=';
  registerSecret(plain);
  const { 'in hexadecimal': _, ...outside } = WRITERS;
  for (const [inner, first] of Object.entries(WRITERS)) {
    for (const [outer, second] of Object.entries(outside)) {
      expect(redact(`(${second(first(plain))})`), `${inner}, then ${outer}`).toBe('([redacted])');
    }
  }
});

test('F57 a secret is replaced in base64 of a mail, of a URL and in JSON', () => {
  const secret = 'ÿ?>~a long secret that takes more than one line of a mail in base64, as keys do ÿ?>~';
  registerSecret(secret);
  const encoded = Buffer.from(`user:${secret}`).toString('base64');
  const lines = encoded.replace(/.{76}/g, '$&\r\n');
  for (const form of [encoded, lines, JSON.stringify({ lines }), Buffer.from(secret).toString('base64url')]) {
    const shown = redact(form);
    for (let at = 8; at + 12 < encoded.length; at += 12)
      expect(shown).not.toContain(encoded.slice(at, at + 12));
    expect(shown.length).toBeLessThan(60);
  }
});

test('F57 of a secret of several lines each is one, also indented', () => {
  const key = `-----BEGIN KEY-----\n${'MIIEvQIBADANBgkqhkiG9w'.repeat(2)}\r\n${'AoIBAQC7VJTUt9Us8cKj'.repeat(2)}\n-----END KEY-----\n`;
  registerSecret(key);
  expect(redact(`  ${key.replaceAll('\n', '\n  ')}`)).not.toMatch(/MIIEv|AoIBA/);
  expect(redact(key.trim())).toBe('[redacted]');
  expect(redact(JSON.stringify({ key }))).toBe('{"key":"[redacted]"}');
});

test('text without a secret stays as it is, whatever it looks like', () => {
  registerSecret('correct horse battery');
  fc.assert(
    fc.property(secretText, (text) => {
      fc.pre(!text.includes('[redacted]') && redact(text) === text);
      expect(redact(`${text} correct horse batter ${text}`)).toContain('correct horse batter ');
    }),
    { numRuns: 50, seed: SEED },
  );
  expect(redact('100%41 =20 \\u00e9 &amp; 💾')).toBe('100%41 =20 \\u00e9 &amp; 💾');
});
