// F30, F31 the other way: pushes over a line that breaks, and what broken ones have left at the target.
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { readPushConfiguration } from '../../archiver/configuration.ts';
import { type PushReport, pushTo } from '../../archiver/push.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { type MadeArchive, makeArchive } from '../helpers/make-archive.ts';
import { randomFrom, SEED } from '../helpers/random.ts';
import { type Sshd, startSshd } from '../helpers/sshd.ts';
import { startTcpProxy, type TcpProxy } from '../helpers/tcp-proxy.ts';

const SIZE = 3_000_000;
const random = randomFrom(SEED);

let sshd: Sshd;
let proxy: TcpProxy;
let archiver: TestArchiver;
let work: string;
let inbox: string;
let made: MadeArchive;

beforeAll(async () => {
  sshd = await startSshd();
  proxy = await startTcpProxy(sshd.port);
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await sshd.stop();
});
beforeEach(async () => {
  archiver = testArchiver();
  work = archiver.workDir('web1');
  inbox = archiver.workDir('inbox');
  configure('');
  made = await makeArchive(work, { host: 'web1', time: daysAgo(1), content: randomBytes(SIZE) });
});
afterEach(() => {
  proxy.cutAfter(undefined);
  archiver.remove();
});

function configure(more: string): void {
  const login = `identityFile: ${sshd.identityFile}, hostKeys: ["${sshd.hostKeys.ed25519}"]`;
  const text = `push: {backup: {to: "${sshd.url(inbox, proxy.port)}", ${login}, from: ${work}, remove: true${more}}}\n`;
  writeFileSync(archiver.configFile, text, { mode: 0o600 });
}

function push(signal = new AbortController().signal): Promise<PushReport> {
  const configuration = readPushConfiguration(archiver.configFile, []);
  const [target] = configuration.targets;
  return pushTo(target as NonNullable<typeof target>, configuration, {
    ...{ dryRun: false, allowLarge: false, init: false },
    ...{ signal, onBytes: () => {} },
  });
}

const partFile = (): string =>
  join(
    inbox,
    readdirSync(inbox).find((name) => name.startsWith(`.part-${made.name}.tar.`)) ?? 'no unfinished file',
  );

/** Cuts pushes on their way there until some of the archive has arrived. @returns how much */
async function cutPush(): Promise<number> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    proxy.cutAfter(Math.floor(SIZE * (0.3 + 0.5 * random())), 'toServer');
    expect(await push()).toMatchObject({ result: 'failed', error: { code: 'store-connect' }, removed: [] });
    proxy.cutAfter(undefined);
    expect(existsSync(made.path)).toBe(true);
    expect(readdirSync(inbox).filter((name) => !name.startsWith('.part-'))).toEqual([]);
    const { size } = statSync(partFile());
    // a server may lose what it had received and not read yet
    if (size > 0) return size;
  }
  throw new Error('nothing ever arrives');
}

/** By sha256sum: it is there whole, with its checksum files and nothing else; here it is gone. */
async function expectThere(): Promise<void> {
  const files = ['', '.sha1', '.sha256'].map((suffix) => `${made.name}.tar${suffix}`);
  expect(readdirSync(inbox).sort()).toEqual(files);
  await execa('sha256sum', ['--check', '--strict', '--status', `${made.name}.tar.sha256`], { cwd: inbox });
  expect(readdirSync(work)).toEqual([]);
}

it(`F30 a push that was cut goes on from what has arrived, and nothing is removed before (seed ${SEED})`, async () => {
  const arrived = await cutPush();
  expect(await push()).toMatchObject({ result: 'ok', pushed: [{ sha256: made.sha256 }] });
  expect(proxy.passed.toServer).toBeLessThan(made.sizeBytes - arrived + 200_000);
  await expectThere();
});

it(`F31 a push begins again where one bit of what has arrived is wrong (seed ${SEED})`, async () => {
  const arrived = await cutPush();
  const part = partFile();
  const bytes = readFileSync(part);
  const at = Math.floor(random() * arrived);
  bytes.writeUInt8((bytes.at(at) as number) ^ 1, at);
  writeFileSync(part, bytes);
  expect(await push()).toMatchObject({ result: 'ok', pushed: [{ sha256: made.sha256 }] });
  expect(proxy.passed.toServer).toBeGreaterThan(made.sizeBytes);
  await expectThere();
});

it('F31 a push builds on nothing that is too long, and on no link', async () => {
  for (const make of [
    (part: string) => writeFileSync(part, Buffer.alloc(made.sizeBytes + 1)),
    (part: string) => symlinkSync(archiver.configFile, part),
  ]) {
    await cutPush();
    const part = partFile();
    await execa('rm', [part]);
    make(part);
    expect(await push()).toMatchObject({ result: 'ok' });
    await expectThere();
    await execa('rm', ['-r', inbox]);
    archiver.workDir('inbox');
    made = await makeArchive(work, { host: 'web1', time: daysAgo(1), content: randomBytes(SIZE) });
  }
  expect(readFileSync(archiver.configFile, 'utf8')).toContain('push:');
});

it('keeps to the bandwidth of its target, and ends when it is told to', async () => {
  configure(', bandwidth: {"00:00-24:00": 1kB/s}');
  proxy.cutAfter(undefined);
  const ending = new AbortController();
  const pushing = push(ending.signal);
  await vi.waitFor(() => expect(statSync(partFile()).size).toBe(0));
  await sleep(200); // all would be there
  ending.abort(new Error('ended'));
  await expect(pushing).rejects.toThrow('ended');
  expect(proxy.passed.toServer).toBeLessThan(200_000);
  expect(existsSync(made.path)).toBe(true);
});
