// F30, F31: pulls of the archiver over a line that breaks, and what broken ones have left in the archive store.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { type MadeArchive, makeArchive } from '../helpers/make-archive.ts';
import { randomFrom, SEED, THOROUGH } from '../helpers/random.ts';
import { type Sshd, startSshd } from '../helpers/sshd.ts';
import { startTcpProxy, type TcpProxy } from '../helpers/tcp-proxy.ts';

const CUTS = THOROUGH ? 60 : 8;
const SIZE = 400_000;
const random = randomFrom(SEED);
const upTo = (limit: number): number => Math.floor(random() * limit);
const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

let sshd: Sshd;
let proxy: TcpProxy;
let archiver: TestArchiver;
let work: string;
let group: string;

beforeAll(async () => {
  sshd = await startSshd();
  proxy = await startTcpProxy(sshd.port);
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await sshd.stop();
});
beforeEach(() => {
  archiver = testArchiver();
  archiver.setUp();
  work = archiver.workDir('web1');
  group = join(archiver.root, 'web1/mediawiki');
  archiver.configure(
    `hosts:\n  web1: {url: "${sshd.url(work, proxy.port)}", identityFile: ${sshd.identityFile}, hostKeys: ["${sshd.hostKeys.ed25519}"], remove: true}\n`,
  );
});
afterEach(() => archiver.remove());

const make = (days: number): Promise<MadeArchive> =>
  makeArchive(work, { host: 'web1', time: daysAgo(days), content: randomBytes(SIZE) });

/** By sha256sum: the archive is here, whole, with its checksum file, and nothing unfinished is. */
async function expectHere({ name, sha256: digest }: MadeArchive): Promise<void> {
  await execa('sha256sum', ['--check', '--strict', '--status', `${name}.tar.sha256`], { cwd: group });
  expect(sha256(join(group, `${name}.tar`))).toBe(digest);
  expect(archiver.stored().filter((file) => file.includes('.part-'))).toEqual([]);
}

it(`F30 cut at any byte, a pull leaves the archive at its host or whole here, and the next one gets it (seed ${SEED})`, {
  timeout: 60_000 + CUTS * 10_000,
}, async () => {
  let cutShort = 0;
  for (let cut = 1; cut <= CUTS; cut += 1) {
    const made = await make(CUTS - cut + 1);
    // some more than it takes: also between the archive and its removal
    const bytes = upTo(SIZE + 15_000);
    proxy.cutAfter(bytes);
    const broken = await archiver.run(['pull']);
    proxy.cutAfter(undefined);
    const context = `cut after ${bytes}\n${broken.stderr}`;
    const here = existsSync(join(group, `${made.name}.tar`));
    if (here) expect(sha256(join(group, `${made.name}.tar`)), context).toBe(made.sha256);
    if (existsSync(made.path)) expect(sha256(made.path), context).toBe(made.sha256);
    else
      expect(await archiver.query(`SELECT state FROM archives WHERE name = '${made.name}'`)).toBe('present');
    if (broken.exitCode !== 0) {
      cutShort += 1;
      expect(here ? [1, 3] : [1], context).toContain(broken.exitCode);
      // one line that says which host, and what broke
      expect(broken.stderr, context).toMatch(
        /(error|warning): web1: .*cannot (connect to|go on with) "sftp:.*": .*(connection|closed|ended the session|lost)/i,
      );
    }
    const next = await archiver.run(['pull']);
    expect(next.exitCode, `${context}\n${next.stderr}`).toBe(0);
    await expectHere(made);
    expect(readdirSync(work), context).toEqual([]);
  }
  expect(cutShort).toBeGreaterThan(CUTS / 2);
});

it(`F31 what earlier transfers left is not built upon, whatever is in it (seed ${SEED})`, async () => {
  const made = await make(1);
  const whole = readFileSync(made.path);
  const half = upTo(SIZE);
  const corrupt = Buffer.from(whole.subarray(0, half + 1));
  corrupt.writeUInt8((corrupt.at(half) as number) ^ 1, half);
  const left: [string, Buffer][] = [
    ['a right beginning', whole.subarray(0, half)],
    ['a beginning with one wrong bit', corrupt],
    ["another archive's", randomBytes(SIZE)],
    ['one that is longer', Buffer.concat([whole, randomBytes(1000)])],
    ['all of it', whole],
    ['nothing', Buffer.alloc(0)],
  ];
  mkdirSync(group, { recursive: true });
  for (const [index, [, content]] of left.entries())
    for (const suffix of ['', '.sha256'])
      writeFileSync(join(group, `.part-${made.name}.tar${suffix}.0000000${index}`), content);
  // and checksum files of an archive of another digest, that never came
  writeFileSync(join(group, `${made.name}.tar.sha256`), `${'0'.repeat(64)}  ${made.name}.tar\n`);
  writeFileSync(join(group, `${made.name}.tar.sha1`), 'cut o');
  const { exitCode, stderr, json } = await archiver.run(['pull', '--json']);
  expect(exitCode, stderr).toBe(0);
  expect(json.hosts[0].pulled).toMatchObject([{ name: made.name, sha256: made.sha256 }]);
  await expectHere(made);
  await execa('sha1sum', ['--check', '--status', `${made.name}.tar.sha1`], { cwd: group });
});

it('F31 a wrong beginning under the final name is caught, put aside, and the archive fetched again', async () => {
  const made = await make(1);
  const wrong = Buffer.concat([randomBytes(1000), readFileSync(made.path).subarray(1000)]);
  mkdirSync(group, { recursive: true });
  for (const suffix of ['', '.sha256', '.sha1'])
    writeFileSync(join(group, `${made.name}.tar${suffix}`), readFileSync(made.path + suffix));
  writeFileSync(join(group, `${made.name}.tar`), wrong); // the size is right
  const { exitCode, stderr } = await archiver.run(['pull']);
  expect(exitCode, stderr).toBe(3);
  expect(stderr).toContain(`web1: ${made.name} is bad and was moved to`);
  await expectHere(made);
  expect(readdirSync(work)).toEqual([]);
  expect(sha256(join(archiver.root, `.quarantine/web1/${made.name}.tar`))).toBe(
    createHash('sha256').update(wrong).digest('hex'),
  );
});
