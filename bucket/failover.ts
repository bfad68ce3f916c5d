// Switches the roles of a set's master and replica, and back. Only who is what changes: nothing is copied, and the service's own
// replication is the operator's to turn around. Refused where the bucket that becomes the master lacks something that the other has.
import { asGarnerError, cannot } from '../lib/errors.ts';
import { plural } from '../lib/text.ts';
import { openPlan, type PlanCounts, planDeletions, planVersions } from './plan.ts';
import { type Roles, switchRoles } from './roles.ts';
import { indexBucket, type Run } from './run.ts';
import { storedAsPoint } from './version-index.ts';

export interface FailoverOptions {
  /** To the roles as they are configured. */
  back: boolean;
  /** Also where the two differ, or the master can't be asked. */
  force: boolean;
  dryRun: boolean;
}

/**
 * @returns the roles that hold now; on a dry run, still
 * @throws failover-refused; nothing was changed then
 */
export async function failover(run: Run, { back, force, dryRun }: FailoverOptions): Promise<Roles> {
  const { set, roles } = run;
  const refuse = (cause: string, hint: string): Error =>
    cannot('failover-refused', 'switch the buckets of', set.name, cause, { hint });
  const isSwitched = roles.switchedAt !== undefined;
  if (isSwitched && !back)
    throw refuse(`they are switched since ${roles.switchedAt}`, 'bucket failover --back switches them back');
  if (!isSwitched && back) throw refuse('they are as configured', 'bucket failover switches them');
  if (!force) {
    const { copy, delete: surplus } = await difference(run).catch((error) => {
      run.signal.throwIfAborted();
      throw refuse(
        `they can't be compared: ${asGarnerError(error).message}`,
        'where the master is lost: --force',
      );
    });
    if (copy + surplus > 0) {
      throw refuse(
        `s3://${roles.replica.bucket} is not as s3://${roles.master.bucket}: ${plural(copy, 'key')} missing or another, ${surplus} too many`,
        'let the replication finish (with replicate: true, bucket snapshot copies), or --force',
      );
    }
  }
  return dryRun ? roles : switchRoles(set, run.now);
}

/** @returns what would have to be done to the replica */
async function difference({ master, replica, signal }: Run): Promise<PlanCounts> {
  using source = await indexBucket(master, '', signal);
  using target = await indexBucket(replica, '', signal);
  using plan = openPlan();
  planVersions(plan, source.allCurrent().map(storedAsPoint), source, target);
  planDeletions(plan, target);
  return plan.counts;
}
