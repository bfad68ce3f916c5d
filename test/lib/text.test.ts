import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  escapeControls,
  escapeControlsInLines,
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
  plural,
  shellWord,
} from '../../lib/text.ts';

describe('foreign text', () => {
  test('is shown on one line, without a character that a terminal obeys', () => {
    expect(escapeControls('a\nb\r\tc\x1b[2J\u202e\u009b')).toBe('a\\nb\\r\\tc\\x1b[2J\\u202e\\x9b');
    expect(escapeControls('a\u200bb\u{e0041}\ufeff\ud83d💾é')).toBe('a\\u200bb\\u{e0041}\\ufeff\\ud83d💾é');
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const safe = escapeControls(text);
        expect(safe).not.toMatch(/\p{Cc}|\p{Cs}|\p{Bidi_Control}|[\u2028\u2029\u200b-\u200d\u2060\ufeff]/u);
        expect(escapeControls(safe)).toBe(safe);
      }),
    );
  });

  test('keeps the lines and tabs of a longer text', () => {
    expect(escapeControlsInLines('a\tb\r\nc\x07')).toBe('a\tb\nc\\x07');
  });
});

describe('text for people', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [999_949, '999.9 kB'],
    [999_960, '1.0 MB'],
    [1.5e9, '1.5 GB'],
    [2e18, '2000.0 PB'],
  ])('%d bytes are %s', (bytes, shown) => expect(formatSize(bytes)).toBe(shown));

  test.each([
    [400, '0.4 s'],
    [9_960, '10 s'],
    [59_600, '1 min 0 s'],
    [200_000, '3 min 20 s'],
    [7_500_000, '2 h 5 min'],
    [273_600_000, '3 d 4 h'],
  ])('%d ms are %s', (ms, shown) => expect(formatDuration(ms)).toBe(shown));

  test('counts are given with their noun', () => {
    expect([0, 1, 2].map((count) => plural(count, 'file'))).toEqual(['0 files', '1 file', '2 files']);
  });
});

describe('durations', () => {
  test.each([
    ['90s', 90_000],
    ['15m', 900_000],
    ['15min', 900_000],
    ['250ms', 250],
    ['1d12h', 129_600_000],
    ['2w', 1_209_600_000],
    ['0s', 0],
  ])('%s is %d ms', (text, ms) => expect(parseDuration(text)).toBe(ms));

  test.each(['', '5', 's', '-1h', '1.5h', '1 h', '1H', '1h ', '9999999999999999y'])('%j is none', (text) =>
    expect(parseDuration(text)).toBeUndefined(),
  );
});

describe('sizes', () => {
  test.each([
    ['0B', 0],
    ['500kB', 500_000],
    ['20MB', 20_000_000],
    ['1.5 GB', 1_500_000_000],
    ['2TB', 2_000_000_000_000],
  ])('%s is %d bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  test.each(['', '5', 'MB', '-1MB', '1mb', '1MiB', '1.MB', '1MB ', '9999999999999TB'])('%j is none', (text) =>
    expect(parseSize(text)).toBeUndefined(),
  );
});

test('a word for a shell is in quotes where it needs them', () => {
  expect(shellWord('/srv/wiki-1.2_a/b')).toBe('/srv/wiki-1.2_a/b');
  expect(shellWord("/srv/my wiki's")).toBe("'/srv/my wiki'\\''s'");
  expect(shellWord('')).toBe("''");
});
