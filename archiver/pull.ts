// Pulls from many hosts at once; one that fails or is slow neither delays nor changes the others.
import { cannot } from '../lib/errors.ts';
import { info } from '../lib/log.ts';
import { startProgress } from '../lib/progress.ts';
import { inTurn, startPace } from './bandwidth.ts';
import type { HostConfiguration } from './configuration.ts';
import { explainHeld, isOdd } from './explain.ts';
import { startHandOver } from './hand-over.ts';
import { startLedger } from './ledger.ts';
import { type PruneReport, pruneHost } from './prune.ts';
import { addWarning, emptyReport, type HostReport, pullHost } from './pull-host.ts';
import { checkClock, isOverdue, type Run } from './run.ts';

export interface PullOptions {
  /** Whether retention is applied to each host afterwards. */
  prune: boolean;
  /** Looks at what the hosts have, and fetches and deletes nothing. */
  dryRun: boolean;
  patience?: Partial<typeof PATIENCE>;
}

const PATIENCE = {
  /** After that long other runs are let at the hosts that are done with. */
  handOverMs: 5 * 60_000,
  /** A host that sends less than {@link SLOW_BYTES} of its archives in this long takes no other's place. */
  slowMs: 60_000,
};
const SLOW_BYTES = 4_000_000;

/**
 * Pulls from hosts. One that an earlier pull is still at is left out, with a warning; what the time limit of the run ends is
 * a failure of its host.
 * @returns a report per host, in the order of the configuration
 * @throws locked where an earlier pull is still at all of them
 */
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
  const { handOverMs, slowMs } = { ...PATIENCE, ...options.patience };
  const free = leaveOutBusy(run, hosts, reports);
  const handOver = startHandOver(run, free, handOverMs);
  try {
    await serveAtOnce(free, parallel, async (host, _index, onSilence) => {
      using watch = watchRate(slowMs, onSilence);
      const onBytes = (count: number): void => {
        progress.add(count);
        watch.add(count);
      };
      const pace = inTurn([startPace(host.bandwidth, run.signal), ofAll]);
      const share = { ledger, places, onBytes, onSilence: watch.onSilence, pace };
      const report = await pullHost(run, host, options.dryRun, share);
      const { retention } = run.configuration;
      if (options.prune && !options.dryRun && retention !== undefined && !run.signal.aborted) {
        if (clockProblem !== undefined) addWarning(report, `not pruned: ${clockProblem.message}`);
        else await pruneAfterPull(run, host, report);
      }
      reports[hosts.indexOf(host)] = report;
      if (!options.dryRun) await handOver.done(report);
    });
  } finally {
    handOver.stop();
    progress.done();
  }
  await handOver.end();
  return reports;
}

const STILL_AT_IT = 'an earlier pull is still at it';

/** @returns the hosts that no earlier pull is at; the others get a report, unless there is nobody else */
function leaveOutBusy(
  { lock }: Run,
  hosts: readonly HostConfiguration[],
  reports: HostReport[],
): HostConfiguration[] {
  const busy = hosts.filter(({ name }) => lock?.isBusy(name));
  if (busy.length > 0 && busy.length === hosts.length)
    throw cannot('locked', 'pull from', busy.map(({ name }) => name).join(', '), STILL_AT_IT);
  for (const host of busy) {
    const report = emptyReport(host.name);
    addWarning(report, `left out: ${STILL_AT_IT}`);
    reports[hosts.indexOf(host)] = report;
  }
  return hosts.filter((host) => !busy.includes(host));
}

/** Takes a host that drips for a silent one. */
function watchRate(everyMs: number, onSilence: (silent: boolean) => void) {
  let receivedBytes = 0;
  let isSlow = false;
  let isSilent = false;
  const timer = setInterval(() => {
    isSlow = receivedBytes < SLOW_BYTES;
    receivedBytes = 0;
    onSilence(isSlow || isSilent);
  }, everyMs);
  return {
    add(count: number): void {
      receivedBytes += count;
    },
    onSilence(silent: boolean): void {
      isSilent = silent;
      onSilence(isSlow || isSilent);
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
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
    if (!isOverdue(run.signal)) run.signal.throwIfAborted();
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
