// What verification of an archive costs at most, whatever is in it, and that it ends when it is told to.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { followFile, surveyFile } from '../../archive/survey-file.ts';
import { verifyArchive } from '../../archive/verify.ts';
import { pullHosts } from '../../archiver/pull.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { type MadeArchive, makeArchive } from '../helpers/make-archive.ts';

const hanging = vi.hoisted(() => ({ isSo: false }));
vi.mock('../../lib/own-code.ts', async (actual) => {
  const own = await actual<typeof import('../../lib/own-code.ts')>();
  return {
    ...own,
    startThread: (module: Parameters<typeof own.startThread>[0]) =>
      hanging.isSo ? new Worker('setInterval(() => {}, 1000)', { eval: true }) : own.startThread(module),
  };
});

const { signal } = new AbortController();
const MB = 1_000_000;
let archiver: TestArchiver;
let zeros: MadeArchive;
beforeEach(async () => {
  archiver = testArchiver();
  zeros = await makeArchive(archiver.workDir('web1'), {
    host: 'web1',
    time: daysAgo(1),
    content: Buffer.alloc(10 * MB),
  });
});
afterEach(() => archiver.remove());

const verify = (freeOriginalBytes: number | undefined) =>
  verifyArchive(zeros.path, { expectedSha256: undefined, freeOriginalBytes, signal });

it('F52 what expands beyond measure is compared by its digest alone', async () => {
  expect(await verify(undefined)).toMatchObject({ level: 'content', unread: [] });
  expect(await verify(20 * MB)).toMatchObject({ level: 'content', unread: [] });
  expect(await verify(5 * MB)).toMatchObject({ level: 'digest', unread: ['files.tar.zst'] });
  const bytes = readFileSync(zeros.path);
  const at = bytes.indexOf('files.tar.zst') + 512 + 20;
  bytes.writeUInt8((bytes.at(at) as number) ^ 1, at);
  writeFileSync(zeros.path, bytes);
  await expect(verify(5 * MB)).rejects.toMatchObject({ code: 'content-mismatch' });
});

it('F52 a pull says of which members it only knows the digest', async () => {
  const tree = join(archiver.directory, 'tree.zst');
  writeFileSync(tree, 'it is no frame, and nobody looks');
  const { name } = await makeArchive(archiver.workDir('web2'), {
    host: 'web2',
    time: daysAgo(1),
    tree: { path: tree, uncompressedSizeBytes: 2 ** 40 },
  });
  archiver.setUp();
  archiver.configureHosts(['web1', 'web2']);
  const [honest, bomb] = await archiver.inProcess((run) =>
    pullHosts(run, run.configuration.hosts, { prune: false, dryRun: false }),
  );
  expect(honest).toMatchObject({ result: 'ok' });
  expect(bomb).toMatchObject({ result: 'warnings', pulled: [{ name }] });
  expect(bomb?.warnings.join()).toMatch(/compared by digest alone: files.tar.zst would expand/);
  expect(await archiver.query(`SELECT verified FROM archives ORDER BY host`)).toBe('content\ndigest');
});

it('a thread that hangs keeps no run from ending', async () => {
  hanging.isSo = true;
  try {
    const ending = new AbortController();
    const options = { algorithms: ['sha256' as const], members: true };
    const following = followFile(zeros.path, options, ending.signal);
    const finished = following.finish(zeros.sizeBytes);
    const whole = surveyFile(zeros.path, 64 << 20, options, ending.signal);
    const reason = new Error('ended');
    setTimeout(() => ending.abort(reason), 50);
    await expect(finished).rejects.toBe(reason);
    await expect(whole).rejects.toBe(reason);
  } finally {
    hanging.isSo = false;
  }
});
