// The archive as others see it: tar, zstd, sha256sum and sha1sum are the judges; and what is no archive is refused.
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatName, parseName, parseSidecar } from '../../archive/name.ts';
import { openArchive } from '../../archive/read.ts';
import { decodeHeader, END_OF_ARCHIVE, encodeHeader, paddingBytes } from '../../archive/tar-header.ts';
import { verifyArchive } from '../../archive/verify.ts';
import { type PublishedArchive, startArchive } from '../../archive/write.ts';

const signal = new AbortController().signal;
const tool = { name: 'garner', version: '0' };
let directory: string;
let archive: PublishedArchive;

const workDir = (path: string): { path: string; access: { mode: number } } => ({
  path,
  access: { mode: 0o600 },
});

async function makeArchive(path: string): Promise<PublishedArchive> {
  const identity = { application: 'sample', instance: 'blue', host: 'web-1.example' };
  using writer = await startArchive(workDir(path), identity, '1.2.3', tool, ['sha256', 'sha1']);
  const text = Buffer.from('first line\nsecond line\n'.repeat(5000));
  const member = writer.begin('data.dump.zst', 'database');
  member.write(execFileSync('zstd', ['-c'], { input: 'thrown away' }));
  member.rewind();
  const stored = execFileSync('zstd', ['-c'], { input: text });
  member.write(stored.subarray(0, 7));
  member.write(stored.subarray(7));
  member.end({ uncompressedSizeBytes: text.length, encoding: ['zst'] });
  return await writer.publish({ warnings: [{ code: 'sample', message: 'a warning' }] });
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'garner-archive-'));
  archive = await makeArchive(directory);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('an archive', () => {
  it('is restored with tar, zstd, sha256sum and sha1sum alone', async () => {
    const options = { cwd: directory };
    expect((await execa('sha256sum', ['-c', `${basename(archive.path)}.sha256`], options)).stdout).toContain(
      'OK',
    );
    expect((await execa('sha1sum', ['-c', `${basename(archive.path)}.sha1`], options)).stdout).toContain(
      'OK',
    );
    await execa('tar', ['-xf', archive.path], options);
    await execa('zstd', ['-dq', 'data.dump.zst'], options);
    expect(readFileSync(join(directory, 'data.dump'), 'utf8')).toBe('first line\nsecond line\n'.repeat(5000));
    expect(readFileSync(join(directory, 'VERSION'), 'utf8')).toBe('1.2.3\n');
    const manifest = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8'));
    expect(manifest).toMatchObject({
      format: 1,
      application: 'sample',
      instance: 'blue',
      host: 'web-1.example',
      version: '1.2.3',
    });
    for (const { name, offsetBytes, sizeBytes, sha256 } of manifest.members) {
      const { stdout } = await execa('sh', [
        '-c',
        `tail -c +$((${offsetBytes} + 1)) '${archive.path}' | head -c ${sizeBytes} | sha256sum`,
      ]);
      expect(stdout.slice(0, 64), name).toBe(sha256);
    }
  });

  it('lists its members in order, the manifest last', async () => {
    const { stdout } = await execa('tar', ['-tf', archive.path]);
    expect(stdout.split('\n')).toEqual(['VERSION', 'data.dump.zst', 'manifest.json']);
  });

  it('leaves nothing behind when it is not published', async () => {
    const path = mkdtempSync(join(directory, 'unpublished-'));
    {
      using writer = await startArchive(
        workDir(path),
        { application: 'sample', instance: undefined, host: 'h' },
        '1',
        tool,
        ['sha256'],
      );
      writer.begin('x.tar.zst', 'tree').write(Buffer.alloc(100_000));
      expect(readdirSync(path)).toHaveLength(1);
    }
    expect(readdirSync(path)).toEqual([]);
  });

  it('F25 waits for the next second rather than overwrite', async () => {
    const path = mkdtempSync(join(directory, 'second-'));
    const names = [await makeArchive(path), await makeArchive(path), await makeArchive(path)].map(
      (made) => made.path,
    );
    expect(new Set(names).size).toBe(3);
    for (const name of names)
      expect((await execa('sha256sum', ['-c', `${name}.sha256`], { cwd: path })).exitCode).toBe(0);
  });

  it('has members above 8 GiB that GNU tar reads', async () => {
    const path = join(directory, 'huge.tar');
    const sizeBytes = 9 * 2 ** 30 + 5;
    const fd = openSync(path, 'w');
    writeSync(fd, encodeHeader('huge.dump.zst', sizeBytes, new Date(0)));
    writeSync(fd, Buffer.from('begin'), 0, 5, 512);
    const position = 512 + sizeBytes + paddingBytes(sizeBytes);
    writeSync(fd, encodeHeader('after', 3, new Date(0)), 0, 512, position);
    writeSync(fd, Buffer.from('abc'), 0, 3, position + 512);
    ftruncateSync(fd, position + 1024 + END_OF_ARCHIVE.length);
    closeSync(fd);
    const { stdout } = await execa('tar', ['-tvf', path], { env: { TZ: 'UTC' } });
    expect(stdout).toMatch(
      new RegExp(`-rw------- 0/0 +${sizeBytes} 1970-01-01 00:00 huge.dump.zst\n.* 3 .* after`),
    );
    const { stdout: begin } = await execa('sh', ['-c', `tar -xOf '${path}' huge.dump.zst | head -c 5`]);
    expect(begin).toBe('begin');
    expect((await execa('tar', ['-xOf', path, 'after'])).stdout).toBe('abc');
    expect(decodeHeader(encodeHeader('huge.dump.zst', sizeBytes, new Date(0)), 'x')).toEqual({
      name: 'huge.dump.zst',
      sizeBytes,
    });
  });
});

