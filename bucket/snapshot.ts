// Makes a restoration point: which version of each key the replica has now. Where the set says so, what differs is first copied
// from master to replica by the server. The listing takes as long as it takes: what is written meanwhile may be in it or not.
import { cannot } from '../lib/errors.ts';
import { info, warn } from '../lib/log.ts';
import { startProgress } from '../lib/progress.ts';
import { plural } from '../lib/text.ts';
import { applyPlan, type KeyFailures } from './apply.ts';
import { hasVersioning, listVersions, type OpenBucket } from './listing.ts';
import { openPlan, type PlanCounts, planDeletions, planVersions } from './plan.ts';
import type { PointVersion } from './point-text.ts';
import { nextPoint, writePoint } from './points.ts';
import { indexBucket, type Run } from './run.ts';
import { storedAsPoint } from './version-index.ts';

export interface SnapshotReport {
  set: string;
  point: string;
  bucket: string;
  time: string;
  keys: number;
  sizeBytes: number;
  /** Undefined where the set does not replicate. */
  replicated: (Pick<PlanCounts, 'copy' | 'copyBytes' | 'delete'> & { failed: KeyFailures }) | undefined;
}

/** @throws configuration where the replica has no versioning: what a point names would not stay */
export async function snapshot(run: Run): Promise<SnapshotReport> {
  const { set, replica, signal } = run;
  if (!(await hasVersioning(replica, signal))) {
    throw cannot('configuration', 'make a point of', `s3://${replica.bucket}`, 'it has no versioning', {
      hint: 'switch it on: aws s3api put-bucket-versioning --versioning-configuration Status=Enabled --bucket …',
    });
  }
  const replicated = set.replicate ? await replicate(run) : undefined;
  const { name, time } = await nextPoint(set.points);
  const total = { keys: 0, sizeBytes: 0 };
  const { bucket } = replica;
  const versions = latestOf(replica, total, signal);
  const point = await writePoint(
    set.points,
    { name, time, bucket, compress: set.compress },
    versions,
    signal,
  );
  info(`${set.name}: ${point}: ${plural(total.keys, 'key')}`, { set: set.name, point });
  if (total.keys === 0) warn(`${set.name}: s3://${bucket} has no key: the point is empty`, { set: set.name });
  return { set: set.name, point, bucket, time: time.toISOString(), ...total, replicated };
}

async function* latestOf(
  bucket: OpenBucket,
  total: { keys: number; sizeBytes: number },
  signal: AbortSignal,
): AsyncGenerator<PointVersion> {
  const progress = startProgress(`list ${bucket.bucket}`, undefined, (count) => plural(count, 'key'));
  try {
    for await (const page of listVersions(bucket, '', signal)) {
      for (const { key, versionId, isLatest, isMarker, sizeBytes, modified } of page) {
        if (!isLatest || isMarker) continue;
        total.keys += 1;
        total.sizeBytes += sizeBytes;
        progress.add(1);
        yield { key, versionId, sizeBytes, modified: modified.toISOString() };
      }
    }
  } finally {
    progress.done();
  }
}

/** Copies what differs; what the master no longer has is deleted at the replica, where its versions stay. */
async function replicate(run: Run): Promise<SnapshotReport['replicated']> {
  const { set, master, replica, signal } = run;
  using source = await indexBucket(master, '', signal);
  using target = await indexBucket(replica, '', signal);
  using plan = openPlan();
  planVersions(plan, source.allCurrent().map(storedAsPoint), source, target);
  planDeletions(plan, target);
  const failed = await applyPlan(plan, master, replica, set.parallel, signal);
  const { copy, copyBytes, delete: deleted } = plan.counts;
  info(
    failed.count === 0
      ? `${set.name}: ${copy} copied to s3://${replica.bucket}, ${deleted} deleted there`
      : `${set.name}: ${copy} to copy to s3://${replica.bucket}, ${deleted} to delete there, of which ${failed.count} failed`,
    {
      set: set.name,
    },
  );
  return { copy, copyBytes, delete: deleted, failed };
}
