// Object storage that fails, breaks off and is slow to say what it has done: a real one, behind a proxy that breaks requests.
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { transfer } from '../../archive/transfer.ts';
import { openFileStore } from '../../stores/file.ts';
import { openStore } from '../../stores/open.ts';
import type { Store } from '../../stores/store.ts';
import { put, readAll } from '../contract/store-contract.ts';
import { type Ceph, startCeph } from '../helpers/ceph.ts';
import { type Fault, type S3Proxy, startS3Proxy } from '../helpers/s3-proxy.ts';
import { makeTransferable } from '../helpers/transferable.ts';

const ROOT = join(import.meta.dirname, '../..');
const NAME = 'wiki-web1-20260731T021500Z';
const FILE = `${NAME}.tar`;
/** Two parts: one that is full, and a rest. */
const SIZE = 10 << 20;
const signal = new AbortController().signal;
let directory: string;
let ceph: Ceph;
let proxy: S3Proxy;
let bucket: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'garner-object-storage-'));
  ceph = await startCeph();
  proxy = await startS3Proxy(ceph.endpoint);
  mkdirSync(join(directory, 'source'));
  await makeTransferable(join(directory, 'source'), NAME, SIZE);
});
beforeEach(async () => {
  bucket = await ceph.makeBucket();
  proxy.breakWith(() => undefined);
  vi.spyOn(Math, 'random').mockReturnValue(0); // what is waited before another try
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await ceph.stop();
  rmSync(directory, { recursive: true });
});

const open = (): Promise<Store> =>
  openStore(`s3://${bucket}?endpoint=${proxy.endpoint}`, { credentialsFile: ceph.writeCredentials() });

const push = async (): Promise<unknown> => {
  await using to = await open();
  await using from = openFileStore(join(directory, 'source'));
  return await transfer({ from, fromPath: FILE, to, toPath: FILE, signal });
};

/** Each request of an operation fails this way the first times it comes. */
const first = (operation: string, fault: Fault, times = 1): void =>
  proxy.breakWith((asked, earlier) => (asked.operation === operation && earlier < times ? fault : undefined));

const keys = async (): Promise<unknown[]> =>
  (await ceph.client.send(new ListObjectsV2Command({ Bucket: bucket }))).Contents ?? [];

/** `sha256sum` finds the archive whole, as rclone fetches it, and nothing else is in the bucket. */
async function expectWhole(): Promise<void> {
  const copy = mkdtempSync(join(directory, 'copy-'));
  await ceph.rclone('copy', `ceph:${bucket}`, copy);
  await execa('sha256sum', ['-c', '--strict', `${FILE}.sha256`], { cwd: copy });
  expect(readdirSync(copy).sort()).toEqual([FILE, `${FILE}.sha1`, `${FILE}.sha256`]);
  const { Uploads } = await ceph.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  expect(Uploads ?? []).toEqual([]);
}

test('F62 500, 503, a reset, an error within a 200, a lost answer: all is sent again, and arrives whole', async () => {
  const error = { status: 500, code: 'InternalError' };
  const faults: Record<string, Fault[]> = {
    UploadPart: [error, { status: 503, code: 'SlowDown' }, 'reset'],
    CompleteMultipartUpload: [{ ...error, status: 200 }],
    PutObject: [error, 'lose-answer'],
    HeadObject: [error],
  };
  proxy.breakWith(({ operation }, earlier) => faults[operation]?.[earlier]);
  await push();
  for (const [operation, { length }] of Object.entries(faults))
    expect(proxy.asked.filter((asked) => asked.operation === operation).length).toBeGreaterThan(length);
  await expectWhole();
});

test('F62 a server that stays overloaded: the archive fails, nothing of it counts, and the next run goes on', async () => {
  first('UploadPart', { status: 503, code: 'SlowDown' }, 1000);
  await expect(push()).rejects.toMatchObject({
    code: 'store-connect',
    message: expect.stringContaining('overloaded'),
    hint: expect.stringContaining('later'),
  });
  expect(proxy.asked.filter(({ operation }) => operation === 'UploadPart').length).toBeLessThan(20);
  expect(await keys()).toEqual([]);
  proxy.breakWith(() => undefined);
  await push();
  await expectWhole();
});

test.each(['UploadPart', 'PutObject'])(
  'F62 %s that arrives with another byte is refused by the server',
  async (operation) => {
    first(operation, 'damage');
    await expect(push()).rejects.toThrow('other bytes arrived than were sent');
    const names = (await keys()).map((object) => (object as { Key: string }).Key);
    expect(names).not.toContain(FILE);
    await push();
    await expectWhole();
  },
);

test('F62 an answer that breaks off goes on where it was; where it breaks off for good, reading fails', async () => {
  const data = randomBytes(3_000_000);
  await using store = await open();
  await put(store, 'file', data);
  first('GetObject', { cutAnswerAfter: 1_000_000 }, 2);
  const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  expect(sha256(await readAll(store, 'file'))).toBe(sha256(data));
  expect(proxy.asked.filter(({ operation }) => operation === 'GetObject')).toHaveLength(3);
  first('GetObject', { cutAnswerAfter: 1 }, 1000);
  await expect(readAll(store, 'file')).rejects.toMatchObject({ code: 'store-connect' });
  expect(proxy.asked.length).toBeLessThan(20);
});

