// A private object storage for tests: Ceph's gateway (RGW) on a monitor and one disk that is memory, on loopback, in a directory of
// its own, gone with the test file. It starts in two seconds and costs a good one of CPU: each test file may have its own.
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { execa, type ResultPromise } from 'execa';
import { freePort } from './mariadb.ts';

const START_LIMIT_MS = 60_000;
/** More than the bench's largest; taken only as it is filled. */
const MEMORY_BYTES = 16 * 2 ** 30;
/** The key of the gateway's key service for tests, as `aws:kms` names it. */
export const KMS_KEY = 'test-key';

export interface User {
  accessKeyId: string;
  secretAccessKey: string;
}

export interface Ceph extends User, AsyncDisposable {
  /** `http://127.0.0.1:port`; buckets stand in the path. */
  readonly endpoint: string;
  readonly region: string;
  readonly directory: string;
  /** A plain client of the SDK, to prepare and to judge with. */
  readonly client: S3Client;
  /** Makes a bucket with a name of its own. @returns its name */
  makeBucket(options?: { versioning?: boolean; objectLock?: boolean }): Promise<string>;
  /** Makes another account, which may use nothing of the first one's. */
  makeUser(): Promise<User>;
  /** Writes keys as the SDK and rclone read them, for the owner only. @returns the file */
  writeCredentials(user?: User): string;
  /** Runs rclone with this storage as the remote `ceph:`. @returns its stdout */
  rclone(...args: string[]): Promise<string>;
  /** Runs radosgw-admin. @returns its stdout */
  admin(...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

const configuration = (
  directory: string,
  monitor: number,
  port: number,
  settings: string[],
): string => `[global]
fsid = 00000000-0000-4000-8000-000000000000
mon_host = [v2:127.0.0.1:${monitor}/0]
mon_initial_members = a
mon_data = ${directory}/mon
osd_data = ${directory}/osd
rgw_data = ${directory}/rgw
run_dir = ${directory}
keyring = ${directory}/keyring
log_file = ${directory}/$name.log
admin_socket =
pid_file =
ms_bind_ipv6 = false
public_network = 127.0.0.0/8
osd_objectstore = memstore
memstore_device_bytes = ${MEMORY_BYTES}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
# it would gather what it decides for a second, dozens of times
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_tick_interval = 1
debug_mon = 0/0
debug_paxos = 0/0
debug_osd = 0/0
debug_ms = 0/0
debug_rgw = 1/1

[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:${port}
rgw_thread_pool_size = 32
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = "${KMS_KEY}=${Buffer.alloc(32, 7).toString('base64')}"
${settings.join('\n')}
`;

/**
 * Starts a storage; where that fails, once more from nothing: somebody may have taken a port meanwhile.
 * @param settings more lines for the gateway's configuration
 */
export async function startCeph(settings: string[] = []): Promise<Ceph> {
  try {
    return await start(settings);
  } catch {
    return start(settings);
  }
}

async function start(settings: string[]): Promise<Ceph> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-ceph-'));
  const file = join(directory, 'ceph.conf');
  const [monitor, port] = [await freePort(), await freePort()];
  const servers: ResultPromise[] = [];
  // setpriv: a server ends with the test process, however that ends
  const serve = (program: string, ...args: string[]): void => {
    const command = ['--pdeathsig', 'KILL', program, '-c', file, '-f', ...args];
    servers.push(execa('setpriv', command, { stdio: 'ignore', reject: false }));
  };
  const stop = async (): Promise<void> => {
    for (const server of servers) server.kill('SIGKILL');
    await Promise.all(servers);
    rmSync(directory, { recursive: true, force: true });
  };
  const run = async (program: string, ...args: string[]): Promise<string> =>
    (await execa(program, ['-c', file, ...args], { timeout: START_LIMIT_MS })).stdout;
  const admin = (...args: string[]): Promise<string> => run('radosgw-admin', ...args);
  const makeUser = async (): Promise<User> => {
    const [accessKeyId, secretAccessKey] = [randomBytes(8).toString('hex'), randomBytes(16).toString('hex')];
    const keys = [`--access-key=${accessKeyId}`, `--secret-key=${secretAccessKey}`];
    await admin('user', 'create', `--uid=${accessKeyId}`, '--display-name=test', ...keys);
    return { accessKeyId, secretAccessKey };
  };
  try {
    for (const name of ['mon', 'osd', 'rgw']) mkdirSync(join(directory, name));
    writeFileSync(file, configuration(directory, monitor, port, settings));
    writeFileSync(join(directory, 'keyring'), keyring(), { mode: 0o600 });
    const map = join(directory, 'monmap');
    const address = `[v2:127.0.0.1:${monitor}/0]`;
    const fsid = '00000000-0000-4000-8000-000000000000';
    await execa('monmaptool', ['--create', '--fsid', fsid, '--addv', 'a', address, map]);
    await run('ceph-mon', '-i', 'a', '--mkfs', '--monmap', map, '--keyring', join(directory, 'keyring'));
    serve('ceph-mon', '-i', 'a');
    const uuid = '00000000-0000-4000-8000-000000000001';
    await run('ceph', 'osd', 'new', uuid);
    await run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', uuid);
    serve('ceph-osd', '-i', '0');
    serve('radosgw', '-n', 'client.rgw');
    const user = await makeUser();
    const endpoint = `http://127.0.0.1:${port}`;
    await untilItAnswers(endpoint);
    return {
      ...user,
      ...use(endpoint, directory, user),
      directory,
      makeUser,
      admin,
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    const log = join(directory, 'client.rgw.log');
    const text = await stopWithLog(log, stop);
    throw new Error(`Ceph has not started; the end of its log: ${text}`, { cause: error });
  }
}

async function stopWithLog(log: string, stop: () => Promise<void>): Promise<string> {
  let text = 'there is none';
  try {
    text = readFileSync(log, 'utf8').slice(-1000);
  } catch {
    // it did not come that far
  }
  await stop();
  return text;
}

function keyring(): string {
  const rights = ['mon', 'osd', 'mgr'].map((kind) => `caps ${kind} = "allow *"\n`).join('');
  return ['mon.', 'client.admin', 'osd.0', 'client.rgw']
    .map((name) => `[${name}]\nkey = ${secret()}\n${rights}`)
    .join('');
}

/** A key as ceph-authtool makes them: kind, time, length, 16 bytes. */
function secret(): string {
  const head = Buffer.alloc(12);
  head.writeUInt16LE(1, 0);
  head.writeUInt16LE(16, 10);
  return Buffer.concat([head, randomBytes(16)]).toString('base64');
}

async function untilItAnswers(endpoint: string): Promise<void> {
  for (const deadline = Date.now() + START_LIMIT_MS; ; await sleep(50)) {
    try {
      await (await fetch(endpoint)).arrayBuffer();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

function use(
  endpoint: string,
  directory: string,
  owner: User,
): Pick<Ceph, 'endpoint' | 'region' | 'client' | 'makeBucket' | 'writeCredentials' | 'rclone'> {
  const region = 'default';
  const client = new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: owner,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  const writeCredentials = (user: User = owner): string => {
    const file = join(directory, `credentials-${user.accessKeyId}`);
    const lines = ['[default]', `aws_access_key_id = ${user.accessKeyId}`];
    writeFileSync(file, `${[...lines, `aws_secret_access_key = ${user.secretAccessKey}`].join('\n')}\n`, {
      mode: 0o600,
    });
    return file;
  };
  return {
    endpoint,
    region,
    client,
    async makeBucket({ versioning = false, objectLock = false } = {}) {
      const Bucket = `bucket-${randomBytes(4).toString('hex')}`;
      await client.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: objectLock }));
      const VersioningConfiguration = { Status: 'Enabled' } as const;
      if (versioning) await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
      return Bucket;
    },
    writeCredentials,
    async rclone(...args) {
      const config = join(directory, 'rclone.conf');
      const settings = { type: 's3', provider: 'Ceph', endpoint, region };
      const keys = { access_key_id: owner.accessKeyId, secret_access_key: owner.secretAccessKey };
      const lines = Object.entries({ ...settings, ...keys }).map(([key, value]) => `${key} = ${value}`);
      writeFileSync(config, `[ceph]\n${lines.join('\n')}\n`, { mode: 0o600 });
      const env = { PATH: process.env.PATH ?? '', HOME: directory }; // AWS_… of the caller's would count
      return (await execa('rclone', ['--config', config, ...args], { env, extendEnv: false })).stdout;
    },
  };
}
