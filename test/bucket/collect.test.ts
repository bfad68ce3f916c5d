// What is removed of restoration points, and what never is; master and replica switched. On a Ceph of the test's own.
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  ListObjectVersionsCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { acquireLock } from '../../lib/lock.ts';
import { setLogSink } from '../../lib/log.ts';
import { makeSet, type TestSet } from '../helpers/buckets.ts';
import { type Ceph, startCeph } from '../helpers/ceph.ts';
import { startS3Proxy } from '../helpers/s3-proxy.ts';

let ceph: Ceph;
beforeAll(async () => {
  ceph = await startCeph();
});
afterAll(() => ceph.stop());

const RETENTION = 'retention: {last: 1, minimum: 1}';

/** Makes a point and dates it back by days, as if it had been made then. @returns its name */
async function pointOf(set: TestSet, daysAgo: number): Promise<string> {
  const { stdout } = await set.run('snapshot');
  const path = stdout.trim();
  const time = new Date(Date.now() - daysAgo * 86_400_000);
  const name = `${time.toISOString().slice(0, 19).replace(/[-:T]/g, '')}+0000UTC`;
  const text = readFileSync(path, 'utf8').replace(
    /"Timestamp":"[^"]*"/,
    `"Timestamp":"${time.toISOString()}"`,
  );
  // without its last line it is a point as the original makes them
  writeFileSync(join(set.points, name), text.replace(/\],"Count".*/, ']}'));
  rmSync(path);
  return name;
}

it('F66 removes versions that only removed points name, and no other', async () => {
  using set = await makeSet(ceph);
  set.configure(`compress: false\n${RETENTION}`);
  for (const key of ['kept', 'changed', 'ctl\u0001', 'deleted', '//new\nline'])
    await set.put(set.replica, key, '1');
  const old = await pointOf(set, 2);
  await set.put(set.replica, 'changed', '2');
  await set.put(set.replica, 'between', '1');
  await set.put(set.replica, 'between', '2');
  for (const key of ['deleted', 'ctl\u0001', '//new\nline']) await set.remove(set.replica, key);
  const kept = await pointOf(set, 1);
  await set.put(set.replica, 'changed', '3');

  const before = await set.history(set.replica);
  const dry = await set.run('gc', '--dry-run', '--json');
  expect(await set.history(set.replica)).toEqual(before);
  const done = await set.run('gc', '--json');
  expect(done).toMatchObject({
    exitCode: 0,
    json: { sets: [{ versions: 4, versionBytes: 4, remove: [{ point: old }] }] },
  });
  expect(done.json.sets).toEqual(dry.json.sets);
  const gone = ['changed 1', 'ctl\u0001 1', 'deleted 1', '//new\nline 1'];
  expect(await set.history(set.replica)).toEqual(before.filter((line) => !gone.includes(line)));
  expect(set.pointNames()).toEqual([kept]);
  expect(await set.run('verify')).toMatchObject({ exitCode: 0 });
  // the minimum holds for what is left
  expect(await set.run('gc', '--json')).toMatchObject({ json: { sets: [{ versions: 0, remove: [] }] } });
  expect(await set.run('delete', kept)).toMatchObject({ exitCode: 1, code: 'prune-refused' });
  expect(set.pointNames()).toEqual([kept]);
});

it('F66 never removes what can be read now, though no kept point names it', async () => {
  using set = await makeSet(ceph);
  set.configure(`compress: false\n${RETENTION}`);
  for (const key of ['a', 'b']) await set.put(set.replica, key, '1');
  await pointOf(set, 2);
  await set.remove(set.replica, 'a');
  await pointOf(set, 1);
  // somebody takes the deletion back: the old version can be read again
  const { Versions } = await listOf(set.replica);
  await ceph.client.send(new DeleteObjectsCommand({ Bucket: set.replica, Delete: { Objects: Versions } }));
  expect(await set.contents(set.replica)).toEqual({ a: '1', b: '1' });
  expect(await set.run('gc', '--json')).toMatchObject({ json: { sets: [{ remove: [{}], versions: 0 }] } });
  expect(await set.contents(set.replica)).toEqual({ a: '1', b: '1' });
});

