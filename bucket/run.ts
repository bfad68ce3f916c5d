// What every verb that uses a bucket begins with: lock, roles and the two buckets of a set, in this order. It loads the client of
// object storage, which is heavy: verbs import it where they run.
import { createHash } from 'node:crypto';
import { realpathSync, statSync } from 'node:fs';
import { makeDirectory } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';
import { runSignal } from '../lib/interrupt.ts';
import { acquireLock } from '../lib/lock.ts';
import { startProgress } from '../lib/progress.ts';
import { openS3 } from '../lib/s3.ts';
import type { BucketPlace, BucketSet } from './configuration.ts';
import { listVersions, type OpenBucket } from './listing.ts';
import { type Roles, readRoles } from './roles.ts';
import type { Setup } from './setup.ts';
import { openVersionIndex, type VersionIndex } from './version-index.ts';

export interface Run {
  set: BucketSet;
  roles: Roles;
  master: OpenBucket;
  replica: OpenBucket;
  /** Opens another bucket of the same service, in the master's region. */
  open(bucket: string): OpenBucket;
  signal: AbortSignal;
  now: Date;
}

/**
 * Works on a set.
 * @param what for messages: `snapshot`
 * @param alone whether no other run may work on the set meanwhile: whatever writes
 * @throws locked, configuration, configuration-permissions, and what the action throws
 */
export async function withSet<T>(
  { settings }: Setup,
  set: BucketSet,
  what: string,
  { alone }: { alone: boolean },
  action: (run: Run) => Promise<T>,
): Promise<T> {
  checkPoints(set.points);
  using running = runSignal(what, settings.GARNER_TIMEOUT);
  using _lock = alone ? lockSet(settings.GARNER_RUN_DIR, set) : undefined;
  const roles = readRoles(set);
  const open = opener(set);
  const [master, replica] = [open(roles.master), open(roles.replica)];
  try {
    const { signal } = running;
    const openOther = (bucket: string): OpenBucket => ({ ...master, bucket });
    return await action({ set, roles, master, replica, open: openOther, signal, now: new Date() });
  } finally {
    master.client.destroy();
    replica.client.destroy();
  }
}

/**
 * What lies there says what is removed, and who is master: a point that anybody could put there would name what others keep.
 * @throws configuration-permissions
 */
function checkPoints(directory: string): void {
  const stat = statSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) return;
  const refuse = (cause: string, hint: string): Error =>
    cannot('configuration-permissions', 'use the directory of points', directory, cause, { hint });
  if (stat.uid !== 0 && stat.uid !== process.getuid?.())
    throw refuse(`it is owned by user ${stat.uid}`, `chown root '${directory}', or run as its owner`);
  if (stat.mode & 0o002) throw refuse('others can write into it', `chmod o-w '${directory}'`);
}

/** Buckets of one region share a client. */
function opener(set: BucketSet): (place: BucketPlace) => OpenBucket {
  const { endpoint, pathStyle, credentialsFile, profile, keys, parallel } = set;
  const clients = new Map<string, OpenBucket['client']>();
  return ({ bucket, region }) => {
    const options = { endpoint, pathStyle, credentialsFile, profile, credentials: keys, region };
    const client = clients.get(region) ?? openS3({ ...options, maxSockets: Math.max(50, parallel) });
    clients.set(region, client);
    return { client, bucket };
  };
}

function lockSet(runDir: string, set: BucketSet): Disposable {
  makeDirectory(set.points);
  const id = createHash('sha256').update(realpathSync(set.points)).digest('hex').slice(0, 12);
  return acquireLock(runDir, `bucket-${id}`, `bucket set ${set.name}`);
}

/**
 * @param name as a point has it; undefined: of the original, so the replica as it is configured
 * @throws point-damaged where it is neither of the set's: a point may come from anywhere
 */
export function bucketOf(run: Run, name: string | undefined): OpenBucket {
  const wanted = name ?? run.set.replica.bucket;
  const found = [run.replica, run.master].find(({ bucket }) => bucket === wanted);
  if (found !== undefined) return found;
  throw cannot('point-damaged', 'use a restoration point of', wanted, 'the set has no such bucket', {
    hint: 'it is a point of another set, or the configuration has changed',
  });
}

/** Lists a bucket. @param prefix of the keys; '' for all */
export async function indexBucket(
  bucket: OpenBucket,
  prefix: string,
  signal: AbortSignal,
): Promise<VersionIndex> {
  const index = openVersionIndex();
  const progress = startProgress(`list ${bucket.bucket}`, undefined, (count) => `${count} versions`);
  try {
    for await (const versions of listVersions(bucket, prefix, signal)) {
      index.add(versions);
      progress.add(versions.length);
    }
    return index;
  } catch (error) {
    index[Symbol.dispose]();
    throw error;
  } finally {
    progress.done();
  }
}
