// What operations make goes to the bucket that their file names.
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import agent from '../../agents/command.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';
import { operationInstance, readOperations } from '../../agents/toolkit/operations.ts';
import { backUpOperation } from '../../agents/toolkit/operations-run.ts';
import { CORE_SETTINGS, loadSettings } from '../../lib/settings.ts';
import { type Ceph, startCeph } from '../helpers/ceph.ts';
import { type Bench, makeBench } from '../helpers/run.ts';

let ceph: Ceph;
let bench: Bench;
beforeAll(async () => {
  ceph = await startCeph();
});
beforeEach(() => {
  bench = makeBench();
});
afterEach(() => bench.remove());
afterAll(() => ceph.stop());

/** Hamster's own file, for one operation. */
const hamsterFile = (server: object, operation: object): string =>
  JSON.stringify({
    AccessKey: ceph.accessKeyId,
    SecretKey: ceph.secretAccessKey,
    ...server,
    Operations: [{ Name: 'StreamServer-DB', Command: 'echo $Date > $Name/dump.sql', ...operation }],
  });

/** Runs the only operation of a file, in this process. */
async function run(file: string) {
  const { operations, target } = readOperations(file, []);
  const [operation] = operations as [(typeof operations)[number]];
  const dirs = {
    GARNER_WORK_DIR: bench.workDir,
    GARNER_RUN_DIR: join(bench.directory, 'run'),
    GARNER_STATE_DIR: join(bench.directory, 'state'),
  };
  const table = { ...CORE_SETTINGS, ...agent.settings };
  const settings = loadSettings(table, { known: table, env: { ...dirs, GARNER_HOST: 'web1' } });
  const { signal } = new AbortController();
  const instance = operationInstance(operation, undefined);
  return backUpOperation(agent, operation, instance, { settings, view: hostView(), signal }, target);
}

/** Fetches a bucket; `sha256sum` finds all in it whole. @returns the names of what has a checksum file */
async function fetched(bucket: string): Promise<{ directory: string; names: string[] }> {
  const directory = join(bench.directory, bucket);
  mkdirSync(directory, { recursive: true });
  await ceph.rclone('copy', `ceph:${bucket}`, directory);
  const check = 'cd "$1" && find . -name "*.sha256" -execdir sha256sum -c --strict {} +';
  await execa('sh', ['-c', check, 'sh', directory]);
  const all = (await ceph.rclone('lsf', '-R', '--files-only', `ceph:${bucket}`)).split('\n');
  return { directory, names: all.filter((name) => !name.endsWith('.sha256')) };
}

it('hamster runs an operation of its config.json and uploads its zip by the remote name, in one call', async () => {
  const bucket = await ceph.makeBucket();
  const operation = { RemoteFileName: 'db/$Name-$Date.zip', PersianDate: true };
  bench.configure('config.json', hamsterFile({ EndpointURL: `${ceph.endpoint}/${bucket}` }, operation));
  const { exitCode, stdout, stderr } = await bench.run('hamster', ['streamserver-db', '--json']);
  expect([exitCode, stderr]).toEqual([0, expect.not.stringContaining(ceph.secretAccessKey)]);
  const json = JSON.parse(stdout);
  const { directory, names } = await fetched(bucket);
  expect(names).toEqual([expect.stringMatching(/^db\/StreamServer-DB-1\d{3}(\.\d\d){2}-(\d\d\.){3}zip$/)]);
  expect(json).toMatchObject({ result: 'ok', uploaded: `s3://${bucket}/${names[0]}` });
  expect(existsSync(json.archive)).toBe(true);
  const dump = await execa('unzip', ['-p', join(directory, names[0] as string), 'dump.sql']);
  expect(names[0]).toContain(dump.stdout.trim());
});

it('the bucket is `Bucket` rather than the path; what has no remote name keeps the archive’s', async () => {
  const bucket = await ceph.makeBucket();
  const file = join(bench.configDir, 'config.json');
  bench.configure('config.json', hamsterFile({ EndpointURL: `${ceph.endpoint}/other`, Bucket: bucket }, {}));
  const { archive, uploaded } = await run(file);
  expect(uploaded).toBe(`s3://${bucket}/${basename(archive.path)}`);
  expect((await fetched(bucket)).names).toEqual([basename(archive.path)]);
});

it('operations.yaml names a bucket as archiver.yaml does, with its keys in a file', async () => {
  const bucket = await ceph.makeBucket();
  const url = `s3://${bucket}/web1?endpoint=${ceph.endpoint}`;
  const operation = 'shop: {command: "echo x > shop/x", fileName: "shop.tar"}';
  const content = `bucket: "${url}"\ncredentialsFile: ${ceph.writeCredentials()}\noperations: {${operation}}\n`;
  const file = join(bench.configDir, 'operations.yaml');
  bench.configure('operations.yaml', content);
  const { archive } = await run(file);
  const { directory, names } = await fetched(bucket);
  expect(names).toEqual(['web1/shop.tar']);
  expect(readFileSync(join(directory, 'web1/shop.tar')).equals(readFileSync(archive.path))).toBe(true);
});

it('replaces nothing: what was made stays here, and is named', async () => {
  const bucket = await ceph.makeBucket();
  const file = join(bench.configDir, 'config.json');
  const server = { EndpointURL: ceph.endpoint, Bucket: bucket };
  bench.configure('config.json', hamsterFile(server, { RemoteFileName: '$Name.tar' }));
  await run(file);
  const before = await fetched(bucket);
  await expect(run(file)).rejects.toMatchObject({
    code: 'store-exists',
    message: expect.stringMatching(/is there already; what was to be uploaded is whole, here: \/.*\.tar$/),
    hint: expect.stringContaining('$Date'),
  });
  expect(bench.workFiles().filter((name) => name.endsWith('.tar'))).toHaveLength(2);
  const after = await fetched(bucket);
  expect(after.names).toEqual(before.names);
});

it('a bucket that is not there fails the run, and tells no secret', async () => {
  const file = join(bench.configDir, 'config.json');
  writeFileSync(file, hamsterFile({ EndpointURL: `${ceph.endpoint}/nowhere` }, {}));
  chmodSync(file, 0o600);
  const error = await run(file).catch((caught) => caught);
  expect(error).toMatchObject({ code: 'store-connect', message: expect.stringContaining('no such bucket') });
  expect(`${error.message} ${error.hint}`).not.toContain(ceph.secretAccessKey);
});
