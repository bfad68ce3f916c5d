// Brings a bucket back to what a restoration point names, or to what it was at a time. All is planned first, and what is gone is
// told, before anything is written; the dry run ends there. A run that was ended is simply run again: what is equal is skipped.
import { cannot, type GarnerError } from '../lib/errors.ts';
import { plural } from '../lib/text.ts';
import { applyPlan, type KeyFailures, noFailures } from './apply.ts';
import { hasVersioning, type OpenBucket } from './listing.ts';
import { type Plan, planDeletions, planVersions } from './plan.ts';
import { eachPiece, type PointFile } from './points.ts';
import { bucketOf, indexBucket, type Run } from './run.ts';
import { storedAsPoint, type VersionIndex } from './version-index.ts';

export interface RestoreOptions {
  /** What to restore: a point, or a time of a bucket's own history. */
  of: { point: PointFile } | { at: Date; history: 'master' | 'replica' };
  /** Only keys that begin so; '' for all. */
  prefix: string;
  /** Another bucket than the master. */
  to: string | undefined;
  dryRun: boolean;
  /** Goes on though versions are gone; their keys stay as they are. */
  allowMissing: boolean;
  /** Also where what is replaced or deleted would be gone for good, or is of another bucket. */
  force: boolean;
}

export interface Restored {
  from: string;
  to: string;
  failed: KeyFailures;
  /** On a dry run: why the run itself would do nothing of this. */
  refused?: string;
}

/**
 * @param onPlan is told of what will be done, before anything is
 * @throws versions-gone, restore-refused; nothing was changed then
 */
export async function restore(
  run: Run,
  options: RestoreOptions,
  plan: Plan,
  onPlan: () => void,
): Promise<Restored> {
  const { signal } = run;
  const { of, prefix, dryRun } = options;
  const target = options.to === undefined ? run.master : run.open(options.to);
  let source: OpenBucket = 'point' in of ? await bucketOfPoint(run, of.point) : run[of.history];
  if (source.bucket === target.bucket) source = target;
  if ('at' in of && !(await hasVersioning(source, signal))) {
    throw cannot(
      'restore-refused',
      'restore',
      `s3://${source.bucket}`,
      'it has no versioning, so no history',
      {
        hint: 'restore a point, or by --history of the other bucket',
      },
    );
  }
  const targetIndex = await indexBucket(target, prefix, signal);
  const sourceIndex = source === target ? targetIndex : await indexBucket(source, prefix, signal);
  try {
    const wanted = await planWanted(of, prefix, plan, sourceIndex, targetIndex, signal);
    planDeletions(plan, targetIndex);
    onPlan();
    const refused = await whyRefused(run, options, target, plan, wanted);
    if (dryRun) {
      const done = { from: source.bucket, to: target.bucket, failed: noFailures() };
      return refused === undefined ? done : { ...done, refused: refused.message };
    }
    if (refused !== undefined) throw refused;
  } finally {
    targetIndex[Symbol.dispose]();
    if (sourceIndex !== targetIndex) sourceIndex[Symbol.dispose]();
  }
  const failed = await applyPlan(plan, source, target, run.set.parallel, signal);
  return { from: source.bucket, to: target.bucket, failed };
}

/** Reads all of a point: a damaged one is refused before a bucket is asked anything. */
async function bucketOfPoint(run: Run, point: PointFile): Promise<OpenBucket> {
  const { bucket } = await eachPiece(point, () => {}, run.signal);
  return bucketOf(run, bucket);
}

/** @returns how many keys are wanted */
async function planWanted(
  of: RestoreOptions['of'],
  prefix: string,
  plan: Plan,
  source: VersionIndex,
  target: VersionIndex,
  signal: AbortSignal,
): Promise<number> {
  let count = 0;
  const add = (versions: Parameters<typeof planVersions>[1]): void =>
    planVersions(
      plan,
      Iterator.from(versions).filter(({ key }) => {
        const isWanted = key.startsWith(prefix);
        if (isWanted) count += 1;
        return isWanted;
      }),
      source,
      target,
    );
  if ('point' in of) await eachPiece(of.point, ({ versions }) => add(versions), signal);
  else add(Iterator.from(source.asOf(of.at)).map(storedAsPoint));
  return count;
}

/** @returns versions-gone, restore-refused; undefined where all is well */
async function whyRefused(
  { master, signal }: Run,
  { prefix, allowMissing, force }: RestoreOptions,
  target: OpenBucket,
  { counts }: Plan,
  wanted: number,
): Promise<GarnerError | undefined> {
  const where = `s3://${target.bucket}/${prefix}`;
  if (counts.gone > 0 && !allowMissing) {
    return cannot('versions-gone', 'restore', where, `${plural(counts.gone, 'version')} gone`, {
      hint: 'bucket restore --dry-run lists them; with --allow-missing the others are restored, and those keys stay as they are',
    });
  }
  if (prefix !== '' && wanted + counts.delete === 0) {
    return cannot(
      'restore-refused',
      'restore',
      where,
      'no key begins so: neither there nor in what is restored',
      {
        hint: 'bucket show lists the keys of a point',
      },
    );
  }
  if (force || counts.replace + counts.delete === 0) return undefined;
  const what = `${plural(counts.replace, 'key')} would be replaced and ${counts.delete} deleted`;
  const doIt = 'look with --dry-run; if it is right: --force';
  if (wanted === 0)
    return cannot('restore-refused', 'restore', where, `nothing is to be restored there; ${what}`, {
      hint: doIt,
    });
  if (target.bucket !== master.bucket)
    return cannot('restore-refused', 'restore', where, `it is not empty: ${what}`, { hint: doIt });
  if (!(await hasVersioning(target, signal))) {
    return cannot('restore-refused', 'restore', where, `${what}, for good: the bucket has no versioning`, {
      hint: `switch versioning on, or ${doIt}`,
    });
  }
  return undefined;
}
