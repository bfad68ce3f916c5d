// F46: commands of the archiver, and restores from its store, at the same time.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { daysAgo, testArchiver } from '../helpers/archiver.ts';
import { fakeClients } from '../helpers/fake-clients.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { randomFrom, SEED, THOROUGH } from '../helpers/random.ts';
import { makeBench, ranOf } from '../helpers/run.ts';

it('F46 an archive that is pruned while it is restored is restored whole', async () => {
  const bench = makeBench();
  const archiver = testArchiver();
  archiver.setUp();
  const host = 'web1.example.org';
  archiver.configure(`retention: {last: 1}\nhosts:\n  ${host}: {url: "file://${bench.workDir}"}\n`);
  const root = join(bench.directory, 'srv');
  mkdirSync(root);
  await execa('sh', ['-c', 'head -c 30000000 /dev/urandom > "$1/data"; seq 1 1000 > "$1/list"', 'sh', root]);
  const env = { DIRECTORIES: root };
  const old = await bench.backup('agent-directories', { env });
  await bench.backup('agent-directories', { env });
  expect((await archiver.run(['pull', '--no-prune'])).exitCode).toBe(0);

  const [begun, gate] = [join(bench.directory, 'begun'), join(bench.directory, 'gate')];
  const tar = `touch ${begun}; until [ -e ${gate} ]; do sleep 0.05; done; exec "$REAL" "$@"`;
  const stored = join(archiver.root, host, 'directories', basename(old));
  const to = join(bench.directory, 'to');
  const restoring = bench.start('agent-directories', ['restore', stored, '--to', to], {
    env: { PATH: fakeClients(bench.directory, { tar }) },
  });
  while (!readdirSync(bench.directory).includes('begun')) await sleep(20);
  const pruned = await archiver.run(['prune', '--json']);
  expect(pruned.json.remove).toMatchObject([{ name: basename(old, '.tar') }]);
  expect(archiver.stored().some((file) => file.includes(basename(old)))).toBe(false);
  writeFileSync(gate, '');
  const { exitCode, stderr } = ranOf(await restoring);
  expect(exitCode, stderr).toBe(0);
  const [tree] = readdirSync(to);
  await execa('diff', ['-r', root, join(to, tree as string)]);
  bench.remove();
  archiver.remove();
});

it(`F46 pulls, prunes, scrubs and rescans at once: each does its work or says "locked" (seed ${SEED})`, {
  timeout: 170_000,
}, async () => {
  const archiver = testArchiver();
  archiver.setUp();
  archiver.configureHosts(['web1'], { retention: '{last: 3, minimum: 2}', host: 'remove: true' });
  const random = randomFrom(SEED);
  const made = new Map<string, string>();
  const rounds = THOROUGH ? 12 : 3;
  const verbs = [['pull'], ['prune', '--allow-large'], ['verify'], ['rescan'], ['list']];
  for (let round = rounds; round > 0; round -= 1) {
    for (const hour of [2, 1]) {
      const time = new Date(daysAgo(round).getTime() - hour * 3_600_000);
      const { name, sha256 } = await makeArchive(archiver.workDir('web1'), { host: 'web1', time });
      made.set(name, sha256);
    }
    const runs = Array.from({ length: 6 }, async () => {
      await sleep(random() * 400);
      const verb = verbs[Math.floor(random() * verbs.length)] as string[];
      return { verb, ...(await archiver.run(verb)) };
    });
    for (const { verb, exitCode, stderr } of await Promise.all(runs)) {
      expect([0, 3, 4], `${verb} ${stderr}`).toContain(exitCode);
      // who it is stands there a moment later
      if (exitCode === 4) expect(stderr).toContain('another run is under way');
    }
  }
  // nobody has harmed what another was at
  // where hardly any of them got its turn, much would go at once
  expect([0, 3]).toContain((await archiver.run(['pull'])).exitCode);
  expect((await archiver.run(['prune', '--allow-large'])).exitCode).toBe(0);
  expect((await archiver.run(['pull'])).exitCode).toBe(0);
  const kept = archiver.stored().filter((file) => file.endsWith('.tar'));
  expect(kept.map((file) => basename(file, '.tar'))).toEqual([...made.keys()].sort().slice(-3));
  await execa('sh', ['-c', 'sha256sum --check --strict --status -- *.sha256'], {
    cwd: join(archiver.root, 'web1/mediawiki'),
  });
  for (const file of kept) {
    const { stdout } = await execa('sha256sum', [join(archiver.root, file)]);
    expect(stdout.slice(0, 64)).toBe(made.get(basename(file, '.tar')));
  }
  expect(archiver.stored().filter((file) => file.includes('.part-'))).toEqual([]);
  expect(await archiver.query('PRAGMA integrity_check')).toBe('ok');
  rmSync(archiver.directory, { recursive: true });
});
