// F34: a host that keeps just within every limit, and so keeps a pull waiting: no other host, and no other run, waits for it.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { openCatalog } from '../../archiver/catalog/catalog.ts';
import { readConfiguration } from '../../archiver/configuration.ts';
import { type PullOptions, pullHosts } from '../../archiver/pull.ts';
import type { HostReport } from '../../archiver/pull-host.ts';
import type { Setup } from '../../archiver/run.ts';
import { lockStore } from '../../archiver/store-lock.ts';
import { cannot } from '../../lib/errors.ts';
import { openFileStore } from '../../stores/file.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { type HostileSftp, startHostileSftp } from '../helpers/hostile-sftp.ts';
import { makeArchive, stamp } from '../helpers/make-archive.ts';

const DRIP_MS = 300;
const timedOut = cannot('timeout', 'finish', 'pull', 'the time limit has passed');

const waitFor = <T>(look: () => T | Promise<T>): Promise<T> => vi.waitFor(async () => await look(), 20_000);

let archiver: TestArchiver;
let drip: HostileSftp;
let reads: number;
/** How many archives the host offers, and how much of a file it gives at once. */
let [count, bytes] = [1, 1];
const CONTENT = Buffer.alloc(150);
beforeEach(async () => {
  [reads, count, bytes] = [0, 1, 1];
  const names = (): string[] =>
    Array.from({ length: count }, (_, day) => `mediawiki-slow-${stamp(daysAgo(day + 1))}.tar`);
  drip = await startHostileSftp({
    files: () =>
      Object.fromEntries(
        names().flatMap((name) => [name, `${name}.sha256`].map((file) => [file, { content: CONTENT }])),
      ),
    read: (sftp, id) => {
      reads += 1;
      setTimeout(() => sftp.data(id, CONTENT.subarray(0, bytes)), DRIP_MS);
    },
  });
  archiver = testArchiver();
  archiver.setUp();
  archiver.configure(
    `retention: {last: 1}\nhosts:\n  slow: {url: "${drip.url}", hostKeys: ["${drip.hostKeys[0]}"]}\n  good: {url: "file://${archiver.workDir('good')}"}\n`,
  );
});
afterEach(async () => {
  await drip[Symbol.asyncDispose]();
  archiver.remove();
});

const deliver = (days: number) =>
  makeArchive(archiver.workDir('good'), { host: 'good', time: daysAgo(days) });

/** A pull that goes on until its time is over. */
async function startPull(
  patience: PullOptions['patience'],
): Promise<{ done: Promise<HostReport[]>; end(): void }> {
  const configuration = readConfiguration(archiver.configFile);
  const settings = { GARNER_RUN_DIR: join(archiver.directory, 'run') };
  const lock = lockStore({ configuration, settings, hosts: [] } as unknown as Setup);
  const ending = new AbortController();
  const run = async (): Promise<HostReport[]> => {
    using held = lock;
    await using catalog = openCatalog(configuration.catalog);
    await using archives = openFileStore(configuration.root);
    const own = { configuration, catalog, archives, signal: ending.signal, now: new Date(), lock: held };
    return await pullHosts(own, configuration.hosts, { prune: true, dryRun: false, patience });
  };
  const done = run();
  done.catch(() => {});
  return { done, end: () => ending.abort(timedOut) };
}

it('F34 other runs are let at the hosts that are done with, while one drips', async () => {
  const first = await deliver(3);
  const slow = await startPull({ handOverMs: 50 });
  await waitFor(async () => expect(await archiver.query('SELECT name FROM hosts')).toBe('good'));
  await waitFor(() => expect(reads).toBeGreaterThan(0));
  const second = await deliver(2);

  const next = await waitFor(() => archiver.runHere(['pull', '--json']));
  const { hosts } = JSON.parse(next.stdout);
  expect(next.exitCode).toBe(3);
  expect(hosts).toMatchObject([
    { host: 'slow', result: 'warnings', warnings: ['left out: an earlier pull is still at it'] },
    { host: 'good', pulled: [{ name: second.name }], pruned: [first.name] },
  ]);
  expect((await archiver.runHere(['prune'])).exitCode).toBe(3);
  await expect(archiver.runHere(['pull', 'slow'])).rejects.toMatchObject({ code: 'locked' });
  await expect(archiver.runHere(['rescan'])).rejects.toMatchObject({ code: 'locked' });

  slow.end();
  const reports = await slow.done;
  expect(reports.map(({ host, result }) => [host, result])).toEqual([
    ['slow', 'failed'],
    ['good', 'ok'],
  ]);
  await archiver.runHere(['rescan']);
});

it('F34 a host that drips takes no place of those that are well', async () => {
  writeFileSync(archiver.configFile, `parallel: 1\n${readFileSync(archiver.configFile, 'utf8')}`);
  const { name } = await deliver(1);
  // it is never silent, and never done: a checksum file after the other
  [count, bytes] = [100, CONTENT.length];
  const slow = await startPull({ slowMs: 3 * DRIP_MS });
  await waitFor(() => expect(archiver.stored()).toContain(`good/mediawiki/${name}.tar`));
  slow.end();
  expect(await slow.done).toMatchObject([{ result: 'failed' }, { result: 'ok' }]);
});

it('F34 what the time limit ends is the failure of its host; what others delivered is told and written down', async () => {
  const { name } = await deliver(1);
  const slow = await startPull({});
  await waitFor(() => expect(archiver.stored()).toContain(`good/mediawiki/${name}.tar`));
  await expect(archiver.runHere(['pull'])).rejects.toMatchObject({ code: 'locked' });
  slow.end();
  expect(await slow.done).toMatchObject([
    { host: 'slow', result: 'failed', error: { code: 'timeout' }, failureCount: 1 },
    { host: 'good', result: 'ok', pulled: [{ name }] },
  ]);
  expect(await archiver.query('SELECT name || result FROM hosts ORDER BY name')).toBe('goodok\nslowfailed');
});
