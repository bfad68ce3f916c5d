// Restoration points of real buckets, on a Ceph of the test's own.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { copyVersion } from '../../bucket/copy.ts';
import { setLogSink } from '../../lib/log.ts';
import { makeSet, type TestSet } from '../helpers/buckets.ts';
import { type Ceph, startCeph } from '../helpers/ceph.ts';

const BUCKET = join(import.meta.dirname, '../../bin/bucket');

let ceph: Ceph;
beforeAll(async () => {
  ceph = await startCeph();
});
afterAll(() => ceph.stop());

/** Keys that listings, URLs, XML, paths and terminals stumble over. */
const HOSTILE = [
  ...['//a', '/b', 'a//', './c', 'a/../../etc/passwd', 'a b+c%20&<>"\'', '?versionId=x', '-rf', '_u', ' '],
  ...[
    'new\nline',
    'cr\rtab\t',
    '\u001b[2J',
    'ctl\u0001',
    '\u2028',
    'ü😀',
    '\uff5e',
    '\ufffe',
    '\ud7ff',
    '__proto__',
  ],
  'x'.repeat(1024),
];

const byKey = (keys: string[]): Record<string, string> =>
  Object.fromEntries(keys.map((key) => [key, `${key}=1`]));

async function putAll(set: TestSet, bucket: string, contents: Record<string, string>): Promise<void> {
  for (const [key, content] of Object.entries(contents)) await set.put(bucket, key, content);
}

/** Puts keys with themselves as content into the replica, with less of the processor than one by one. */
async function upload(set: TestSet, keys: string[]): Promise<void> {
  const directory = mkdtempSync(join(set.directory, 'keys-'));
  for (const key of keys) writeFileSync(join(directory, key), key);
  await ceph.rclone(
    'copy',
    directory,
    `ceph:${set.replica}`,
    '--transfers=16',
    '--no-traverse',
    '--s3-no-head',
  );
}

it('F65 restores every key exactly, whatever is in it: skips what is equal, removes what was not', async () => {
  using set = await makeSet(ceph);
  await putAll(set, set.master, byKey(HOSTILE));
  set.configure('replicate: true');
  const made = await set.run('snapshot', '--json');
  expect(made.json).toMatchObject({
    result: 'ok',
    points: [{ keys: HOSTILE.length, replicated: { copy: HOSTILE.length } }],
  });
  expect(await set.contents(set.replica)).toEqual(byKey(HOSTILE));

  const [kept, ...changed] = HOSTILE as [string, ...string[]];
  for (const [index, key] of changed.entries()) {
    if (index % 2 === 0) await set.put(set.master, key, 'changed');
    else await set.remove(set.master, key);
  }
  for (const key of ['new', 'new\u0001', 'new\nline 2']) await set.put(set.master, key, 'new');
  const before = await set.history(set.master);
  const dry = await set.run('restore', 'latest', '--dry-run', '--json');
  expect(await set.history(set.master)).toEqual(before);
  const done = await set.run('restore', 'latest', '--json');
  expect(done).toMatchObject({
    exitCode: 0,
    json: { counts: { equal: 1, copy: changed.length, delete: 3, gone: 0 } },
  });
  expect(done.json.actions).toEqual(dry.json.actions);
  expect(done.json.actions.map(({ key }: { key: string }) => key)).not.toContain(kept);
  expect(await set.contents(set.master)).toEqual(byKey(HOSTILE));
  // what was written since is not lost: versioning has it
  expect(await set.history(set.master)).toEqual(expect.arrayContaining(before));

  const shown = await set.run('show', 'latest');
  expect(shown.stdout).not.toMatch(/[\u0001\u001b\r\t\u2028]/);
  expect(shown.stdout.trimEnd().split('\n')).toHaveLength(HOSTILE.length);
}, 60_000);

it('F65 lists pages of 1, 999, 1000 and 1001 keys whole', async () => {
  using set = await makeSet(ceph);
  let there = 0;
  for (const count of [1, 999, 1000, 1001]) {
    await upload(
      set,
      Array.from({ length: count - there }, (_, index) => `k${there + index}`),
    );
    there = count;
    const { json } = await set.run('snapshot', '--json');
    expect(json.points[0].keys).toBe(count);
  }
  const { json } = await set.run('show', 'latest', '--json');
  expect(new Set(json.versions.map(({ key }: { key: string }) => key)).size).toBe(1001);
  // 1001 deletions are two requests
  const restored = await set.run('restore', 'latest', '--json', '--prefix', 'k99');
  expect(restored.json.counts).toMatchObject({ copy: 11, delete: 0 });
  expect(Object.keys(await set.contents(set.master))).toHaveLength(11);
}, 60_000);

