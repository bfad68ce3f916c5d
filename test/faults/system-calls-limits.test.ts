// What runs do with little: few file descriptors, a small heap, data that is far larger than the memory they may take.
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { testArchiver } from '../helpers/archiver.ts';
import { fakeClients, HELP } from '../helpers/fake-clients.ts';
import { startMariadb } from '../helpers/mariadb.ts';
import { watchMemory } from '../helpers/processes.ts';
import { THOROUGH } from '../helpers/random.ts';
import { makeBench } from '../helpers/run.ts';

const LIMIT = { timeout: 600_000 };
const MB = 1_000_000;
const SMALL_MB = THOROUGH ? 200 : 40; // from 32 MB on a second thread hashes
const LARGE_MB = THOROUGH ? 2000 : 160;
/** What zstd takes for its window and its blocks, once there is enough to fill them. */
const FULL_BYTES = 64 << 20;
/** Buffers that grow to their size, and pages of the heap that were not given back yet. */
const NOISE_BYTES = 40 * MB;
const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=64' };
const sh = (script: string, ...args: string[]) =>
  execa('bash', ['-euo', 'pipefail', '-c', script, 'bash', ...args]);

/** Runs something over little and over much, and compares the memory of each program. */
async function expectFlat(mark: string, run: (sizeMb: number) => Promise<unknown>): Promise<void> {
  const most = [];
  for (const sizeMb of [SMALL_MB, LARGE_MB]) {
    const stop = watchMemory(mark);
    try {
      await run(sizeMb);
    } finally {
      most.push(stop());
    }
  }
  const [little, much] = most as [Map<string, number>, Map<string, number>];
  expect(much.size).toBeGreaterThan(0);
  for (const [program, bytes] of much) {
    const before = little.get(program);
    if (before === undefined) continue; // too short to be seen
    expect(
      bytes,
      `${program}: ${before} bytes over ${SMALL_MB} MB, ${bytes} over ${LARGE_MB} MB`,
    ).toBeLessThan(Math.max(before, FULL_BYTES) + NOISE_BYTES);
  }
}

it('F29 with any number of file descriptors an agent works, or fails with a line and leaves nothing', async () => {
  const bench = makeBench();
  const root = join(bench.directory, 'srv');
  mkdirSync(root);
  await sh('echo content > "$1/file"', root);
  const codes = new Map<number, number>();
  for (const files of THOROUGH ? Array.from({ length: 40 }, (_, i) => 16 + 2 * i) : [16, 20, 63, 64]) {
    rmSync(bench.workDir, { recursive: true, force: true });
    const wrap = ['prlimit', `--nofile=${files}:${files}`];
    const ran = await bench.run('agent-directories', [], { env: { DIRECTORIES: root }, wrap });
    codes.set(files, ran.exitCode);
    if (ran.exitCode === 0) await sh('cd "$(dirname "$1")"; sha256sum -c --quiet "$1.sha256"', ran.stdout);
    else {
      expect(ran).toMatchObject({
        exitCode: 1,
        stdout: '',
        stderr: expect.stringMatching(/^agent-directories: cannot .*open files/m),
      });
      expect(bench.workFiles()).toEqual([]);
    }
  }
  expect(codes.get(20)).toBe(1);
  expect(codes.get(64)).toBe(0);
  bench.remove();
});

it(
  'F29 backup, verification, pull and restore of files take the same memory for little and for much, on a small heap',
  LIMIT,
  async () => {
    const bench = makeBench();
    const archiver = testArchiver();
    archiver.configureHosts(['web1.example.org']);
    archiver.setUp();
    const root = join(bench.directory, 'srv');
    const env = {
      ...SMALL_HEAP,
      DIRECTORIES: root,
      GARNER_WORK_DIR: archiver.workDir('web1.example.org'),
      TEST_MARK: bench.directory,
    };
    const to = join(bench.directory, 'to');
    await expectFlat(bench.directory, async (sizeMb) => {
      await sh(
        'rm -rf "$1" "$2"; mkdir "$1"; openssl enc -aes-128-ctr -nosalt -pass pass:x -pbkdf2 </dev/zero 2>/dev/null | head -c "$3"000000 > "$1/file" || true',
        root,
        to,
        `${sizeMb}`,
      );
      const archive = await bench.backup('agent-directories', { env });
      expect(await bench.run('garner', ['archive', 'verify', archive], { env })).toMatchObject({
        exitCode: 0,
      });
      expect(await archiver.run(['pull'], { env })).toMatchObject({ exitCode: 0 });
      await sh(
        'cd "$1"; sha256sum -c --quiet "$2.sha256"',
        join(archiver.root, 'web1.example.org/directories'),
        basename(archive),
      );
      expect(await bench.run('agent-directories', ['restore', '--to', to, archive], { env })).toMatchObject({
        exitCode: 0,
      });
      await sh('cmp "$1" "$(find "$2" -name file)"', join(root, 'file'), to);
      await sh('rm -rf "$1" "$2"', to, archive);
    });
    archiver.remove();
    bench.remove();
  },
);

it('F29 a large SQL dump takes the same memory as a small one, on a small heap', LIMIT, async () => {
  await using server = await startMariadb();
  const bench = makeBench();
  const url = await server.createDatabase('shop', 'shop', 'secret');
  await server.query(
    "CREATE TABLE a (t LONGTEXT); INSERT INTO a SELECT REPEAT('x', 1000) FROM seq_1_to_10000",
    'shop',
  );
  bench.configure('agent-mariadb.env', `GARNER_DATABASE_URL='${url}'\n`);
  await expectFlat(bench.directory, async (sizeMb) => {
    const again = `awk -v n=${sizeMb / 10} '/^\\(|^INSERT/ { for (i = 1; i < n; i++) print }; { print }'`;
    const dump = `case "$*" in *--no-data*) exec "$REAL" "$@";; esac; "$REAL" "$@" | ${again}`;
    const PATH = fakeClients(bench.directory, { 'mariadb-dump': `${HELP}\n${dump}` });
    const ran = await bench.run('agent-mariadb', ['--json'], {
      env: { ...SMALL_HEAP, PATH, MYSQLDUMP_PARAMS: '--skip-extended-insert', TEST_MARK: bench.directory },
    });
    expect(ran.exitCode, ran.stderr).toBe(0);
    const [member] = JSON.parse(ran.stdout).members.filter(
      ({ kind }: { kind: string }) => kind === 'database',
    );
    expect(member.uncompressedSizeBytes).toBeGreaterThan(0.9 * sizeMb * MB);
    expect(member.database.tables).toEqual({ a: 1000 * sizeMb });
    expect(existsSync(JSON.parse(ran.stdout).archive)).toBe(true);
  });
  bench.remove();
});
