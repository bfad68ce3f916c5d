// In which order files are written, synced, named and removed, as strace sees it: the promises that a power cut tests only
// by luck, on file systems that keep them by accident.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { daysAgo, testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { makeHost } from '../helpers/notify.ts';
import { makeBench } from '../helpers/run.ts';
import { type Steps, traceOrder } from '../helpers/system-calls.ts';

/** Each of these steps is there, and comes after the one before it. */
function expectOrder({ steps, flaws }: Steps, wanted: string[]): void {
  expect(flaws).toEqual([]);
  let at = -1;
  for (const step of wanted) {
    const next = steps.indexOf(step, at + 1);
    expect(
      next,
      `"${step}" after ${at < 0 ? 'the start' : `"${steps[at]}"`} in\n${steps.join('\n')}`,
    ).toBeGreaterThan(at);
    at = next;
  }
}

/** What is kept to look into archives is made again where it is lost. */
const isFinal = (path: string): boolean =>
  !/\/\.part-|\/\.catalog\/listings(\/|$)|\.(lock|holder)(-journal)?$|\/run$|-journal$/.test(path);

it('F22 an agent syncs the archive, then its checksum files and their names, and names the archive last', async () => {
  const bench = makeBench();
  const [root, work] = [join(bench.directory, 'srv'), join(bench.directory, 'deep/work')];
  mkdirSync(root);
  writeFileSync(join(root, 'file'), 'content\n');
  const env = { DIRECTORIES: root, GARNER_WORK_DIR: work };
  let archive = '';
  const order = await traceOrder(
    bench.directory,
    async (wrap) => {
      archive = await bench.backup('agent-directories', { env, wrap });
    },
    isFinal,
  );
  expectOrder(order, [
    `name ${archive}.sha256`,
    `sync ${work}`,
    `name ${archive}.sha1`,
    `sync ${work}`,
    `name ${archive}`,
    `sync ${work}`,
  ]);
  const part = order.steps.findIndex(
    (step) => step.startsWith(`sync ${work}/.part-`) && !step.includes('.sha'),
  );
  expect(part).toBeGreaterThan(-1);
  expect(part).toBeLessThan(order.steps.indexOf(`name ${archive}.sha256`));
  bench.remove();
});

it('F22 a pull removes at the source when archive, checksum files, names and catalog are synced: the archive first', async () => {
  const archiver = testArchiver();
  archiver.setUp();
  archiver.configureHosts(['web1'], { host: 'remove: true' });
  const made = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(1) });
  const group = join(archiver.root, 'web1/mediawiki');
  const here = join(group, `${made.name}.tar`);
  const catalog = join(archiver.root, '.catalog');
  const order = await traceOrder(archiver.directory, (wrap) => archiver.run(['pull'], { wrap }), isFinal);
  expectOrder(order, [
    `name ${here}.sha256`,
    `sync ${group}`,
    `name ${here}`,
    `sync ${group}`,
    `sync ${catalog}/catalog.sqlite`,
    `remove ${catalog}/catalog.sqlite-journal`,
    `sync ${catalog}`,
    `remove ${made.path}`,
    `sync ${archiver.workDir('web1')}`,
    `remove ${made.path}.sha256`,
  ]);
  archiver.remove();
});

it('F22 F40 a pull that finds the archive here syncs it before it removes it at the source', async () => {
  const archiver = testArchiver();
  archiver.setUp();
  archiver.configureHosts(['web1']);
  const made = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(1) });
  expect((await archiver.run(['pull'])).exitCode).toBe(0);
  // as a run leaves it that was cut off before it wrote the archive down
  await archiver.query('DELETE FROM archives');
  archiver.configureHosts(['web1'], { host: 'remove: true' });
  const group = join(archiver.root, 'web1/mediawiki');
  const here = join(group, `${made.name}.tar`);
  const catalog = join(archiver.root, '.catalog');
  const order = await traceOrder(archiver.directory, (wrap) => archiver.run(['pull'], { wrap }), isFinal);
  const rest = [
    `sync ${group}`,
    `remove ${catalog}/catalog.sqlite-journal`,
    `sync ${catalog}`,
    `remove ${made.path}`,
  ];
  for (const file of [here, `${here}.sha256`, `${here}.sha1`]) expectOrder(order, [`sync ${file}`, ...rest]);
  archiver.remove();
});

it('F22 prune writes down what it intends, synced, before it deletes: the archive first, synced, then its checksum files', async () => {
  const archiver = testArchiver();
  archiver.setUp();
  archiver.configureHosts(['web1'], { retention: '{last: 1, minimum: 1}' });
  const made = [];
  for (const days of [2, 1])
    made.push(await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(days) }));
  expect((await archiver.run(['pull', '--no-prune'])).exitCode).toBe(0);
  const group = join(archiver.root, 'web1/mediawiki');
  const old = join(group, `${made[0]?.name}.tar`);
  const catalog = join(archiver.root, '.catalog');
  const order = await traceOrder(archiver.directory, (wrap) => archiver.run(['prune'], { wrap }), isFinal);
  expectOrder(order, [
    `sync ${catalog}/catalog.sqlite`,
    `remove ${catalog}/catalog.sqlite-journal`,
    `sync ${catalog}`,
    `remove ${old}`,
    `sync ${group}`,
    `remove ${old}.sha256`,
    `sync ${catalog}/catalog.sqlite`,
    `remove ${catalog}/catalog.sqlite-journal`,
    `sync ${catalog}`,
  ]);
  expect(await archiver.query("SELECT kind FROM events WHERE kind LIKE 'prune%' ORDER BY id")).toBe(
    'prune-intended\npruned',
  );
  archiver.remove();
});

it('F22 a rescan syncs the new catalog before it gets its name', async () => {
  const archiver = testArchiver();
  archiver.setUp();
  archiver.configureHosts(['web1']);
  const file = join(archiver.root, '.catalog/catalog.sqlite');
  rmSync(file);
  const order = await traceOrder(archiver.directory, (wrap) => archiver.run(['rescan'], { wrap }), isFinal);
  expectOrder(order, [`name ${file}`, `sync ${join(archiver.root, '.catalog')}`]);
  archiver.remove();
});

it('F22 F53 notify syncs a message before it says that it waits', async () => {
  using host = makeHost();
  host.script('sendmail', '#!/bin/sh\nexit 75\n');
  const main = join(import.meta.dirname, '../../cli/main.ts');
  const order = await traceOrder(
    host.root,
    ([strace, ...options]) =>
      execa(strace as string, [...options, process.execPath, main, 'notify', '--', 'true'], {
        env: host.env,
        extendEnv: false,
      }),
    isFinal,
  );
  const queue = join(host.root, 'state/queue');
  expectOrder(order, [`name ${queue}/${host.queue()[0]}`, `sync ${queue}`]);
});

it('F22 a restore syncs what it extracted before it takes the place of what was there', async () => {
  const bench = makeBench();
  const root = join(bench.directory, 'data/srv');
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, 'file'), 'content\n');
  const env = { DIRECTORIES: root };
  const archive = await bench.backup('agent-directories', { env });
  const order = await traceOrder(
    bench.directory,
    async (wrap) => {
      const { exitCode } = await bench.run('agent-directories', ['restore', '--force', archive], {
        env,
        wrap,
      });
      expect(exitCode).toBe(0);
    },
    (path) => path === root,
  );
  const aside = order.steps.find((step) => /^name .*before-restore-.*\/srv$/.test(step)) as string;
  expectOrder(order, ['sync all', aside, `name ${root}`, `sync ${join(bench.directory, 'data')}`]);
  bench.remove();
});
