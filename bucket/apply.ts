// Does what a plan says: copies, then deletions. One key that fails does not keep the others; a service that is gone, or keys that
// it no longer takes, end the run at once.
import type { GarnerError } from '../lib/errors.ts';
import { asGarnerError } from '../lib/errors.ts';
import { startProgress } from '../lib/progress.ts';
import { formatSize } from '../lib/text.ts';
import { copyVersion } from './copy.ts';
import { deleteAll } from './delete.ts';
import { inParallel } from './in-parallel.ts';
import type { OpenBucket } from './listing.ts';
import type { Copy, Plan } from './plan.ts';

/** More are only counted. */
const MAX_NAMED = 1000;
/** What every other key would meet too. */
const FATAL = ['store-connect', 'configuration', 'no-space'];

export interface KeyFailures {
  count: number;
  first: { key: string; message: string }[];
}

export function noFailures(): KeyFailures {
  return { count: 0, first: [] };
}

export function addFailure(failures: KeyFailures, key: string, error: GarnerError): void {
  failures.count += 1;
  if (failures.first.length < MAX_NAMED) failures.first.push({ key, message: error.message });
}

/**
 * @param parallel how many copies at once
 * @returns the keys that failed
 * @throws what would fail for each other key too; interrupted
 */
export async function applyPlan(
  plan: Plan,
  source: OpenBucket,
  target: OpenBucket,
  parallel: number,
  signal: AbortSignal,
): Promise<KeyFailures> {
  const failures = noFailures();
  const { copyBytes } = plan.counts;
  const progress = startProgress(`copy to ${target.bucket}`, copyBytes, formatSize);
  try {
    await inParallel(plan.actions('copy') as Iterable<Copy>, parallel, async (copy) => {
      signal.throwIfAborted();
      try {
        await copyVersion(source, target, copy, signal);
      } catch (caught) {
        const error = asGarnerError(caught);
        signal.throwIfAborted();
        if (FATAL.includes(error.code)) throw error;
        addFailure(failures, copy.key, error);
      }
      progress.add(copy.sizeBytes);
    });
  } finally {
    progress.done();
  }
  const onEnd = ({ key }: { key: string }, error?: GarnerError): void => {
    if (error !== undefined) addFailure(failures, key, error);
  };
  await deleteAll(target, plan.actions('delete'), onEnd, signal);
  return failures;
}
