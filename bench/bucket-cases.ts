// Restoration points of a bucket beside rclone, on a private Ceph: the listing of all keys, and a restore where a tenth has changed.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { startCeph } from '../test/helpers/ceph.ts';
import type { BenchCase, Prepared } from './cases.ts';

const BIN = join(import.meta.dirname, '../bin');
const AT_ONCE = '--transfers=32 --checkers=32';
const FILES_A_DIRECTORY = 1000;

function makeFiles(directory: string, count: number, content: string): void {
  for (let index = 0; index < count; index += 1) {
    const below = join(directory, `d${Math.floor(index / FILES_A_DIRECTORY)}`);
    if (index % FILES_A_DIRECTORY === 0) mkdirSync(below, { recursive: true });
    writeFileSync(join(below, `key-${index}`), `${content} ${index}`);
  }
}

/** A replica with all keys, a point of it, and a master without versioning, whose history would grow with each run. */
async function prepareBuckets(directory: string, keyCount: number, changedCount: number) {
  const ceph = await startCeph();
  const [master, replica] = [await ceph.makeBucket(), await ceph.makeBucket({ versioning: true })];
  const [all, changed] = [join(directory, 'all'), join(directory, 'changed')];
  makeFiles(all, keyCount, 'as it was');
  makeFiles(changed, changedCount, 'as it is now');
  const filling = [...AT_ONCE.split(' '), '--no-traverse', '--s3-no-head'];
  await ceph.rclone('copy', all, `ceph:${replica}`, ...filling);
  if (changedCount > 0) await ceph.rclone('copy', all, `ceph:${master}`, ...filling);
  const configuration = join(directory, 'buckets.yaml');
  const places = [
    `master: {bucket: ${master}}`,
    `replica: {bucket: ${replica}}`,
    `endpoint: ${ceph.endpoint}`,
  ];
  const lines = [`points: ${directory}/points`, ...places, `credentialsFile: ${ceph.writeCredentials()}`];
  writeFileSync(configuration, `sets:\n  all:\n${lines.map((line) => `    ${line}\n`).join('')}`, {
    mode: 0o600,
  });
  const env = { GARNER_CONFIG_DIR: directory, GARNER_RUN_DIR: join(directory, 'run') };
  // AWS_CA_BUNDLE of the caller's would end it
  const rclone = `env -u AWS_CA_BUNDLE rclone --config ${ceph.directory}/rclone.conf ${AT_ONCE} --fast-list`;
  const change = `${rclone} copy ${changed} ceph:${master} --no-traverse --s3-no-head`;
  return { ceph, env, rclone, change, master, replica };
}

async function prepareSnapshot(directory: string, keyCount: number): Promise<Prepared> {
  const { ceph, env, rclone, replica } = await prepareBuckets(directory, keyCount, 0);
  return {
    garner: { script: `${BIN}/bucket snapshot`, env },
    peers: [
      {
        name: 'rclone lsf -R --s3-versions, packed by gzip',
        target: 1,
        script: `${rclone} lsf -R --files-only --format pst --use-server-modtime --s3-versions ceph:${replica} | gzip > ${directory}/list.gz`,
      },
    ],
    reset: 'true',
    [Symbol.asyncDispose]: () => ceph.stop(),
  };
}

async function prepareRestore(directory: string, keyCount: number, changedCount: number): Promise<Prepared> {
  const { ceph, env, rclone, change, master, replica } = await prepareBuckets(
    directory,
    keyCount,
    changedCount,
  );
  await execa(`${BIN}/bucket`, ['snapshot'], { env });
  const time = new Date(Date.now() + 1000).toISOString();
  return {
    garner: { script: `${BIN}/bucket restore latest --force`, env },
    peers: [
      {
        name: 'rclone sync --s3-version-at',
        target: 1,
        // as an option it would hold for the master too; compared by digests, without a HEAD for each key
        script: `${rclone} sync --checksum 'ceph,version_at="${time}":${replica}' ceph:${master}`,
      },
      {
        name: 'rclone sync of the newest versions',
        target: 1,
        script: `${rclone} sync --checksum ceph:${replica} ceph:${master}`,
      },
    ],
    reset: change,
    [Symbol.asyncDispose]: () => ceph.stop(),
  };
}

const cases = (keys: number, changed: number, suffix: string): BenchCase[] => [
  {
    id: `bucket-snapshot${suffix}`,
    title: `a restoration point of a bucket of ${keys.toLocaleString('en')} keys`,
    prepare: (directory) => prepareSnapshot(directory, keys),
  },
  {
    id: `bucket-restore${suffix}`,
    title: `a restore of ${changed.toLocaleString('en')} changed keys of ${keys.toLocaleString('en')}`,
    prepare: (directory) => prepareRestore(directory, keys, changed),
  },
];

export const BUCKET_CASES: readonly BenchCase[] = cases(10_000, 1000, '');

export const LARGE_BUCKET_CASES: readonly BenchCase[] = cases(100_000, 10_000, '-100000');
