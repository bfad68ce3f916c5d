import fs, {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createFile } from '../../lib/durable.ts';
import { ensureDirectory, openWorkDir } from '../../lib/work-dir.ts';

const never = new AbortController().signal;
const root = process.getuid?.() === 0;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-work-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const modeOf = (path: string): number => statSync(path).mode & 0o7777;

test('F28 is made private, with what is above it, whatever the umask; files in it too', async () => {
  const path = join(directory, 'a', 'work');
  const before = process.umask(0);
  try {
    const { access } = await openWorkDir(path, undefined, never);
    createFile(join(path, 'file'), access);
  } finally {
    process.umask(before);
  }
  expect([path, join(directory, 'a'), join(path, 'file')].map(modeOf)).toEqual([0o700, 0o700, 0o600]);
});

test.runIf(root)(
  'what is read again by its name lies where members of the group can put nothing in its place',
  async () => {
    const path = join(directory, 'work');
    chmodSync(directory, 0o755);
    expect((await openWorkDir(path, undefined, never)).scratch).toBe(path);
    const { scratch } = await openWorkDir(path, 'daemon', never);
    expect(scratch).toBe(join(directory, '.work-scratch'));
    expect(modeOf(scratch)).toBe(0o700);
    const gid = statSync(path).gid;
    const as = (script: string) =>
      execa(
        'setpriv',
        ['--reuid=65534', `--regid=${gid}`, '--clear-groups', 'sh', '-c', script, 'sh', directory],
        {
          reject: false,
        },
      );
    mkdirSync(join(path, 'there'));
    expect((await as('mv "$1/work/there" "$1/work/gone"')).exitCode).toBe(0);
    expect((await as('mv "$1/.work-scratch" "$1/work/gone"')).exitCode).not.toBe(0);
    expect((await as('ls "$1/.work-scratch"')).exitCode).not.toBe(0);
    // where others write, or somebody else's directory or link is there, there is none
    for (const spoil of [
      () => chownSync(scratch, 65534, 65534),
      () => {
        chownSync(scratch, 0, 0);
        chmodSync(scratch, 0o770);
      },
      () => {
        rmSync(scratch, { recursive: true });
        symlinkSync('/root', scratch);
      },
      () => {
        rmSync(scratch);
        chmodSync(directory, 0o775);
      },
    ]) {
      spoil();
      expect((await openWorkDir(path, 'daemon', never)).scratch).toBe(path);
    }
  },
);

test.runIf(root)(
  'F28 for GARNER_GROUP is 2770 with files 0640 of that group, which can get to it',
  async () => {
    const path = join(directory, 'a', 'work');
    chmodSync(directory, 0o755);
    const { access } = await openWorkDir(path, 'daemon', never);
    createFile(join(path, 'file'), access);
    const gid = Number((await execa('getent', ['group', 'daemon'])).stdout.split(':')[2]);
    expect([modeOf(path), modeOf(join(path, 'file'))]).toEqual([0o2770, 0o640]);
    expect([statSync(path).gid, statSync(join(path, 'file')).gid]).toEqual([gid, gid]);
    const as = (id: number, script: string) =>
      execa('setpriv', ['--reuid=65534', `--regid=${id}`, '--clear-groups', 'sh', '-c', script, 'sh', path], {
        reject: false,
      });
    expect((await as(65534, 'ls "$1"')).exitCode).not.toBe(0);
    expect((await as(gid, 'cat "$1/file" && rm "$1/file"')).exitCode).toBe(0);
    expect(existsSync(join(path, 'file'))).toBe(false);
  },
);

test('F28 a group that does not exist is an error of configuration', async () => {
  await expect(openWorkDir(join(directory, 'w'), 'no-such-group', never)).rejects.toMatchObject({
    code: 'configuration',
    message: 'cannot use GARNER_GROUP "no-such-group": there is no such group',
  });
  const controller = new AbortController();
  const opening = openWorkDir(join(directory, 'w'), 'daemon', controller.signal);
  controller.abort(new Error('ended by SIGTERM'));
  await expect(opening).rejects.toThrow('ended by SIGTERM');
});

test.each([
  ['a symbolic link', 'it is a symbolic link', (path: string) => symlinkSync('/tmp', path)],
  ['a dangling link', 'it is a symbolic link', (path: string) => symlinkSync('/nowhere', path)],
  ['a file', 'it is no directory', (path: string) => writeFileSync(path, '')],
  [
    'a directory that others can write into',
    'others can write into it',
    (path: string) => {
      mkdirSync(path);
      chmodSync(path, 0o777);
    },
  ],
])('F28 %s is refused', async (_, cause, make) => {
  const path = join(directory, 'work');
  make(path);
  await expect(openWorkDir(path, undefined, never)).rejects.toMatchObject({
    code: 'work-dir',
    message: `cannot use the work directory "${path}": ${cause}`,
  });
});

test.runIf(root)('F28 the directory of another user is refused', async () => {
  chownSync(directory, 4711, 4711);
  await expect(openWorkDir(directory, undefined, never)).rejects.toThrow('it is owned by user 4711');
});

test.runIf(root)('F28 a read-only file system is refused', async () => {
  const mount = join(directory, 'ro');
  mkdirSync(mount);
  await execa('mount', ['-t', 'tmpfs', '-o', 'ro,mode=700', 'none', mount]);
  try {
    await expect(openWorkDir(mount, undefined, never)).rejects.toThrow('the file system is read-only');
    await expect(openWorkDir(join(mount, 'work'), undefined, never)).rejects.toMatchObject({
      code: 'work-dir',
    });
  } finally {
    await execa('umount', [mount]);
  }
});

test('an existing directory keeps its mode', async () => {
  chmodSync(directory, 0o750);
  await openWorkDir(directory, undefined, never);
  expect(modeOf(directory)).toBe(0o750);
});

test('F28 gives nothing to the group that was put in its place after it was looked at', () => {
  const [inside, secret] = [join(directory, 'history'), join(directory, 'secret')];
  mkdirSync(inside, 0o700);
  writeFileSync(secret, 'x', { mode: 0o600 });
  // a member of the group is quick: between the look and what follows it
  const { lstatSync } = fs;
  const quick = (path: string, options: object): unknown => {
    const stat = lstatSync(path, options);
    if (path === inside) {
      renameSync(inside, `${inside}.old`);
      symlinkSync(secret, inside);
    }
    return stat;
  };
  Object.assign(fs, { lstatSync: quick });
  syncBuiltinESMExports();
  try {
    expect(() => ensureDirectory(inside, process.getgid?.(), 0o2750)).toThrow(
      /cannot use the work directory/,
    );
  } finally {
    Object.assign(fs, { lstatSync });
    syncBuiltinESMExports();
  }
  expect(modeOf(secret)).toBe(0o600);
});
