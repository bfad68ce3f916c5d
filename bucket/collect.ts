// Removes restoration points, and of their versions those that no other point names. A version is a key and an id. What can be read
// in a bucket now is never removed. First all points are read and the bucket is listed; where one can't be read, nothing is
// removed: it may name anything. Then the points that go lose their names, durably; then their versions go, then their
// files. A run that was ended is completed by the next one.
import { cannot } from '../lib/errors.ts';
import { info } from '../lib/log.ts';
import { isLarge, type Policy, plan as planRetention, type Plan as RetentionPlan } from '../lib/retention.ts';
import { plural } from '../lib/text.ts';
import { addFailure, type KeyFailures, noFailures } from './apply.ts';
import { type Deletion, deleteAll } from './delete.ts';
import type { OpenBucket } from './listing.ts';
import type { PointSummary } from './point-text.ts';
import { beginRemoval, eachPiece, endRemoval, type PointFile, pointFiles } from './points.ts';
import { bucketOf, indexBucket, type Run } from './run.ts';
import type { VersionIndex } from './version-index.ts';

export interface CollectReport {
  keep: { point: string; reasons: string[] }[];
  remove: { point: string; reason: string }[];
  /** How many versions go, or would, and how much they hold. */
  versions: number;
  versionBytes: number;
  failed: KeyFailures;
  /** On a dry run: why the run itself would do nothing of this. */
  refused?: string;
}

export interface ReadPoint extends PointSummary {
  file: PointFile;
  /** How many of its versions are gone from the bucket. */
  missing: number;
}

/** All points of a set against what its buckets hold. */
export interface Survey extends Disposable {
  points: ReadPoint[];
  buckets: Map<string, { bucket: OpenBucket; index: VersionIndex }>;
}

/** Clocks differ by less. */
const CLOCK_SLACK_MS = 60_000;

/**
 * Reads all points, and notes which versions they name that can't be read in the bucket any more.
 * @throws point-damaged: then nothing is known
 */
