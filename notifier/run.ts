// One run of a wrapped command: it is run, judged, kept in its history and told.
import { appendRun, HISTORY_DIRECTORY, type History, historyFile, readHistory } from '../archive/history.ts';
import { asGarnerError, causeText, formatError } from '../lib/errors.ts';
import { runSignal } from '../lib/interrupt.ts';
import { warn, writeStderr } from '../lib/log.ts';
import { loadSettings, type SettingTable } from '../lib/settings.ts';
import { openWorkDir } from '../lib/work-dir.ts';
import { decide } from './decide.ts';
import { judge } from './judge.ts';
import { LogExcerpt, Tail } from './log-excerpt.ts';
import { messageOfRun } from './message.ts';
import { recordOf } from './record.ts';
import { runChild } from './run-child.ts';
import type { NotifySettings } from './settings.ts';
import { tell } from './tell.ts';
import { jobSeries, registerCommandSecrets, showCommand, type WrappedCommand } from './wrapped-command.ts';

/** An agent's JSON lists members and tables; what is longer is not read. */
const KEPT_STDOUT_BYTES = 1 << 20;
const KEPT_STDERR_BYTES = 64 << 10;

export interface RunOptions {
  /** Exit codes 3 and 4 mean warnings and locked, whatever the command is. */
  warningCodes: boolean;
  known: SettingTable;
}

/**
 * Runs a command and tells how it ended.
 * @returns the command's exit code, whatever became of the telling
 */
export async function runAndTell(
  command: readonly string[],
  wrapped: WrappedCommand,
  settings: NotifySettings,
  { warningCodes, known }: RunOptions,
): Promise<number> {
  const excerpt = new LogExcerpt();
  const stdout = new Tail(KEPT_STDOUT_BYTES);
  const stderr = new Tail(KEPT_STDERR_BYTES);
  const run = await runChild(command, {
    timeoutMs: settings.timeoutMs,
    output: {
      stdout(chunk) {
        excerpt.write(chunk);
        if (wrapped.makesArchive) stdout.write(chunk);
      },
      stderr(chunk) {
        excerpt.write(chunk);
        stderr.write(chunk);
      },
    },
  });
  if (run.notStarted !== undefined) {
    writeStderr(`notify: cannot run "${showCommand(command.slice(0, 1))}": ${run.notStarted}\n`);
  }
  // from here on a signal only ends the telling: what is not told is queued
  using interrupt = runSignal('telling');
  try {
    registerCommandSecrets(command);
    registerSecretSettings(wrapped, known);
    const said = { stdout: stdout.bytes().toString(), stderr: stderr.bytes().toString() };
    const verdict = await judge(run, said, wrapped, { warningCodes, timeoutMs: settings.timeoutMs });
    const name = settings.name ?? wrapped.name;
    const series = settings.name === undefined || wrapped.makesArchive ? wrapped.series : jobSeries(name);
    const record = recordOf(run, verdict, name);
    const decision = decide(record, earlierRuns(settings, series), settings.remindMs);
    await keepRun(settings, series, { ...record, told: decision.tell }, interrupt.signal);
    const { host } = settings;
    const isQuiet = decision.level === 'ok' && settings.quietOk;
    if (decision.tell && !isQuiet) {
      const message = messageOfRun(run, verdict, { name, host, command, decision, log: excerpt.text() });
      await tell(message, settings, interrupt.signal);
    }
  } catch (error) {
    // the command has run: its exit code counts, not notify's trouble
    writeStderr(`${formatError('notify', asGarnerError(error))}\n`);
  }
  // a command that traps the SIGTERM of the time limit and says 0 has not done its work
  return run.timedOut && run.exitCode === 0 ? 143 : run.exitCode;
}

function earlierRuns({ workDir, host }: NotifySettings, series: string): History['runs'] {
  try {
    const { runs, damagedCount } = readHistory(
      `${workDir}/${HISTORY_DIRECTORY}/${historyFile(series, host)}`,
    );
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

/** Secrets of the command's own configuration: it may print them. One that can't be read is the command's to report. */
function registerSecretSettings({ settingsOf, configFile }: WrappedCommand, known: SettingTable): void {
  for (const [name, setting] of Object.entries(known)) {
    if (setting.secret !== true) continue;
    try {
      loadSettings({ [name]: setting }, { known, configFile, ...(settingsOf && { fileOf: settingsOf }) });
    } catch {
      // not notify's business
    }
  }
}
