// Surveys, judged by sha256sum, zstd and wc: of whole files, of one that is being written, of frames, bombs and garbage.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { openArchive } from '../../archive/read.ts';
import { type Survey, survey } from '../../archive/survey.ts';
import { followFile, surveyFile } from '../../archive/survey-file.ts';
import { walkFrame } from '../../archive/zstd-frame.ts';
import { type MadeArchive, makeArchive } from '../helpers/make-archive.ts';
import { randomFrom, SEED } from '../helpers/random.ts';

const signal = new AbortController().signal;
const random = randomFrom(SEED);
const OPTIONS = { algorithms: ['sha256', 'sha1'] as const, members: true };
let directory: string;
let archive: MadeArchive;

/** Half of it compresses. */
function content(sizeBytes: number): Buffer {
  return Buffer.alloc(sizeBytes).map((_, at) =>
    at % 8192 < 4096 ? 65 : Math.floor(random() * 256),
  ) as Buffer;
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'garner-survey-'));
  archive = await makeArchive(directory, { host: 'web1', time: new Date(0), content: content(3_000_000) });
});
afterAll(() => rmSync(directory, { recursive: true }));

const sh = async (script: string): Promise<string> =>
  (await execa('bash', ['-euo', 'pipefail', '-c', script], { cwd: directory })).stdout.trim();

async function expectRight(found: Survey): Promise<void> {
  expect(found.digests).toEqual({
    sha256: (await sh(`sha256sum ${archive.path}`)).slice(0, 64),
    sha1: (await sh(`sha1sum ${archive.path}`)).slice(0, 40),
  });
  using opened = openArchive(archive.path);
  expect(opened.manifest.members.length).toBeGreaterThan(2);
  for (const { name, offsetBytes } of opened.manifest.members) {
    const original = name.endsWith('.zst') ? ' | zstd -dc' : '';
    expect(found.members.get(name), name).toMatchObject({
      offsetBytes,
      sha256: (await sh(`tar -xOf ${archive.path} ${name} | sha256sum`)).slice(0, 64),
      ...(original !== '' && {
        original: { sizeBytes: Number(await sh(`tar -xOf ${archive.path} ${name}${original} | wc -c`)) },
      }),
    });
  }
  const list = await sh(`tar -xOf ${archive.path} files.list.zst | zstd -dc | tr -cd '\\0' | wc -c`);
  expect(found.members.get('files.list.zst')?.original?.zeroCount).toBe(Number(list));
}

test('says of a file and its members what sha256sum, tar and zstd say', async () => {
  await expectRight(await surveyFile(archive.path, archive.sizeBytes, OPTIONS, signal));
});

test(`says the same of a file that is being written, however its bytes come (seed ${SEED})`, async () => {
  const bytes = readFileSync(archive.path);
  const growing = join(directory, 'growing');
  writeFileSync(growing, '');
  const following = followFile(growing, OPTIONS, signal);
  for (let done = 0; done < bytes.length; ) {
    const piece = bytes.subarray(done, done + Math.floor(random() * 2_000_000));
    appendFileSync(growing, piece);
    done += piece.length;
    following.grew(done);
    await new Promise((resolve) => setTimeout(resolve, random() * 5));
  }
  await expectRight(await following.finish(bytes.length));
});

test('a file that ends before it should is an error; one that is given up keeps nobody', async () => {
  await expect(surveyFile(archive.path, archive.sizeBytes + 1, OPTIONS, signal)).rejects.toThrow(/shorter/);
  const following = followFile(archive.path, OPTIONS, signal);
  await expect(following.finish(archive.sizeBytes + 1)).rejects.toThrow(/shorter/);
  const run = new AbortController();
  const ended = followFile(archive.path, OPTIONS, run.signal);
  ended.grew(archive.sizeBytes);
  const reason = new Error('ended');
  run.abort(reason);
  await expect(ended.finish(archive.sizeBytes)).rejects.toBe(reason);
});

test('digests garbage and finds no members in it', async () => {
  const file = join(directory, 'garbage');
  writeFileSync(file, content(100_001));
  const found = await surveyFile(file, 100_001, OPTIONS, signal);
  expect(found.digests.sha256).toBe((await sh(`sha256sum ${file}`)).slice(0, 64));
  expect(found.members.size).toBe(0);
});

describe('a member', () => {
  /** @returns what a survey says of a tar with this one member */
  async function surveyOf(member: Buffer): Promise<ReturnType<Survey['members']['get']>> {
    writeFileSync(join(directory, 'member.zst'), member);
    await sh('tar --format=ustar --blocking-factor=1 -cf one.tar member.zst');
    const file = join(directory, 'one.tar');
    return (await surveyFile(file, statSync(file).size, OPTIONS, signal)).members.get('member.zst');
  }
  const text = Buffer.alloc(500_000, 'the quick brown fox\n');
  const frame = zstdCompressSync(text);

  test('of one frame has the size of its original', async () => {
    expect((await surveyOf(frame))?.original?.sizeBytes).toBe(text.length);
  });

  it.each([
    ['a second frame', Buffer.concat([frame, frame])],
    ['bytes that are no frame', Buffer.concat([frame, Buffer.from('more')])],
    ['a byte too few', frame.subarray(0, -1)],
    ['nothing at all', Buffer.alloc(0)],
    ['a window of 2 GB', Buffer.concat([Buffer.from('28b52ffd04a8', 'hex'), frame.subarray(6)])],
  ])('with %s is left to those who look closer', async (_, member) => {
    const found = await surveyOf(member);
    expect(found?.sizeBytes).toBe(member.length);
    expect(found?.original).toBeUndefined();
  });

  test('F52 that is a bomb is given up at a limit of bytes, without its manifest', async () => {
    const bomb = join(directory, 'bomb.zst');
    await sh('head -c 1500M /dev/zero | zstd -q -3 -c > bomb.zst');
    const found = await surveyOf(readFileSync(bomb));
    expect(found?.sha256).toBe((await sh('sha256sum bomb.zst')).slice(0, 64));
    expect(found?.original).toBeUndefined();
  });
});

test(`a frame ends where zstd says, in whatever pieces it comes (seed ${SEED})`, async () => {
  for (const flags of ['', '--no-check', '--check -19', '-1 --long=22', '--content-size']) {
    const frame = (
      await execa('bash', ['-c', `zstd -q ${flags} -c`], { input: content(300_000), encoding: 'buffer' })
    ).stdout as Uint8Array;
    const bytes = Buffer.from(frame);
    const walk = walkFrame();
    for (let done = 0; done < bytes.length; ) {
      expect(walk.isOneFrame(), `${flags} at ${done}`).toBe(false);
      const piece = bytes.subarray(done, done + 1 + Math.floor(random() * 5000));
      walk.take(piece);
      done += piece.length;
    }
    expect(walk.isOneFrame(), flags).toBe(true);
    walk.take(Buffer.from([0]));
    expect(walk.isOneFrame(), flags).toBe(false);
  }
});

test('a pipe of chunks of any size that is a block is surveyed alike', async () => {
  const bytes = readFileSync(archive.path);
  async function* chunks(): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += 512 * 37) yield bytes.subarray(at, at + 512 * 37);
  }
  await expectRight(await survey(chunks(), OPTIONS));
});
