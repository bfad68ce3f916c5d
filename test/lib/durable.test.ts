import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  createFile,
  partPath,
  publish,
  removeTree,
  sweepParts,
  writeFileDurably,
} from '../../lib/durable.ts';

const LIB = join(import.meta.dirname, '../../lib/durable.ts');
const root = process.getuid?.() === 0;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-durable-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const at = (name: string): string => join(directory, name);

/** Writes a file in a process of its own, under strace. @returns its system calls */
async function traced(
  target: string,
  options: string[],
  replace = false,
): Promise<{ calls: string; stdout: string }> {
  const script = `
    const { writeFileDurably } = await import(${JSON.stringify(LIB)});
    try { writeFileDurably(${JSON.stringify(target)}, 'content', { replace: ${replace} }); console.log('done'); }
    catch (error) { console.log(error.code + ' ' + error.message); }`;
  const trace = at('trace');
  const calls = 'fsync,link,linkat,rename,renameat,renameat2,unlink,openat,open';
  const { stdout } = await execa('strace', [
    ...['-f', '-y', '-o', trace, '-e', `trace=${calls}`, ...options],
    ...[process.execPath, '--input-type=module', '-e', script],
  ]);
  const content = readFileSync(trace, 'utf8');
  rmSync(trace);
  return { calls: content, stdout };
}

describe('publishing', () => {
  test('never overwrites: the older file stays and the new one stays unfinished', () => {
    writeFileSync(at('part'), 'new');
    writeFileSync(at('final'), 'old');
    expect(() => publish(at('part'), at('final'))).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    expect(readFileSync(at('final'), 'utf8')).toBe('old');
    rmSync(at('final'));
    symlinkSync('/nowhere', at('final'));
    expect(() => publish(at('part'), at('final'))).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    expect(readFileSync(at('part'), 'utf8')).toBe('new');
  });

  test('leaves one name of the file', () => {
    writeFileSync(at('part'), 'new');
    publish(at('part'), at('final'));
    expect(readdirSync(directory)).toEqual(['final']);
    expect(statSync(at('final')).nlink).toBe(1);
  });

  test.each(['EPERM', 'ENOSYS', 'EOPNOTSUPP'])(
    'renames, after a look, where the file system says %s to hard links',
    async (error) => {
      const inject = ['-e', `inject=link,linkat:error=${error}`];
      expect((await traced(at('final'), inject)).stdout).toBe('done');
      expect(readFileSync(at('final'), 'utf8')).toBe('content');
      writeFileSync(at('final'), 'old');
      expect((await traced(at('final'), inject)).stdout).toBe(
        `io cannot write file "${at('final')}": exists already`,
      );
      expect(readFileSync(at('final'), 'utf8')).toBe('old');
      expect(readdirSync(directory)).toEqual(['final']);
    },
  );
});

