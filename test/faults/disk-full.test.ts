// Disks that are full, fail or lie, at any call: what has its final name is whole, a failure is said, what was good stays,
// and with a good disk the next run needs no hand. `make faults` takes every call, `make test` a few, by the seed.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { daysAgo, testArchiver } from '../helpers/archiver.ts';
import { checkArchives } from '../helpers/check-archives.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { makeHost } from '../helpers/notify.ts';
import { randomFrom, SEED, THOROUGH } from '../helpers/random.ts';
import { makeBench } from '../helpers/run.ts';
import { failCall, HUNG } from '../helpers/system-calls.ts';

const LIMIT = { timeout: THOROUGH ? 3_600_000 : 180_000 };
const BIN = join(import.meta.dirname, '../../bin');
const isRoot = process.getuid?.() === 0;
const sh = (script: string, ...args: string[]) =>
  execa('bash', ['-euo', 'pipefail', '-c', script, 'bash', ...args]);
const sha256 = async (path: string) => (await sh('sha256sum < "$1" | cut -c-64', path)).stdout;

/** What is made to happen: the call, and what it says in place of being made. */
const FAULTS = [
  ['pwrite64', 'error=ENOSPC'],
  ['pwrite64', 'error=EDQUOT'],
  ['pwrite64', 'error=EIO'],
  ['pwrite64', 'retval=512'],
  ['write', 'error=ENOSPC'],
  ['write', 'error=EINTR'],
  ['fsync', 'error=EIO'],
  ['fdatasync', 'error=EIO'],
  ['ftruncate', 'error=ENOSPC'],
  ['link', 'error=ENOSPC'],
  ['unlink', 'error=EIO'],
  ['rename', 'error=EIO'],
  ['mkdir', 'error=ENOSPC'],
  ['fchmod', 'error=EIO'],
  ['close', 'error=EIO'],
] as const;
/** Of these Node makes hundreds before anything is done, and wakes its threads by writing. */
const MANY = ['write', 'close'];
const MOST = 5;

interface Ended {
  exitCode: number | undefined;
  stderr: string;
}

/**
 * Takes all faults at every n until none is touched any more; where there are many, or in a quick run, some.
 * @param look gets what the run came to, and what happened to it
 */
async function sweep(
  start: () => Promise<void>,
  run: (wrap: string[]) => Promise<Ended>,
  look: (ended: Ended, context: string) => Promise<void>,
): Promise<void> {
  const random = randomFrom(SEED);
  const attempt = async (call: string, fault: string, n: number): Promise<boolean> => {
    await start();
    const { ended, touched } = await failCall(call, fault, n, run);
    const context = `${call} ${fault} ${n}\n${touched.join('\n')}\n${ended.stderr}`;
    // where the fault hits what Node itself reads or its threads talk by, it ends at once without a word, or waits
    const hitsNode = touched.some((line) => /<((anon_inode|pipe|socket):|\/(proc|sys|dev)\/)/.test(line));
    if (ended.exitCode !== 0 && !hitsNode) expect(ended.stderr, context).not.toBe('');
    if (!hitsNode) expect(ended.exitCode, context).not.toBe(HUNG);
    if (touched.length === 0) expect([0, 3], context).toContain(ended.exitCode);
    await look(ended, context);
    return touched.length > 0;
  };
  if (!THOROUGH) {
    const some = FAULTS.map((fault) => ({ fault, key: random() })).sort((a, b) => a.key - b.key);
    for (const {
      fault: [call, fault],
    } of some.slice(0, 5)) {
      await attempt(call, fault, 1 + Math.floor(random() * (MANY.includes(call) ? 60 : 8)));
    }
    return;
  }
  for (const [call, fault] of FAULTS) {
    if (MANY.includes(call))
      for (let i = 0; i < MOST; i += 1) await attempt(call, fault, 1 + Math.floor(random() * 120));
    else for (let n = 1; (await attempt(call, fault, n)) && n < 2 * MOST; n += 1);
  }
}

it.concurrent(
  `F15 F16 F17 an agent on a disk that fails leaves no archive or a whole one (seed ${SEED})`,
  LIMIT,
  async () => {
    const bench = makeBench();
    const root = join(bench.directory, 'srv');
    mkdirSync(root);
    await sh('head -c 200000 /dev/urandom > "$1/large"; echo b > "$1/small"', root);
    const env = { DIRECTORIES: root };
    const good = await bench.backup('agent-directories', { env });
    const goodSha256 = await sha256(good);
    const archives = () => bench.workFiles().filter((name) => name.endsWith('.tar'));
    await sweep(
      async () => void (await sh('find "$1" -type f ! -path "$2*" -delete', bench.workDir, good)),
      (wrap) => bench.run('agent-directories', [], { env, wrap }),
      async (ended, context) => {
        await checkArchives(bench.workDir, context);
        expect(await sha256(good), context).toBe(goodSha256);
        // one that Node's own end cut off may have published before
        if (ended.exitCode === 0 || ended.exitCode === 1)
          expect(archives(), context).toHaveLength(ended.exitCode === 0 ? 2 : 1);
        const next = await bench.run('agent-directories', [], { env });
        expect(next.exitCode, `${context}\n${next.stderr}`).toBe(0);
        expect(
          bench.workFiles().filter((name) => name.startsWith('.part-')),
          context,
        ).toEqual([]);
      },
    );
    bench.remove();
  },
);

