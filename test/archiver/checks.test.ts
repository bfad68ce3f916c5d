import { describe, expect, test } from 'vitest';
import type { ArchiveRow, RunRow } from '../../archiver/catalog/schema.ts';
import { unverifiedRow } from '../../archiver/catalog/schema.ts';
import { checkDue, checkNeverCame, expectedEvery } from '../../archiver/checks/due.ts';
import { checkFailing } from '../../archiver/checks/failing.ts';
import { checkFlood } from '../../archiver/checks/flood.ts';
import type { Series } from '../../archiver/series.ts';

const DAY = 86_400_000;
const NOW = new Date('2026-07-31T12:00:00Z'); // a Friday

/** Archives that came so many days ago. */
function series(daysAgo: readonly number[], runs: Partial<RunRow>[] = []): Series {
  return {
    host: 'web1',
    name: 'mediawiki',
    archives: daysAgo.map((days) => archive(days)),
    quarantined: [],
    runs: runs as RunRow[],
  };
}

function archive(days: number, change: Partial<ArchiveRow> = {}): ArchiveRow {
  const at = new Date(NOW.getTime() - days * DAY).toISOString();
  const name = { application: 'mediawiki', instance: undefined, host: 'web1', time: new Date(at) };
  return { ...unverifiedRow(`mediawiki-web1-${at}`, name, at, 1000), verified: 'content', ...change };
}

const at = (days: number): string => new Date(NOW.getTime() + days * DAY).toISOString();
const levels = (findings: { check: string }[]): string[] => findings.map(({ check }) => check);
const range = (from: number, to: number, step = 1): number[] =>
  Array.from({ length: Math.round((from - to) / step) + 1 }, (_, i) => from - i * step);

describe('what is due', () => {
  test.each([
    ['came when it was expected', 0.9, 1, []],
    ['is a little late, as jobs are', 1.05, 1, []],
    ['is late', 1.2, 1, ['late']],
    ['missed a whole turn', 2.2, 1, ['missing']],
    ['is expected once a week', 6, 7, []],
    ['is expected no more', 500, 0, []],
  ])('by the configuration: one that %s', (_, days, expected, found) => {
    expect(levels(checkDue(series([days]), expected * DAY, NOW))).toEqual(found);
  });

  test('by its own past: daily ones are late after a day, nothing is known of a new one', () => {
    expect(levels(checkDue(series(range(9.5, 0.5)), undefined, NOW))).toEqual([]);
    expect(levels(checkDue(series(range(9.5, 1.5)), undefined, NOW))).toEqual(['late']);
    expect(levels(checkDue(series(range(9.5, 2.5)), undefined, NOW))).toEqual(['missing']);
    expect(checkDue(series([30, 20]), undefined, NOW)).toEqual([]);
    expect(levels(checkDue(series([300, 40]), undefined, NOW))).toEqual(['late']);
    expect(levels(checkDue(series([200]), undefined, NOW))).toEqual(['missing']);
  });

  test('by its own past: weekends of a series of working days are no outage, an outage is no rhythm', () => {
    const workdays = range(25, 0).filter((days) => ![0, 6].includes(new Date(at(-days)).getUTCDay()));
    const onSunday = new Date(NOW.getTime() + 2 * DAY);
    expect(checkDue(series(workdays), undefined, onSunday)).toEqual([]);
    expect(levels(checkDue(series(workdays), undefined, new Date(NOW.getTime() + 4 * DAY)))).toEqual([
      'late',
    ]);
    const withOutage = [...range(40, 30), ...range(10, 3)];
    expect(levels(checkDue(series(withOutage), undefined, NOW))).toEqual(['missing']);
  });

  test("by its host's schedule, as far as its past makes that plausible: a host can't fall silent by a promise", () => {
    const run = (startedDays: number, dueDays: number): Partial<RunRow> => ({
      result: 'ok',
      started_at: at(startedDays),
      next_due_at: at(dueDays),
    });
    const daily = range(9.5, 1.5);
    expect(checkDue(series(daily, [run(-1.5, -0.05)]), undefined, NOW)).toEqual([]);
    expect(levels(checkDue(series(daily, [run(-1.5, -0.5)]), undefined, NOW))).toEqual(['late']);
    expect(levels(checkDue(series(daily, [run(-1.5, 365)]), undefined, NOW))).toEqual(['late']);
    // that one was missed, and when the next is due, makes none less late
    const missed: Partial<RunRow> = { ...run(-0.4, -0.02), result: 'missed' };
    expect(levels(checkDue(series(daily, [run(-1.5, -0.5), missed]), undefined, NOW))).toEqual(['late']);
    // new here: its schedule is all that is known
    expect(levels(checkDue(series([8], [run(-8, -1)]), undefined, NOW))).toEqual(['late']);
    expect(checkDue(series([20], [run(-20, 10)]), undefined, NOW)).toEqual([]);
    // one by hand ends no schedule
    const byHand: Partial<RunRow> = { ...run(-7.9, 0), next_due_at: null };
    expect(levels(checkDue(series([8, 7.9], [run(-8, -7), byHand]), undefined, NOW))).toEqual(['missing']);
  });

  test('never came what the configuration expects; an application stands for its instances', () => {
    const host = { name: 'web1', expect: { mediawiki: DAY, jira: DAY, bamboo: 0 } };
    expect(checkNeverCame(host, [series([1])], undefined, NOW)).toMatchObject([
      { check: 'missing', level: 'critical', subject: 'web1/jira', reason: 'no archive ever came' },
    ]);
    expect(checkNeverCame(host, [{ ...series([1]), name: 'jira.blue' }], undefined, NOW)).toMatchObject([
      { subject: 'web1/mediawiki' },
    ]);
    expect(expectedEvery({ jira: DAY, 'jira.blue': 2 * DAY }, 'jira.blue')).toBe(2 * DAY);
    expect(expectedEvery({ jira: DAY }, 'jira.red')).toBe(DAY);
  });

  test('never came though its host says that it made one, or from a host that never had any', () => {
    const host = { name: 'web1', expect: {} };
    const made = (days: number): Series =>
      series([], [{ result: 'ok', archives: '["a"]', started_at: at(-days), finished_at: at(-days) }]);
    expect(checkNeverCame(host, [made(2)], undefined, NOW)).toMatchObject([
      { check: 'missing', level: 'critical', subject: 'web1/mediawiki' },
    ]);
    expect(checkNeverCame(host, [made(0.5)], undefined, NOW)).toEqual([]);
    const known = { first_seen_at: at(-3), succeeded_at: at(-0.1) };
    expect(checkNeverCame(host, [], known, NOW)).toMatchObject([{ level: 'critical', subject: 'web1' }]);
    expect(checkNeverCame(host, [series([1])], known, NOW)).toEqual([]);
    expect(checkNeverCame({ ...host, expect: { jira: 0 } }, [], known, NOW)).toEqual([]);
    expect(checkNeverCame(host, [], { ...known, first_seen_at: at(-0.5) }, NOW)).toEqual([]);
    expect(checkNeverCame(host, [], { ...known, succeeded_at: null }, NOW)).toEqual([]);
  });
});

