// Small members are decompressed in this process, others by zstd: what is refused must be the same.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Manifest, Member } from '../../archive/manifest.ts';
import { END_OF_ARCHIVE, encodeHeader, paddingBytes } from '../../archive/tar-header.ts';
import { verifyArchive } from '../../archive/verify.ts';
import { makeArchive } from '../helpers/make-archive.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-decode-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Makes an archive whose list has more after its frame, and whose manifest says so of the stored bytes. */
async function withTail(tail: string): Promise<string> {
  const made = await makeArchive(directory, { host: 'web1', time: new Date('2026-01-02T03:04:05Z') });
  const sh = (script: string) => execa('bash', ['-euc', script], { cwd: directory });
  await sh(`tar -xf ${made.path}; printf 'more' > more; ${tail} >> files.list.zst`);
  const manifest = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as Manifest;
  const list = manifest.members.find(({ kind }) => kind === 'list') as Member;
  list.sizeBytes = statSync(join(directory, 'files.list.zst')).size;
  list.sha256 = (await sh('sha256sum files.list.zst')).stdout.slice(0, 64);
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify(manifest));
  const members = [...manifest.members.map(({ name }) => name), 'manifest.json'].join(' ');
  await sh(`tar --format=ustar --blocking-factor=1 -cf ${made.path} ${members}`);
  return made.path;
}

const verify = (file: string) =>
  verifyArchive(file, { expectedSha256: undefined, signal: new AbortController().signal });

it('accepts a small member that is one frame', async () => {
  expect(await verify(await withTail('true'))).toMatchObject({ level: 'content' });
});

it.each([
  ['a second frame', 'zstd -q -c more'],
  ['bytes that are no frame', 'cat more'],
])('refuses a small member with %s behind what the manifest counts', async (_, tail) => {
  await expect(verify(await withTail(tail))).rejects.toThrow(/files\.list\.zst/);
});

it('F52 gives way to other work between the small members of which a host may have made thousands', async () => {
  const MEMBERS = 200;
  const stored = zstdCompressSync(Buffer.alloc(100_000));
  const made = await makeArchive(directory, { host: 'web1', time: new Date('2026-01-02T03:04:05Z') });
  await execa('tar', ['-xf', made.path, 'manifest.json'], { cwd: directory });
  const manifest = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as Manifest;
  const [blocks, members]: [Buffer[], Member[]] = [[], []];
  const add = (name: string, content: Buffer): void => {
    const padding = Buffer.alloc(paddingBytes(content.length));
    blocks.push(encodeHeader(name, content.length, new Date(0)), content, padding);
  };
  for (let index = 0; index < MEMBERS; index += 1) {
    const name = `m${index}.sql`;
    add(name, stored);
    members.push({
      ...{
        name,
        kind: 'database',
        encoding: ['zst'],
        uncompressedSizeBytes: 100_000,
        sizeBytes: stored.length,
      },
      offsetBytes: index * (512 + stored.length + paddingBytes(stored.length)) + 512,
      sha256: createHash('sha256').update(stored).digest('hex'),
    });
  }
  add('manifest.json', Buffer.from(JSON.stringify({ ...manifest, members })));
  writeFileSync(made.path, Buffer.concat([...blocks, END_OF_ARCHIVE]));
  let turns = 0;
  const tick = (): void => {
    turns += 1;
    ticker = setImmediate(tick);
  };
  let ticker = setImmediate(tick);
  expect(await verify(made.path)).toMatchObject({ level: 'content' });
  clearImmediate(ticker);
  expect(turns).toBeGreaterThanOrEqual(MEMBERS);
});
