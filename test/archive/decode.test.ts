// Small members are decompressed in this process, others by zstd: what is refused must be the same.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Manifest, Member } from '../../archive/manifest.ts';
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
