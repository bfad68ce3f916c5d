// One run of a wrapped command: it is run in the manner that is asked for, judged, kept in its history and told.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { appendRun, HISTORY_DIRECTORY, type History, historyFile, readHistory } from '../archive/history.ts';
import { asGarnerError, causeText, EXIT, formatError } from '../lib/errors.ts';
import { runSignal } from '../lib/interrupt.ts';
import { info, warn, writeStderr } from '../lib/log.ts';
import type { KnownSettings } from '../lib/settings.ts';
import { formatDuration } from '../lib/text.ts';
import { openWorkDir } from '../lib/work-dir.ts';
import { attempt } from './attempt.ts';
import { seriesOf } from './chart.ts';
import { contentsFile } from './contents.ts';
import { decide } from './decide.ts';
import { expectRun } from './expected.ts';
import { messageOfRun } from './message.ts';
import { setOwnPriority } from './priority.ts';
import { recordOf } from './record.ts';
import { lockRun, type RunLock } from './run-lock.ts';
import type { Manner } from './run-options.ts';
import { jitterOf, nextDue } from './schedule.ts';
import type { NotifySettings } from './settings.ts';
import { keepUntilTold, tell, tellStart } from './tell.ts';
import { interruptionOf, notBegun, pause, runTries, type Tries } from './tries.ts';
import { judgeVariation } from './variation.ts';
import { jobSeries, type WrappedCommand } from './wrapped-command.ts';

export interface RunOptions {
  /** Exit codes 3 and 4 mean warnings and locked, whatever the command is. */
  warningCodes: boolean;
  manner: Manner;
  known: KnownSettings;
}

/**
 * Runs a command and tells how it ended.
 * @returns the command's exit code, whatever became of the telling; 125 where it was to be locked and could not be
 */
export async function runAndTell(
  command: readonly string[],
  wrapped: WrappedCommand,
  settings: NotifySettings,
  options: RunOptions,
): Promise<number> {
  const { host, runDir } = settings;
  const { schedule, lock: isLockAsked, jitterMs } = options.manner;
  const name = settings.name ?? wrapped.name;
  const series = settings.name === undefined || wrapped.makesArchive ? wrapped.series : jobSeries(name);
  const waitMs = jitterOf(host, name, jitterMs);
  const lock: RunLock & { failure?: string } = await lockRun(runDir, series, isLockAsked, name).catch(
    notLocked,
  );
  const runId = randomUUID();
  const begins = () => tellStart({ id: runId, name, host }, settings);
  const ended =
    lock.failure !== undefined
      ? notBegun('FAILED', EXIT.notifierFailed.code, lock.failure)
      : lock.heldBy !== undefined
        ? notBegun('LOCKED', EXIT.locked.code, lock.heldBy)
        : await runInManner(command, wrapped, settings, options, { waitMs, begins });
  if (lock.heldBy !== undefined) writeStderr(`notify: ${lock.heldBy}\n`);
  const { run, failed, log } = ended;
  // from here on a signal only ends the telling: what is not told is queued
  using interrupt = runSignal('telling');
  try {
    const earlier = earlierRuns(settings, series);
    const { verdict, variations } = settings.variation
      ? await judgeVariation(ended.verdict, recordOf(run, ended.verdict, name), earlier, {
          file: contentsFile(settings.stateDir, series),
          signal: interrupt.signal,
        })
      : { verdict: ended.verdict };
    const record = { ...recordOf(run, verdict, name), ...(variations && { variations }) };
    if (schedule !== undefined) {
      record.schedule = schedule.text;
      const finishedAt = new Date(record.finishedAt);
      record.nextDueAt = nextDue(schedule, { startedAt: ended.begunAt, finishedAt }, waitMs).toISOString();
      leaveNote(settings, series, name);
    }
    const decision = decide(record, earlier, settings.remindMs);
    const message = messageOfRun(run, verdict, {
      ...{ name, host, command, decision, failed, log, runId },
      series: seriesOf([...earlier, record]),
    });
    const occasion = decision.tell ? 'news' : 'repetition';
    // the history says that it is told: from then on it must not get lost
    await keepUntilTold(message, settings, occasion);
    await keepRun(settings, series, { ...record, told: decision.tell }, interrupt.signal);
    lock.release();
    await tell(message, settings, interrupt.signal, occasion);
  } catch (error) {
    // the command has run: its exit code counts, not notify's trouble
    writeStderr(`${formatError('notify', asGarnerError(error))}\n`);
  }
  // a command that traps the SIGTERM of the time limit and says 0 has not done its work
  return run.timedOut && run.exitCode === 0 ? 143 : run.exitCode;
}

/** What keeps a backup from being run is told as its failure is. */
function notLocked(error: unknown): RunLock & { failure: string } {
  const caught = asGarnerError(error);
  writeStderr(`${formatError('notify', caught)}\n`);
  return { failure: caught.message, release() {} };
}

/**
 * Waits, and runs the command as often as it may take.
 * @param begins is called when it is to be run, and is done when this is
 */
async function runInManner(
  command: readonly string[],
  wrapped: WrappedCommand,
  { timeoutMs }: NotifySettings,
  { warningCodes, known, manner }: RunOptions,
  { waitMs, begins }: { waitMs: number; begins: () => Promise<void> },
): Promise<Tries> {
  setOwnPriority(manner.priority);
  using waiting = runSignal('waiting');
  if (waitMs > 0) {
    if (manner.saysWaits) info(`waiting ${formatDuration(waitMs)} before the run`);
    await pause(waitMs, waiting.signal);
    if (waiting.signal.aborted) {
      const { how, exitCode } = interruptionOf(waiting.signal);
      return notBegun('FAILED', exitCode, `${how} before it was run`);
    }
  }
  const env: Record<string, string> = manner.timeout === undefined ? {} : { GARNER_TIMEOUT: manner.timeout };
  const once = (mark: string) => attempt(command, wrapped, { timeoutMs, warningCodes, env, known }, mark);
  const begun = begins();
  const tries = await runTries(once, manner.retry, wrapped.isGarner || warningCodes, waiting.signal);
  await begun;
  return tries;
}

function historyPath({ workDir, host }: NotifySettings, series: string): string {
  return join(workDir, HISTORY_DIRECTORY, historyFile(series, host));
}

/** From now on it is missed where it doesn't run. */
function leaveNote(settings: NotifySettings, series: string, name: string): void {
  try {
    expectRun(settings.stateDir, { series, name, history: historyPath(settings, series) });
  } catch (error) {
    warn(`a history that is gone will not be missed: ${causeText(error)}`);
  }
}

function earlierRuns(settings: NotifySettings, series: string): History['runs'] {
  try {
    const { runs, damagedCount } = readHistory(historyPath(settings, series));
    if (damagedCount > 0) warn(`lines of the history of ${series} are damaged and left out: ${damagedCount}`);
    return runs;
  } catch (error) {
    warn(`what was before is not known: ${causeText(error)}`);
    return [];
  }
}

/** A history that can't be written is no reason to be silent about the run. */
async function keepRun(
  { workDir, group, host }: NotifySettings,
  series: string,
  run: History['runs'][number],
  signal: AbortSignal,
): Promise<void> {
  try {
    appendRun(await openWorkDir(workDir, group, signal), series, host, run);
  } catch (error) {
    warn(`this run is not in the history: ${causeText(error)}`);
  }
}
