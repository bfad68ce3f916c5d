// A host that was broken into offers archive upon archive, each whole and true to its checksum, and means to push out
// those that were made before.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { check } from '../../archiver/check.ts';
import type { HostConfiguration } from '../../archiver/configuration.ts';
import { besidesArchives } from '../../archiver/layout.ts';
import { type PruneReport, pruneHost } from '../../archiver/prune.ts';
import { pullHosts } from '../../archiver/pull.ts';
import type { HostReport } from '../../archiver/pull-host.ts';
import type { Policy } from '../../lib/retention.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { type HostileAttributes, startHostileSftp } from '../helpers/hostile-sftp.ts';
import { type MadeArchive, makeArchive, stamp } from '../helpers/make-archive.ts';

let archiver: TestArchiver;
beforeEach(() => {
  archiver = testArchiver();
  archiver.setUp();
});
afterEach(() => {
  vi.useRealTimers();
  archiver.remove();
});

const pull = (prune = true): Promise<HostReport[]> =>
  archiver.inProcess((run) => pullHosts(run, run.configuration.hosts, { prune, dryRun: false }));

const namesOf = (host: string): string[] =>
  archiver
    .stored()
    .filter((file) => file.startsWith(`${host}/`) && file.endsWith('.tar'))
    .map((file) => file.replace(/^.*\/|\.tar$/g, ''));

/** Offers an archive's bytes under the name of another time. */
function offerAgain({ path }: MadeArchive, host: string, time: Date): string {
  const name = `mediawiki-${host}-${stamp(time)}`;
  const target = join(archiver.workDir(host), `${name}.tar`);
  copyFileSync(path, target);
  const sha256 = createHash('sha256').update(readFileSync(target)).digest('hex');
  writeFileSync(`${target}.sha256`, `${sha256}  ${name}.tar\n`);
  return name;
}

/** Goes on, so many days from the real now: what is on the disk was changed before. */
const onDay = (day: number): unknown => vi.setSystemTime(REAL_NOW + day * DAY_MS);

const DAY_MS = 86_400_000;
const REAL_NOW = Date.now();
const GOOD_DAYS = 8;

it('F39 keeps what was there when a host floods newer ones, however often it is pruned, and says so', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  archiver.configureHosts(['web1', 'web2'], { retention: '{last: 3, daily: 6, minimum: 2}' });
  for (let day = 1; day <= GOOD_DAYS; day += 1) {
    onDay(day);
    for (const host of ['web1', 'web2'])
      await makeArchive(archiver.workDir(host), { host, time: new Date() });
    expect((await pull()).map(({ result }) => result)).toEqual(['ok', 'ok']);
  }
  const had = namesOf('web1');
  expect(had).toHaveLength(6);

  const garbage = await makeArchive(join(archiver.directory, 'aside'), { host: 'web1', time: daysAgo(9) });
  // broken into: an archive each minute, each whole; the host polled as often
  const prune = (allowLarge: boolean): Promise<PruneReport> =>
    archiver.inProcess((run) => {
      const [host] = run.configuration.hosts as [HostConfiguration];
      const options = { dryRun: false, allowLarge, allowOdd: false };
      return pruneHost(run, host, run.configuration.retention as Policy, options);
    });
  for (let minute = 1; minute <= 20; minute += 1) {
    onDay(GOOD_DAYS + 0.3 + minute / 1440);
    offerAgain(garbage, 'web1', new Date());
    if (minute % 5 === 0) await pull();
  }
  await makeArchive(archiver.workDir('web2'), { host: 'web2', time: new Date() });
  const [flooded, quiet] = await pull();
  expect(flooded).toMatchObject({ result: 'warnings', pruned: [] });
  expect(flooded?.warnings.join()).toMatch(
    /web1\/mediawiki is not pruned: more archives came than usual.*prune --allow-odd/,
  );
  expect(quiet).toMatchObject({ result: 'ok', warnings: [] });
  expect(await prune(true)).toMatchObject({
    remove: [],
    held: [{ subject: 'web1/mediawiki', findings: [{ check: 'flood', level: 'critical' }] }],
  });
  expect(namesOf('web1')).toEqual(expect.arrayContaining(had));
  const { findings } = await archiver.inProcess(({ catalog, configuration, now }) =>
    check(catalog, configuration, configuration.hosts, [], now),
  );
  expect(findings).toMatchObject([{ check: 'flood', level: 'critical', subject: 'web1/mediawiki' }]);

  // a day later it has become quiet: what it left would push out much at once, and that needs a flag
  onDay(GOOD_DAYS + 1.5);
  expect(await prune(false)).toMatchObject({ remove: [], refused: [{ error: { code: 'prune-refused' } }] });
  expect(namesOf('web1')).toEqual(expect.arrayContaining(had));
  await execa('sha256sum', ['--check', '--status', ...had.map((name) => `${name}.tar.sha256`)], {
    cwd: join(archiver.root, 'web1/mediawiki'),
  });
});

