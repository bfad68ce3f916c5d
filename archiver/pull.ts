// Pulls from many hosts at once; one that fails or is slow neither delays nor changes the others.
import { startProgress } from '../lib/progress.ts';
import type { HostConfiguration } from './configuration.ts';
import { type PruneReport, pruneHost } from './prune.ts';
import { addWarning, type HostReport, pullHost } from './pull-host.ts';
import { checkClock, type Run } from './run.ts';

export interface PullOptions {
  /** Whether retention is applied to each host afterwards. */
  prune: boolean;
  /** Looks at what the hosts have, and fetches and deletes nothing. */
  dryRun: boolean;
}

/** @returns a report per host, in the order of the configuration */
export async function pullHosts(
  run: Run,
  hosts: HostConfiguration[],
  options: PullOptions,
): Promise<HostReport[]> {
  // before anything is received at what may be a wrong time
  const clockProblem = await checkClock(run).then(
    () => undefined,
    (error) => error as Error,
  );
  const progress = startProgress('pull');
  const reports: HostReport[] = [];
  const waiting = [...hosts.entries()];
  const serve = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, host] = next;
      const report = await pullHost(run, host, options.dryRun, (count) => progress.add(count));
      reports[index] = report;
      const { retention } = run.configuration;
      if (!options.prune || options.dryRun || retention === undefined) continue;
      if (clockProblem !== undefined) addWarning(report, `not pruned: ${clockProblem.message}`);
      else await pruneAfterPull(run, host, report);
    }
  };
  try {
    await Promise.all(Array.from({ length: run.configuration.parallel }, serve));
  } finally {
    progress.done();
  }
  return reports;
}

/** What retention refuses is a warning here: the archives are safe, and there are only too many of them. */
async function pruneAfterPull(run: Run, host: HostConfiguration, report: HostReport): Promise<void> {
  const policy = run.configuration.retention;
  if (policy === undefined) return;
  let pruned: PruneReport;
  try {
    pruned = await pruneHost(run, host, policy, { dryRun: false, allowLarge: false });
  } catch (error) {
    run.signal.throwIfAborted();
    addWarning(report, `not pruned: ${error instanceof Error ? error.message : error}`);
    return;
  }
  report.pruned = pruned.remove.map(({ name }) => name);
  for (const { error } of pruned.refused)
    addWarning(report, error.hint === undefined ? error.message : `${error.message} (hint: ${error.hint})`);
}
