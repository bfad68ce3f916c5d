// What changed from one restoration point to another. Versions of different buckets (points from before and after a failover)
// have ids that say nothing of each other: there a key has changed where its size has.
import type { PointVersion } from './point-text.ts';
import { eachPiece, type PointFile, readPoint } from './points.ts';
import { openVersionIndex, storedAsPoint } from './version-index.ts';

export interface Change {
  change: 'added' | 'removed' | 'changed';
  key: string;
  before?: Omit<PointVersion, 'key'>;
  after?: Omit<PointVersion, 'key'>;
}

/** @yields what is new or another, in the order of the second point; then what is gone, by key */
export async function* diffPoints(
  first: PointFile,
  second: PointFile,
  signal: AbortSignal,
): AsyncGenerator<Change> {
  using index = openVersionIndex();
  const add = (versions: PointVersion[]): void =>
    index.add(
      versions.map(({ modified, ...version }) => ({
        ...version,
        modified: new Date(modified),
        ...{ isLatest: true, isMarker: false, etag: '' },
      })),
    );
  const { bucket: firstBucket } = await eachPiece(first, ({ versions }) => add(versions), signal);
  for await (const { versions, bucket } of readPoint(second, signal)) {
    for (const { key, ...after } of versions) {
      const found = index.current(key);
      index.mark(key);
      if (found === undefined) {
        yield { change: 'added', key, after };
        continue;
      }
      const isSame =
        bucket === firstBucket ? found.versionId === after.versionId : found.sizeBytes === after.sizeBytes;
      if (!isSame) yield { change: 'changed', key, before: withoutKey(storedAsPoint(found)), after };
    }
  }
  for (const found of index.unmarked())
    yield { change: 'removed', key: found.key, before: withoutKey(storedAsPoint(found)) };
}

const withoutKey = ({ key: _, ...version }: PointVersion): Omit<PointVersion, 'key'> => version;
