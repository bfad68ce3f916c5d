// Pulls from many hosts at once; one that fails or is slow neither delays nor changes the others.
import { info } from '../lib/log.ts';
import { startProgress } from '../lib/progress.ts';
import { inTurn, startPace } from './bandwidth.ts';
import type { HostConfiguration } from './configuration.ts';
import { explainHeld, isOdd } from './explain.ts';
import { startLedger } from './ledger.ts';
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
  const { parallel, bandwidth } = run.configuration;
  const ofAll = startPace(bandwidth, run.signal);
  const progress = startProgress('pull');
  const ledger = startLedger(run);
  const places = { total: parallel, taken: 0 };
  const reports: HostReport[] = [];
  try {
    await serveAtOnce(hosts, parallel, async (host, index, onSilence) => {
      const onBytes = (count: number): void => progress.add(count);
      const pace = inTurn([startPace(host.bandwidth, run.signal), ofAll]);
      const share = { ledger, places, onBytes, onSilence, pace };
      const report = await pullHost(run, host, options.dryRun, share);
      reports[index] = report;
      const { retention } = run.configuration;
      if (!options.prune || options.dryRun || retention === undefined) return;
      if (clockProblem !== undefined) addWarning(report, `not pruned: ${clockProblem.message}`);
      else await pruneAfterPull(run, host, report);
    });
  } finally {
    progress.done();
  }
  if (!options.dryRun) {
    const at = new Date().toISOString();
    await run.catalog.notePolls(reports.map(({ host, result, error }) => ({ host, at, result, error })));
  }
  return reports;
}

/**
 * Serves hosts, so many at once. One that is silent doesn't count until it goes on, so that those that hang hold up none
 * that is well; how many can be silent at once is bounded by the time limits of their connections.
 * @throws what `serve` throws; then no other is begun
 */
export async function serveAtOnce<T>(
  hosts: readonly T[],
  places: number,
  serve: (host: T, index: number, onSilence: (silent: boolean) => void) => Promise<void>,
): Promise<void> {
  const waiting = [...hosts.entries()];
  const served: Promise<void>[] = [];
  let taken = 0;
  const begin = async (host: T, index: number): Promise<void> => {
    let counts = true;
    taken += 1;
    const count = (now: boolean): void => {
      if (counts === now) return;
      counts = now;
      taken += now ? 1 : -1;
      beginNext();
    };
    try {
      await serve(host, index, (silent) => count(!silent));
    } catch (error) {
      waiting.length = 0;
      throw error;
    } finally {
      count(false);
    }
  };
  const beginNext = (): void => {
    while (taken < places && waiting.length > 0) {
      const [index, host] = waiting.shift() as [number, T];
      const serving = begin(host, index);
      serving.catch(() => {}); // told when its turn comes
      served.push(serving);
    }
  };
  beginNext();
  for (const serving of served) await serving; // it grows meanwhile
}

/** What retention refuses is a warning here: the archives are safe, and there are only too many of them. */
async function pruneAfterPull(run: Run, host: HostConfiguration, report: HostReport): Promise<void> {
  const policy = run.configuration.retention;
  if (policy === undefined) return;
  let pruned: PruneReport;
  try {
    pruned = await pruneHost(run, host, policy, { dryRun: false, allowLarge: false, allowOdd: false });
  } catch (error) {
    run.signal.throwIfAborted();
    addWarning(report, `not pruned: ${error instanceof Error ? error.message : error}`);
    return;
  }
  report.pruned = pruned.remove.map(({ name }) => name);
  for (const held of pruned.held) {
    if (isOdd(held)) addWarning(report, explainHeld(held));
    else info(explainHeld(held));
  }
  for (const { error } of pruned.refused)
    addWarning(report, error.hint === undefined ? error.message : `${error.message} (hint: ${error.hint})`);
}