describe('a durable file', () => {
  test('is whole, private whatever the umask, and alone', () => {
    const before = process.umask(0);
    try {
      writeFileDurably(at('a'), 'text');
      writeFileDurably(at('b'), new Uint8Array([1, 2]), { access: { mode: 0o640, gid: process.getgid?.() } });
    } finally {
      process.umask(before);
    }
    expect(readFileSync(at('a'), 'utf8')).toBe('text');
    expect([at('a'), at('b')].map((file) => statSync(file).mode & 0o7777)).toEqual([0o600, 0o640]);
    expect(readdirSync(directory)).toEqual(['a', 'b']);
  });

  test('replaces an older one only where it is told to', () => {
    writeFileDurably(at('a'), 'one');
    expect(() => writeFileDurably(at('a'), 'two')).toThrow(`cannot write file "${at('a')}": exists already`);
    expect(readFileSync(at('a'), 'utf8')).toBe('one');
    writeFileDurably(at('a'), 'three', { replace: true });
    expect(readFileSync(at('a'), 'utf8')).toBe('three');
    expect(readdirSync(directory)).toEqual(['a']);
  });

  test.each([false, true])(
    'F22 is synced, named, and its directory synced, in this order (replace: %s)',
    async (replace) => {
      const { calls } = await traced(at('final'), [], replace);
      const synced = calls.search(/fsync\(\d+<[^>]*\.part-final\.[0-9a-f]{8}>\)\s+= 0/);
      const named = calls.search(replace ? /rename.*"[^"]*final"\)\s+= 0/ : /link.*"[^"]*final"\)\s+= 0/);
      const made = calls.search(new RegExp(`fsync\\(\\d+<${directory}>\\)\\s+= 0`));
      expect(synced).toBeGreaterThan(-1);
      expect(named).toBeGreaterThan(synced);
      expect(made).toBeGreaterThan(named);
    },
  );

  test('F17 that the disk fails to sync is an error, and is not there', async () => {
    const { stdout } = await traced(at('final'), ['-e', 'inject=fsync:error=EIO:when=1']);
    expect(stdout).toBe(`io cannot write file "${at('final')}": input/output error of the disk`);
    expect(readdirSync(directory)).toEqual([]);
  });

  test('F17 whose name the disk fails to sync is an error, and leaves nothing unfinished', async () => {
    const { stdout } = await traced(at('final'), ['-e', 'inject=fsync:error=EIO:when=2']);
    expect(stdout).toMatch(/^io cannot write file/);
    expect(readdirSync(directory).filter((name) => name !== 'final')).toEqual([]);
  });

  test.runIf(root)(
    'F15 for which there is no space is an error that says so, and leaves nothing',
    async () => {
      const mount = at('small');
      mkdirSync(mount);
      await execa('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', mount]);
      try {
        expect(() => writeFileDurably(join(mount, 'big'), Buffer.alloc(2 << 20))).toThrow(
          expect.objectContaining({
            code: 'no-space',
            message: `cannot write file "${join(mount, 'big')}": no space left on the disk`,
          }),
        );
        expect(readdirSync(mount)).toEqual([]);
        writeFileDurably(join(mount, 'small'), Buffer.alloc(1 << 19));
      } finally {
        await execa('umount', [mount]);
      }
    },
  );

  test('whose directory is missing is an error', () => {
    expect(() => writeFileDurably(at('no/file'), 'x')).toThrow('no such file or directory');
  });
});

describe('a new file', () => {
  test('is never an existing one nor behind a link', () => {
    writeFileSync(at('a'), 'old');
    symlinkSync(at('b'), at('link'));
    expect(() => createFile(at('a'))).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    expect(() => createFile(at('link'))).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    expect(existsSync(at('b'))).toBe(false);
  });

  test.runIf(root)('is removed again where its group can not be set', async () => {
    chmodSync(directory, 0o777);
    const script = `
      const { createFile } = await import(${JSON.stringify(LIB)});
      process.setgroups([]); process.setgid(65534); process.setuid(65534);
      try { createFile(${JSON.stringify(at('a'))}, { mode: 0o640, gid: 0 }); } catch (error) { console.log(error.code); }`;
    const { stdout } = await execa(process.execPath, ['--input-type=module', '-e', script]);
    expect(stdout).toBe('EPERM');
    expect(readdirSync(directory)).toEqual([]);
  });
});

test("sweeping removes the unfinished files that are the caller's, and nothing else", () => {
  const mine = [partPath(at('mine')), partPath(at('mine'))];
  const other = partPath(at('other'));
  for (const path of [...mine, other, at('mine'), at('xpart-mine.00000000')]) writeFileSync(path, '');
  linkSync(at('mine'), at('.part'));
  const swept = sweepParts(directory, (rest) => /^mine\.[0-9a-f]{8}$/.test(rest));
  expect(swept.map(at).sort()).toEqual(mine.sort());
  expect(readdirSync(directory).map(at).sort()).toEqual(
    [at('.part'), other, at('mine'), at('xpart-mine.00000000')].sort(),
  );
});

test.runIf(root)('a directory is not removed while something is mounted in it', async () => {
  const [share, part] = [at('share'), at('.part-a b')];
  for (const name of [share, join(part, 'mount')]) mkdirSync(name, { recursive: true });
  writeFileSync(join(share, 'theirs'), 'x');
  await execa('mount', ['--bind', share, join(part, 'mount')]);
  try {
    expect(() => removeTree(part)).toThrow('is mounted there');
    expect(sweepParts(directory, () => true)).toEqual([]);
  } finally {
    await execa('umount', [join(part, 'mount')]);
  }
  expect(existsSync(join(share, 'theirs'))).toBe(true);
  expect(sweepParts(directory, () => true)).toEqual(['.part-a b']);
  expect(existsSync(part)).toBe(false);
});
