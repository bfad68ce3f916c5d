import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MEASURES, type Measure, type Sample, variationOf } from '../../lib/variation.ts';
import { printSeed } from '../helpers/properties.ts';

const DAY = 86_400_000;
const START = Date.UTC(2026, 0, 5, 2, 15);

/** One run a night. @returns what each is, one letter a run: `.` usual, `r` rise, `d` drop, `c` collapse */
function nights(values: readonly number[], measure: Measure = 'size', everyMs = DAY): string {
  const samples = values.map((value, index): Sample => ({ time: START + index * everyMs, value }));
  return samples
    .map((now, index) => variationOf(measure, samples.slice(0, index), now)?.beyond?.[0] ?? '.')
    .join('');
}

const MB = 1e6;
const repeat = (count: number, ...values: number[]): number[] =>
  Array.from({ length: count }, () => values).flat();
const usual = (count: number): string => '.'.repeat(count);

describe('variation', () => {
  printSeed();

  it('knows nothing of a first run', () => {
    expect(variationOf('size', [], { time: START, value: 0 })).toBeUndefined();
  });

  it('says what is usual, and how much it spreads', () => {
    const earlier = [90, 110, 100, 95, 105].map((value, index) => ({ time: index * DAY, value: value * MB }));
    expect(variationOf('size', earlier, { time: 5 * DAY, value: 300 * MB })).toEqual({
      usual: 100 * MB,
      spread: expect.closeTo(1.4826 * 5 * MB),
      beyond: 'rise',
    });
  });

  it('tells of a collapse after one run, of a rise and a drop after five', () => {
    expect(nights([300 * MB, 1.2 * MB])).toBe('.c');
    expect(nights([...repeat(4, 300 * MB), 100 * MB])).toBe(usual(5));
    expect(nights([...repeat(5, 300 * MB), 100 * MB])).toBe(`${usual(5)}d`);
    expect(nights([...repeat(5, 300 * MB), 900 * MB])).toBe(`${usual(5)}r`);
  });

  it('tells of a table that is emptied, however small the floor makes it', () => {
    expect(nights([500, 0], 'rows')).toBe('.c');
    expect(nights([40, 0], 'rows')).toBe('..');
    expect(nights([...repeat(10, 98_000), 0, 0], 'rows')).toBe(`${usual(10)}cc`);
  });

  it('keeps quiet of small things that wobble much, and of great ones that wobble little', () => {
    expect(nights(repeat(20, 300_000, 800_000, 100_000, 600_000))).toBe(usual(80));
    expect(nights([...repeat(8, 300_000), 900_000])).toBe(usual(9));
    expect(nights(repeat(20, 300 * MB, 380 * MB, 290 * MB))).toBe(usual(60));
    expect(nights(repeat(20, 5000, 300_000, 20_000), 'duration')).toBe(usual(60));
  });

  it('lets a busy host take twice as long, and tells of three hours for one', () => {
    const hour = 3_600_000;
    expect(nights([...repeat(7, hour), 2 * hour, 3 * hour], 'duration')).toBe(`${usual(8)}r`);
    expect(nights([...repeat(7, hour), 2000], 'duration')).toBe(`${usual(7)}c`);
    expect(nights([hour, 2000, 3000, 2000], 'duration')).toBe('....');
  });

  it('knows the great Sunday again after one week, and a Sunday that is small after four', () => {
    const week = [...repeat(6, 100 * MB), 900 * MB];
    expect(nights(repeat(8, ...week))).toBe(`${usual(6)}r${usual(49)}`);
    expect(nights([...repeat(4, ...week), ...repeat(7, 100 * MB)])).toBe(`${usual(6)}r${usual(27)}d`);
  });

  it('goes by weekdays whatever the hour, across a change of the clocks', () => {
    const late = (week: number): Sample => ({
      time: START + week * 7 * DAY + (week % 2) * 3_600_000,
      value: 900 * MB,
    });
    const earlier = [0, 1, 2, 3].flatMap((week) => [
      late(week),
      ...[1, 2, 3, 4, 5, 6].map((day) => ({ time: late(week).time + day * DAY, value: 100 * MB })),
    ]);
    expect(variationOf('size', earlier, late(4))).toMatchObject({ usual: 900 * MB, beyond: undefined });
    expect(variationOf('size', earlier, { ...late(4), value: 300 * MB })?.beyond).toBe('drop');
  });

  it('lets full and incremental runs take turns', () => {
    expect(nights(repeat(20, 900 * MB, 5 * MB))).toBe(`.c${usual(38)}`);
    expect(nights(repeat(20, 900 * MB, 5 * MB, 5 * MB))).toBe(`.c${usual(58)}`);
  });

  it('never tells of steady growth, however steep', () => {
    const count = fc.integer({ min: 2, max: 80 });
    const everyMs = fc.constantFrom(DAY / 24, DAY / 2, DAY, 7 * DAY);
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e10, noNaN: true }),
        fc.double({ min: 1, max: 1e9 }),
        count,
        everyMs,
        (from, step, n, every) => {
          const values = Array.from({ length: n }, (_, index) => from + index * step);
          expect(nights(values, 'size', every)).toBe(usual(n));
        },
      ),
    );
    // a year at 1 % a night, and 3 % a night
    for (const rate of [1.01, 1.03]) {
      expect(nights(Array.from({ length: 365 }, (_, index) => 100 * MB * rate ** index))).toBe(usual(365));
    }
  });

  it('never tells of noise within the floor, in any measure', () => {
    const noise = fc.array(fc.double({ min: -0.12, max: 0.12, noNaN: true }), { maxLength: 80 });
    fc.assert(
      fc.property(
        fc.constantFrom(...(Object.keys(MEASURES) as Measure[])),
        fc.double({ min: 0, max: 1e12, noNaN: true }),
        noise,
        (measure, base, parts) => {
          expect(
            nights(
              parts.map((part) => base * (1 + part)),
              measure,
            ),
          ).toBe(usual(parts.length));
        },
      ),
    );
  });

  it('tells of every step, without a gap, until the new level is the usual one', () => {
    const noise = fc.array(fc.double({ min: -0.05, max: 0.05, noNaN: true }), {
      minLength: 70,
      maxLength: 70,
    });
    const factor = fc.oneof(
      fc.double({ min: 2, max: 1000, noNaN: true }),
      fc.double({ min: 0, max: 0.5, noNaN: true }),
    );
    fc.assert(
      fc.property(noise, factor, fc.integer({ min: 5, max: 40 }), (parts, by, at) => {
        const told = nights(parts.map((part, index) => 1e9 * (1 + part) * (index < at ? 1 : by)));
        expect(told.slice(0, at)).toBe(usual(at));
        expect(told.slice(at)).toMatch(/^(r+|[dc]+)\.{10,}$/);
      }),
    );
  });
});
