// A command that has failed is run again, where that can help.
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, type GarnerError, SIGNAL_NUMBERS } from '../lib/errors.ts';
import { warn } from '../lib/log.ts';
import { formatDuration } from '../lib/text.ts';
import type { Attempt } from './attempt.ts';
import type { Verdict } from './judge.ts';
import type { ChildRun } from './run-child.ts';

export interface Retry {
  /** How many tries there may be after the first. */
  count: number;
  /** How long after a try the next one begins, in milliseconds. */
  delayMs: number;
}

/** The last try, and what came of those before it. */
export interface Tries extends Attempt {
  /** When the first one began. */
  begunAt: Date;
  /** The causes of those that failed before, a line each. */
  failed: string[];
}

/** @returns what to tell of a command that was not run at all */
export function notBegun(result: Verdict['result'], exitCode: number, how: string): Tries {
  const begunAt = new Date();
  return {
    run: { startedAt: begunAt, durationMs: 0, exitCode },
    verdict: { result, summary: how, causes: [how], archives: [] },
    log: { head: '', tail: '', leftOutBytes: 0 },
    begunAt,
    failed: [],
  };
}

/**
 * Runs a command until it doesn't fail, or another try can't help.
 * @param once runs it; `mark` stands at the beginning of its log, where there were tries before
 * @param codesMean its exit code 2 means wrong usage or configuration
 * @param signal ends the waiting between tries
 */
export async function runTries(
  once: (mark: string) => Promise<Attempt>,
  { count, delayMs }: Retry,
  codesMean: boolean,
  signal: AbortSignal,
): Promise<Tries> {
  const begunAt = new Date();
  const failed: string[] = [];
  for (;;) {
    const nth = `try ${failed.length + 1} of ${count + 1}`;
    const last = await once(
      failed.length === 0 ? '' : `--- ${nth}; what those before it wrote is left out ---\n`,
    );
    const { run, verdict } = last;
    if (failed.length === count || signal.aborted || !mayHelp(run, verdict, codesMean)) {
      return { ...last, begunAt, failed };
    }
    warn(`${nth} failed: ${verdict.summary}; the next one in ${formatDuration(delayMs)}`);
    await pause(delayMs, signal);
    if (signal.aborted) {
      const causes = [...verdict.causes, `${interruptionOf(signal).how} while it waited for the next try`];
      return { ...last, verdict: { ...verdict, causes }, begunAt, failed };
    }
    failed.push(verdict.summary);
  }
}

/** What can't be run, is used wrongly or was ended by somebody would only do the same again. */
function mayHelp(run: ChildRun, { result }: Verdict, codesMean: boolean): boolean {
  if (result !== 'FAILED' || run.notStarted !== undefined || run.interruptedBy !== undefined) return false;
  const final: number[] = [EXIT.notExecutable.code, EXIT.notFound.code];
  if (codesMean) final.push(EXIT.usage.code);
  return !final.includes(run.exitCode);
}

/** Waits; the signal ends it. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}

/** @returns what an aborted signal of a run says: `ended by SIGTERM`, and the exit code of that */
export function interruptionOf({ reason }: AbortSignal): { how: string; exitCode: number } {
  const { exitCode } = reason as GarnerError;
  const [name] = Object.entries(SIGNAL_NUMBERS).find(([, number]) => 128 + number === exitCode) ?? [
    'a signal',
  ];
  return { how: `ended by ${name}`, exitCode };
}