test('F62 one that is replaced between two pieces is not read as one', async () => {
  await using store = await open();
  await put(store, 'file', randomBytes(3_000_000));
  first('GetObject', { cutAnswerAfter: 1_000_000 });
  const chunks = store.read('file')[Symbol.asyncIterator]();
  await chunks.next();
  const replaced = { Bucket: bucket, Key: 'file', Body: randomBytes(3_000_000) };
  await ceph.client.send(new PutObjectCommand(replaced));
  const rest = async (): Promise<void> => {
    while (!(await chunks.next()).done);
  };
  await expect(rest()).rejects.toMatchObject({ code: 'io', message: expect.stringContaining('changed') });
});

test('F63 killed between two parts: nothing is there under its name, and the next run goes on with what came', async () => {
  const script = `
    const { transfer } = await import('${ROOT}/archive/transfer.ts');
    const { openStore } = await import('${ROOT}/stores/open.ts');
    const [source, url, credentialsFile] = process.argv.slice(1);
    const [from, to] = [await openStore(source), await openStore(url, { credentialsFile })];
    const { signal } = new AbortController();
    await transfer({ from, fromPath: '${FILE}', to, toPath: '${FILE}', signal });`;
  const url = `s3://${bucket}?endpoint=${proxy.endpoint}`;
  const args = ['-e', script, join(directory, 'source'), url, ceph.writeCredentials()];
  const child = execa(process.execPath, args, { reject: false });
  // the first is there when the second, which is shorter, is not let in
  proxy.breakWith(({ operation, url }) => {
    if (operation !== 'UploadPart' || !url.includes('partNumber=2')) return undefined;
    void firstPartCame().then(() => child.kill('SIGKILL'));
    return 'swallow';
  });
  expect(await child).toMatchObject({ signal: 'SIGKILL' });
  expect(await keys()).toEqual([]);
  proxy.breakWith(() => undefined);
  await push();
  const sent = proxy.asked.filter(({ operation }) => operation === 'UploadPart');
  expect(sent).toMatchObject([{ bodyBytes: 2 << 20 }]);
  await expectWhole();
});

async function firstPartCame(): Promise<void> {
  for (;;) {
    const { Uploads = [] } = await ceph.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    const [upload] = Uploads;
    if (upload !== undefined) {
      const one = { Bucket: bucket, Key: upload.Key, UploadId: upload.UploadId };
      if ((await ceph.client.send(new ListPartsCommand(one))).Parts?.length === 1) return;
    }
    await sleep(20);
  }
}

test('F63 completing times out, and was done: it counts as done, once', async () => {
  first('CompleteMultipartUpload', 'lose-answer', 1000);
  await push();
  await expectWhole();
  const again = await push();
  expect(again).toMatchObject({ existed: true });
});

test.each([
  ['PutObject', 3],
  ['CompleteMultipartUpload', SIZE],
] as const)(
  'F63 what another host publishes in the same moment stays, and counts as its own: %s',
  async (operation, size) => {
    await using store = await open();
    const ours = await store.create('file');
    await ours.write(Buffer.alloc(size, 'a'));
    await ours.flush();
    const theirs = Buffer.alloc(size, 'b');
    await ceph.client.send(new PutObjectCommand({ Bucket: bucket, Key: 'file', Body: theirs }));
    // it came after this one had looked
    proxy.breakWith((asked, earlier) => {
      if (asked.operation === 'HeadObject' && earlier === 0) return { status: 404, code: 'NoSuchKey' };
      return asked.operation === operation ? { status: 412, code: 'PreconditionFailed' } : undefined;
    });
    await expect(ours.publish()).rejects.toMatchObject({ code: 'store-exists' });
    await ours.abort();
    expect((await readAll(store, 'file')).equals(theirs)).toBe(true);
    const { Uploads } = await ceph.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    expect(Uploads ?? []).toEqual([]);
  },
);

test('F64 a clock that the server does not accept: said at once, with what to do', async () => {
  first('HeadObject', { status: 403, code: 'RequestTimeTooSkewed' }, 1000);
  first('ListObjects', { status: 403, code: 'RequestTimeTooSkewed' }, 1000);
  await using store = await open();
  await expect(store.list('')).rejects.toMatchObject({
    code: 'store-connect',
    message: expect.stringContaining("this host's clock differs from the server's"),
    hint: expect.stringContaining('timedatectl'),
  });
  expect(proxy.asked.length).toBeLessThan(10);
});

test('F64 credentials that expire within a run: said once, nothing is tried again and again', async () => {
  proxy.breakWith(({ operation }, earlier) =>
    operation === 'UploadPart' && earlier > 0 ? { status: 400, code: 'ExpiredToken' } : undefined,
  );
  await expect(push()).rejects.toMatchObject({
    code: 'store-connect',
    message: expect.stringContaining('the credentials have expired'),
  });
  expect(proxy.asked.filter(({ operation }) => operation === 'UploadPart').length).toBeLessThan(4);
  expect(await keys()).toEqual([]);
});
