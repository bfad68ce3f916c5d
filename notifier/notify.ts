// notify: runs a command as it is and tells how it ended. It never changes what the command does: the output goes on
// unchanged, and the exit code is the command's whether or not anybody could be told.
import { type Command, Option } from 'commander';
import { type CommandContext, type CommandMain, declareProgram, runProgram } from '../lib/command-line.ts';
import { asGarnerError, cannot, causeText, EXIT, GarnerError } from '../lib/errors.ts';
import { runSignal } from '../lib/interrupt.ts';
import { setLogFormat, warn } from '../lib/log.ts';
import { redact } from '../lib/redact.ts';
import type { SettingSources } from '../lib/settings.ts';
import { DAY_MS, tellDigest } from './digest.ts';
import { tellOverdue } from './overdue.ts';
import { runAndTell } from './run.ts';
import {
  addRunOptions,
  RUN_OPTIONS,
  type RunOptionTexts,
  readDuration,
  readRunOptions,
} from './run-options.ts';
import { sendSample } from './sample.ts';
import { loadNotifySettings, type NotifySettings } from './settings.ts';
import { displayOf, showHistory } from './show-history.ts';
import { SYSLOG_SETTINGS, writeSystemLog } from './syslog.ts';
import { readCommand, type WrappedCommand } from './wrapped-command.ts';

const EXAMPLE = `notify -- agent-mediawiki
notify --name "nightly dump" -- /usr/local/bin/dump.sh --all
notify --schedule "15 2 * * *" --retry 2:10m -- agent-jira
notify test
notify overdue
notify digest --weekly
notify history mediawiki --plot`;

/** What each takes: a run, and the actions in its place. */
const OPTIONS_OF: Record<string, readonly string[]> = {
  run: [...['name', 'config', 'warningCodes', 'quietOk'], ...RUN_OPTIONS],
  test: ['name', 'config'],
  overdue: ['config', 'grace', 'json'],
  digest: ['config', 'daily', 'weekly'],
  history: ['config', 'last', 'plot', 'json'],
};

const ACTIONS = Object.keys(OPTIONS_OF).filter((name) => name !== 'run');

const LOG_LIMIT_MS = 5000;

const USAGE =
  'notify [options] -- COMMAND [ARG…], or notify test, notify overdue, notify digest, notify history';

interface Options extends RunOptionTexts {
  name?: string;
  config?: string;
  warningCodes?: boolean;
  quietOk?: boolean;
  grace: string;
  json?: boolean;
  weekly?: boolean;
  last: string;
  plot?: boolean;
}

export const main: CommandMain = async (args, context) => {
  try {
    return await dispatch(args, context);
  } catch (caught) {
    const error = asGarnerError(caught);
    await logFailure(error.message, args[0]);
    // 1, 2 and the like are the command's to say
    throw new GarnerError(error.code, error.message, {
      cause: error,
      exitCode: EXIT.notifierFailed.code,
      ...(error.hint !== undefined && { hint: error.hint }),
    });
  }
};

/** Cron's mail may be off, and who is to be told may not be known: the system log is what is left. */
async function logFailure(message: string, action: string | undefined): Promise<void> {
  if (process.stderr.isTTY || action === 'test' || action === 'history') return;
  const socket = process.env.NOTIFY_SYSLOG_SOCKET || SYSLOG_SETTINGS.NOTIFY_SYSLOG_SOCKET.default;
  const limit = AbortSignal.timeout(LOG_LIMIT_MS);
  // stderr has it too
  await writeSystemLog(redact(`notify: ${message}`), { priority: 'daemon.err', socket }, limit).catch(
    () => {},
  );
}

