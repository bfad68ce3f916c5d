import { expect, test } from 'vitest';
import { formatOutcome, simulate } from '../../archiver/simulate.ts';
import { policySchema } from '../../lib/retention.ts';

const DAY = 86_400_000;
const END = new Date('2026-07-31T12:00:00Z');
const TWO_YEARS = { days: 730, everyMs: DAY, sizeBytes: 1e9 };

test('a policy is replayed over two years: points by age, the widest gap, the disk', () => {
  const policy = policySchema.parse({ daily: 7, weekly: 4, monthly: 12, minimum: 2 });
  const outcome = simulate(policy, TWO_YEARS, END);
  // by hand: 25 to 31 July; Sundays 26, 19, 12 July; last days of the eleven months before July
  expect(outcome.ages.map(({ upToDays, points }) => [upToDays, points])).toEqual([
    [1, 2],
    [7, 5],
    [30, 2],
    [90, 2],
    [180, 3],
    [365, 6],
  ]);
  // at most 7 days, 3 more weeks, 11 more months, and one that came before the prune
  expect(outcome).toMatchObject({ points: 20, sizeBytes: 20e9, peakBytes: 22e9 });
  expect(outcome.widestGapMs).toBe(31 * DAY);
  expect(outcome.oldestMs / DAY).toBe(334); // 31 August of the year before
  const text = formatOutcome(outcome, TWO_YEARS);
  expect(text.split('\n')[0]).toBe('age             archives  widest gap  disk');
  expect(text).toMatch(/^all +20 +31 d 0 h +20\.0 GB$/m);
  expect(text).toContain('the disk needs up to 22.0 GB');
});

test('what is kept within a time and what comes more often count too', () => {
  const policy = policySchema.parse({ within: '2d', minimum: 1 });
  const outcome = simulate(policy, { days: 30, everyMs: DAY / 4, sizeBytes: 1000 }, END);
  expect(outcome).toMatchObject({ points: 8, widestGapMs: DAY / 4, sizeBytes: 8000, peakBytes: 9000 });
});

test('more backups than a person waits for are refused', () => {
  const policy = policySchema.parse({ last: 1 });
  expect(() => simulate(policy, { days: 730, everyMs: 1000, sizeBytes: 1 }, END)).toThrow(
    /at most 100000 are replayed/,
  );
});
