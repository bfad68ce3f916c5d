import { rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isRecipient, listKeys, retireKey } from '../../archiver/keys.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';

let archiver: TestArchiver;
beforeEach(() => {
  archiver = testArchiver();
  archiver.configureHosts(['web1']);
  archiver.setUp();
});
afterEach(() => archiver.remove());

async function makeKey(name: string): Promise<string> {
  const identity = join(archiver.directory, name);
  await execa('age-keygen', ['-o', identity]);
  return (await execa('age-keygen', ['-y', identity])).stdout;
}

/** Delivers an archive that is encrypted for one key, and says it is for some. */
async function deliver(days: number, keys: string[], says: string[] | null = keys) {
  const [recipient = ''] = keys;
  return makeArchive(archiver.workDir('web1'), {
    host: 'web1',
    time: daysAgo(days),
    recipient,
    ...(says && { manifest: { recipients: says } }),
  });
}

const retire = (key: string) => archiver.inProcess((run) => retireKey(run, key));

test('a key is retired only when no kept archive is opened by it alone', async () => {
  const [old, next] = [await makeKey('old'), await makeKey('next')];
  const alone = await deliver(3, [old]);
  await deliver(2, [old, next]);
  await deliver(1, [next]);
  await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(0) });
  expect(await archiver.run(['pull'])).toMatchObject({ exitCode: 0 });
  const { json } = await archiver.run(['keys', '--json']);
  const sorted = [
    { key: old, retired: false, archives: 2, neededBy: [alone.name] },
    { key: next, retired: false, archives: 2, neededBy: [expect.stringContaining('web1')] },
  ].toSorted((a, b) => (a.key < b.key ? -1 : 1));
  expect(json).toEqual({ result: 'ok', keys: sorted, unreadable: [] });

  const refused = await archiver.run(['keys', '--retire', old]);
  expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(alone.name) });
  await archiver.inProcess(({ catalog }) => catalog.change([alone.name], { state: 'removed' }));
  await retire(old);
  // what was opened by either is opened by the other one alone now
  const report = await archiver.inProcess(listKeys);
  expect(report.keys.find(({ key }) => key === next)?.neededBy).toHaveLength(2);
  expect(report.keys.find(({ key }) => key === old)).toMatchObject({ retired: true, neededBy: [] });
  await expect(retire(next)).rejects.toMatchObject({ code: 'key-needed' });
});

test('no key is retired while an archive may need it: one that names none, one that can’t be read', async () => {
  const key = await makeKey('key');
  const { name } = await deliver(1, [key], null);
  await archiver.run(['pull']);
  await expect(retire(key)).rejects.toThrow(/of an earlier garner may need it/);
  const path = join(archiver.root, 'web1/mediawiki', `${name}.tar`);
  truncateSync(path, 1000);
  await expect(retire(key)).rejects.toThrow(/can't be read/);
  rmSync(path);
  expect(await archiver.run(['keys'])).toMatchObject({
    exitCode: 3,
    stdout: 'no kept archive is encrypted',
  });
});

test('a mistyped key is not retired, and is not shown; one that no archive names is', async () => {
  const key = await makeKey('key');
  await expect(retire(`${key.slice(0, -1)}${key.endsWith('q') ? 'p' : 'q'}`)).rejects.toMatchObject({
    message: 'cannot use option "--retire": that is no age recipient: mistyped?',
    exitCode: 2,
  });
  await retire(key);
  // of the documentation of age-plugin-yubikey
  expect(isRecipient('age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt')).toBe(true);
});

test('what came for a retired key alone is told', async () => {
  const key = await makeKey('key');
  await retire(key);
  await deliver(1, [key]);
  await archiver.run(['pull']);
  expect(await archiver.run(['keys'])).toMatchObject({
    exitCode: 3,
    stderr: expect.stringContaining(`${key} is retired, and 1 kept archive came for retired keys alone`),
  });
  await expect(retire(key)).rejects.toMatchObject({ code: 'key-needed' });
});
