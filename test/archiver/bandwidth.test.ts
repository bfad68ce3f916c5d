// Limits of bandwidth: bytes counted by the interval, on a clock that the test sets.
import { describe, expect, it, test } from 'vitest';
import { type Bandwidth, bandwidthSchema, type Clock, rateAt, startPace } from '../../archiver/bandwidth.ts';

const MB = 1e6;

/** A clock that goes on only where somebody sleeps: to whoever wakes first. */
function simulatedClock(start: Date): Clock & { run(): Promise<void> } {
  let ms = 0;
  const sleepers: { at: number; wake: () => void }[] = [];
  return {
    now: () => new Date(start.getTime() + ms),
    elapsedMs: () => ms,
    sleep: (length) => new Promise<void>((wake) => sleepers.push({ at: ms + length, wake })),
    async run() {
      for (;;) {
        await new Promise(setImmediate);
        const next = sleepers.toSorted((a, b) => a.at - b.at)[0];
        if (next === undefined) return;
        sleepers.splice(sleepers.indexOf(next), 1);
        ms = Math.max(ms, next.at);
        next.wake();
      }
    },
  };
}

/** @returns how many bytes came in each second */
async function bytesBySecond(
  bandwidth: Bandwidth,
  { start = new Date(2026, 0, 1, 12), takers = 1, seconds = 10, blockBytes = 255 << 10 } = {},
): Promise<number[]> {
  const clock = simulatedClock(start);
  const end = new AbortController();
  const pace = startPace(bandwidth, end.signal, clock);
  const bytes = Array.from({ length: seconds }, () => 0);
  const take = async (): Promise<void> => {
    for (;;) {
      await pace(blockBytes);
      const second = Math.floor(clock.elapsedMs() / 1000);
      if (second >= seconds) return end.abort();
      bytes[second] = (bytes[second] ?? 0) + blockBytes;
    }
  };
  const taking = Promise.all(Array.from({ length: takers }, take));
  await clock.run();
  await taking;
  return bytes;
}

const parse = (value: unknown): Bandwidth => bandwidthSchema.parse(value);

describe('a limit', () => {
  it.each([1, 7])('holds in every second, for %i that share it', async (takers) => {
    for (const bytes of await bytesBySecond(parse('20MB/s'), { takers })) {
      expect(bytes).toBeLessThan(20.6 * MB);
      expect(bytes).toBeGreaterThan(19.4 * MB);
    }
  });

  it('holds where a block takes longer than a second', async () => {
    const bytes = await bytesBySecond(parse('100kB/s'), { seconds: 60 });
    expect(bytes.reduce((sum, one) => sum + one) / 60).toBeCloseTo(100_000, -4);
    expect(Math.max(...bytes)).toBe(255 << 10);
  });

  it('that was not used is not saved up', async () => {
    const clock = simulatedClock(new Date(0));
    const pace = startPace(parse('1MB/s'), new AbortController().signal, clock);
    clock.sleep(3_600_000);
    await clock.run();
    const taking = pace(5 * MB);
    await clock.run();
    await taking;
    expect(clock.elapsedMs() - 3_600_000).toBeGreaterThan(4800);
  });

  it('changes in the middle of a transfer when its hour comes', async () => {
    const bandwidth = parse({ limit: '20MB/s', '08:00-18:00': '2MB/s' });
    const bytes = await bytesBySecond(bandwidth, { start: new Date(2026, 0, 1, 7, 59, 55) });
    expect(bytes.slice(0, 4).every((one) => one > 19 * MB)).toBe(true);
    expect(bytes.slice(6).every((one) => one < 2.3 * MB && one > 1.7 * MB)).toBe(true);
  });

  it('ends where its hour ends, and lets go who waits when all is ended', async () => {
    const bandwidth = parse({ '22:00-06:00': '1kB/s' });
    const clock = simulatedClock(new Date(2026, 0, 1, 5, 59, 57));
    const taking = startPace(bandwidth, new AbortController().signal, clock)(100 * MB);
    await clock.run();
    await taking;
    expect(clock.elapsedMs()).toBeLessThan(4001);
    const ended = new AbortController();
    ended.abort();
    await startPace(parse('1kB/s'), ended.signal, simulatedClock(new Date(0)))(MB);
  });
});

test('hours are those of the clock on the wall, and go over midnight', () => {
  const bandwidth = parse({ limit: '20MB/s', '22:30-06:00': 'unlimited', '08:00-18:00': '2MB/s' });
  const at = (hour: number, minute: number) => rateAt(bandwidth, new Date(2026, 5, 1, hour, minute));
  expect([at(22, 29), at(7, 59), at(18, 0), at(6, 0)]).toEqual([20 * MB, 20 * MB, 20 * MB, 20 * MB]);
  expect([at(22, 30), at(23, 59), at(0, 0), at(5, 59)]).toEqual([undefined, undefined, undefined, undefined]);
  expect([at(8, 0), at(17, 59)]).toEqual([2 * MB, 2 * MB]);
  expect(rateAt(parse({ '12:00-24:00': '1MB/s' }), new Date(2026, 5, 1, 23, 59))).toBe(MB);
});

it.each([
  ['20', /20MB\/s/],
  [20, /20MB\/s/],
  ['0MB/s', /"0MB\/s" is no rate/],
  ['20MB/h', /is no rate/],
  ['-1MB/s', /is no rate/],
  [{ limit: '20MB/s', '8-18': '2MB/s' }, /"8-18" is neither limit nor hours/],
  [{ '08:00-18:00': '2MB/s', '17:59-19:00': '1MB/s' }, /given twice/],
  [{ '00:00-00:00': '2MB/s', '12:00-12:01': '1MB/s' }, /given twice/],
  [{ limits: '2MB/s' }, /"limits" is neither/],
  [{ limit: { a: '2MB/s' } }, /neither a rate/],
])('refuses %j', (value, message) => {
  const result = bandwidthSchema.safeParse(value);
  expect(result.success).toBe(false);
  expect(result.error?.issues[0]?.message).toMatch(message);
});