/** The delete markers of a bucket, as DeleteObjects takes them. */
async function listOf(Bucket: string): Promise<{ Versions: { Key: string; VersionId: string }[] }> {
  const { DeleteMarkers = [] } = await ceph.client.send(new ListObjectVersionsCommand({ Bucket }));
  return { Versions: DeleteMarkers.map(({ Key = '', VersionId = '' }) => ({ Key, VersionId })) };
}

it('F66 completes a removal that was interrupted, and removes nothing where a point is unreadable', async () => {
  using set = await makeSet(ceph);
  set.configure(`compress: false\n${RETENTION}`);
  await set.put(set.replica, 'a', '1');
  const old = await pointOf(set, 3);
  await set.put(set.replica, 'a', '2');
  const kept = await pointOf(set, 1);
  // as a run leaves it that ended right after the point had lost its name
  renameSync(join(set.points, old), join(set.points, `.removing-${old}`));
  expect((await set.run('list', '--json')).json.points).toHaveLength(1);
  expect(await set.run('restore', old)).toMatchObject({ exitCode: 2 });

  writeFileSync(
    join(set.points, '20200101000000+0000UTC'),
    '{"Timestamp":"2020-01-01T00:00:00Z","Contents":[{"Key"',
  );
  expect(await set.run('gc')).toMatchObject({ exitCode: 5, code: 'point-damaged' });
  expect(await set.history(set.replica)).toEqual(['a 1', 'a 2']);
  rmSync(join(set.points, '20200101000000+0000UTC'));

  expect(await set.run('gc')).toMatchObject({ exitCode: 0 });
  expect(await set.history(set.replica)).toEqual(['a 2']);
  expect(set.pointNames()).toEqual([kept]);
});

it('F66 lets only one run work on a set', async () => {
  using set = await makeSet(ceph);
  set.configure(RETENTION);
  await set.put(set.replica, 'a', '1');
  await set.run('snapshot');
  const locks = readdirSync(join(set.directory, 'run')).map((name) => name.replace(/\.(lock|holder)$/, ''));
  using _held = acquireLock(join(set.directory, 'run'), locks[0] as string);
  for (const args of [['gc'], ['restore', 'latest'], ['delete', 'latest'], ['snapshot'], ['failover']])
    expect(await set.run(...args)).toMatchObject({ exitCode: 4 });
  expect(await set.run('verify')).toMatchObject({ exitCode: 0 });
});

it('F66 keeps whole points where others have lost versions, and asks before many go', async () => {
  using set = await makeSet(ceph);
  set.configure('compress: false\nretention: {last: 2, minimum: 2}');
  await set.put(set.replica, 'a', '1');
  const whole = [await pointOf(set, 5), await pointOf(set, 4)];
  const lost = await set.put(set.replica, 'b', '1');
  const damaged = [await pointOf(set, 3), await pointOf(set, 2)];
  const Objects = [{ Key: 'b', VersionId: lost }];
  await ceph.client.send(new DeleteObjectsCommand({ Bucket: set.replica, Delete: { Objects } }));
  expect(await set.run('gc')).toMatchObject({ exitCode: 0 });
  expect(set.pointNames()).toEqual([...whole, ...damaged]);

  await pointOf(set, 1);
  await pointOf(set, 0.5);
  expect(await set.run('gc', '--dry-run', '--json')).toMatchObject({
    exitCode: 3,
    json: { result: 'warnings', sets: [{ refused: expect.stringMatching(/^4 of 6 points/) }] },
  });
  expect(await set.run('gc')).toMatchObject({
    exitCode: 1,
    code: 'prune-refused',
    message: expect.stringMatching(/4 of 6 points/),
  });
  expect(await set.run('gc', '--allow-large')).toMatchObject({ exitCode: 0 });
  expect(set.pointNames()).toHaveLength(2);
});