it('F65 restores to a time by the history of versions, also of one second', async () => {
  using set = await makeSet(ceph);
  await set.put(set.master, 'a', '1');
  await set.put(set.master, 'b', '1');
  await set.put(set.master, 'a', '2');
  await set.remove(set.master, 'b');
  await set.put(set.master, 'c', '1');
  await set.remove(set.master, 'c');
  await set.put(set.master, 'c', '2');
  const then = new Date();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await set.put(set.master, 'a', '3');
  await set.put(set.master, 'b', '3');
  await set.remove(set.master, 'c');
  await set.put(set.master, 'd', '3');
  const done = await set.run('restore', '--at', then.toISOString(), '--history', 'master', '--json');
  expect(done).toMatchObject({ exitCode: 0, json: { counts: { copy: 2, delete: 2 } } });
  expect(await set.contents(set.master)).toEqual({ a: '2', c: '2' });
  const again = await set.run('restore', '--at', then.toISOString(), '--history', 'master', '--json');
  expect(again.json.counts).toMatchObject({ equal: 2, copy: 0, delete: 0 });
});

it('F65 lists versions that are gone, and then writes nothing', async () => {
  using set = await makeSet(ceph);
  const id = await set.put(set.replica, 'gone\n1', 'x');
  await putAll(set, set.replica, { kept: 'x' });
  await set.run('snapshot');
  await ceph.client.send(new DeleteObjectCommand({ Bucket: set.replica, Key: 'gone\n1', VersionId: id }));
  await set.put(set.master, 'gone\n1', 'of the master');
  await set.put(set.master, 'other', 'of the master');
  const refused = await set.run('restore', 'latest');
  expect(refused).toMatchObject({
    exitCode: 1,
    code: 'versions-gone',
    stdout: `gone    gone\\n1  version ${id}\n`,
  });
  expect(await set.contents(set.master)).toEqual({ 'gone\n1': 'of the master', other: 'of the master' });
  expect(await set.run('restore', 'latest', '--dry-run', '--json')).toMatchObject({
    exitCode: 3,
    json: { refused: expect.stringMatching(/1 version gone/) },
  });
  const verified = await set.run('verify');
  expect(verified).toMatchObject({ exitCode: 5, stdout: expect.stringContaining('1 version gone') });
  const done = await set.run('restore', 'latest', '--allow-missing');
  expect(done.exitCode).toBe(3);
  expect(await set.contents(set.master)).toEqual({ 'gone\n1': 'of the master', kept: 'x' });
});

it('says on a dry run what would be, as what was not done', async () => {
  using set = await makeSet(ceph);
  expect(await set.run('restore', 'latest')).toMatchObject({
    exitCode: 2,
    message: expect.stringMatching(/hint: there is none yet/),
  });
  await putAll(set, set.replica, { a: '1' });
  await set.run('snapshot');
  await set.put(set.master, 'b', '2');
  const said: string[] = [];
  setLogSink((_, text) => said.push(text));
  try {
    await set.run('restore', 'latest', '--dry-run');
    await set.run('restore', 'latest');
    await set.run('failover', '--dry-run');
    await set.run('failover');
  } finally {
    setLogSink(undefined);
  }
  const [wouldRestore, restored, wouldSwitch, switched] = said;
  expect([wouldRestore, restored]).toEqual([
    expect.stringMatching(/1 key to copy .* 1 to delete/),
    expect.stringMatching(/1 key copied .* 1 deleted/),
  ]);
  expect(wouldSwitch).toContain(`would be switched: the master would be s3://${set.replica}`);
  expect(switched).toContain(`the master is s3://${set.replica}`);
});

