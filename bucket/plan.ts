// What has to be done to a bucket so that it holds exactly certain versions: nothing is read or written here but the indexes and
// the list of what to do, which lies on the disk as they do. The same plan serves a restore, its dry run and a replication.
import { DatabaseSync } from 'node:sqlite';
import type { PointVersion } from './point-text.ts';
import type { StoredVersion, VersionIndex } from './version-index.ts';

export interface Copy {
  action: 'copy';
  key: string;
  versionId: string;
  sizeBytes: number;
  etag: string;
}

export type Action =
  | Copy
  | { action: 'delete'; key: string }
  | { action: 'gone'; key: string; versionId: string };

export interface PlanCounts {
  equal: number;
  copy: number;
  copyBytes: number;
  /** Of the copies, how many take the place of something. */
  replace: number;
  delete: number;
  gone: number;
}

/** What to do, in order: what is gone, copies, deletions. */
export interface Plan extends Disposable {
  readonly counts: PlanCounts;
  add(action: Action): void;
  actions(kind?: Action['action']): Iterable<Action>;
}

/**
 * Judges one key.
 * @param wanted as a point has it
 * @param found the version of that key and id in the bucket that is copied from
 * @param current what the key of the bucket that is copied to has now
 */
export function judge(
  wanted: Pick<PointVersion, 'versionId' | 'sizeBytes' | 'modified'>,
  found: Omit<StoredVersion, 'row'> | undefined,
  current: Omit<StoredVersion, 'row'> | undefined,
): 'equal' | 'copy' | 'gone' {
  if (found === undefined || found.sizeBytes !== wanted.sizeBytes) return 'gone';
  // the one id that is given again: what is there may have been written since
  if (wanted.versionId === 'null' && secondOf(found.modified) !== secondOf(new Date(wanted.modified)))
    return 'gone';
  if (current === undefined) return 'copy';
  return current.etag === found.etag && found.etag !== '' && current.sizeBytes === found.sizeBytes
    ? 'equal'
    : 'copy';
}

const secondOf = (time: Date): number => Math.floor(time.getTime() / 1000);

/** Plans one piece of what is wanted; the keys are marked in the target. */
export function planVersions(
  plan: Plan,
  wanted: Iterable<PointVersion>,
  source: VersionIndex,
  target: VersionIndex,
): void {
  for (const version of wanted) {
    const { key, versionId, sizeBytes } = version;
    const found = source.find(key, versionId);
    const current = target.current(key);
    target.mark(key);
    const verdict = judge(version, found, current);
    if (verdict === 'gone') plan.add({ action: 'gone', key, versionId });
    else if (verdict === 'equal') plan.counts.equal += 1;
    else {
      plan.add({ action: 'copy', key, versionId, sizeBytes, etag: found?.etag ?? '' });
      if (current !== undefined) plan.counts.replace += 1;
    }
  }
}

/** Plans the deletion of what the target has and nobody wanted. */
export function planDeletions(plan: Plan, target: VersionIndex): void {
  for (const { key } of target.unmarked()) plan.add({ action: 'delete', key });
}

const ORDER: Record<Action['action'], number> = { gone: 0, copy: 1, delete: 2 };

export function openPlan(): Plan {
  const db = new DatabaseSync(''); // no name: temporary
  db.exec(`PRAGMA journal_mode = OFF; PRAGMA cache_size = -8000;
    CREATE TABLE plan (kind INTEGER, row INTEGER, action TEXT, PRIMARY KEY (kind, row)) WITHOUT ROWID; BEGIN`);
  const insert = db.prepare('INSERT INTO plan VALUES (?, ?, ?)');
  const counts: PlanCounts = { equal: 0, copy: 0, copyBytes: 0, replace: 0, delete: 0, gone: 0 };
  let row = 0;
  return {
    counts,
    add(action) {
      insert.run(ORDER[action.action], row, JSON.stringify(action));
      row += 1;
      counts[action.action] += 1;
      if (action.action === 'copy') counts.copyBytes += action.sizeBytes;
    },
    *actions(kind) {
      const select =
        kind === undefined
          ? db.prepare('SELECT action FROM plan ORDER BY kind, row').iterate()
          : db.prepare('SELECT action FROM plan WHERE kind = ? ORDER BY row').iterate(ORDER[kind]);
      for (const { action } of select as Iterable<unknown> as Iterable<{ action: string }>)
        yield JSON.parse(action);
    },
    [Symbol.dispose]: () => db.close(),
  };
}