it('F66 keeps points with keys where an emptied bucket makes points without any', async () => {
  using set = await makeSet(ceph);
  set.configure('compress: false\nretention: {last: 2, minimum: 2}');
  await set.put(set.replica, 'a', '1');
  const full = [await pointOf(set, 6), await pointOf(set, 5)];
  await set.remove(set.replica, 'a');
  const empty = [await pointOf(set, 3), await pointOf(set, 2), await pointOf(set, 1)];
  expect(await set.run('gc', '--allow-large')).toMatchObject({ exitCode: 0 });
  expect(set.pointNames()).toEqual([...full, ...empty]);
  expect(await set.history(set.replica)).toContain('a 1');
  set.configure('compress: false\nretention: {daily: 9, minimum: 1}');
  await set.run('delete', full[0] as string);
  expect(await set.run('delete', full[1] as string)).toMatchObject({ code: 'prune-refused' });
  set.configure('compress: false\nretention: {last: 2, minimum: 2}');
  // a bucket that never had keys is collected as any other
  rmSync(join(set.points, full[1] as string));
  expect(await set.run('gc')).toMatchObject({ exitCode: 0 });
  expect(set.pointNames()).toEqual(empty.slice(1));
});

it('F66 removes no version that a kept point names, also with a size that is wrong', async () => {
  using set = await makeSet(ceph);
  set.configure(`compress: false\n${RETENTION}`);
  await set.put(set.replica, 'a', '1');
  await set.put(set.replica, 'b', '1');
  const old = await pointOf(set, 2);
  const kept = join(set.points, await pointOf(set, 1));
  writeFileSync(kept, readFileSync(kept, 'utf8').replace(/(?<="Key":"b".*"Size":)1/, '2'));
  await set.put(set.replica, 'a', '2');
  await set.put(set.replica, 'b', '2');
  expect(await set.run('delete', old)).toMatchObject({ code: 'prune-refused' }); // the other one is not whole
  const last = await pointOf(set, 0.5);
  set.configure('compress: false\nretention: {daily: 9, minimum: 1}');
  expect(await set.run('delete', old)).toMatchObject({ exitCode: 0 });
  expect(await set.history(set.replica)).toEqual(['a 1', 'a 2', 'b 1', 'b 2']);
  expect(set.pointNames()).toContain(last);
});

it('verifies nothing where there is no point, and raises no alarm where one is removed meanwhile', async () => {
  using set = await makeSet(ceph);
  set.configure(RETENTION);
  await using proxy = await startS3Proxy(ceph.endpoint);
  writeFileSync(set.configFile, readFileSync(set.configFile, 'utf8').replace(ceph.endpoint, proxy.endpoint));
  for (const verb of ['verify', 'gc'])
    expect(await set.run(verb, '--json')).toMatchObject({ exitCode: 3, json: { result: 'warnings' } });
  const VersionId = await set.put(set.replica, 'a', '1');
  const point = (await set.run('snapshot')).stdout.trim();
  await ceph.client.send(new DeleteObjectCommand({ Bucket: set.replica, Key: 'a', VersionId }));
  expect(await set.run('verify')).toMatchObject({ exitCode: 5 });
  // as a collection beside it does, once the point is read and the bucket is listed
  proxy.breakWith(({ url }) => {
    if (url.includes('versions')) rmSync(point);
    return undefined;
  });
  expect(await set.run('verify', '--json')).toMatchObject({ exitCode: 3, json: { points: [] } });
});

