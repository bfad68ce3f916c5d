// What agents do when files change under them, can't be read, or the disk is full or failing.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { beforeEach, expect, it } from 'vitest';
import { fakeClients } from '../helpers/fake-clients.ts';
import { type Bench, makeBench, type Ran } from '../helpers/run.ts';

const AGENT = 'agent-directories';
let bench: Bench;
let root: string;
let env: Record<string, string>;
const sh = (script: string, ...args: string[]) =>
  execa('bash', ['-euo', 'pipefail', '-c', script, 'bash', ...args]);

beforeEach(async () => {
  bench = makeBench();
  root = join(bench.directory, 'srv');
  mkdirSync(root);
  await sh(
    'head -c 300000 /dev/urandom > "$1/a-large"; echo b > "$1/b-small"; mkdir "$1/d"; echo c > "$1/d/c"',
    root,
  );
  env = { DIRECTORIES: root };
  return () => bench.remove();
});

/** A tar that does this each time it has written ten kilobytes, so in the midst of a-large. */
const tarThat = (does: string, first = ''): Record<string, string> => {
  writeFileSync(join(bench.directory, 'does'), does);
  const options = `--checkpoint=1 --checkpoint-action=exec='sh ${bench.directory}/does'`;
  return { ...env, PATH: fakeClients(bench.directory, { tar: `${first}\nexec "$REAL" ${options} "$@"` }) };
};

/** @returns the files of the archive's tree, after each proved to be what the manifest says */
async function filesOf(archive: string): Promise<string> {
  await sh('cd "$(dirname "$1")"; sha256sum -c --quiet "$1.sha256"', archive);
  return (await sh('tar -xOf "$1" --wildcards "*.tar.zst" | zstd -dc | tar -t', archive)).stdout;
}

function expectNothing(ran: Ran, cause: RegExp): void {
  expect(ran).toMatchObject({ exitCode: 1, stdout: '' });
  expect(ran.stderr).toMatch(cause);
  expect(bench.workFiles()).toEqual([]);
}

it('F11 keeps the archive and names the file where one grows while it is read', async () => {
  const ran = await bench.run(AGENT, ['--json'], { env: tarThat(`echo more >> ${root}/a-large`) });
  expect(ran.exitCode).toBe(3);
  const { result, warnings, archive } = JSON.parse(ran.stdout);
  expect(result).toBe('warnings');
  expect(warnings).toEqual([{ code: 'file-changed', message: expect.stringContaining('a-large') }]);
  expect(await filesOf(archive)).toContain('a-large');
});

it('F11 keeps the archive and names the files that vanish before they are read', async () => {
  const ran = await bench.run(AGENT, ['--json'], { env: tarThat(`rm -rf ${root}/b-small ${root}/d`) });
  expect(ran.exitCode).toBe(3);
  const { warnings, archive } = JSON.parse(ran.stdout);
  const messages = warnings.map(({ message }: { message: string }) => message).join();
  for (const name of ['b-small', 'd/c']) expect(messages).toContain(name);
  expect((await filesOf(archive)).split('\n').slice(0, 2)).toEqual(['./', 'a-large']);
  const restored = await bench.run(AGENT, ['restore', archive, '--to', join(bench.directory, 'to')]);
  expect(restored.exitCode).toBe(0);
});

it('F11 reads a tree again where a file shrinks, and has no padding in the archive', async () => {
  const archive = await bench.backup(AGENT, { env: tarThat(`truncate -s 5000 ${root}/a-large`) });
  const { stdout } = await sh(
    'tar -xOf "$1" --wildcards "*.tar.zst" | zstd -dc | tar -xO a-large | sha256sum',
    archive,
  );
  expect(stdout).toBe((await sh('sha256sum < "$1/a-large"', root)).stdout);
  expect((await bench.run('garner', ['archive', 'verify', archive])).exitCode).toBe(0);
});

it('F11 fails where a file shrinks twice, and names it', async () => {
  const again = `head -c 300000 /dev/urandom > ${root}/a-large`;
  const ran = await bench.run(AGENT, [], { env: tarThat(`truncate -s 5000 ${root}/a-large`, again) });
  expectNothing(ran, /files shrank while they were read, twice: a-large/);
});

it('F12 fails where a file or a directory can not be read, and names it', async () => {
  await sh('chown -R 65534:65534 "$1"', bench.directory);
  const wrap = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  await sh('chown root "$1"; chmod 600 "$1"', join(root, 'b-small'));
  expectNothing(await bench.run(AGENT, [], { env, wrap }), /cannot archive ".*": b-small/);
  await sh('chown 65534 "$1"', join(root, 'b-small'));
  await sh('chown root "$1"; chmod 700 "$1"', join(root, 'd'));
  expectNothing(
    await bench.run(AGENT, [], { env, wrap }),
    /cannot read directory ".*\/d": permission denied/,
  );
  await sh('chown 65534 "$1"', join(root, 'd'));
  expect(await bench.run(AGENT, [], { env, wrap })).toMatchObject({ exitCode: 0 });
});

it('F15 F16 leaves nothing of a run on a full disk, and keeps what was there, wherever the space ends', async () => {
  const first = await bench.backup(AGENT, { env });
  const pages = Math.ceil(Number((await sh('stat -c %s "$1"', first)).stdout) / 4096);
  const mount = join(bench.directory, 'small-disk');
  mkdirSync(mount);
  const outcomes: number[] = [];
  for (const free of [0, 1, 20, pages - 2, pages - 1, pages, pages + 1, pages + 2, pages + 3]) {
    // three files are there already, of `pages`, 1 and 1
    await execa('mount', ['-t', 'tmpfs', '-o', `size=${(pages + 2 + free) * 4}k,mode=700`, 'tmpfs', mount]);
    try {
      await sh('cp -p "$1"* "$2"', first, mount);
      const before = readdirSync(mount).sort();
      const ran = await bench.run(AGENT, ['--work-dir', mount], { env });
      const after = readdirSync(mount).sort();
      if (ran.exitCode === 0) {
        expect(after).toHaveLength(6);
        await sh('cd "$1"; sha256sum -c --quiet *.sha256; sha1sum -c --quiet *.sha1', mount);
      } else {
        expect(ran).toMatchObject({
          exitCode: 1,
          stdout: '',
          stderr: expect.stringContaining('no space left'),
        });
        expect(after).toEqual(before);
      }
      outcomes.push(ran.exitCode);
    } finally {
      await execa('umount', [mount]);
    }
  }
  expect(outcomes).toContain(0);
  expect(outcomes.filter((code) => code === 1).length).toBeGreaterThan(4);
});

it('F17 fails where the disk does not confirm what was written, at every time it is asked', async () => {
  for (let n = 1; ; n += 1) {
    const inject = `inject=fsync:error=EIO:when=${n}`;
    const wrap = [
      'strace',
      '-f',
      '-qq',
      '-o',
      join(bench.directory, 'trace'),
      '-e',
      'trace=fsync',
      '-e',
      inject,
    ];
    const ran = await bench.run(AGENT, [], { env, wrap });
    if (ran.exitCode === 0) {
      expect(n).toBeGreaterThan(5); // the archive, two checksum files, and the directory for each
      break;
    }
    expect(ran).toMatchObject({
      exitCode: 1,
      stdout: '',
      stderr: expect.stringContaining('input/output error'),
    });
    expect(bench.workFiles()).toEqual([]);
  }
});
