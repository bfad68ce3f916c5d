import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { type Ceph, startCeph } from '../helpers/ceph.ts';
import { makeArchive } from '../helpers/make-archive.ts';

let ceph: Ceph;
let archiver: TestArchiver;
beforeAll(async () => {
  ceph = await startCeph();
});
beforeEach(() => {
  archiver = testArchiver();
});
afterEach(() => archiver.remove());
afterAll(() => ceph.stop());

/** @returns the names of the archives that rclone fetches from a bucket and `sha256sum` finds whole */
async function wholeIn(bucket: string): Promise<string[]> {
  const directory = join(archiver.directory, `${bucket}-${readdirSync(archiver.directory).length}`);
  mkdirSync(directory);
  await ceph.rclone('copy', `ceph:${bucket}`, directory);
  const files = (readdirSync(directory, { recursive: true }) as string[]).filter((name) =>
    name.endsWith('.sha256'),
  );
  for (const file of files) {
    const cwd = join(directory, file, '..');
    await execa('sha256sum', ['-c', '--strict', join(directory, file)], { cwd });
  }
  return files.map((file) => file.slice(0, -'.tar.sha256'.length)).sort();
}

test('archives go from a work directory to a bucket, and an archiver pulls them from there', async () => {
  const bucket = await ceph.makeBucket();
  const work = archiver.workDir('web1');
  const made = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
  mkdirSync(join(work, 'history'));
  writeFileSync(join(work, 'history/wiki-web1.jsonl'), '{"one":1}\n');
  const url = `s3://${bucket}/web1?endpoint=${ceph.endpoint}`;
  const keys = `credentialsFile: ${ceph.writeCredentials()}`;
  archiver.configure(
    `push: {bucket: {to: "${url}", ${keys}, from: ${work}, remove: true}}\nhosts: {web1: {url: "${url}", ${keys}, remove: true}}\n`,
  );
  archiver.setUp();
  const pushed = await archiver.runHere(['push', '--json']);
  expect(JSON.parse(pushed.stdout)).toMatchObject({ result: 'ok', targets: [{ removed: [made.name] }] });
  expect(readdirSync(work)).toEqual(['history']);
  expect(await wholeIn(bucket)).toEqual([`web1/${made.name}`]);
  const pulled = await archiver.runHere(['pull', '--json']);
  expect(JSON.parse(pulled.stdout)).toMatchObject({
    result: 'ok',
    hosts: [{ pulled: [{ name: made.name }] }],
  });
  expect(await wholeIn(bucket)).toEqual([]);
  expect(archiver.stored()).toContain(`web1/mediawiki/${made.name}.tar`);
  expect(readFileSync(join(archiver.root, 'web1/history/wiki-web1.jsonl'), 'utf8')).toBe('{"one":1}\n');
});

test('the archive store is copied to a bucket, which is marked, and pruned there', async () => {
  const bucket = await ceph.makeBucket({ versioning: true });
  const url = `s3://${bucket}?endpoint=${ceph.endpoint}`;
  const work = archiver.workDir('web1');
  const names: string[] = [];
  for (const days of [3, 2, 1])
    names.push((await makeArchive(work, { host: 'web1', time: daysAgo(days) })).name);
  const configure = (last: number): void =>
    archiver.configure(
      `hosts: {web1: {url: "file://${work}"}}\npush: {copy: {to: "${url}", credentialsFile: ${ceph.writeCredentials()}, retention: {last: ${last}, minimum: 1}}}\n`,
    );
  configure(3);
  archiver.setUp();
  await archiver.runHere(['pull']);
  await expect(archiver.runHere(['push'])).rejects.toMatchObject({
    message: expect.stringContaining('it has no .garner-archive'),
  });
  expect((await archiver.runHere(['push', '--init'])).exitCode).toBe(0);
  expect(await wholeIn(bucket)).toEqual(names.map((name) => `web1/mediawiki/${name}`).sort());
  configure(2);
  expect((await archiver.runHere(['push', '--allow-large'])).exitCode).toBe(0);
  expect(await wholeIn(bucket)).toEqual(
    names
      .slice(1)
      .map((name) => `web1/mediawiki/${name}`)
      .sort(),
  );
});