it('restores a prefix only, and into another bucket only where that is empty or it is told to', async () => {
  using set = await makeSet(ceph);
  await putAll(set, set.replica, { 'a/1': '1', 'a/2': '2', 'b/1': '1' });
  await set.run('snapshot');
  await putAll(set, set.master, { 'a/3': '3', 'b/2': '2' });
  await set.run('restore', 'latest', '--prefix', 'a/');
  expect(await set.contents(set.master)).toEqual({ 'a/1': '1', 'a/2': '2', 'b/2': '2' });
  const mistyped = ['restore', 'latest', '--prefix', 'A/'];
  expect(await set.run(...mistyped)).toMatchObject({
    exitCode: 1,
    message: expect.stringMatching(/no key begins so/),
  });
  expect(await set.run(...mistyped, '--dry-run')).toMatchObject({ exitCode: 3 });

  const other = await ceph.makeBucket();
  expect(await set.run('restore', 'latest', '--to', other)).toMatchObject({ exitCode: 0 });
  expect(await set.contents(other)).toEqual({ 'a/1': '1', 'a/2': '2', 'b/1': '1' });
  await set.put(other, 'mine', 'x');
  const dry = await set.run('restore', 'latest', '--to', other, '--dry-run', '--json');
  expect(dry).toMatchObject({ exitCode: 3, json: { refused: expect.stringMatching(/not empty/) } });
  const refused = await set.run('restore', 'latest', '--to', other);
  expect(refused).toMatchObject({ exitCode: 1, code: 'restore-refused' });
  expect(await set.contents(other)).toHaveProperty('mine');
  await set.run('restore', 'latest', '--to', other, '--force');
  expect(await set.contents(other)).not.toHaveProperty('mine');
});

it('replaces nothing for good: a master without versioning, or a point without keys, needs --force', async () => {
  using set = await makeSet(ceph, { masterVersioning: false });
  expect(await set.run('snapshot')).toMatchObject({ exitCode: 3 });
  await set.put(set.master, 'a', 'old');
  expect(await set.run('restore', 'latest')).toMatchObject({
    code: 'restore-refused',
    message: expect.stringMatching(/nothing is to be restored/),
  });
  await set.put(set.replica, 'a', 'new');
  await set.run('snapshot');
  expect(await set.run('restore', 'latest')).toMatchObject({
    code: 'restore-refused',
    message: expect.stringMatching(/no versioning/),
  });
  expect(await set.contents(set.master)).toEqual({ a: 'old' });
  expect(await set.run('restore', 'latest', '--force')).toMatchObject({ exitCode: 0 });
  expect(await set.contents(set.master)).toEqual({ a: 'new' });
}, 20_000);

it('copies from a master without versioning, which has no history to restore to', async () => {
  using set = await makeSet(ceph, { masterVersioning: false });
  set.configure('replicate: true');
  await set.put(set.replica, 'gone', 'x');
  await set.put(set.master, 'a\n', '1');
  expect(await set.run('snapshot')).toMatchObject({ exitCode: 0 });
  expect(await set.contents(set.replica)).toEqual({ 'a\n': '1' });
  await set.put(set.master, 'a\n', '22');
  const time = new Date(Date.now() - 3_600_000).toISOString();
  const refused = await set.run('restore', '--at', time, '--history', 'master', '--force');
  expect(refused).toMatchObject({
    exitCode: 1,
    code: 'restore-refused',
    message: expect.stringMatching(/no history/),
  });
  for (const args of [
    [],
    ['--at', '2026-11-21 10:00'],
    ['latest', '--at', time],
    ['latest', '--history', 'master'],
  ])
    expect(await set.run('restore', ...args)).toMatchObject({ exitCode: 2, code: 'usage' });
  expect(await set.contents(set.master)).toEqual({ 'a\n': '22' });
});