describe('what fails', () => {
  const run = (result: RunRow['result'], days: number): Partial<RunRow> => ({
    result,
    started_at: at(-days),
    finished_at: at(-days),
    summary: 'no space',
  });

  test('is failing since the first failure after the last good run', () => {
    const runs = [run('failed', 9), run('ok', 4), run('failed', 3), run('missed', 2), run('locked', 1)];
    expect(checkFailing(series([4.1], runs))).toMatchObject([
      { level: 'critical', detail: 'since 2026-07-28 12:00 UTC: no space' },
    ]);
    expect(checkFailing(series([4.1], [run('failed', 3), run('warnings', 2)]))).toEqual([]);
  });

  test('is over when an archive came since, whoever made it', () => {
    expect(checkFailing(series([1], [run('failed', 3)]))).toEqual([]);
  });

  test('is failing where the newest archive is in quarantine', () => {
    const quarantined = [archive(1, { state: 'quarantined', problem: 'content-mismatch' })];
    expect(checkFailing({ ...series([2]), quarantined })).toMatchObject([
      { reason: 'the newest archive is bad and in quarantine' },
    ]);
    expect(checkFailing({ ...series([2, 0.5]), quarantined })).toEqual([]);
  });
});

describe('a flood', () => {
  test('is more than is usual within a day, by the time received', () => {
    const daily = range(10.5, 1.5);
    expect(checkFlood(series([...daily, 0.5, 0.4, 0.3]), NOW)).toEqual([]);
    expect(checkFlood(series([...daily, ...range(0.9, 0.1, 0.1)]), NOW)).toMatchObject([
      { check: 'flood', detail: '9 came within a day, 2 would be usual' },
    ]);
  });

  test('is not what a host delivers at once that was away, nor the first pull, nor what is hourly', () => {
    const away = { ...series(range(20.5, 0.5)) };
    for (const row of away.archives.slice(-10)) row.received_at = at(-0.1);
    expect(checkFlood(away, NOW)).toEqual([]);
    const first = series(range(30, 0));
    for (const row of first.archives) row.received_at = at(-0.1);
    expect(checkFlood(first, NOW)).toEqual([]);
    expect(checkFlood(series(range(8, 0, 1 / 24)), NOW)).toEqual([]);
  });

  test('does not become the usual thing by one bad day', () => {
    const bad = [...range(12.5, 3.5), ...range(2.9, 2.1, 0.01), 1.5];
    expect(levels(checkFlood(series([...bad, ...range(0.9, 0.1, 0.1)]), NOW))).toEqual(['flood']);
  });
});