it('F39 pulls nothing more of a host that has reached its quota, says so once, and serves the others', async () => {
  const first = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(3) });
  await makeArchive(archiver.workDir('web2'), { host: 'web2', time: daysAgo(1) });
  archiver.configureHosts(['web1', 'web2'], { host: `quota: ${(first.sizeBytes * 2.5) / 1000}kB` });
  for (let minute = 0; minute < 30; minute += 1)
    offerAgain(first, 'web1', new Date(daysAgo(2).getTime() + minute * 60_000));
  const [flooded, other] = await pull();
  expect(flooded).toMatchObject({ result: 'failed', failureCount: 1, error: { code: 'quota' } });
  expect(flooded?.error?.message).toMatch(/web1 would have 16.9 kB here, its quota is 14.1 kB/);
  expect(namesOf('web1')).toHaveLength(2);
  expect(namesOf('web1')[0]).toBe(first.name);
  expect(other).toMatchObject({ result: 'ok', pulled: [{}] });
});

it('F39 counts what a host has left here besides archives: bad ones of one name, cut transfers, histories', async () => {
  archiver.configureHosts(['web1'], { host: 'quota: 30kB' });
  const work = archiver.workDir('web1');
  const tell = () => pull().then(([report]) => report?.error?.code);
  const quarantine = join(archiver.root, '.quarantine/web1');
  // each is bad in its own way, so each is fetched
  const codes: unknown[] = [];
  for (let n = 0; n < 8; n += 1) {
    await makeArchive(work, { host: 'web1', time: daysAgo(1), content: `${n}`, manifest: '{}' });
    codes.push(await tell());
  }
  expect(codes[0]).toBe('not-an-archive');
  expect(codes.at(-1)).toBe('quota');
  const sizes = readdirSync(quarantine).map((file) => statSync(join(quarantine, file)).size);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(31_000);

  rmSync(quarantine, { recursive: true });
  rmSync(work, { recursive: true });
  const { name } = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(1) });
  for (const besides of [`mediawiki/.part-${name}x.tar.01234567`, 'history/mediawiki-web1.jsonl']) {
    const file = join(archiver.root, 'web1', besides);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, Buffer.alloc(30_000));
    // its own leftover is what it goes on from
    expect(besidesArchives(archiver.root, 'web1', name), besides).toBe(30_000);
    expect(besidesArchives(archiver.root, 'web1', `${name}x`)).toBe(besides.includes('.part-') ? 0 : 30_000);
    rmSync(file);
  }
  expect(await tell()).toBe(undefined);
});