it.concurrent(
  `F15 F16 F17 F47 a pull to a disk that fails: the source stays until the archive is safe here (seed ${SEED})`,
  LIMIT,
  async () => {
    const archiver = testArchiver();
    archiver.setUp();
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    const made = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(1) });
    const here = join(archiver.root, 'web1/mediawiki', `${made.name}.tar`);
    await sh('mkdir "$1/start"; cp -a "$1/archive" "$1/hosts" "$1/start/"', archiver.directory);
    await sweep(
      async () => void (await sh('cd "$1"; rm -rf archive hosts; cp -a start/. .', archiver.directory)),
      (wrap) => archiver.run(['pull'], { wrap }),
      async (ended, context) => {
        await checkArchives(archiver.root, context);
        if (existsSync(made.path)) expect(await sha256(made.path)).toBe(made.sha256);
        else {
          expect(existsSync(here) && (await sha256(here)), `I4 ${context}`).toBe(made.sha256);
          expect(await archiver.query('SELECT state, sha256 FROM archives'), `I4 ${context}`).toBe(
            `present|${made.sha256}`,
          );
        }
        if (ended.exitCode === 0) expect(existsSync(here), `I1 ${context}`).toBe(true);
        const next = await archiver.run(['pull']);
        expect([0, 3], `${context}\n${next.stderr}`).toContain(next.exitCode);
        expect(existsSync(made.path), `${context}\n${next.stderr}`).toBe(false);
        expect(await sha256(here), context).toBe(made.sha256);
        expect(await archiver.query('PRAGMA integrity_check; SELECT state FROM archives')).toBe(
          'ok\npresent',
        );
        await checkArchives(archiver.root, context);
      },
    );
    archiver.remove();
  },
);

it.concurrent(
  `F15 F17 a prune on a disk that fails deletes nothing that is to be kept (seed ${SEED})`,
  LIMIT,
  async () => {
    const archiver = testArchiver();
    archiver.setUp();
    archiver.configureHosts(['web1'], { retention: '{last: 1, minimum: 1}' });
    const names: string[] = [];
    for (const days of [2, 1])
      names.push((await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(days) })).name);
    expect((await archiver.run(['pull', '--no-prune'])).exitCode).toBe(0);
    await sh('cp -a "$1/archive" "$1/start"', archiver.directory);
    const group = join(archiver.root, 'web1/mediawiki');
    const kept = ['tar', 'tar.sha1', 'tar.sha256'].map((suffix) => `${names[1]}.${suffix}`);
    await sweep(
      async () => void (await sh('cd "$1"; rm -rf archive; cp -a start archive', archiver.directory)),
      (wrap) => archiver.run(['prune'], { wrap }),
      async (_ended, context) => {
        await checkArchives(archiver.root, context);
        expect(readdirSync(group), context).toEqual(expect.arrayContaining(kept));
        const next = await archiver.run(['prune']);
        expect(next.exitCode, `${context}\n${next.stderr}`).toBe(0);
        expect(readdirSync(group).sort(), context).toEqual(kept);
        expect(await archiver.query('PRAGMA integrity_check; SELECT state FROM archives ORDER BY name')).toBe(
          'ok\nremoved\npresent',
        );
      },
    );
    archiver.remove();
  },
);

it.concurrent(
  `F15 F17 F53 notify with a queue on a disk that fails keeps the exit code and says what was not kept (seed ${SEED})`,
  LIMIT,
  async () => {
    using host = makeHost();
    host.script('sendmail', '#!/bin/sh\nexit 75\n');
    const main = join(import.meta.dirname, '../../cli/main.ts');
    await sweep(
      // without a history each failure is a new one, and told
      async () =>
        ['state', 'work'].forEach((name) => {
          rmSync(join(host.root, name), { recursive: true, force: true });
        }),
      async ([program, ...options]) => {
        const { exitCode, stderr } = await execa(
          program as string,
          [...options, process.execPath, main, 'notify', '--', 'sh', '-c', 'exit 6'],
          {
            env: host.env,
            extendEnv: false,
            reject: false,
          },
        );
        // 6 is what the command said, and what has to come out
        return { exitCode: exitCode === 6 ? 0 : exitCode, stderr };
      },
      async (ended, context) => {
        const waiting = host.queue().filter((name) => !name.startsWith('.part-'));
        for (const file of waiting)
          expect(
            () => JSON.parse(readFileSync(join(host.root, 'state/queue', file), 'utf8')),
            context,
          ).not.toThrow();
        if (ended.exitCode === 0 && waiting.length === 0)
          expect(ended.stderr, context).toMatch(/could not be kept/);
      },
    );
  },
);