describe('verification', () => {
  const verify = (file: string, expectedSha256 = archive.digests.sha256): ReturnType<typeof verifyArchive> =>
    verifyArchive(file, { expectedSha256, signal });

  it('finds a good archive good, by content', async () => {
    expect(await verify(archive.path)).toMatchObject({ level: 'content', sha256: archive.digests.sha256 });
  });

  it('F37 finds any flipped byte, by the digest and, without it, by structure or content', async () => {
    const good = readFileSync(archive.path);
    const manifestAt = good.length; // padding after the manifest may differ without harm to its members
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: manifestAt - 1 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, mask) => {
          const bad = Buffer.from(good);
          bad[at] = (bad[at] as number) ^ mask;
          const file = join(directory, 'flipped.tar');
          writeFileSync(file, bad);
          await expect(verify(file)).rejects.toMatchObject({ exitCode: 5 });
        },
      ),
      { numRuns: 150, verbose: 1 },
    );
  });

  it('finds a cut archive, at any length', async () => {
    const good = readFileSync(archive.path);
    const file = join(directory, 'cut.tar');
    for (let length = 0; length < good.length; length += 97) {
      writeFileSync(file, good.subarray(0, length));
      expect(() => openArchive(file), `cut at ${length}`).toThrow(/cannot read archive/);
    }
  });

  it('finds a member that was exchanged together with the checksum file', async () => {
    const other = mkdtempSync(join(directory, 'exchanged-'));
    const file = join(other, 'exchanged.tar');
    copyFileSync(archive.path, file);
    const { members } = archive.manifest;
    const member = members.find(({ name }) => name === 'data.dump.zst');
    const fd = openSync(file, 'r+');
    writeSync(fd, Buffer.from('tampered'), 0, 8, (member?.offsetBytes ?? 0) + 20);
    closeSync(fd);
    const { stdout } = await execa('sha256sum', [file]);
    await expect(verify(file, stdout.slice(0, 64))).rejects.toMatchObject({ code: 'content-mismatch' });
  });

  it('refuses what carries the name of another host or application', async () => {
    const file = join(directory, basename(archive.path).replace('web-1.example', 'web-2.example'));
    copyFileSync(archive.path, file);
    await expect(verify(file)).rejects.toMatchObject({ code: 'not-an-archive' });
  });
});

