// What agents do when they are ended, killed, or started many at once.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { beforeEach, expect, it } from 'vitest';
import { fakeClients } from '../helpers/fake-clients.ts';
import { killAllWith, untilNoProcessWith } from '../helpers/processes.ts';
import { type Bench, makeBench, ranOf, snapshot } from '../helpers/run.ts';

const AGENT = 'agent-directories';
let bench: Bench;
let env: Record<string, string>;
/** Exists as soon as a run has begun to store files. */
let begun: string;
/** Lets it go on. */
let gate: string;
const sh = (script: string, ...args: string[]) =>
  execa('bash', ['-euo', 'pipefail', '-c', script, 'bash', ...args]);
const archives = (): string[] => bench.workFiles().filter((name) => name.endsWith('.tar'));

/** Every archive has checksum files that agree. */
const checkAll = () =>
  sh(
    'cd "$1"; for a in *.tar; do sha256sum -c --quiet "$a.sha256"; sha1sum -c --quiet "$a.sha1"; done',
    bench.workDir,
  );

beforeEach(() => {
  bench = makeBench();
  const root = join(bench.directory, 'srv');
  mkdirSync(root);
  writeFileSync(join(root, 'file'), 'content\n'.repeat(1000));
  [begun, gate] = [join(bench.directory, 'begun'), join(bench.directory, 'gate')];
  env = { DIRECTORIES: root, TEST_MARK: bench.directory };
  return async () => {
    killAllWith(bench.directory);
    bench.remove();
  };
});

/** A run that waits at the gate in the midst of its work. */
const waiting = (): Record<string, string> => {
  const tar = `touch ${begun}; until [ -e ${gate} ]; do sleep 0.05; done; exec "$REAL" "$@"`;
  return { ...env, PATH: fakeClients(bench.directory, { tar }) };
};
const untilBegun = async (): Promise<void> => {
  while (!existsSync(begun)) await sleep(20);
};

it.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
  ['SIGHUP', 129],
] as const)(
  'F19 ends at %s with all that it started, leaves nothing, exits with %i',
  async (signal, exitCode) => {
    const run = bench.start(AGENT, [], { env: waiting() });
    await untilBegun();
    run.kill(signal);
    const ran = ranOf(await run);
    expect(ran).toMatchObject({
      exitCode,
      stdout: '',
      stderr: expect.stringContaining(`ended by ${signal}`),
    });
    expect(bench.workFiles()).toEqual([]);
    expect(await untilNoProcessWith(bench.directory)).toEqual([]);
  },
);

it('F19 ends a restore at SIGTERM before anything is replaced, and removes what it had extracted', async () => {
  const archive = await bench.backup(AGENT, { env });
  const before = await snapshot(join(bench.directory, 'srv'));
  const run = bench.start(AGENT, ['restore', '--force', archive], { env: waiting() });
  await untilBegun();
  run.kill('SIGTERM');
  expect(ranOf(await run)).toMatchObject({ exitCode: 143, stdout: '' });
  expect(await snapshot(join(bench.directory, 'srv'))).toBe(before);
  expect(readdirSync(bench.directory).filter((name) => name.startsWith('.'))).toEqual([]);
  expect(await untilNoProcessWith(bench.directory)).toEqual([]);
});

it('F20 runs a restore again after it was killed', async () => {
  const archive = await bench.backup(AGENT, { env });
  const run = bench.start(AGENT, ['restore', '--force', archive], { env: waiting() });
  await untilBegun();
  run.kill('SIGKILL');
  await run;
  expect(await bench.run(AGENT, ['restore', '--force', archive], { env })).toMatchObject({ exitCode: 0 });
});

it('F20 F24 sweeps what a killed run has left, and needs no hand to run again', async () => {
  const run = bench.start(AGENT, [], { env: waiting() });
  await untilBegun();
  run.kill('SIGKILL');
  await run;
  expect(bench.workFiles().some((name) => name.startsWith('.part-'))).toBe(true);
  const archive = await bench.backup(AGENT, { env });
  expect(bench.workFiles()).toEqual([
    `${basename(archive)}`,
    `${basename(archive)}.sha1`,
    `${basename(archive)}.sha256`,
  ]);
  await checkAll();
});

it('F23 lets one of twenty runs make an archive, and the others say at once that it is locked', async () => {
  const held = waiting();
  const runs = Array.from({ length: 20 }, () => bench.start(AGENT, [], { env: held }));
  let ended = 0;
  const all = runs.map(async (run) => {
    const ran = ranOf(await run);
    ended += 1;
    if (ended === 19) writeFileSync(gate, '');
    return ran;
  });
  const codes = (await Promise.all(all)).map(({ exitCode, stderr }) => {
    if (exitCode === 4) expect(stderr).toMatch(/cannot start "agent-directories": another run is under way/);
    return exitCode;
  });
  expect(codes.sort()).toEqual([0, ...Array(19).fill(4)]);
  expect(archives()).toHaveLength(1);
  await checkAll();
});

it('F24 takes over a lock file with garbage in it', async () => {
  mkdirSync(join(bench.directory, 'run'));
  writeFileSync(join(bench.directory, 'run', `${AGENT}.lock`), 'pid 1\ngarbage '.repeat(100));
  await bench.backup(AGENT, { env });
});

it('F25 makes two archives of two runs in one second, and overwrites nothing', async () => {
  const wrap = ['faketime', '-f', '@2026-11-01 10:00:00'];
  for (let i = 0; i < 3; i += 1) await bench.backup(AGENT, { env, wrap });
  expect(archives()).toHaveLength(3);
  await checkAll();
});

it('F28 refuses a work directory that is a link or that others can write into', async () => {
  mkdirSync(bench.workDir);
  await sh('chmod 777 "$1"; ln -s "$1" "$2"', bench.workDir, join(bench.directory, 'link'));
  const open = await bench.run(AGENT, [], { env });
  expect(open).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('others can write into it') });
  const linked = await bench.run(AGENT, ['--work-dir', join(bench.directory, 'link')], { env });
  expect(linked).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('symbolic link') });
  expect(bench.workFiles()).toEqual([]);
});

it('F28 opens archives to GARNER_GROUP alone: 0640 in 2770, whatever the umask', async () => {
  const wrap = ['sh', '-c', 'umask 000; exec "$0" "$@"'];
  const archive = await bench.backup(AGENT, { env: { ...env, GARNER_GROUP: 'mail' }, wrap });
  const { stdout } = await sh('cd "$(dirname "$1")"; stat -c "%a %G" . *', archive);
  expect(stdout.split('\n')).toEqual(['2770 mail', '640 mail', '640 mail', '640 mail']);
  const unknown = await bench.run(AGENT, [], { env: { ...env, GARNER_GROUP: 'no-such-group' } });
  expect(unknown).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('there is no such group') });
});