async function dispatch(args: string[], context: CommandContext): Promise<number> {
  const end = args.indexOf('--');
  const own = end === -1 ? args : args.slice(0, end);
  const command = end === -1 ? undefined : args.slice(end + 1);
  const { known } = context;
  let exitCode = 0;
  const program = declareProgram('notify', 'Runs a command and tells how it ended.', EXAMPLE)
    .usage('[options] -- COMMAND [ARG…]\n       notify test|overdue|digest|history [NAME] [options]')
    .argument(
      '[action]',
      'test: send a sample through every transport; overdue: tell what should have run; digest: tell what ran; history: show it',
    )
    .argument('[name]', 'with history: which one to show, run by run')
    .option('--name <name>', 'what messages call the run (default: the name of the command)')
    .option('--config <file>', 'a file with settings, read in front of garner.env')
    .option('--warning-codes', 'exit codes 3 and 4 of the command mean warnings and locked')
    .option('--quiet-ok', 'no message where all is well')
    .addOption(new Option('--daily', 'with digest: of the last day (default)').conflicts('weekly'))
    .option('--weekly', 'with digest: of the last week')
    .option('--grace <time>', 'with overdue: how late a run may be', '1h')
    .option('--last <n>', 'with history: of how many runs', '30')
    .option('--plot', 'with history: charts of size and duration')
    .option('--json', 'with overdue and history: one JSON object');
  addRunOptions(program).action(
    async (action: string | undefined, subject: string | undefined, options: Options) => {
      if (action !== undefined && (command !== undefined || !ACTIONS.includes(action))) {
        throw cannot('usage', 'run', action, 'all of a command stands after --', { hint: USAGE });
      }
      refuseWhatDoesNotFit(program, action ?? 'run');
      const sources: SettingSources = {
        known,
        configFile: options.config,
        options: {
          NOTIFY_NAME: options.name,
          NOTIFY_QUIET_OK: options.quietOk ? 'true' : undefined,
          GARNER_TIMEOUT: options.timeout,
        },
      };
      if (subject !== undefined && action !== 'history') {
        throw cannot('usage', 'run', 'notify', `"${subject}" is one word too many`);
      }
      if (action === 'test') {
        exitCode = await sendSample(load(sources));
      } else if (action === 'overdue') {
        const graceMs = readDuration('--grace', options.grace);
        using interrupt = runSignal('looking for what is overdue');
        exitCode = await tellOverdue(
          load(sources),
          { graceMs, json: options.json === true },
          interrupt.signal,
        );
      } else if (action === 'digest') {
        using interrupt = runSignal('the digest');
        const days = options.weekly ? 7 : 1;
        exitCode = await tellDigest(load(sources), days * DAY_MS, interrupt.signal);
      } else if (action === 'history') {
        const { plot = false, json = false } = options;
        const last = readCount('--last', options.last);
        const shown = showHistory(load(sources), { name: subject, last, plot, json, ...displayOf() });
        process.stdout.write(shown);
      } else if (command !== undefined && command.length > 0) {
        const wrapped = readCommand(command);
        const settings = loadFor(wrapped, sources);
        const manner = await readRunOptions(options);
        const warningCodes = options.warningCodes === true;
        exitCode = await runAndTell(command, wrapped, settings, { warningCodes, manner, known });
      } else {
        throw cannot('usage', 'run', 'notify', 'no command is given', { hint: USAGE });
      }
    },
  );
  await runProgram(program, own);
  return exitCode;
}

/**
 * An option that would do nothing is a mistake that nobody sees.
 * @throws usage, with what the option is for
 */
function refuseWhatDoesNotFit(program: Command, action: string): void {
  for (const option of program.options) {
    const name = option.attributeName();
    if (name === 'debug' || program.getOptionValueSource(name) !== 'cli') continue;
    const takers = Object.keys(OPTIONS_OF).filter((taker) => OPTIONS_OF[taker]?.includes(name));
    if (takers.includes(action)) continue;
    const uses = takers.map((taker) => `notify ${taker === 'run' ? '-- COMMAND' : taker}`);
    throw cannot('usage', 'use option', `${option.long}`, `it is for ${uses.join(' and ')}`);
  }
}

function readCount(option: string, value: string): number {
  if (/^[1-9]\d{0,5}$/.test(value)) return Number(value);
  throw cannot('usage', 'use option', option, `"${value}" is no number of runs`);
}

function load(sources: SettingSources): NotifySettings {
  const settings = loadNotifySettings(sources);
  setLogFormat(settings.logFormat);
  return settings;
}

/** An application's own file may say how messages about it are sent; --config stands in its place. */
function loadFor(
  { settingsOf, configFile, workDir }: WrappedCommand,
  sources: SettingSources,
): NotifySettings {
  const all = { ...sources, options: { ...sources.options, GARNER_WORK_DIR: workDir } };
  if (sources.configFile !== undefined || settingsOf === undefined) return load(all);
  try {
    return load({ ...all, configFile, fileOf: settingsOf });
  } catch (error) {
    // what is wrong with that file is the agent's to say, and garner.env knows whom to tell
    const settings = load(all);
    warn(`told by garner.env alone: ${causeText(error)}`);
    return settings;
  }
}
