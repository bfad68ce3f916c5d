// SIGKILL after every call that opens, writes, syncs, names or removes a file: what has its final name is whole, what was
// good stays, and the next run needs no hand. `make faults` takes every call, `make test` a few, by the seed.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { daysAgo, testArchiver } from '../helpers/archiver.ts';
import { checkArchives } from '../helpers/check-archives.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { makeHost } from '../helpers/notify.ts';
import { randomFrom, SEED, THOROUGH } from '../helpers/random.ts';
import { makeBench } from '../helpers/run.ts';
import { killAfter, type Stopped } from '../helpers/system-calls.ts';

const TRIES = 3;
const LIMIT = { timeout: THOROUGH ? 3_600_000 : 120_000 };
const sh = (script: string, ...args: string[]) =>
  execa('bash', ['-euo', 'pipefail', '-c', script, 'bash', ...args]);

const parts = async (directory: string): Promise<string> =>
  (await sh('find "$1" -name ".part-*"', directory)).stdout;

/**
 * Kills a run after its n-th call: for every n until it passes, or for some.
 * @param attempt makes the same start anew, kills, and looks; @returns what killAfter gave
 */
async function sweep(attempt: (n: number) => Promise<Stopped<unknown>>): Promise<void> {
  if (THOROUGH) {
    for (let n = 1; (await attempt(n)).at !== undefined; n += 1);
    return;
  }
  const { count } = await attempt(Number.POSITIVE_INFINITY);
  expect(count).toBeGreaterThan(0);
  const random = randomFrom(SEED);
  const tries = Math.min(TRIES, count);
  for (let i = 0; i < tries; i += 1) await attempt(1 + Math.floor(((i + random()) / tries) * count));
}

it.concurrent(
  `F18 an agent that is killed leaves whole archives only, and the next run sweeps (seed ${SEED})`,
  LIMIT,
  async () => {
    const bench = makeBench();
    const root = join(bench.directory, 'srv');
    mkdirSync(root);
    await sh('head -c 300000 /dev/urandom > "$1/large"; echo b > "$1/small"', root);
    const env = { DIRECTORIES: root };
    const good = await bench.backup('agent-directories', { env });
    await sweep(async (n) => {
      const stopped = await killAfter(bench.directory, n, (wrap) =>
        bench.run('agent-directories', [], { env, wrap }),
      );
      if (stopped.at === undefined) expect(stopped.ended.exitCode, stopped.ended.stderr).toBe(0);
      await checkArchives(bench.workDir);
      expect(existsSync(good)).toBe(true);
      const next = await bench.backup('agent-directories', { env });
      await checkArchives(bench.workDir);
      expect(await parts(bench.workDir), stopped.at).toBe('');
      await sh('find "$1" -type f ! -path "$2*" ! -path "$3*" -delete', bench.workDir, good, next);
      return stopped;
    });
    bench.remove();
  },
);

it.concurrent(
  `F18 F41 a pull that is killed: at its host or safe here, and the next one settles it (seed ${SEED})`,
  LIMIT,
  async () => {
    const archiver = testArchiver();
    archiver.setUp();
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    const work = archiver.workDir('web1');
    const made = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    const here = join(archiver.root, 'web1/mediawiki', `${made.name}.tar`);
    const sha256 = async (path: string) => (await sh('sha256sum < "$1" | cut -c-64', path)).stdout;
    await sh('mkdir "$1/start"; cp -a "$1/archive" "$1/hosts" "$1/start/"', archiver.directory);
    await sweep(async (n) => {
      await sh('cd "$1"; rm -rf archive hosts; cp -a start/. .', archiver.directory);
      const stopped = await killAfter(archiver.directory, n, (wrap) => archiver.run(['pull'], { wrap }));
      if (stopped.at === undefined) expect(stopped.ended.exitCode, stopped.ended.stderr).toBe(0);
      await checkArchives(archiver.root);
      if (existsSync(made.path)) expect(await sha256(made.path), stopped.at).toBe(made.sha256);
      else {
        expect(await sha256(here), stopped.at).toBe(made.sha256);
        // sqlite3 plays back the journal of a transaction that was cut off
        expect(await archiver.query('SELECT state, sha256 FROM archives')).toBe(`present|${made.sha256}`);
      }
      const next = await archiver.run(['pull']);
      expect(next.exitCode, `${stopped.at}\n${next.stderr}`).toBe(0);
      expect(existsSync(made.path), stopped.at).toBe(false);
      expect(await sha256(here)).toBe(made.sha256);
      expect(await archiver.query('PRAGMA integrity_check; SELECT name, state FROM archives')).toBe(
        `ok\n${made.name}|present`,
      );
      await checkArchives(archiver.root);
      expect(await parts(archiver.root), stopped.at).toBe('');
      return stopped;
    });
    archiver.remove();
  },
);

