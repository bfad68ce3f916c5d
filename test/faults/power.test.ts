// The power goes after any call that changes a file, on real file systems. After the reboot an archive under its final name
// is whole and as its checksum files say, a source's copy is gone only where the archive's is proven, and the next run
// needs no hand. `make faults` cuts after every call, `make test` after a few, by the seed.
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { readSidecar } from '../../archive/read.ts';
import { verifyArchive } from '../../archive/verify.ts';
import { daysAgo, testArchiver } from '../helpers/archiver.ts';
import { checkArchives } from '../helpers/check-archives.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { CUTS, canCutPower, type Disk, FILE_SYSTEMS, type FileSystem, makeDisk } from '../helpers/power.ts';
import { randomFrom, SEED, THOROUGH } from '../helpers/random.ts';
import { makeBench } from '../helpers/run.ts';
import { killAfter, type Stopped } from '../helpers/system-calls.ts';

const TRIES = 2;
const LIMIT = { timeout: THOROUGH ? 3_600_000 : 120_000 };
const sh = (script: string, ...args: string[]) =>
  execa('bash', ['-euo', 'pipefail', '-c', script, 'bash', ...args]);
const sha256 = async (path: string) => (await sh('sha256sum < "$1" | cut -c-64', path)).stdout;

/** Also by what each archive's members should be. */
async function verifyArchives(directory: string, at: string): Promise<void> {
  for (const path of await checkArchives(directory, at)) {
    const expectedSha256 = readSidecar(path, 'sha256');
    expect(expectedSha256, at).toBeDefined();
    await verifyArchive(path, {
      expectedSha256,
      signal: new AbortController().signal,
      name: `${path} ${at}`,
    });
  }
}

/**
 * Cuts the power after the n-th call and reboots: for every n until the run passes, or for some; both kinds of cuts.
 * @param prepare makes the start of an attempt; what it leaves is synced
 * @param run the run that is cut off, by this command
 * @param look gets told after which call the power went, after the reboot; `''` where the run passed
 */
async function sweep(
  disk: Disk,
  prepare: () => Promise<void>,
  run: (wrap: string[]) => Promise<{ exitCode: number | undefined; stderr: string }>,
  look: (at: string) => Promise<void>,
): Promise<void> {
  const attempt = async (n: number, how: (typeof CUTS)[number]): Promise<Stopped<unknown>> => {
    await prepare();
    await sh('sync -f "$1"', disk.path);
    const stopped = await killAfter(disk.path, n, run, () => disk.cut(how));
    const { ended, at } = stopped;
    if (at === undefined) expect(ended.exitCode, ended.stderr).toBe(0);
    // what a run has called done must outlive a cut right after it
    if (at === undefined) await disk.cut(how);
    await disk.reboot();
    await look(at === undefined ? '' : `power cut ${how} after ${at}`);
    return stopped;
  };
  const { count } = await attempt(Number.POSITIVE_INFINITY, 'at once');
  expect(count).toBeGreaterThan(TRIES);
  const random = randomFrom(SEED);
  for (const how of CUTS) {
    if (THOROUGH) for (let n = 1; (await attempt(n, how)).at !== undefined; n += 1);
    else
      for (let i = 0; i < TRIES; i += 1) await attempt(1 + Math.floor(((i + random()) / TRIES) * count), how);
  }
}

const eachFileSystem = (title: string, test: (kind: FileSystem) => Promise<void>): void => {
  for (const kind of FILE_SYSTEMS)
    it.skipIf(!canCutPower(kind))(`${title} (${kind}, seed ${SEED})`, LIMIT, () => test(kind));
};