it('F66 goes on where a restore was killed, and copies nothing twice', async () => {
  using set = await makeSet(ceph);
  set.configure('parallel: 1');
  const keys = Array.from({ length: 200 }, (_, index) => `k${index}`);
  await upload(set, keys);
  await set.put(set.master, 'other', 'x');
  await set.run('snapshot');
  const env = { GARNER_RUN_DIR: join(set.directory, 'run'), GARNER_CONFIG_DIR: set.directory };
  let hasEnded = false;
  const restoring = execa(BUCKET, ['restore', 'latest'], { env, reject: false });
  restoring.finally(() => {
    hasEnded = true;
  });
  while (!hasEnded && (await set.digests(set.master)).length < 5);
  restoring.kill('SIGKILL');
  expect(await restoring).toMatchObject({ signal: 'SIGKILL' });
  const before = await set.digests(set.master);
  expect(before.some((line) => line.startsWith('other '))).toBe(true); // copies come first
  const done = await set.run('restore', 'latest', '--json');
  expect(done).toMatchObject({ exitCode: 0, json: { counts: { delete: 1 } } });
  const { equal, copy } = done.json.counts;
  expect([equal, copy]).toEqual([before.length - 1, keys.length - before.length + 1]);
  expect(equal).toBeGreaterThan(3);
  const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
  const copied = keys.map((key) => `${key} ${md5(key)}`);
  expect(await set.digests(set.master)).toEqual([...copied, `other ${md5('x')}`, 'other deleted'].sort());
}, 60_000);

it('makes a point that a damaged copy of is refused, and that sha256sum and jq can read', async () => {
  using set = await makeSet(ceph);
  await putAll(set, set.replica, { 'ü\n': '12', b: '3' });
  const { stdout } = await set.run('snapshot');
  const file = stdout.trim();
  const script =
    'zcat "$1" | head -n -1 | sha256sum | cut -c -64; zcat "$1" | jq -r .Sha256; zcat "$1" | jq -c "[.Count, .Bucket, .File, (.Contents | map(.Key, .Size))]"';
  const [digest, own, rest] = execFileSync('bash', ['-c', script, 'bash', file], { encoding: 'utf8' }).split(
    '\n',
  );
  expect(digest).toBe(own);
  expect(JSON.parse(rest as string)).toEqual([2, set.replica, file, ['b', 1, 'ü\n', 2]]);

  const text = execFileSync('zcat', [file], { encoding: 'utf8' });
  writeFileSync(join(set.points, 'damaged'), text.replace('"Size":2', '"Size":3'));
  writeFileSync(join(set.points, 'cut'), readFileSync(file).subarray(0, -20));
  await set.put(set.master, 'x', 'x');
  for (const name of ['damaged', 'cut'])
    expect(await set.run('restore', name)).toMatchObject({
      exitCode: 5,
      code: 'point-damaged',
      message: expect.stringMatching(/hint: bucket verify/),
    });
  expect(await set.contents(set.master)).toEqual({ x: 'x' });
  const verified = await set.run('verify', '--json');
  expect(verified.exitCode).toBe(5);
  expect(verified.json.points.map(({ problem }: { problem?: string }) => problem === undefined)).toEqual([
    true,
    false,
    false,
  ]);
  const listed = await set.run('list');
  expect(listed).toMatchObject({ exitCode: 3, stdout: expect.stringMatching(/damaged +damaged/) });
});

it('reads points and the configuration of backup-my-bucket', async () => {
  using set = await makeSet(ceph);
  const id = await set.put(set.replica, 'photo <1>', 'x');
  await set.put(set.replica, 'photo <1>', 'newer');
  const item = { Key: 'photo <1>', LastModified: '2015-06-04T01:19:56-05:00', Size: 1, VersionId: id };
  const point = {
    File: '/old/20150605152158-0500CDT',
    Timestamp: '2015-06-05T15:21:58.123456789-05:00',
    Contents: [item],
  };
  // Go escapes these
  const text = JSON.stringify(point, null, 4).replaceAll('<', '\\u003c').replaceAll('>', '\\u003e');
  await set.run('list');
  execFileSync('bash', ['-c', 'mkdir -p "$1"; gzip -c > "$1/20150605152158-0500CDT.Z"', 'bash', set.points], {
    input: text,
  });
  const { accessKeyId: AccessKey, secretAccessKey: SecretKey } = ceph;
  const BackupSet = {
    ...{ SnapshotsDir: set.points, CompressSnapshots: false, MinimumRedundancy: 1, RetentionPolicy: 7 },
    ...{
      MasterBucket: set.master,
      MasterRegion: 'us-east-1',
      SlaveBucket: set.replica,
      SlaveRegion: 'us-east-1',
    },
    ...{ AccessKey, SecretKey },
  };
  const file = join(set.directory, 'backup-my-bucket.conf');
  writeFileSync(file, JSON.stringify({ LogLevel: 0, AwsLogLevel: 0, Syslog: false, BackupSet }), {
    mode: 0o600,
  });
  process.env.AWS_ENDPOINT_URL_S3 = ceph.endpoint;
  try {
    const listed = await set.run('-config', file, 'list-snapshots');
    expect(listed.stdout).toMatch(/20150605152158-0500CDT\.Z +2015-06-05 20:21 +1 /);
    expect(await set.run('-config', file, 'restore', '20150605152158-0500CDT.Z')).toMatchObject({
      exitCode: 0,
    });
    expect(await set.contents(set.master)).toEqual({ 'photo <1>': 'x' });
    const made = await set.run(`-config=${file}`, 'snapshot');
    expect(made.stdout).toMatch(/\/\d{14}\+0000UTC\n$/);
    expect(JSON.parse(readFileSync(made.stdout.trim(), 'utf8')).Contents).toMatchObject([
      { Key: 'photo <1>', Size: 5 },
    ]);
    const changed = await set.run('-config', file, 'diff', '20150605152158-0500CDT', 'latest');
    expect(changed.stdout).toBe('~ photo <1>  1 B -> 5 B\n');
    const collected = await set.run('-config', file, 'gc');
    expect(collected).toMatchObject({ exitCode: 0 });
    expect(await set.history(set.replica)).toEqual(['photo <1> newer']);
    expect(set.pointNames()).toEqual([made.stdout.trim().split('/').pop()]);
  } finally {
    delete process.env.AWS_ENDPOINT_URL_S3;
  }
});

