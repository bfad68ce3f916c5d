// Retention through bad times: days on which backups fail, arrive damaged or don't come at all.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { daysAgo, type Ended, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { randomFrom, SEED, THOROUGH } from '../helpers/random.ts';

const DAY_MS = 86_400_000;
const DAYS = THOROUGH ? 30 : 8;
const KEPT = 3;
const random = randomFrom(SEED);

let archiver: TestArchiver;
let work: string;
/** Digests of the archives that were good. */
let made: Map<string, string>;

beforeEach(() => {
  archiver = testArchiver();
  archiver.setUp();
  work = archiver.workDir('web1');
  made = new Map();
});
afterEach(() => archiver.remove());

/** Runs the archiver so many days from now. */
const runOnDay = (day: number, args: string[]): Promise<Ended> =>
  archiver.run(args, { wrap: ['faketime', '-f', `+${day}d`] });

const timeOf = (day: number): Date => new Date(daysAgo(1).getTime() + day * DAY_MS);

function goodNames(): string[] {
  return archiver
    .stored()
    .filter((file) => file.startsWith('web1/') && file.endsWith('.tar'))
    .filter((file) => {
      const sha256 = createHash('sha256')
        .update(readFileSync(join(archiver.root, file)))
        .digest('hex');
      return made.get(basename(file, '.tar')) === sha256;
    });
}

async function deliver(day: number): Promise<string> {
  const archive = await makeArchive(work, { host: 'web1', time: timeOf(day) });
  made.set(archive.name, archive.sha256);
  return archive.name;
}

/** A bad day: what may come of a backup that went wrong, and whether somebody must be told. */
const BAD_DAYS: Record<string, (day: number) => Promise<{ loud: boolean }>> = {
  async nothing() {
    return { loud: false };
  },
  async 'a flipped bit'(day) {
    const { path } = await makeArchive(work, { host: 'web1', time: timeOf(day) });
    const bytes = readFileSync(path);
    const at = Math.floor(random() * bytes.length);
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    writeFileSync(path, bytes);
    return { loud: true };
  },
  async 'cut off'(day) {
    const { path } = await makeArchive(work, { host: 'web1', time: timeOf(day) });
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.subarray(0, Math.floor(random() * bytes.length)));
    return { loud: true };
  },
  async 'no checksum file'(day) {
    const { path } = await makeArchive(work, { host: 'web1', time: timeOf(day) });
    rmSync(`${path}.sha256`);
    return { loud: true };
  },
  async 'a lie with a checksum that agrees'(day) {
    await makeArchive(work, { host: 'web1', time: timeOf(day), manifest: { application: 'jira' } });
    return { loud: true };
  },
  async 'an empty file'(day) {
    const { path, name } = await makeArchive(work, { host: 'web1', time: timeOf(day) });
    writeFileSync(path, '');
    writeFileSync(`${path}.sha256`, `${createHash('sha256').digest('hex')}  ${name}.tar\n`);
    return { loud: true };
  },
};

it(`F44 F43 keeps what it had through 30 failing days, pruned every day (seed ${SEED})`, {
  timeout: 300_000,
}, async () => {
  archiver.configureHosts(['web1'], { retention: `{daily: ${KEPT}, minimum: 2}` });
  for (let day = -KEPT; day < 0; day += 1) await deliver(day);
  expect((await archiver.run(['pull'])).exitCode).toBe(0);
  const had = goodNames();
  expect(had.length).toBe(KEPT);

  const kinds = Object.keys(BAD_DAYS);
  for (let day = 1; day <= DAYS; day += 1) {
    const kind = kinds[Math.floor(random() * kinds.length)] as string;
    // somebody tidies up at the host
    rmSync(work, { recursive: true });
    mkdirSync(work);
    const { loud } = await (BAD_DAYS[kind] as (typeof BAD_DAYS)[string])(day);
    const pull = await runOnDay(day, ['pull']);
    const context = `day ${day}, ${kind}\n${pull.stderr}`;
    expect(pull.exitCode, context).toBe(loud ? 1 : 0);
    if (loud) {
      const stamp = timeOf(day).toISOString().slice(0, 10).replaceAll('-', '');
      expect(pull.stderr, context).toMatch(new RegExp(`error: web1: .*mediawiki-web1-${stamp}T`));
    }
    expect(goodNames(), context).toEqual(had);
    if (random() < 0.5) await runOnDay(day, ['prune', '--allow-large']);
    expect(goodNames(), context).toEqual(had);
  }
  // and when it works again, the old ones go one by one
  rmSync(work, { recursive: true });
  mkdirSync(work);
  const back = await deliver(DAYS + 1);
  expect((await runOnDay(DAYS + 1, ['pull'])).exitCode).toBe(0);
  expect(goodNames()).toEqual([...had.slice(1), `web1/mediawiki/${back}.tar`]);
});

it('F44 keeps the minimum when nothing came for a month and all is older than the policy', async () => {
  archiver.configureHosts(['web1'], { retention: '{within: 7d, minimum: 2}' });
  for (let day = -4; day < 0; day += 1) await deliver(day);
  expect((await archiver.run(['pull'])).exitCode).toBe(0);
  const had = goodNames();
  expect(had.length).toBe(4);
  expect((await runOnDay(30, ['pull'])).stderr).toContain('2 of 4 archives would go at once');
  expect(goodNames()).toEqual(had);
  for (const day of [30, 31, 60]) {
    expect((await runOnDay(day, ['prune', '--allow-large'])).exitCode).toBe(0);
    expect(goodNames()).toEqual(had.slice(-2));
  }
});

it('F44 F43 keeps the minimum of good ones where newer ones have gone bad at rest', async () => {
  archiver.configureHosts(['web1'], { retention: '{last: 2, minimum: 2}' });
  for (let day = -5; day < 0; day += 1) await deliver(day);
  expect((await archiver.run(['pull', '--no-prune'])).exitCode).toBe(0);
  rmSync(work, { recursive: true });
  mkdirSync(work);
  const [oldest, older, ...newer] = goodNames();
  for (const file of newer) copyFileSync(join(archiver.root, oldest as string), join(archiver.root, file));
  for (const day of [1, 2]) await runOnDay(day, ['prune', '--allow-large']);
  expect(goodNames()).toEqual([oldest, older]);
  expect(readdirSync(join(archiver.root, '.quarantine/web1')).length).toBe(2 * newer.length + newer.length);
});