describe('foreign archives', () => {
  async function tarOf(files: Record<string, string>, extra: string[] = []): Promise<string> {
    const source = mkdtempSync(join(directory, 'foreign-'));
    for (const [name, content] of Object.entries(files)) writeFileSync(join(source, name), content);
    const file = `${source}.tar`;
    await execa('tar', ['-cf', file, '--blocking-factor=1', '-C', source, ...extra, ...Object.keys(files)]);
    return file;
  }

  it.each([
    ['no manifest', { VERSION: '1' }],
    ['a manifest that is no JSON', { 'manifest.json': '{' }],
    ['a manifest that would take gigabytes of memory', { 'manifest.json': `[${'[],'.repeat(1 << 20)}[]]` }],
    ['a manifest of another format', { 'manifest.json': '{"format":2}' }],
    ['a manifest with deep nesting', { 'manifest.json': '['.repeat(100_000) + ']'.repeat(100_000) }],
    ['a manifest that is not last', { 'manifest.json': '{}', VERSION: '1' }],
  ])('with %s are refused', async (_title, files) => {
    const file = await tarOf(files);
    expect(() => openArchive(file)).toThrow(/cannot read/);
  });

  it('whose tar has links, devices or paths are refused', async () => {
    const source = mkdtempSync(join(directory, 'links-'));
    await execa('ln', ['-s', '/etc/passwd', join(source, 'VERSION')]);
    const file = `${source}.tar`;
    await execa('tar', ['-cf', file, '--blocking-factor=1', '-C', source, 'VERSION']);
    expect(() => openArchive(file)).toThrow(/no regular file/);
  });

  it('of random bytes never crash the reader', () => {
    const file = join(directory, 'random.tar');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
        writeFileSync(file, bytes);
        expect(() => openArchive(file)).toThrow(/cannot/);
      }),
      { numRuns: 200, verbose: 1 },
    );
  });

  it('that are fifos or directories are refused without waiting', async () => {
    const fifo = join(directory, 'fifo.tar');
    await execa('mkfifo', [fifo]);
    expect(() => openArchive(fifo)).toThrow(/no regular file/);
    expect(() => openArchive(directory)).toThrow(/no regular file/);
  });
});

describe('names', () => {
  it('are read back from what they were made of', () => {
    const parts = fc.record({
      application: fc.stringMatching(/^[a-z][a-z0-9]{0,10}$/),
      instance: fc.option(fc.stringMatching(/^[a-z0-9_]{1,10}$/), { nil: undefined }),
      host: fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,30}$/),
      time: fc.date({
        min: new Date('2000-01-01T00:00:00Z'),
        max: new Date('2099-12-31T00:00:00Z'),
        noInvalidDate: true,
      }),
    });
    fc.assert(
      fc.property(parts, (name) => {
        const time = new Date(Math.floor(name.time.getTime() / 1000) * 1000);
        expect(parseName(formatName({ ...name, time }))).toEqual({ ...name, time });
      }),
      { verbose: 1 },
    );
  });

  it.each([
    '',
    'a',
    '../a-b-20260101T000000Z',
    'a-b-20261301T000000Z',
    'a-b-20260231T000000Z',
    'A-b-20260101T000000Z',
    'a-b/c-20260101T000000Z',
    'a-b\n-20260101T000000Z',
    `a-${'b'.repeat(200)}-20260101T000000Z`,
    'a--b-20260101T000000Z',
  ])('such as %j are no names', (name) => expect(parseName(name)).toBeUndefined());

  it('F38 checksum files are read strictly', () => {
    const digest = 'a'.repeat(64);
    expect(parseSidecar(`${digest}  x.tar\n`, 'x.tar', 'sha256')).toBe(digest);
    for (const bad of [
      '',
      `${digest}  y.tar\n`,
      `${digest}  x.tar`,
      `${digest}  x.tar\n\n`,
      `${digest} *x.tar\n`,
      `${digest}  x.tar\n${digest}  x.tar\n`,
      `${'g'.repeat(64)}  x.tar\n`,
    ]) {
      expect(() => parseSidecar(bad, 'x.tar', 'sha256')).toThrow(/not one line/);
    }
  });
});