it('tells of versions that could not be removed, and goes on with them the next time', async () => {
  using set = await makeSet(ceph);
  set.configure(`compress: false\n${RETENTION}`);
  await set.put(set.replica, 'a', '1');
  const old = await pointOf(set, 2);
  await set.put(set.replica, 'a', '2');
  await pointOf(set, 1);
  const deny = (Effect: 'Deny' | 'Allow') =>
    ceph.client.send(
      new PutBucketPolicyCommand({
        Bucket: set.replica,
        Policy: JSON.stringify({
          Version: '2012-10-17',
          Statement: [
            {
              Effect,
              Principal: '*',
              Action: ['s3:DeleteObjectVersion'],
              Resource: [`arn:aws:s3:::${set.replica}/*`],
            },
          ],
        }),
      }),
    );
  await deny('Deny');
  const failed = await set.run('gc', '--json');
  expect(failed).toMatchObject({
    exitCode: 1,
    json: { sets: [{ failed: { count: 1, first: [{ key: 'a' }] } }] },
  });
  expect(set.pointNames()).toContain(`.removing-${old}`);
  await deny('Allow');
  expect(await set.run('gc')).toMatchObject({ exitCode: 0 });
  expect(await set.history(set.replica)).toEqual(['a 2']);
});

it('F66 tells which keys could not be copied, copies the others, and completes it the next time', async () => {
  using set = await makeSet(ceph);
  await using proxy = await startS3Proxy(ceph.endpoint);
  set.configure('replicate: true');
  writeFileSync(set.configFile, readFileSync(set.configFile, 'utf8').replace(ceph.endpoint, proxy.endpoint));
  for (const key of ['a', 'b', 'c']) await set.put(set.master, key, '1');
  const deny = (key: string): void =>
    proxy.breakWith(({ operation, url }) =>
      operation === 'PutObject' && url.includes(`/${key}?`)
        ? { status: 403, code: 'AccessDenied' }
        : undefined,
    );
  const lines: string[] = [];
  setLogSink((_level, text) => lines.push(text));
  try {
    deny('b');
    const made = await set.run('snapshot', '--json');
    const failed = { count: 1, first: [{ key: 'b', message: 'cannot copy "b": access denied' }] };
    expect(made).toMatchObject({ exitCode: 3, json: { points: [{ keys: 2, replicated: { failed } }] } });
    expect(await set.contents(set.replica)).toEqual({ a: '1', c: '1' });
    proxy.breakWith(() => undefined);
    expect(await set.run('snapshot', '--json')).toMatchObject({
      exitCode: 0,
      json: { points: [{ keys: 3 }] },
    });

    for (const key of ['a', 'b', 'c']) await set.put(set.master, key, '2');
    deny('c');
    expect(await set.run('restore', 'latest', '--json')).toMatchObject({
      exitCode: 1,
      json: { result: 'failed', failed: { count: 1, first: [{ key: 'c' }] } },
    });
    expect(await set.contents(set.master)).toEqual({ a: '1', b: '1', c: '2' });
  } finally {
    setLogSink(undefined);
  }
  expect(lines).toContainEqual(expect.stringContaining('cannot copy "b": access denied'));
  expect(lines).toContainEqual(expect.stringMatching(/3 to copy to .* of which 1 failed/));
  expect(lines).toContainEqual(expect.stringMatching(/3 keys to copy .* 1 failed/));
  proxy.breakWith(() => undefined);
  expect(await set.run('restore', 'latest', '--json')).toMatchObject({
    exitCode: 0,
    json: { counts: { copy: 1 } },
  });
  expect(await set.contents(set.master)).toEqual({ a: '1', b: '1', c: '1' });
});