it('F39 what an SFTP server that lies floods pushes out nothing: names and clocks of its own, other bytes at each look', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  const files: Record<string, { content: Buffer; lies?: Partial<HostileAttributes> }> = {};
  let looks = 0;
  await using broken = await startHostileSftp({
    files: () => {
      looks += 1;
      return files;
    },
  });
  archiver.configure(
    `retention: {last: 3, daily: 6, minimum: 2}\nhosts:\n  web1: {url: "${broken.url}", hostKeys: ["${broken.hostKeys[0]}"]}\n`,
  );
  const offer = (name: string, content: Buffer, lies?: Partial<HostileAttributes>): void => {
    const sha256 = createHash('sha256').update(content).digest('hex');
    files[`${name}.tar`] = { content, ...(lies && { lies }) };
    files[`${name}.tar.sha256`] = { content: Buffer.from(`${sha256}  ${name}.tar\n`) };
  };
  const seconds = (time: Date): number => Math.floor(time.getTime() / 1000);
  const aside = join(archiver.directory, 'aside');
  for (let day = 1; day <= GOOD_DAYS; day += 1) {
    onDay(day);
    const { name, path } = await makeArchive(aside, { host: 'web1', time: new Date() });
    offer(name, readFileSync(path), { mtime: seconds(new Date()) });
    expect(await pull()).toMatchObject([{ result: 'ok', pulled: [{ name }] }]);
  }
  const had = namesOf('web1');
  expect(had).toHaveLength(6);

  // broken into: what is newer by its name, its manifest, its time of change; of the past, of the future, of other hosts
  const [newest] = Object.values(files).slice(-2) as [{ content: Buffer }];
  const garbage = newest.content;
  const far = new Date(Date.now() + 3650 * DAY_MS);
  const later = await makeArchive(aside, { host: 'web1', time: far });
  for (let round = 1; round <= 5; round += 1) {
    onDay(GOOD_DAYS + 0.2 + round / 100);
    offer(`mediawiki-web1-${stamp(new Date())}`, garbage);
    offer(`mediawiki-web1-${stamp(new Date(far.getTime() + round * DAY_MS))}`, readFileSync(later.path), {
      mtime: 2 ** 32 - 1,
    });
    offer(`mediawiki-web1-${stamp(new Date(round * DAY_MS))}`, garbage, { mtime: 0 });
    offer(`mediawiki-web2-${stamp(new Date())}`, garbage);
    // under the name of one that is kept: other bytes, a checksum file that goes with them
    offer(had[round] as string, Buffer.concat([garbage, Buffer.alloc(512, round)]));
    // larger or smaller than its listing said, by then
    offer(`mediawiki-web1-${stamp(new Date(Date.now() - 1000))}`, garbage, { size: garbage.length + round });
    const before = looks;
    const [report] = await pull();
    expect(looks).toBeGreaterThan(before);
    expect(report).toMatchObject({ pruned: [] });
    expect(namesOf('web1')).toEqual(expect.arrayContaining(had));
  }
  const [report] = await pull();
  expect(report?.failures.map(({ code }) => code)).toContain('store-exists');
  expect(report?.warnings.join()).toMatch(/not pruned: more archives came than usual/);
  expect(namesOf('web2')).toEqual([]);
  // what its clock said counts for nothing: none is newer than the moment it came
  expect(await archiver.query(`SELECT count(*) FROM archives WHERE time > received_at`)).toBe('0');
  await execa('sha256sum', ['--check', '--status', ...had.map((name) => `${name}.tar.sha256`)], {
    cwd: join(archiver.root, 'web1/mediawiki'),
  });
  const { findings } = await archiver.inProcess(({ catalog, configuration, now }) =>
    check(catalog, configuration, configuration.hosts, [], now),
  );
  expect(findings.map((found) => [found.check, found.level])).toContainEqual(['flood', 'critical']);
});

it('F39 a server that answers otherwise at each look of one file gets nothing under a final name', async () => {
  const made = await makeArchive(join(archiver.directory, 'aside'), { host: 'web1', time: daysAgo(1) });
  const whole = readFileSync(made.path);
  const sidecar = readFileSync(`${made.path}.sha256`);
  let looks = 0;
  await using broken = await startHostileSftp({
    files: () => {
      looks += 1;
      const content = looks % 2 === 0 ? whole : Buffer.concat([whole.subarray(0, 512), Buffer.alloc(looks)]);
      return { [`${made.name}.tar`]: { content }, [`${made.name}.tar.sha256`]: { content: sidecar } };
    },
  });
  archiver.configure(
    `hosts:\n  web1: {url: "${broken.url}", hostKeys: ["${broken.hostKeys[0]}"], remove: true}\n`,
  );
  for (let attempt = 0; attempt < 6; attempt += 1) {
    const [report] = await pull();
    if (report?.result === 'ok') continue;
    expect(report?.result).toBe('failed');
    expect(archiver.stored().filter((file) => !/part-|garner-archive/.test(file))).toEqual([]);
  }
  for (const name of namesOf('web1'))
    expect(readFileSync(join(archiver.root, `web1/mediawiki/${name}.tar`)).equals(whole)).toBe(true);
});