export async function survey(run: Run): Promise<Survey> {
  const buckets: Survey['buckets'] = new Map();
  const points: ReadPoint[] = [];
  const dispose = (): void => {
    for (const { index } of buckets.values()) index[Symbol.dispose]();
  };
  const indexOf = async (name: string | undefined): Promise<VersionIndex> => {
    const bucket = bucketOf(run, name);
    const known = buckets.get(bucket.bucket);
    if (known !== undefined) return known.index;
    const index = await indexBucket(bucket, '', run.signal);
    buckets.set(bucket.bucket, { bucket, index });
    return index;
  };
  try {
    for (const file of pointFiles(run.set.points)) {
      let missing = 0;
      const number = points.length;
      const summary = await eachPiece(
        file,
        async ({ versions, bucket }) => {
          const index = await indexOf(bucket);
          for (const { key, versionId, sizeBytes } of versions) {
            const found = index.find(key, versionId);
            if (found?.sizeBytes !== sizeBytes) missing += 1;
            // also one of another size, where a point is wrong: it is named all the same
            if (found !== undefined) index.note(found, number);
          }
        },
        run.signal,
      );
      points.push({ ...summary, file, missing });
    }
    return { points, buckets, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** @returns what tells whole points: all their versions are there, and they have keys, unless none has */
function wholeAmong(points: readonly ReadPoint[]): (point: ReadPoint) => boolean {
  const areEmpty = points.every(({ count }) => count === 0);
  return ({ missing, count }) => missing === 0 && (count > 0 || areEmpty);
}

/**
 * Says which points stay by the set's policy: one whose versions are not all there does not count for the minimum while others do,
 * nor does one without keys, such as a wrong or an emptied bucket makes night after night.
 * @throws prune-refused where a point is of the future
 */
export function planPoints(points: readonly ReadPoint[], policy: Policy, now: Date): RetentionPlan {
  const future = points.find(({ time }) => time.getTime() > now.getTime() + CLOCK_SLACK_MS);
  if (future !== undefined) {
    throw cannot('prune-refused', 'judge restoration point', future.file.name, 'its time has not come yet', {
      hint: 'set the clock right, or remove the point',
    });
  }
  const isWhole = wholeAmong(points);
  const all = points.map((point) => ({
    id: point.file.name,
    time: point.time,
    verified: isWhole(point),
  }));
  return planRetention(all, policy, now);
}

/** Removes what retention lets go. @throws configuration, point-damaged, prune-refused: nothing was removed then */
export async function collect(
  run: Run,
  { dryRun, allowLarge }: { dryRun: boolean; allowLarge: boolean },
): Promise<CollectReport> {
  const { retention, name } = run.set;
  if (retention === undefined) {
    throw cannot('configuration', 'collect', name, 'the set has no retention', {
      hint: 'say what to keep, such as retention: {within: 7d, minimum: 2}',
    });
  }
  using seen = await survey(run);
  const present = seen.points.filter(({ file }) => !file.removing);
  const { keep, remove } = planPoints(present, retention, run.now);
  const isRefused = isLarge(remove.length, present.length) && !allowLarge;
  const cause = `${remove.length} of ${plural(present.length, 'point')} would go at once`;
  if (isRefused && !dryRun) {
    throw cannot('prune-refused', 'collect', name, cause, {
      hint: 'look with bucket gc --dry-run; if it is right: bucket gc --allow-large',
    });
  }
  const report = await removePoints(run, seen, {
    keep: keep.map(({ id, reasons }) => ({ point: id, reasons })),
    remove: remove.map(({ id, reason }) => ({ point: id, reason })),
    dryRun,
  });
  return isRefused ? { ...report, refused: `${cause}: that needs --allow-large` } : report;
}

/** Removes one point. @throws prune-refused where fewer would be left than the minimum; point-damaged */
export async function removeOne(run: Run, point: PointFile, dryRun: boolean): Promise<CollectReport> {
  using seen = await survey(run);
  const others = seen.points.filter(({ file }) => !file.removing && file.name !== point.name);
  const minimum = run.set.retention?.minimum ?? 1;
  const whole = others.filter(wholeAmong(seen.points)).length;
  if (whole < minimum) {
    const cause = `${plural(whole, 'whole point')} would be left, and ${minimum} must be`;
    throw cannot('prune-refused', 'delete restoration point', point.name, cause, {
      hint: 'make another point first, or lower retention.minimum (MinimumRedundancy)',
    });
  }
  return await removePoints(run, seen, {
    keep: others.map(({ file }) => ({ point: file.name, reasons: ['not the one to delete'] })),
    remove: [{ point: point.name, reason: 'to be deleted' }],
    dryRun,
  });
}

async function removePoints(
  { set, signal }: Run,
  { points, buckets }: Survey,
  { keep, remove, dryRun }: Pick<CollectReport, 'keep' | 'remove'> & { dryRun: boolean },
): Promise<CollectReport> {
  const leaving = new Set(remove.map(({ point }) => point));
  const numbers = points.flatMap(({ file }, number) =>
    file.removing || leaving.has(file.name) ? [number] : [],
  );
  const report: CollectReport = { keep, remove, versions: 0, versionBytes: 0, failed: noFailures() };
  const going = numbers.map((number) => (points[number] as ReadPoint).file);
  const files = dryRun ? going : going.map((file) => beginRemoval(set.points, file));
  for (const { bucket, index } of buckets.values()) {
    const versions = index.namedOnlyBy(numbers).map(({ key, versionId, sizeBytes }): Deletion => {
      report.versions += 1;
      report.versionBytes += sizeBytes;
      return { key, versionId };
    });
    if (dryRun) for (const _ of versions);
    else {
      await deleteAll(
        bucket,
        versions,
        ({ key }, error) => {
          if (error !== undefined) addFailure(report.failed, key, error);
        },
        signal,
      );
    }
  }
  // what could not be deleted is still named, by a file that the next run finds
  if (!dryRun && report.failed.count === 0) for (const file of files) endRemoval(set.points, file);
  const verb = dryRun ? 'would be removed' : 'removed';
  info(
    `${set.name}: ${plural(remove.length, 'point')} and ${plural(report.versions, 'version')} ${verb}, ${keep.length} kept`,
    { set: set.name },
  );
  return report;
}