eachFileSystem('F21 an agent: its archive is whole or absent after a power cut', async (kind) => {
  const bench = makeBench();
  const disk = await makeDisk(kind);
  const root = join(bench.directory, 'srv');
  const work = join(disk.path, 'garner/work');
  mkdirSync(root);
  await sh('head -c 200000 /dev/urandom > "$1/large"; echo b > "$1/small"', root);
  const agent = (wrap: string[] = []) =>
    bench.run('agent-directories', [], { env: { DIRECTORIES: root, GARNER_WORK_DIR: work }, wrap });
  const archives = (): string[] =>
    existsSync(work) ? readdirSync(work).filter((name) => name.endsWith('.tar')) : [];
  await sweep(
    disk,
    async () => void (await sh('rm -rf "$1/garner"', disk.path)),
    agent,
    async (at) => {
      if (at === '') expect(archives()).toHaveLength(1);
      await verifyArchives(disk.path, at);
      const before = archives();
      const next = await agent();
      expect(next.exitCode, `${at}\n${next.stderr}`).toBe(0);
      expect(archives()).toHaveLength(before.length + 1);
      expect(
        readdirSync(work).filter((name) => name.startsWith('.part-')),
        at,
      ).toEqual([]);
      await verifyArchives(disk.path, at);
    },
  );
  bench.remove();
});

eachFileSystem(
  'F21 F41 a pull: at its host or safe here after a power cut, and the catalog opens',
  async (kind) => {
    const archiver = testArchiver();
    const disk = await makeDisk(kind);
    // the host has another disk, whose power stays
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    const work = archiver.workDir('web1');
    const made = await makeArchive(join(archiver.directory, 'made'), { host: 'web1', time: daysAgo(1) });
    archiver.setUp();
    await sh('mv "$1/archive" "$1/start"; ln -s "$2/archive" "$1/archive"', archiver.directory, disk.path);
    const here = join(archiver.root, 'web1/mediawiki', `${made.name}.tar`);
    await sweep(
      disk,
      async () =>
        void (await sh(
          'rm -rf "$2/archive"; cp -a "$1/start" "$2/archive"; cp -a "$1/made/." "$3"',
          archiver.directory,
          disk.path,
          work,
        )),
      (wrap) => archiver.run(['pull'], { wrap }),
      async (at) => {
        await verifyArchives(archiver.root, at);
        const offered = join(work, `${made.name}.tar`);
        if (existsSync(offered)) expect(await sha256(offered)).toBe(made.sha256);
        else {
          expect(existsSync(here) && (await sha256(here)), `I4 ${at}`).toBe(made.sha256);
          expect(await archiver.query('SELECT state, sha256 FROM archives'), `I4 ${at}`).toBe(
            `present|${made.sha256}`,
          );
        }
        const next = await archiver.run(['pull']);
        expect(next.exitCode, `${at}\n${next.stderr}`).toBe(0);
        expect(existsSync(offered), at).toBe(false);
        expect(await sha256(here), at).toBe(made.sha256);
        expect(await archiver.query('PRAGMA integrity_check; SELECT state FROM archives')).toBe(
          'ok\npresent',
        );
        await verifyArchives(archiver.root, at);
      },
    );
    archiver.remove();
  },
);

eachFileSystem(
  'F21 F41 a prune: what is to be kept is whole after a power cut, and the next one goes on',
  async (kind) => {
    const archiver = testArchiver();
    const disk = await makeDisk(kind);
    archiver.configureHosts(['web1'], { retention: '{last: 1, minimum: 1}' });
    archiver.setUp();
    const names: string[] = [];
    for (const days of [2, 1])
      names.push((await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(days) })).name);
    expect((await archiver.run(['pull', '--no-prune'])).exitCode).toBe(0);
    await sh('mv "$1/archive" "$1/start"; ln -s "$2/archive" "$1/archive"', archiver.directory, disk.path);
    const group = join(archiver.root, 'web1/mediawiki');
    const kept = ['tar', 'tar.sha1', 'tar.sha256'].map((suffix) => `${names[1]}.${suffix}`);
    await sweep(
      disk,
      async () =>
        void (await sh('rm -rf "$2/archive"; cp -a "$1/start" "$2/archive"', archiver.directory, disk.path)),
      (wrap) => archiver.run(['prune'], { wrap }),
      async (at) => {
        await verifyArchives(archiver.root, at);
        expect(readdirSync(group), at).toEqual(expect.arrayContaining(kept));
        const next = await archiver.run(['prune']);
        expect(next.exitCode, `${at}\n${next.stderr}`).toBe(0);
        expect(readdirSync(group).sort(), at).toEqual(kept);
        expect(
          await archiver.query('PRAGMA integrity_check; SELECT state FROM archives ORDER BY name'),
          at,
        ).toBe('ok\nremoved\npresent');
      },
    );
    archiver.remove();
  },
);
