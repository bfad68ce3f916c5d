import { expect, it } from 'vitest';
import type { HistoryRun } from '../../archive/history.ts';
import { decide } from '../../notifier/decide.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;

/** Runs one after the other and says of each what is told. @param runs `result summary`, or hours to wait */
function story(runs: (string | number)[], remindMs = DAY): string[] {
  const earlier: HistoryRun[] = [];
  let at = Date.UTC(2026, 0, 1);
  return runs.flatMap((one) => {
    if (typeof one === 'number') {
      at += one * HOUR;
      return [];
    }
    const [result, ...words] = one.split(' ') as [HistoryRun['result'], ...string[]];
    const time = new Date(at).toISOString();
    const exitCode = result === 'ok' ? 0 : 1;
    const run = {
      name: 'x',
      startedAt: time,
      finishedAt: time,
      result,
      exitCode,
      summary: words.join(' '),
      archives: [],
    };
    const { level, tell, trouble } = decide(run, earlier, remindMs);
    earlier.push({ ...run, told: tell });
    return [tell ? `${level}${trouble === undefined ? '' : ` ${trouble.runs}`}` : '-'];
  });
}

it('tells each good run, for the transports to choose', () => {
  expect(story(['ok', 24, 'ok', 24, 'ok'])).toEqual(['ok', 'ok', 'ok']);
});

it('tells trouble once, then as a reminder, and when it is over', () => {
  const hourly = Array.from({ length: 30 }, () => ['failed no space', 1]).flat();
  const told = story([...hourly, 'ok 3 MB', 1, 'ok 3 MB']);
  expect(told.flatMap((level, index) => (level === '-' ? [] : [`${index}: ${level}`]))).toEqual([
    '0: failed 1',
    '22: failed 23',
    '30: recovered 30',
    '31: ok',
  ]);
});

it('reminds each night of what fails each night, some minutes early or late', () => {
  expect(story(['failed x', 23.9, 'failed x', 24.1, 'failed x'])).toEqual([
    'failed 1',
    'failed 2',
    'failed 3',
  ]);
});

it('tells another cause and another result at once', () => {
  expect(story(['failed no space', 1, 'failed no network', 1, 'warnings no network', 1, 'missed x'])).toEqual(
    ['failed 1', 'failed 2', 'warnings 3', 'missed 4'],
  );
});

it('takes causes that differ in numbers only for the same', () => {
  expect(story(['failed pid 4711 after 3 s', 1, 'failed pid 12 after 17 s'])).toEqual(['failed 1', '-']);
});

it('is not confused by a run that another one kept from starting', () => {
  expect(story(['failed x', 1, 'locked y', 1, 'failed x', 1, 'locked y', 1, 'ok'])).toEqual([
    'failed 1',
    'warnings',
    '-',
    '-',
    'recovered 2',
  ]);
});

it('knows what was told of trouble that is over, so that nobody else hears that it is', () => {
  const at = (hour: number) => new Date(Date.UTC(2026, 0, 1, hour)).toISOString();
  const run = (hour: number, result: HistoryRun['result'], told: boolean): HistoryRun => ({
    ...{ name: 'x', startedAt: at(hour), finishedAt: at(hour), exitCode: 1, summary: '', archives: [] },
    ...{ result, told },
  });
  const earlier = [
    run(0, 'failed', true),
    run(1, 'ok', true),
    run(2, 'warnings', true),
    run(3, 'failed', false),
  ];
  expect(decide(run(4, 'ok', false), earlier, DAY).trouble).toEqual({
    since: at(2),
    runs: 2,
    told: ['warnings'],
  });
});

it('stays fast whatever a command has said, night after night', () => {
  expect(story(Array.from({ length: 300 }, () => `failed ${'a'.repeat(1000)}`))).toContain('-');
});

it('tells each time where that is asked for, and when the clock went back', () => {
  expect(story(['failed x', 'failed x'], 0)).toEqual(['failed 1', 'failed 2']);
  expect(story(['failed x', -5000, 'failed x'])).toEqual(['failed 1', 'failed 2']);
});

it('tells what is unlike the runs before once, without a recovery after it, and again when it is so again', () => {
  const time = (day: number): string => new Date(Date.UTC(2026, 0, day)).toISOString();
  const made = (day: number, varied: boolean, result: HistoryRun['result'] = varied ? 'warnings' : 'ok') => ({
    ...{ name: 'x', startedAt: time(day), finishedAt: time(day), result, exitCode: 0, archives: [] },
    ...{ summary: '1.2 MB, usually 300 MB', told: true },
    ...(varied && {
      variations: [{ of: 'size' as const, beyond: 'drop' as const, value: 1.2e6, usual: 300e6 }],
    }),
  });
  const year = 365 * DAY;
  expect(decide(made(2, true), [made(1, false)], year)).toMatchObject({ level: 'warnings', tell: true });
  expect(decide(made(3, false), [made(2, true)], year)).toEqual({ level: 'ok', tell: true });
  expect(decide(made(3, true), [made(2, true)], year)).toMatchObject({ level: 'warnings', tell: true });
  const failed = { ...made(1, false, 'failed'), exitCode: 1 };
  expect(decide(made(2, true), [failed], year)).toMatchObject({ level: 'warnings', trouble: { runs: 2 } });
  expect(decide(made(3, false), [failed, made(2, true)], year)).toMatchObject({ level: 'recovered' });
});
