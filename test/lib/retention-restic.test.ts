// The rules that people know from restic decide here as they do there: restic itself is the judge. Where ours differ on
// purpose, the last tests show how.
import { expect, test } from 'vitest';
import { type Point, type Policy, plan } from '../../lib/retention.ts';
import { randomFrom, SEED } from '../helpers/random.ts';
import { askRestic, type Decision } from '../helpers/restic.ts';

const RULES = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
const POLICIES = 50;
const SERIES_PER_POLICY = 20;

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const NONE: Policy = {
  last: 0,
  hourly: 0,
  daily: 0,
  weekly: 0,
  monthly: 0,
  yearly: 0,
  within: 0,
  minimum: 1,
};

/** Where calendars are odd: both changes of the clocks, New Year in years of 52 and 53 weeks, leap days, far times. */
const ANCHORS = [
  ...[
    '2026-03-29T03:00Z',
    '2026-10-25T03:00Z',
    '2026-12-31T23:00Z',
    '2027-01-04T01:00Z',
    '2025-12-29T00:00Z',
  ],
  ...[
    '2021-01-03T12:00Z',
    '2024-02-29T12:00Z',
    '2100-03-01T00:00Z',
    '1970-01-01T00:00Z',
    '2038-01-19T04:00Z',
  ],
  ...['9999-12-31T23:59Z', '1582-10-15T00:00Z'],
].map((text) => Date.parse(text));
/** From snapshots of one second to those of every other year. */
const STEPS_MS = [1000, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 30 * DAY, 365 * DAY];

type Random = () => number;
const pick = <T>(random: Random, from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;

/** One to three stretches of a rhythm of their own, back in time from an odd date or any, with ties and gaps. */
function randomSeries(random: Random): Date[] {
  const times: number[] = [];
  for (let stretch = 0; stretch < 1 + random() * 3; stretch += 1) {
    let time = random() < 0.5 ? pick(random, ANCHORS) : Math.floor(random() * 130 * 365 * DAY);
    const step = pick(random, STEPS_MS);
    for (let left = Math.floor(random() * 24); left >= 0; left -= 1) {
      times.push(time);
      const regular = random() < 0.3;
      if (random() > 0.1) time -= regular ? step : Math.floor(step * random() * 2.5);
    }
  }
  return times.map((time) => new Date(time));
}

function randomPolicy(random: Random): Policy {
  const counts = RULES.map((rule) => [rule, random() < 0.5 ? 0 : pick(random, [1, 2, 3, 5, 7, 12, 40])]);
  const policy = { ...NONE, ...Object.fromEntries(counts) };
  return RULES.some((rule) => policy[rule] > 0) ? policy : { ...policy, last: 1 };
}

const optionsOf = (policy: Policy): string[] =>
  RULES.filter((rule) => policy[rule] > 0).map((rule) => `--keep-${rule}=${policy[rule]}`);

const pointsOf = (times: readonly Date[]): Point[] =>
  times.map((time, index) => ({ id: `${index}`, time, verified: true }));

/** @returns what garner decides, in restic's words */
function askGarner(times: readonly Date[], policy: Policy): Decision[] {
  const { keep, remove } = plan(pointsOf(times), policy, new Date());
  return [
    ...keep.map(({ id, reasons }) => ({ id, rules: reasons.map((reason) => reason.replace(/ .*/, '')) })),
    ...remove.map(({ id }) => ({ id, rules: [] })),
  ].map(({ id, rules }) => ({ time: times[Number(id)] as Date, rules }));
}

/** One line a snapshot; which one of several of the same moment it is, is of no account. */
const lines = (decisions: readonly Decision[]): string[] =>
  decisions.map(({ time, rules }) => `${time.toISOString()} ${rules.join(' ') || 'goes'}`).sort();

test(`decides as restic does, for ${POLICIES * SERIES_PER_POLICY} random series`, async () => {
  console.log(`seed ${SEED}`);
  const random = randomFrom(SEED);
  let snapshots = 0;
  for (let run = 0; run < POLICIES; run += 1) {
    const policy = randomPolicy(random);
    const all = Array.from({ length: SERIES_PER_POLICY }, () => randomSeries(random));
    const decisions = await askRestic(all, optionsOf(policy));
    for (const [index, times] of all.entries()) {
      const label = `seed ${SEED}, ${optionsOf(policy).join(' ')}, series ${index} of run ${run}`;
      expect(lines(askGarner(times, policy)), label).toEqual(lines(decisions[index] as Decision[]));
      snapshots += times.length;
    }
  }
  console.log(`${snapshots} snapshots`);
});

const daysAgo = (count: number): Date => new Date(Date.UTC(2026, 6, 31, 12) - count * DAY);
const kept = (decisions: readonly Decision[]): Date[] =>
  decisions.filter(({ rules }) => rules.length > 0).map(({ time }) => time);
const garnerKeeps = (points: Point[], policy: Policy): Date[] => {
  const ids = plan(points, policy, daysAgo(0)).keep.map(({ id }) => id);
  return ids.map((id) => points[Number(id)]?.time as Date);
};

test('counts `within` from now, restic from the newest', async () => {
  const times = [100, 103, 120].map(daysAgo);
  const [restic] = await askRestic([times], ['--keep-within=7d']);
  expect(kept(restic as Decision[])).toEqual([100, 103].map(daysAgo));
  expect(garnerKeeps(pointsOf(times), { ...NONE, within: 7 * DAY })).toEqual([daysAgo(100)]);
});

test('has a floor, `minimum`, where restic has none', async () => {
  const times = [0, 1, 2].map(daysAgo);
  const [restic] = await askRestic([times], ['--keep-last=1']);
  expect(kept(restic as Decision[])).toEqual([daysAgo(0)]);
  expect(garnerKeeps(pointsOf(times), { ...NONE, last: 1, minimum: 2 })).toEqual([0, 1].map(daysAgo));
});

test('keeps the newest verified one in addition, where restic knows of no evidence', async () => {
  const times = [0, 1, 2].map(daysAgo);
  const [restic] = await askRestic([times], ['--keep-last=1']);
  expect(kept(restic as Decision[])).toEqual([daysAgo(0)]);
  const points = pointsOf(times).map((point, index) => ({ ...point, verified: index > 0 }));
  expect(garnerKeeps(points, { ...NONE, last: 1 })).toEqual([0, 1].map(daysAgo));
});