it.concurrent(
  `F18 F41 a prune that is killed keeps what is to be kept, and the next one goes on (seed ${SEED})`,
  LIMIT,
  async () => {
    const archiver = testArchiver();
    archiver.setUp();
    archiver.configureHosts(['web1'], { retention: '{last: 1, minimum: 1}' });
    const names: string[] = [];
    for (const days of [3, 2, 1])
      names.push((await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(days) })).name);
    const pulled = await archiver.run(['pull', '--no-prune']);
    expect(pulled.exitCode, pulled.stderr).toBe(0);
    await sh('cp -a "$1/archive" "$1/start"', archiver.directory);
    const kept = ['tar', 'tar.sha1', 'tar.sha256'].map((suffix) => `${names[2]}.${suffix}`);
    await sweep(async (n) => {
      await sh('cd "$1"; rm -rf archive; cp -a start archive', archiver.directory);
      const prune = ['prune', '--allow-large'];
      const stopped = await killAfter(archiver.directory, n, (wrap) => archiver.run(prune, { wrap }));
      if (stopped.at === undefined) expect(stopped.ended.exitCode, stopped.ended.stderr).toBe(0);
      await checkArchives(archiver.root);
      const group = join(archiver.root, 'web1/mediawiki');
      expect(readdirSync(group), stopped.at).toEqual(expect.arrayContaining(kept));
      const next = await archiver.run(prune);
      expect(next.exitCode, `${stopped.at}\n${next.stderr}`).toBe(0);
      expect(readdirSync(group).sort(), stopped.at).toEqual(kept);
      expect(await archiver.query('PRAGMA integrity_check; SELECT state FROM archives ORDER BY name')).toBe(
        'ok\nremoved\nremoved\npresent',
      );
      await checkArchives(archiver.root);
      return stopped;
    });
    archiver.remove();
  },
);

it.concurrent(
  `F18 F20 a restore in place that is killed loses nothing of what was there (seed ${SEED})`,
  LIMIT,
  async () => {
    const bench = makeBench();
    const at = (path: string): string => join(bench.directory, path);
    mkdirSync(at('data/srv/sub'), { recursive: true });
    await sh('head -c 100000 /dev/urandom > "$1/large"; echo b > "$1/sub/small"', at('data/srv'));
    const env = { DIRECTORIES: at('data/srv') };
    const archive = await bench.backup('agent-directories', { env });
    await sh(
      'cp -a "$1/data" "$1/wanted"; echo since > "$1/data/srv/since"; cp -a "$1/data" "$1/start"',
      bench.directory,
    );
    await sweep(async (n) => {
      await sh('cd "$1"; rm -rf data; cp -a start data', bench.directory);
      const restore = ['restore', '--force', archive];
      const stopped = await killAfter(bench.directory, n, (wrap) =>
        bench.run('agent-directories', restore, { env, wrap }),
      );
      if (stopped.at === undefined) expect(stopped.ended.exitCode, stopped.ended.stderr).toBe(0);
      // the old tree lies whole in its place or aside; what is in its place is the old or the new one
      const old = (await sh('find "$1" -name since -printf "%h\\n"', at('data'))).stdout;
      await sh('diff -r "$1" "$2"', old, at('start/srv'));
      if (existsSync(at('data/srv')) && old !== at('data/srv'))
        await sh('diff -r "$1" "$2"', at('data/srv'), at('wanted/srv'));
      const next = await bench.run('agent-directories', restore, { env });
      expect(next.exitCode, `${stopped.at}\n${next.stderr}`).toBe(0);
      await sh('diff -r "$1" "$2"', at('data/srv'), at('wanted/srv'));
      expect(
        (await sh('find "$1" -name since | wc -l; find "$1" -name ".garner-*"', at('data'))).stdout,
      ).toBe('1');
      return stopped;
    });
    bench.remove();
  },
);

it.concurrent(
  `F18 F53 notify killed while it queues or sends: a message is whole or absent, and none is lost (seed ${SEED})`,
  LIMIT,
  async () => {
    using host = makeHost();
    const sent = join(host.root, 'sent');
    const fails = () => host.script('sendmail', '#!/bin/sh\nexit 75\n');
    const works = () => host.script('sendmail', `#!/bin/sh\ncat >> ${sent}\n`);
    const subjects = (): string[] =>
      existsSync(sent)
        ? [...readFileSync(sent, 'utf8').matchAll(/^Subject: .* OK (\S+) on/gm)].map(
            ([, name]) => name as string,
          )
        : [];
    const checkQueue = (at: string | undefined): void => {
      for (const file of host.queue().filter((name) => !name.startsWith('.part-')))
        expect(
          () => JSON.parse(readFileSync(join(host.root, 'state/queue', file), 'utf8')),
          at,
        ).not.toThrow();
    };
    const notify = (name: string) => (wrap: string[]) =>
      execa(
        wrap[0] as string,
        [
          ...wrap.slice(1),
          process.execPath,
          join(import.meta.dirname, '../../cli/main.ts'),
          'notify',
          '--name',
          name,
          '--',
          'true',
        ],
        {
          env: host.env,
          extendEnv: false,
          reject: false,
        },
      );

    /** What was on its way when its run was killed is sent five minutes later. */
    const letTimePass = (): void => {
      for (const file of host.queue().filter((name) => !name.startsWith('.part-'))) {
        const path = join(host.root, 'state/queue', file);
        const { message, waiting } = JSON.parse(readFileSync(path, 'utf8'));
        const ago = new Date(Date.now() - 1000).toISOString();
        if (waiting.email.attempts === 0) waiting.email.nextAt = ago;
        writeFileSync(path, JSON.stringify({ message, waiting }));
      }
    };

    for (const sending of [false, true]) {
      await sweep(async (n) => {
        rmSync(sent, { force: true });
        rmSync(join(host.root, 'state'), { recursive: true, force: true });
        fails();
        if (sending) await host.notify(['--name', 'earlier', '--', 'true']);
        if (sending) works();
        const stopped = await killAfter(join(host.root, 'state'), n, notify('killed'));
        checkQueue(stopped.at);
        letTimePass();
        works();
        const next = await host.notify(['--name', 'next', '--', 'true']);
        expect(next.exitCode, stopped.at).toBe(0);
        expect(
          host.queue().filter((name) => !name.startsWith('.part-')),
          stopped.at,
        ).toEqual([]);
        expect(subjects(), stopped.at).toContain('next');
        if (sending) expect(subjects(), stopped.at).toContain('earlier');
        return stopped;
      });
    }
  },
);
