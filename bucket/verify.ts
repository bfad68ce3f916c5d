// Reads every restoration point, and looks whether each version that it names is in the bucket, with its size. The content of
// versions is not read: it is the service's to keep.
import { existsSync } from 'node:fs';
import { asGarnerError } from '../lib/errors.ts';
import { eachPiece, type PointFile, pointFiles } from './points.ts';
import { bucketOf, indexBucket, type Run } from './run.ts';
import type { VersionIndex } from './version-index.ts';

export interface VerifiedPoint {
  set: string;
  point: string;
  keys: number;
  sizeBytes: number;
  /** Whether it has a digest of its own, which was right. */
  hasDigest: boolean;
  missing: number;
  /** The first of what is missing. */
  firstMissing: { key: string; versionId: string }[];
  /** Why it can't be read; undefined: it can. */
  problem: string | undefined;
}

const MAX_NAMED = 10;

/** @returns every point of the set but those being removed */
export async function verifyPoints(run: Run): Promise<VerifiedPoint[]> {
  const indexes = new Map<string, VersionIndex>();
  const verified: VerifiedPoint[] = [];
  const files = pointFiles(run.set.points).filter((file) => !file.removing);
  try {
    for (const file of files) {
      const result: VerifiedPoint = {
        ...{ set: run.set.name, point: file.name, keys: 0, sizeBytes: 0, hasDigest: false },
        ...{ missing: 0, firstMissing: [], problem: undefined },
      };
      try {
        const { count, sizeBytes, hasDigest } = await lookAt(run, file, indexes, result);
        Object.assign(result, { keys: count, sizeBytes, hasDigest });
        if (result.missing > 0 && !existsSync(file.path)) continue; // removed meanwhile, with its versions
      } catch (caught) {
        run.signal.throwIfAborted();
        const error = asGarnerError(caught);
        if (error.code !== 'point-damaged' && error.code !== 'io') throw error;
        if (!existsSync(file.path)) continue; // a run beside this one has removed it
        result.problem = error.message;
      }
      verified.push(result);
    }
    return verified;
  } finally {
    for (const index of indexes.values()) index[Symbol.dispose]();
  }
}

async function lookAt(
  run: Run,
  file: PointFile,
  indexes: Map<string, VersionIndex>,
  result: VerifiedPoint,
): ReturnType<typeof eachPiece> {
  return await eachPiece(
    file,
    async ({ versions, bucket: name }) => {
      const bucket = bucketOf(run, name);
      const index = indexes.get(bucket.bucket) ?? (await indexBucket(bucket, '', run.signal));
      indexes.set(bucket.bucket, index);
      for (const { key, versionId, sizeBytes } of versions) {
        if (index.find(key, versionId)?.sizeBytes === sizeBytes) continue;
        result.missing += 1;
        if (result.firstMissing.length < MAX_NAMED) result.firstMissing.push({ key, versionId });
      }
    },
    run.signal,
  );
}
