// Time as people change it: summer time begins and ends, somebody sets another zone.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { type Policy, plan, policySchema } from '../../lib/retention.ts';
import { testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { randomFrom, SEED, THOROUGH } from '../helpers/random.ts';
import { makeBench } from '../helpers/run.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Days before and after the change. */
const AROUND = THOROUGH ? 3 : 1;
const ZONES = ['Europe/Berlin', 'UTC', 'America/New_York', 'Pacific/Kiritimati', 'Asia/Kathmandu'];

/** When the clocks of Berlin are changed next: 01:00 UTC of the last Sunday of March and of October. */
function nextChange(month: 2 | 9): Date {
  for (let year = new Date().getUTCFullYear(); ; year += 1) {
    const last = new Date(Date.UTC(year, month, 31, 1));
    last.setUTCDate(31 - last.getUTCDay());
    if (last.getTime() > Date.now() + 3 * DAY_MS) return last;
  }
}

/** A command that sees another time: so much later than now. */
const at = (timeMs: number): string[] => ['faketime', '-f', `+${Math.round((timeMs - Date.now()) / 1000)}s`];

const stampOf = (time: Date): string =>
  time
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replace(/[-:]/g, '');
const timeOf = (name: string): number => {
  const [, y, mo, d, h, mi, s] = /-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z(?:\.tar)?$/.exec(name) ?? [];
  return Date.UTC(Number(y), Number(mo) - 1, Number(d), Number(h), Number(mi), Number(s));
};

it.each([
  ['begins', 2, ['01:30 CET', '03:30 CEST']],
  ['ends', 9, ['02:30 CEST', '02:30 CET']],
] as const)(
  'F27 names are UTC through the night in which summer time %s, whatever the zone is',
  async (_, month, hours) => {
    const bench = makeBench();
    const root = join(bench.directory, 'srv');
    mkdirSync(root);
    writeFileSync(join(root, 'file'), 'x');
    const change = nextChange(month).getTime();
    const expected: number[] = [];
    // half an hour before and after the change, in the zone of the change; then in others
    for (const [index, zone] of [
      'Europe/Berlin',
      'Europe/Berlin',
      ...ZONES.slice(THOROUGH ? 1 : 4),
    ].entries()) {
      const time = change + (index - 0.5) * HOUR_MS;
      const local = await execa('date', ['-d', `@${time / 1000}`, '+%H:%M %Z'], { env: { TZ: zone } });
      if (index < 2) expect(local.stdout).toBe(hours[index]);
      await bench.backup('agent-directories', {
        env: { DIRECTORIES: root, TZ: zone },
        wrap: at(time),
      });
      expected.push(time);
    }
    const names = bench.workFiles().filter((name) => name.endsWith('.tar'));
    expect(names.length).toBe(expected.length);
    for (const [index, name] of names.entries()) {
      const late = timeOf(name) - (expected[index] as number);
      expect(late, name).toBeGreaterThanOrEqual(-2000);
      expect(late, name).toBeLessThan(60_000);
      const manifest = JSON.parse(
        (await execa('tar', ['-xOf', name, 'manifest.json'], { cwd: bench.workDir })).stdout,
      );
      expect(manifest.startedAt.slice(0, 19).replace(/[-:]/g, '')).toBe(
        stampOf(new Date(timeOf(name))).slice(0, -1),
      );
    }
    bench.remove();
  },
);

it.each([
  ['begins', 2],
  ['ends', 9],
] as const)(
  'F27 a series through the days in which summer time %s keeps one a day, polled in other zones',
  {
    timeout: 120_000,
  },
  async (_, month) => {
    const archiver = testArchiver();
    archiver.setUp();
    archiver.configureHosts(['web1'], { retention: '{daily: 90, minimum: 1}', host: 'remove: true' });
    const change = nextChange(month).getTime();
    const random = randomFrom(SEED);
    const all: string[] = [];
    // three a day, at hours of which local time has two, or none
    for (let day = -AROUND; day <= AROUND; day += 1) {
      for (const hour of [-3, -0.5, 0.5]) {
        const time = new Date(change + day * DAY_MS + hour * HOUR_MS);
        all.push((await makeArchive(archiver.workDir('web1'), { host: 'web1', time })).name);
      }
      const zone = ZONES[Math.floor(random() * ZONES.length)] as string;
      const { exitCode, stderr } = await archiver.run(['pull'], {
        env: { TZ: zone },
        wrap: at(change + day * DAY_MS + 4 * HOUR_MS),
      });
      expect([0, 3], `${zone}\n${stderr}`).toContain(exitCode);
    }
    const end = { env: { TZ: 'Europe/Berlin' }, wrap: at(change + (AROUND + 1) * DAY_MS) };
    const prune = await archiver.run(['prune', '--allow-large'], end);
    expect(prune.exitCode, prune.stderr).toBe(0);
    // by date(1), the newest of each day of UTC
    const newest = new Map<string, string>();
    for (const name of all) {
      const { stdout } = await execa('date', ['-u', '-d', `@${timeOf(name) / 1000}`, '+%F']);
      if (timeOf(name) > timeOf(newest.get(stdout) ?? name) || !newest.has(stdout)) newest.set(stdout, name);
    }
    expect(newest.size).toBeGreaterThanOrEqual(2 * AROUND + 1);
    const kept = archiver.stored().filter((file) => file.endsWith('.tar'));
    expect(kept).toEqual([...newest.values()].sort().map((name) => `web1/mediawiki/${name}.tar`));
    archiver.remove();
  },
);

it(`F27 the plan is the same in every zone, with one daily a day (seed ${SEED})`, () => {
  const random = randomFrom(SEED);
  const zone = process.env.TZ;
  try {
    for (let round = 0; round < (THOROUGH ? 300 : 30); round += 1) {
      const start = nextChange(random() < 0.5 ? 2 : 9).getTime() - 3 * DAY_MS;
      const points = Array.from({ length: 60 }, (_, index) => ({
        id: `${index}`,
        time: new Date(start + Math.floor(random() * 6 * DAY_MS)),
        verified: true,
      }));
      const policy: Policy = policySchema.parse({ daily: 100, hourly: Math.floor(random() * 20) });
      const now = new Date(start + 7 * DAY_MS);
      const plans = ZONES.map((name) => {
        process.env.TZ = name;
        return plan(points, policy, now);
      });
      for (const other of plans) expect(other).toEqual(plans[0]);
      const daily = plans[0]?.keep.flatMap(({ reasons }) =>
        reasons.filter((reason) => reason.startsWith('daily')),
      );
      const days = new Set(points.map(({ time }) => time.toISOString().slice(0, 10)));
      expect(daily?.map((reason) => reason.slice(6)).sort()).toEqual([...days].sort());
    }
  } finally {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
});
