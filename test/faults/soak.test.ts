// F73: a seeded random walk through what can happen to an archiver and its store. After each step what must always hold is
// looked at by means of the test's own.
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, it } from 'vitest';
import { type Ended, testArchiver } from '../helpers/archiver.ts';
import { type MadeArchive, makeArchive } from '../helpers/make-archive.ts';
import { randomFrom, SEED, THOROUGH } from '../helpers/random.ts';

const STEPS = THOROUGH ? 120 : 24;
const MINIMUM = 2;
const HOSTS = ['keeps', 'removes'] as const;

const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

function flipBit(path: string, at: number): void {
  const data = readFileSync(path);
  const offset = Math.floor(at * data.length);
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.from([(data[offset] as number) ^ 4]), 0, 1, offset);
  closeSync(fd);
}

it(`F73 keeps what must hold through a random walk (seed ${SEED})`, {
  timeout: 60_000 + STEPS * 5000,
}, async () => {
  const random = randomFrom(SEED);
  const pick = <T>(all: readonly T[]): T | undefined => all[Math.floor(random() * all.length)];
  const archiver = testArchiver();
  const made = new Map<string, MadeArchive & { host: string }>();
  const tampered = new Set<string>();
  const told: string[] = [];
  let minutes = 0;
  archiver.configure(
    `retention: {last: 4, minimum: ${MINIMUM}}\nhosts:\n` +
      `  keeps: {url: "file://${archiver.workDir('keeps')}"}\n` +
      `  removes: {url: "file://${archiver.workDir('removes')}", remove: true}\n`,
  );
  archiver.setUp();

  const stored = (host: string): string[] =>
    archiver
      .stored()
      .filter(
        (path) =>
          path.startsWith(`${host}/`) && path.endsWith('.tar') && !basename(path).startsWith('.part-'),
      )
      .map((path) => join(archiver.root, path));
  const isGood = (path: string): boolean => made.get(basename(path, '.tar'))?.sha256 === sha256(path);
  const good = (host: string): number => stored(host).filter(isGood).length;
  const offered = (host: string): string[] =>
    readdirSync(archiver.workDir(host)).filter((name) => name.endsWith('.tar'));
  const rows = async (): Promise<Map<string, string>> =>
    new Map(
      (await archiver.query('SELECT name, state FROM archives'))
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => line.split('|') as [string, string]),
    );

  /** Runs the archiver and looks at what must hold, however it ended. */
  async function run(args: string[], wrap: string[] = []): Promise<Ended> {
    const before = HOSTS.map((host) => ({ host, good: good(host), offered: offered(host) }));
    const ended = await archiver.run(args, { wrap });
    told.push(`${args.join(' ')} ${wrap.join(' ')} -> ${ended.exitCode}`);
    const context = `${told.slice(-12).join('\n')}\n${ended.stderr}`;
    const states = await rows();
    if (ended.exitCode !== 0 && ended.exitCode !== 137) expect(ended.stderr, context).not.toBe('');
    for (const { host, good: had, offered: names } of before) {
      expect(good(host), `I3 ${host}\n${context}`).toBeGreaterThanOrEqual(Math.min(MINIMUM, had));
      const gone = names.filter((name) => !existsSync(join(archiver.workDir(host), name)));
      for (const file of gone) {
        const name = basename(file, '.tar');
        const path = join(archiver.root, host, 'mediawiki', file);
        const safe = existsSync(path)
          ? isGood(path)
          : ['removed', 'removing'].includes(states.get(name) ?? '');
        expect(host === 'removes' && safe && states.has(name), `I4 ${file}\n${context}`).toBe(true);
      }
      for (const path of stored(host)) {
        if (!tampered.has(basename(path, '.tar'))) expect(isGood(path), `I2 ${path}\n${context}`).toBe(true);
      }
    }
    if (args[0] === 'pull' && ended.exitCode === 0) {
      for (const host of HOSTS)
        for (const file of offered(host)) {
          const state = states.get(basename(file, '.tar'));
          expect(['present', 'removed'], `I1 ${file} ${state}\n${context}`).toContain(state);
        }
    }
    if (args[0] === 'verify' && (ended.exitCode === 0 || ended.exitCode === 5)) tampered.clear();
    return ended;
  }

  const steps: Record<string, () => Promise<unknown>> = {
    async write() {
      const host = pick(HOSTS) as string;
      minutes += 7;
      const time = new Date(Date.UTC(2026, 0, 1) + minutes * 60_000);
      const archive = await makeArchive(archiver.workDir(host), {
        host,
        time,
        content: `${random()}`.repeat(500),
      });
      made.set(archive.name, { ...archive, host });
      told.push(`write ${archive.name}`);
    },
    pull: () => run(['pull']),
    pullThenPrune: async () => {
      await run(['pull', '--no-prune']);
      await run(['prune', '--allow-large']);
    },
    killed: () => {
      const call = pick(['fsync', 'rename', 'unlink', 'link', 'pwrite64', 'openat'] as const);
      const when = 1 + Math.floor(random() * (call === 'openat' || call === 'pwrite64' ? 120 : 12));
      const wrap = [
        'strace',
        '-f',
        '-qqq',
        '-o',
        '/dev/null',
        '-e',
        `trace=${call}`,
        '-e',
        `inject=${call}:signal=KILL:when=${when}`,
      ];
      return run(random() < 0.7 ? ['pull'] : ['prune', '--allow-large'], wrap);
    },
    failing: () => {
      const call = pick(['fsync', 'rename', 'unlink', 'link', 'pwrite64']);
      const inject = `inject=${call}:error=${pick(['EIO', 'ENOSPC'])}:when=${1 + Math.floor(random() * 12)}`;
      return run(['pull'], ['strace', '-f', '-qqq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject]);
    },
    verify: () => run(['verify']),
    rescan: () => run(['rescan']),
    flip: async () => {
      const path = pick(HOSTS.flatMap(stored));
      if (path === undefined) return;
      flipBit(path, random());
      tampered.add(basename(path, '.tar'));
      told.push(`flip ${basename(path)}`);
    },
    flipAtSource: async () => {
      const host = pick(HOSTS) as string;
      const file = pick(offered(host));
      if (file === undefined || stored(host).some((path) => basename(path) === file)) return;
      flipBit(join(archiver.workDir(host), file), random());
      told.push(`flip at source ${file}`);
    },
    deleted: async () => {
      const path = pick(HOSTS.flatMap(stored));
      if (path === undefined) return;
      rmSync(path);
      told.push(`delete ${basename(path)}`);
    },
    noSidecar: async () => {
      const path = pick(HOSTS.flatMap(stored));
      if (path !== undefined) rmSync(`${path}.sha256`, { force: true });
      told.push(`no sidecar ${path}`);
    },
    catalogLost: async () => {
      rmSync(join(archiver.root, '.catalog/catalog.sqlite'));
      expect((await archiver.run(['pull'])).exitCode).toBe(1);
      await archiver.run(['rescan']);
      told.push('catalog lost, rescan');
    },
    clock: () => run(['pull'], ['faketime', '-f', pick(['-30m', '+40m', '+2d', '-1d']) as string]),
  };
  const more = ['write', 'write', 'write', 'write', 'pull', 'killed', 'killed', 'flip'];
  const weighted = [...Object.keys(steps), ...more];
  for (let step = 0; step < STEPS; step++) {
    await (steps[pick(weighted) as string] as () => Promise<unknown>)();
  }
  // whatever has happened, it goes on by itself
  await run(['rescan']);
  for (const host of HOSTS)
    for (const file of offered(host))
      if (!isGood(join(archiver.workDir(host), file))) rmSync(join(archiver.workDir(host), file));
  const last = await run(['pull', '--json']);
  expect([0, 3], `${told.slice(-20).join('\n')}\n${last.stderr}`).toContain(last.exitCode);
  expect(archiver.stored().filter((path) => path.includes('.part-'))).toEqual([]);
  archiver.remove();
});
