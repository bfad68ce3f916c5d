// notify: runs a command as it is and tells how it ended. It never changes what the command does: the output goes on
// unchanged, and the exit code is the command's whether or not anybody could be told.
import { type CommandContext, type CommandMain, declareProgram, runProgram } from '../lib/command-line.ts';
import { asGarnerError, cannot, causeText, EXIT, formatError, GarnerError } from '../lib/errors.ts';
import { runSignal } from '../lib/interrupt.ts';
import { setLogFormat, writeStderr } from '../lib/log.ts';
import { redact } from '../lib/redact.ts';
import { loadSettings, type SettingTable } from '../lib/settings.ts';
import { judge } from './judge.ts';
import { LogExcerpt, Tail } from './log-excerpt.ts';
import { makeMessage, messageOfRun } from './message.ts';
import { runChild } from './run-child.ts';
import { loadNotifySettings, type NotifySettings } from './settings.ts';
import { deliver, tell } from './tell.ts';
import { readCommand, registerCommandSecrets, showCommand, type WrappedCommand } from './wrapped-command.ts';

/** An agent's JSON lists members and tables; what is longer is not read. */
const KEPT_STDOUT_BYTES = 1 << 20;
const KEPT_STDERR_BYTES = 64 << 10;

const EXAMPLE = `notify -- agent-mediawiki
notify --name "nightly dump" -- /usr/local/bin/dump.sh --all
notify test`;

interface Options {
  name?: string;
  config?: string;
  warningCodes?: boolean;
  quietOk?: boolean;
}

export const main: CommandMain = async (args, context) => {
  try {
    return await dispatch(args, context);
  } catch (caught) {
    const error = asGarnerError(caught);
    // 1, 2 and the like are the command's to say
    throw new GarnerError(error.code, error.message, {
      cause: error,
      exitCode: EXIT.notifierFailed.code,
      ...(error.hint !== undefined && { hint: error.hint }),
    });
  }
};

async function dispatch(args: string[], context: CommandContext): Promise<number> {
  const end = args.indexOf('--');
  const own = end === -1 ? args : args.slice(0, end);
  const command = end === -1 ? undefined : args.slice(end + 1);
  let exitCode = 0;
  const program = declareProgram('notify', 'Runs a command and tells how it ended.', EXAMPLE)
    .usage('[options] -- COMMAND [ARG…]\n       notify test [options]')
    .argument('[action]', 'test: send a sample through every transport')
    .option('--name <name>', 'what messages call the run (default: the name of the command)')
    .option('--config <file>', 'a file with settings, read in front of garner.env')
    .option('--warning-codes', 'exit codes 3 and 4 of the command mean warnings and locked')
    .option('--quiet-ok', 'no message where all is well')
    .action(async (action: string | undefined, options: Options) => {
      const settings = loadNotifySettings({
        known: context.known,
        configFile: options.config,
        options: { NOTIFY_NAME: options.name, NOTIFY_QUIET_OK: options.quietOk ? 'true' : undefined },
      });
      setLogFormat(settings.logFormat);
      if (action === 'test' && command === undefined) {
        exitCode = await sendSample(settings);
      } else if (action === undefined && command !== undefined && command.length > 0) {
        exitCode = await runAndTell(command, settings, options, context.known);
      } else {
        throw cannot('usage', 'run', 'notify', 'no command is given', {
          hint: 'notify [options] -- COMMAND [ARG…], or notify test',
        });
      }
    });
  await runProgram(program, own);
  return exitCode;
}

async function runAndTell(
  command: string[],
  settings: NotifySettings,
  options: Options,
  known: SettingTable,
): Promise<number> {
  const wrapped = readCommand(command);
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
    const verdict = await judge(run, said, wrapped, {
      warningCodes: options.warningCodes === true,
      timeoutMs: settings.timeoutMs,
    });
    if (verdict.result !== 'OK' || !settings.quietOk) {
      const name = settings.name ?? wrapped.name;
      const message = messageOfRun(run, verdict, { name, host: settings.host, command, log: excerpt.text() });
      await tell(message, settings, interrupt.signal);
    }
  } catch (error) {
    // the command has run: its exit code counts, not notify's trouble
    writeStderr(`${formatError('notify', asGarnerError(error))}\n`);
  }
  // a command that traps the SIGTERM of the time limit and says 0 has not done its work
  return run.timedOut && run.exitCode === 0 ? 143 : run.exitCode;
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

/** @returns 0 where every channel took the sample, else 1 */
async function sendSample(settings: NotifySettings): Promise<number> {
  const { channels, host } = settings;
  if (channels.size === 0) {
    throw cannot('configuration', 'send', 'a sample', 'no transport is configured', {
      hint: 'set NOTIFY_EMAIL_TO in garner.env',
    });
  }
  const message = makeMessage({
    result: 'OK',
    name: settings.name ?? 'test',
    host,
    summary: 'this is only a test',
    facts: [
      { label: 'Host', value: host },
      { label: 'Meaning', value: 'Messages of garner arrive. Nothing was backed up.' },
    ],
  });
  using interrupt = runSignal('the test');
  let exitCode = EXIT.ok.code as number;
  for (const [name, channel] of channels) {
    try {
      await deliver(message, channel, interrupt.signal);
      process.stdout.write(`${name}: sent to ${channel.to}\n`);
    } catch (error) {
      exitCode = EXIT.failed.code;
      process.stdout.write(`${name}: NOT sent to ${channel.to}: ${redact(causeText(error))}\n`);
    }
  }
  return exitCode;
}
