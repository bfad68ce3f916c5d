// An archive on its way into a bucket, beside rclone, on a private Ceph whose disk is memory.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { startCeph } from '../test/helpers/ceph.ts';
import type { BenchCase, Prepared } from './cases.ts';
import { makeFile } from './data.ts';

const BIN = join(import.meta.dirname, '../bin');
const NAME = 'directories-bench-20260101T000000Z';

async function prepareUpload(directory: string, bytes: number): Promise<Prepared> {
  const ceph = await startCeph();
  const bucket = await ceph.makeBucket();
  const work = join(directory, 'work');
  mkdirSync(work);
  makeFile(join(work, `${NAME}.tar`), bytes);
  await execa('sh', ['-c', `sha256sum ${NAME}.tar > ${NAME}.tar.sha256`], { cwd: work });
  const to = `s3://${bucket}?endpoint=${ceph.endpoint}`;
  const target = `{to: "${to}", credentialsFile: ${ceph.writeCredentials()}, from: ${work}}`;
  writeFileSync(join(directory, 'archiver.yaml'), `push: {bucket: ${target}}\n`, { mode: 0o600 });
  await ceph.rclone('lsd', 'ceph:'); // writes its configuration
  // AWS_CA_BUNDLE of the caller's would end it
  const rclone = `env -u AWS_CA_BUNDLE rclone --config ${ceph.directory}/rclone.conf`;
  return {
    garner: {
      script: `${BIN}/archiver push`,
      env: { GARNER_CONFIG_DIR: directory, GARNER_RUN_DIR: join(directory, 'run') },
    },
    peers: [{ name: 'rclone copy', target: 1, script: `${rclone} copy ${work} ceph:${bucket}` }],
    // what is deleted would stay in memory for two hours
    reset: `${rclone} delete ceph:${bucket}; radosgw-admin -c ${ceph.directory}/ceph.conf gc process --include-all; sync`,
    [Symbol.asyncDispose]: () => ceph.stop(),
  };
}

export const UPLOAD_CASES: readonly BenchCase[] = [
  {
    id: 'upload',
    title:
      'a push of one archive of 2 GB to object storage: hashed, sent in parts, each compared by the server',
    prepare: (directory) => prepareUpload(directory, 2 * 2 ** 30),
  },
];