it('switches master and replica and back, where nothing would be missed', async () => {
  using set = await makeSet(ceph);
  set.configure(`replicate: true\n${RETENTION}`);
  await set.put(set.master, 'a', '1');
  expect(await set.run('failover')).toMatchObject({
    exitCode: 1,
    code: 'failover-refused',
    message: expect.stringMatching(/1 key missing/),
  });
  expect(await set.run('failover', '--back')).toMatchObject({
    code: 'failover-refused',
    message: expect.stringMatching(/as configured/),
  });
  await set.run('snapshot');
  await set.put(set.replica, 'surplus', '1');
  expect(await set.run('failover')).toMatchObject({
    code: 'failover-refused',
    message: expect.stringMatching(/1 too many/),
  });
  await set.remove(set.replica, 'surplus');
  const switched = await set.run('failover', '--json');
  expect(switched.json).toMatchObject({ master: set.replica, replica: set.master });
  expect(await set.run('failover')).toMatchObject({
    code: 'failover-refused',
    message: expect.stringMatching(/switched since/),
  });

  // applications write where the replica was; a point from before is of that bucket still
  await set.put(set.replica, 'a', '2');
  expect(await set.run('restore', 'latest')).toMatchObject({ exitCode: 0 });
  expect(await set.contents(set.replica)).toEqual({ a: '1' });
  await set.put(set.replica, 'b', '2');
  expect(await set.run('failover', '--back')).toMatchObject({ code: 'failover-refused' });
  const made = await set.run('snapshot', '--json');
  expect(made.json.points[0]).toMatchObject({ bucket: set.master, keys: 2 });
  expect(await set.run('failover', '--back', '--json')).toMatchObject({ json: { master: set.master } });
  expect(await set.contents(set.master)).toEqual({ a: '1', b: '2' });
  expect(await set.run('gc')).toMatchObject({ exitCode: 0 });
  expect(await set.contents(set.replica)).toEqual({ a: '1', b: '2' });
});

it('fails over where the master is lost, if it is told to', async () => {
  using set = await makeSet(ceph);
  const text = readFileSync(set.configFile, 'utf8').replace(set.master, 'lost-bucket');
  writeFileSync(set.configFile, text);
  expect(await set.run('failover')).toMatchObject({
    code: 'failover-refused',
    message: expect.stringMatching(/no such bucket/),
  });
  expect(await set.run('failover', '--force')).toMatchObject({ exitCode: 0 });
  expect(await set.run('snapshot')).toMatchObject({ exitCode: 1 });
});

it('works on several sets, of which one fails, and tells the system log', async () => {
  using set = await makeSet(ceph);
  const bare = await ceph.makeBucket({ versioning: true });
  const VersioningConfiguration = { Status: 'Suspended' } as const;
  await ceph.client.send(new PutBucketVersioningCommand({ Bucket: bare, VersioningConfiguration }));
  const socket = join(set.directory, 'log');
  const lines: string[] = [];
  const daemon = createServer((connection) =>
    connection.on('data', (chunk) => lines.push(...chunk.toString().split(/[\n\0]/))),
  );
  await new Promise<void>((resolve) => daemon.listen(socket, resolve));
  const text = readFileSync(set.configFile, 'utf8');
  const second = text.slice(text.indexOf('  photos:')).replace('photos', 'bare').replace(set.replica, bare);
  writeFileSync(set.configFile, `syslog: ${socket}\n${text}${second.replace(set.points, `${set.points}2`)}`);
  await set.put(set.replica, 'a', '1');
  const made = await set.run('snapshot', '--json');
  expect(made).toMatchObject({
    exitCode: 1,
    json: { points: [{ set: 'photos' }], failures: [{ set: 'bare' }] },
  });
  expect(await set.run('restore', 'latest')).toMatchObject({
    exitCode: 2,
    message: expect.stringMatching(/--set/),
  });
  expect(await set.run('restore', 'latest', '--set', 'photos')).toMatchObject({ exitCode: 0 });
  await new Promise((resolve) => daemon.close(resolve));
  expect(lines).toContainEqual(expect.stringMatching(/^<134>.* bucket: photos: \d{14}\+0000UTC\.Z: 1 key$/));
  expect(lines).toContainEqual(expect.stringMatching(/^<131>.* bucket: bare: .*it has no versioning/));
});