it.skipIf(!isRoot)(
  'F15 F47 a pull to a disk without free inodes, wherever they end: nothing half here, source kept',
  LIMIT,
  async () => {
    const archiver = testArchiver();
    mkdirSync(archiver.root);
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    const outcomes = new Set<number | undefined>();
    for (let inodes = 4; inodes < 28; inodes += THOROUGH ? 1 : 8) {
      const made = await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(1) });
      await execa('mount', [
        '-t',
        'tmpfs',
        '-o',
        `size=32m,nr_inodes=${inodes},mode=700`,
        'tmpfs',
        archiver.root,
      ]);
      try {
        const init = await archiver.run(['init']);
        const pull = await archiver.run(['pull']);
        outcomes.add(pull.exitCode);
        const context = `${inodes}: ${init.stderr} ${pull.stderr}`;
        await checkArchives(archiver.root, context);
        if (pull.exitCode === 0)
          expect(existsSync(join(archiver.root, 'web1/mediawiki', `${made.name}.tar`)), context).toBe(true);
        else {
          expect(pull.stderr, context).toMatch(/cannot/);
          // what comes after the archive may fail too
          const kept = existsSync(made.path);
          const here = join(archiver.root, 'web1/mediawiki', `${made.name}.tar`);
          expect(await sha256(kept ? made.path : here), context).toBe(made.sha256);
          const stored = archiver.stored().filter((file) => file.includes('.tar'));
          if (kept) expect(stored, context).toEqual([]);
        }
      } finally {
        await execa('umount', [archiver.root]);
      }
    }
    expect([...outcomes].sort()).toEqual([0, 1]);
    archiver.remove();
  },
);

it('F17 a temporary directory where nothing can be removed holds up neither an agent nor notify', async () => {
  using host = makeHost();
  const pipe = await failCall('unlink', 'error=EIO', 1, async ([program, ...options]) =>
    execa(program as string, [...options, join(BIN, 'notify'), '--', 'sh', '-c', 'echo said; exit 6'], {
      env: host.env,
      extendEnv: false,
      reject: false,
    }),
  );
  expect(pipe.touched.join()).toContain('garner-pipe');
  expect(pipe.ended).toMatchObject({ exitCode: 6, stdout: 'said' });
});

it('F12 a file of the tree that the disk can not read fails the run and is named', async () => {
  const bench = makeBench();
  const root = join(bench.directory, 'srv');
  mkdirSync(root);
  await sh('head -c 200000 /dev/urandom > "$1/bad"; echo b > "$1/good"', root);
  const { ended, touched } = await failCall(
    'read',
    'error=EIO',
    '1+',
    (wrap) => bench.run('agent-directories', [], { env: { DIRECTORIES: root }, wrap }),
    [join(root, 'bad')],
  );
  expect(touched.length).toBeGreaterThan(0);
  expect(ended).toMatchObject({
    exitCode: 1,
    stdout: '',
    stderr: expect.stringMatching(/bad.*(input\/output|read) error/i),
  });
  expect(bench.workFiles()).toEqual([]);
  bench.remove();
});

it('F12 an archive that the disk can not read is not fetched, not removed, and not called bad', async () => {
  const archiver = testArchiver();
  archiver.setUp();
  archiver.configureHosts(['web1'], { host: 'remove: true' });
  const made = await makeArchive(archiver.workDir('web1'), {
    host: 'web1',
    time: daysAgo(1),
    content: 'x'.repeat(100_000),
  });
  const here = join(archiver.root, 'web1/mediawiki', `${made.name}.tar`);
  const reads = 'read,pread64';
  const pull = await failCall(reads, 'error=EIO', '1+', (wrap) => archiver.run(['pull'], { wrap }), [
    made.path,
  ]);
  expect(pull.touched.length).toBeGreaterThan(0);
  expect(pull.ended).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/web1.*input\/output error/s),
  });
  expect(existsSync(made.path)).toBe(true);
  expect(archiver.stored().filter((file) => file.includes('.tar'))).toEqual([]);

  expect((await archiver.run(['pull'])).exitCode).toBe(0);
  const verify = await failCall(reads, 'error=EIO', '1+', (wrap) => archiver.run(['verify'], { wrap }), [
    here,
  ]);
  expect(verify.touched.length).toBeGreaterThan(0);
  expect(verify.ended.exitCode).not.toBe(0);
  expect(verify.ended.stderr).toMatch(/input\/output error/);
  expect(await sha256(here)).toBe(made.sha256);
  expect((await archiver.run(['verify'])).exitCode).toBe(0);
  archiver.remove();
});
