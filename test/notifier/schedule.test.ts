import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jitterOf, nextDue, parseSchedule } from '../../notifier/schedule.ts';

const zone = process.env.TZ;
beforeAll(() => {
  process.env.TZ = 'Europe/Berlin';
});
afterAll(() => {
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
});

/** The local times that follow each other, as `date` shows them. */
async function dueAfter(text: string, from: string, count: number): Promise<string[]> {
  const schedule = await parseSchedule(text);
  const times: Date[] = [];
  let last = new Date(from);
  for (let i = 0; i < count; i += 1) {
    last = nextDue(schedule, { startedAt: last, finishedAt: last });
    times.push(last);
  }
  const { stdout } = await execa('date', ['-f', '-', '+%a %F %R %Z'], {
    input: times.map((time) => `@${time.getTime() / 1000}`).join('\n'),
    env: { TZ: 'Europe/Berlin', LC_ALL: 'C' },
  });
  return stdout.split('\n');
}

describe('a crontab’s time', () => {
  it.each([
    ['15 2 * * *', ['Tue 2026-06-02 02:15 CEST', 'Wed 2026-06-03 02:15 CEST']],
    ['*/20 2-3 * * *', ['Tue 2026-06-02 02:00 CEST', 'Tue 2026-06-02 02:20 CEST']],
    ['0 6,18 * jun-aug mon', ['Mon 2026-06-01 18:00 CEST', 'Mon 2026-06-08 06:00 CEST']],
    ['0 0 * * 7', ['Sun 2026-06-07 00:00 CEST', 'Sun 2026-06-14 00:00 CEST']],
    [
      '0  0\t13 * fri',
      ['Fri 2026-06-05 00:00 CEST', 'Fri 2026-06-12 00:00 CEST', 'Sat 2026-06-13 00:00 CEST'],
    ],
    ['0 0 */2 * 1', ['Mon 2026-06-15 00:00 CEST', 'Mon 2026-06-29 00:00 CEST']],
    ['0 0 29 2 *', ['Tue 2028-02-29 00:00 CET']],
    ['@daily', ['Tue 2026-06-02 00:00 CEST', 'Wed 2026-06-03 00:00 CEST']],
    ['@hourly', ['Mon 2026-06-01 13:00 CEST']],
    ['@weekly', ['Sun 2026-06-07 00:00 CEST']],
    ['@monthly', ['Wed 2026-07-01 00:00 CEST']],
  ])('is that of the local zone: %s', async (text, times) => {
    expect(await dueAfter(text, '2026-06-01T10:00:00Z', times.length)).toEqual(times);
  });

  it('that is skipped in spring is made up for when the clocks have been set', async () => {
    expect(await dueAfter('15 2 * * *', '2026-03-28T12:00:00Z', 2)).toEqual([
      'Sun 2026-03-29 03:00 CEST',
      'Mon 2026-03-30 02:15 CEST',
    ]);
  });

  it('that comes twice in autumn is used once, but each hour is an hour', async () => {
    expect(await dueAfter('15 2 * * *', '2026-10-24T12:00:00Z', 2)).toEqual([
      'Sun 2026-10-25 02:15 CEST',
      'Mon 2026-10-26 02:15 CET',
    ]);
    expect(await dueAfter('0 * * * *', '2026-10-24T23:30:00Z', 3)).toEqual([
      'Sun 2026-10-25 02:00 CEST',
      'Sun 2026-10-25 02:00 CET',
      'Sun 2026-10-25 03:00 CET',
    ]);
  });

  it.each([
    '',
    '15 2 * *',
    '0 15 2 * * *',
    '61 2 * * *',
    '15 2 * * xyz',
    '@reboot',
    '@now',
    '2026-12-24T00:00:00',
    '0 0 30 2 *',
    'every',
    'every 1',
    'every 0s',
    'every 11y',
    '15 2 * * *; id',
    `${'1,'.repeat(60)}1 * * * *`,
  ])('is refused where it is none: %s', async (text) => {
    await expect(parseSchedule(text)).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('the next run', () => {
  const at = (time: string): Date => new Date(`2026-06-01T${time}Z`);

  it('follows what a long one has used up', async () => {
    const hourly = await parseSchedule('0 * * * *');
    const run = { startedAt: at('10:00:00'), finishedAt: at('12:30:00') };
    expect(nextDue(hourly, run)).toEqual(at('13:00:00'));
    const every = await parseSchedule('every 1h');
    expect(nextDue(every, run)).toEqual(at('13:00:00'));
    expect(nextDue(every, { startedAt: at('10:00:00'), finishedAt: at('10:00:05') })).toEqual(at('11:00:00'));
  });

  it('is due as much later as it waits before it begins', async () => {
    const hourly = await parseSchedule('0 * * * *');
    const jitterMs = 50 * 60_000;
    const run = { startedAt: at('10:50:00'), finishedAt: at('11:10:00') };
    expect(nextDue(hourly, run, jitterMs)).toEqual(at('11:50:00'));
    expect(nextDue(await parseSchedule('every 1h'), run, jitterMs)).toEqual(at('11:50:00'));
  });

  it('is in front of us where the clock went back during the run', async () => {
    const run = { startedAt: at('10:00:00'), finishedAt: at('09:00:00') };
    expect(nextDue(await parseSchedule('every 1h'), run)).toEqual(at('11:00:00'));
  });
});

it('spreads hosts over all of the time, each at its own', () => {
  const minutes = Array.from({ length: 600 }, (_, i) =>
    Math.floor(jitterOf(`web${i}`, 'wiki', 900_000) / 60_000),
  );
  expect(new Set(minutes).size).toBe(15);
  expect(Math.min(...minutes)).toBe(0);
  expect(jitterOf('web1', 'wiki', 900_000)).toBe(jitterOf('web1', 'wiki', 900_000));
  expect(jitterOf('web1', 'jira', 900_000)).not.toBe(jitterOf('web1', 'wiki', 900_000));
});