it('copies what is above the limit of one request in parts, with type, metadata and tags', async () => {
  using set = await makeSet(ceph);
  const [Bucket, Key] = [set.replica, 'big ü'];
  const head = { ContentType: 'image/x', Metadata: { a: 'b' }, CacheControl: 'no-store', Tagging: 'k=v%20w' };
  const content = Buffer.concat([Buffer.alloc(5 << 20, 'a'), Buffer.alloc(5 << 20, 'b'), Buffer.from('end')]);
  const { VersionId = '', ETag = '' } = await ceph.client.send(
    new PutObjectCommand({ Bucket, Key, Body: content, ...head }),
  );
  const [source, target] = [set.replica, set.master].map((bucket) => ({ client: ceph.client, bucket })) as [
    never,
    never,
  ];
  const version = {
    key: Key,
    versionId: VersionId,
    sizeBytes: content.length,
    etag: ETag.replaceAll('"', ''),
  };
  const limits = { largestBytes: 1000, partBytes: 5 << 20 };
  await copyVersion(source, target, version, new AbortController().signal, limits);
  const copied = await ceph.client.send(new GetObjectCommand({ Bucket: set.master, Key }));
  expect(Buffer.compare(Buffer.from((await copied.Body?.transformToByteArray()) ?? []), content)).toBe(0);
  expect(copied).toMatchObject({
    ContentType: 'image/x',
    Metadata: { a: 'b' },
    CacheControl: 'no-store',
    ETag: expect.stringMatching(/-3"$/),
  });
  const { TagSet } = await ceph.client.send(new GetObjectTaggingCommand({ Bucket: set.master, Key }));
  expect(TagSet).toEqual([{ Key: 'k', Value: 'v w' }]);
});

it('leaves no copy of half an old and half a new object, where a bucket has no versions to copy', async () => {
  using set = await makeSet(ceph, { masterVersioning: false });
  const size = (5 << 20) + 1;
  await set.put(set.master, 'k', 'a'.repeat(size));
  const etag = createHash('md5').update('a'.repeat(size)).digest('hex');
  await set.put(set.master, 'k', 'b'.repeat(size));
  const [source, target] = [set.master, set.replica].map((bucket) => ({ client: ceph.client, bucket })) as [
    never,
    never,
  ];
  const version = { key: 'k', versionId: 'null', sizeBytes: size, etag };
  const limits = { largestBytes: 1000, partBytes: 5 << 20 };
  const { signal } = new AbortController();
  await expect(copyVersion(source, target, version, signal, limits)).rejects.toThrow(
    /written over meanwhile/,
  );
  expect(await set.history(set.replica)).toEqual([]);
  const { Uploads = [] } = await ceph.client.send(new ListMultipartUploadsCommand({ Bucket: set.replica }));
  expect(Uploads).toEqual([]);
});
