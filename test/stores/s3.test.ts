import { createHash, randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { createServer } from 'node:http';
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { redact } from '../../lib/redact.ts';
import { openStore, type StoreOptions } from '../../stores/open.ts';
import type { Store } from '../../stores/store.ts';
import { describeAnyStore, type Place, put, readAll } from '../contract/store-contract.ts';
import { type Ceph, KMS_KEY, startCeph } from '../helpers/ceph.ts';
import { startS3Proxy } from '../helpers/s3-proxy.ts';

let ceph: Ceph;
beforeAll(async () => {
  ceph = await startCeph(['rgw_max_listing_results = 10']);
});
afterAll(() => ceph.stop());

const open = (
  bucket: string,
  parameters = '',
  options: StoreOptions = {},
  endpoint = ceph.endpoint,
): Promise<Store> =>
  openStore(`s3://${bucket}?endpoint=${endpoint}${parameters}`, {
    credentialsFile: ceph.writeCredentials(),
    ...options,
  });

/** Names of objects, and of uploads that are not finished, which no listing of objects has. */
async function namesIn(Bucket: string, prefix = ''): Promise<string[]> {
  const { Contents = [] } = await ceph.client.send(new ListObjectsV2Command({ Bucket, Prefix: prefix }));
  const { Uploads = [] } = await ceph.client.send(
    new ListMultipartUploadsCommand({ Bucket, Prefix: prefix }),
  );
  return [...Contents, ...Uploads.map(({ Key }) => ({ Key: `${Key} (unfinished)` }))]
    .map(({ Key = '' }) => Key.slice(prefix.length))
    .sort();
}

function placeIn(Bucket: string): Place {
  const { client } = ceph;
  return {
    async empty() {
      const Objects = (await namesIn(Bucket)).map((Key) => ({ Key }));
      if (Objects.length > 0) await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    },
    names: (directory) => namesIn(Bucket, directory === '' ? '' : `${directory}/`),
    async write(Key, data) {
      await client.send(new PutObjectCommand({ Bucket, Key, Body: data }));
    },
    async sha256(Key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
      const { stdout } = await execa('sha256sum', { input: Buffer.from(await Body!.transformToByteArray()) });
      return stdout.slice(0, 64);
    },
  };
}

describeAnyStore('s3', async () => {
  const bucket = await ceph.makeBucket();
  const store = await open(bucket);
  return { store, place: placeIn(bucket), close: async () => store[Symbol.asyncDispose]() };
});

const versionsOf = async (Bucket: string) => {
  const { Versions = [] } = await ceph.client.send(new ListObjectVersionsCommand({ Bucket }));
  return Versions;
};

test('never overwrites in a bucket with versions, where the server ignores the condition', async () => {
  const bucket = await ceph.makeBucket({ versioning: true });
  await using store = await open(bucket);
  await put(store, 'file', 'first');
  const upload = await store.create('file');
  await upload.write(Buffer.from('second'));
  await expect(upload.publish()).rejects.toMatchObject({ code: 'store-exists' });
  expect(await versionsOf(bucket)).toHaveLength(1);
  expect(String(await readAll(store, 'file'))).toBe('first');
});

/** Three parts: two that are full, and a rest. */
const large = randomBytes(20 << 20);
const sumOf = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

test('sends a large file in parts, as rclone reads it; a run that was cut goes on with what is there', async () => {
  await using proxy = await startS3Proxy(ceph.endpoint);
  const bucket = await ceph.makeBucket();
  const through = (): Promise<Store> => open(bucket, '', {}, proxy.endpoint);
  {
    await using store = await through();
    const cut = await store.create('web1/wiki/file');
    for (let at = 0; at < 17 << 20; at += 1 << 20) await cut.write(large.subarray(at, at + (1 << 20)));
    await cut.flush();
    await cut.abort(true);
  }
  expect(await namesIn(bucket)).toEqual(['web1/wiki/file (unfinished)']);
  proxy.asked.length = 0;
  await using store = await through();
  const upload = await store.create('web1/wiki/file');
  await upload.write(large.subarray(0, 5));
  await upload.write(large.subarray(5));
  await upload.publish();
  expect(
    proxy.asked.filter(({ operation }) => operation === 'UploadPart').map(({ bodyBytes }) => bodyBytes),
  ).toEqual([4 << 20]);
  expect(await namesIn(bucket)).toEqual(['web1/wiki/file']);
  expect(await ceph.rclone('hashsum', 'sha256', '--download', `ceph:${bucket}`)).toBe(
    `${sumOf(large)}  web1/wiki/file`,
  );
});

test('sends again what differs from what an ended run has left', async () => {
  const bucket = await ceph.makeBucket();
  await using store = await open(bucket);
  const cut = await store.create('file');
  await cut.write(Buffer.alloc(9 << 20));
  await cut.flush();
  await cut.abort(true);
  await put(store, 'file', large);
  expect(await placeIn(bucket).sha256('file')).toBe(sumOf(large));
});

test('sweeps uploads that nobody has touched for a day, in its directories only', async () => {
  const bucket = await ceph.makeBucket();
  const start = (Key: string) => ceph.client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
  for (const key of ['backup/web1/old', 'backup/web2/other', 'backup/web1/below/x', 'elsewhere'])
    await start(key);
  const left = ['backup/web1/below/x', 'backup/web2/other', 'elsewhere'].map((key) => `${key} (unfinished)`);
  const write = async (file: string): Promise<void> => {
    await using store = await open(`${bucket}/backup`);
    await put(store, file, large.subarray(0, 9 << 20));
  };
  await write('web1/new');
  expect(await namesIn(bucket)).toContain('backup/web1/old (unfinished)');
  const now = Date.now();
  // the client also finds out that its clock goes wrong, and signs by the server's
  const clock = vi.spyOn(Date, 'now').mockImplementation(() => now + 25 * 3600 * 1000);
  try {
    await write('web1/newer');
  } finally {
    clock.mockRestore();
  }
  expect(await namesIn(bucket)).toEqual(['backup/web1/new', 'backup/web1/newer', ...left].sort());
});

test('lists by pages, hostile names apart, and directories', async () => {
  const bucket = await ceph.makeBucket();
  const plain = Array.from({ length: 25 }, (_, index) => `a/${index}`);
  const odd = [
    '-rf',
    'new\nline',
    '\u001b[2J',
    'ü +%2f',
    '..',
    'back\\slash',
    `${'x'.repeat(256)}`,
    '\u0001',
  ];
  const keys = [
    ...plain,
    ...odd.map((name) => `a/${name}`),
    'a/',
    'a//b',
    'a/c/d',
    'ab',
    '/a/x',
    'a/.part-x.0123abcd',
  ];
  for (const key of keys) await placeIn(bucket).write(key, 'x');
  await using store = await open(bucket);
  const kinds = Object.fromEntries((await store.list('a')).map(({ name, kind }) => [name, kind]));
  expect(kinds).toEqual({
    ...Object.fromEntries(plain.map((key) => [key.slice(2), 'file'])),
    ...Object.fromEntries(odd.map((name) => [name, 'file'])),
    '..': 'other',
    [`${'x'.repeat(256)}`]: 'other',
    c: 'directory',
  });
  expect(await store.stat('a')).toMatchObject({ name: 'a', kind: 'directory' });
  expect(await store.stat('a/c/d')).toMatchObject({ name: 'd', kind: 'file', sizeBytes: 1 });
  expect(await store.stat('a/b')).toBeUndefined();
});

test('keeps objects as its URL says: locked, encrypted, in a class of storage', async () => {
  const locked = await ceph.makeBucket({ objectLock: true });
  const days = '&lockDays=3&lockMode=COMPLIANCE';
  const key = `&encryption=aws:kms&encryptionKey=${KMS_KEY}&storageClass=STANDARD`;
  await using store = await open(locked, days + key);
  await put(store, 'small', 'x');
  await put(store, 'large', large);
  for (const Key of ['small', 'large']) {
    const head = await ceph.client.send(new HeadObjectCommand({ Bucket: locked, Key }));
    expect(head).toMatchObject({
      ObjectLockMode: 'COMPLIANCE',
      ServerSideEncryption: 'aws:kms',
      SSEKMSKeyId: KMS_KEY,
    });
    const days = ((head.ObjectLockRetainUntilDate as Date).getTime() - Date.now()) / 86_400_000;
    expect(Math.round(days)).toBe(3);
    const { VersionId } = head;
    const removing = ceph.client.send(new DeleteObjectCommand({ Bucket: locked, Key, VersionId }));
    await expect(removing).rejects.toMatchObject({ name: 'AccessDenied' });
  }
  expect((await readAll(store, 'large')).equals(large)).toBe(true);
  await store.remove('small');
  expect(await store.stat('small')).toBeUndefined();
  await using unlocked = await open(await ceph.makeBucket(), days);
  await expect(put(unlocked, 'x', 'x')).rejects.toThrow(/object lock/i);
});

test('goes no faster than it may, in both directions', async () => {
  const bucket = await ceph.makeBucket();
  const counts: number[] = [];
  const pace = async (count: number): Promise<void> => void counts.push(count);
  await using store = await open(bucket, '', { pace });
  await put(store, 'file', large.subarray(0, 10 << 20));
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(10 << 20);
  expect(Math.max(...counts)).toBeLessThanOrEqual(256 << 10);
  counts.length = 0;
  expect(await readAll(store, 'file')).toHaveLength(10 << 20);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(10 << 20);
});

test('ends with the run: what is under way is rejected with its reason', async () => {
  const run = new AbortController();
  const bucket = await ceph.makeBucket();
  await using store = await open(bucket, '', { signal: run.signal });
  await put(store, 'file', large.subarray(0, 10 << 20));
  const reason = new Error('the run was ended');
  const reading = async (): Promise<void> => {
    for await (const _ of store.read('file')) run.abort(reason);
  };
  await expect(reading()).rejects.toBe(reason);
  await expect(store.list('')).rejects.toBe(reason);
  const upload = await store.create('other');
  await expect(upload.write(large)).rejects.toBe(reason);
  await upload.abort();
});

test('says what is wrong with bucket, keys and rights, and no secret', async () => {
  const bucket = await ceph.makeBucket();
  const other = await ceph.makeUser();
  const wrong = { ...other, secretAccessKey: 'swordfish-swordfish' };
  const stranger = await open(bucket, '', { credentialsFile: ceph.writeCredentials(other) });
  await expect(stranger.list('')).rejects.toMatchObject({
    code: 'io',
    message: `cannot list "s3://${bucket}/": access denied`,
    hint: expect.stringContaining('object-storage.md'),
  });
  await expect(put(stranger, 'x', 'x')).rejects.toMatchObject({ code: 'io' });
  await using unknown = await open(bucket, '', { credentialsFile: ceph.writeCredentials(wrong) });
  await expect(unknown.list('')).rejects.toMatchObject({
    code: 'store-connect',
    message: expect.stringContaining('the server does not know these keys'),
  });
  expect(redact('it is swordfish-swordfish')).toBe('it is [redacted]');
  await using nowhere = await open('no-such-bucket');
  const noBucket = { code: 'store-connect', message: expect.stringContaining('there is no such bucket') };
  await expect(nowhere.list('')).rejects.toMatchObject(noBucket);
  await expect(nowhere.stat('file')).rejects.toMatchObject(noBucket);
  await expect(put(nowhere, 'file', 'x')).rejects.toMatchObject(noBucket);
  await expect(readAll(nowhere, 'file')).rejects.toMatchObject(noBucket);
});

test('refuses keys that others can read, and URLs that say what there is not', async () => {
  const credentialsFile = ceph.writeCredentials({ accessKeyId: 'open', secretAccessKey: 'open-to-all' });
  chmodSync(credentialsFile, 0o644);
  const permissions = { code: 'configuration-permissions' };
  await expect(open('bucket', '', { credentialsFile })).rejects.toMatchObject(permissions);
  const missing = { credentialsFile: '/nowhere' };
  await expect(open('bucket', '', missing)).rejects.toMatchObject({ code: 'configuration' });
  const odd = ['s3://', 's3://key:swordfish@bucket', 's3://bucket/a//b', 's3://b%2fc', 's3://bucket:80/'];
  const parameters = [
    '?speed=1',
    '?region=a&region=b',
    '?endpoint=ftp://x',
    '?endpoint=https://k:s@x',
    '?lockDays=0',
  ];
  const pairs = ['?encryptionKey=x', '?lockMode=COMPLIANCE', '?pathStyle=yes', '#x'];
  for (const url of [...odd, ...[...parameters, ...pairs].map((text) => `s3://bucket/${text}`)]) {
    const error = await openStore(url).catch((caught) => caught);
    expect(error, url).toMatchObject({ code: 'configuration' });
    expect(error.message).not.toContain('swordfish');
  }
});

describe('without a credentialsFile', () => {
  beforeEach(() => {
    vi.stubEnv('HOME', '/nonexistent');
    for (const name of ['ACCESS_KEY_ID', 'SECRET_ACCESS_KEY', 'SESSION_TOKEN', 'PROFILE']) {
      vi.stubEnv(`AWS_${name}`, undefined);
    }
    return () => vi.unstubAllEnvs();
  });
  const list = async (): Promise<unknown> => {
    await using store = await openStore(`s3://${await ceph.makeBucket()}?endpoint=${ceph.endpoint}`);
    return await store.list('');
  };

  test('uses the keys of the environment, which are secrets', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', ceph.accessKeyId);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', ceph.secretAccessKey);
    expect(await list()).toEqual([]);
    expect(redact(`it is ${ceph.secretAccessKey}`)).toBe('it is [redacted]');
  });

  test('uses the role of the machine, whose service is asked as Amazon has it', async () => {
    const at = '/latest/meta-data/iam/security-credentials/';
    const role = {
      ...{ Code: 'Success', Type: 'AWS-HMAC', LastUpdated: new Date().toISOString() },
      ...{ AccessKeyId: ceph.accessKeyId, SecretAccessKey: ceph.secretAccessKey, Token: '' },
      Expiration: new Date(Date.now() + 3_600_000).toISOString(),
    };
    const service = createServer(({ method, url, headers }, answer) => {
      const ttl = Number(headers['x-aws-ec2-metadata-token-ttl-seconds']);
      const known = headers['x-aws-ec2-metadata-token'] === 'a-token';
      if (method === 'PUT' && url === '/latest/api/token' && ttl > 0) answer.end('a-token');
      else if (method === 'GET' && known && url === at) answer.end('backup-role');
      else if (method === 'GET' && known && url === `${at}backup-role`) answer.end(JSON.stringify(role));
      else answer.writeHead(401).end();
    });
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = service.address() as { port: number };
      vi.stubEnv('AWS_EC2_METADATA_SERVICE_ENDPOINT', `http://127.0.0.1:${port}`);
      expect(await list()).toEqual([]);
    } finally {
      service.close();
    }
  });

  test('says where keys are looked for, where there are none', async () => {
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
    await expect(list()).rejects.toMatchObject({
      code: 'configuration',
      hint: expect.stringContaining('docs/object-storage.md'),
    });
  });
});
