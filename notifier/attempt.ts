// One try of a command: it is run and judged.
import { causeText } from '../lib/errors.ts';
import { writeStderr } from '../lib/log.ts';
import { redact } from '../lib/redact.ts';
import { type KnownSettings, loadSettings, text } from '../lib/settings.ts';
import { judge, type Verdict } from './judge.ts';
import { LogExcerpt, type LogText, Tail } from './log-excerpt.ts';
import { type ChildRun, runChild } from './run-child.ts';
import { registerCommandSecrets, showCommand, type WrappedCommand } from './wrapped-command.ts';

/** An agent's JSON lists members and tables; what is longer is not read. */
const KEPT_STDOUT_BYTES = 1 << 20;
const KEPT_STDERR_BYTES = 64 << 10;

export interface Attempt {
  run: ChildRun;
  verdict: Verdict;
  log: LogText;
}

export interface AttemptOptions {
  /** The longest that it may take, in milliseconds; 0 for no limit. */
  timeoutMs: number;
  /** Exit codes 3 and 4 mean warnings and locked, whatever the command is. */
  warningCodes: boolean;
  /** Added to the command's environment. */
  env: Record<string, string>;
  /** All settings there are. */
  known: KnownSettings;
}

/**
 * Runs a command and judges how it ended.
 * @param mark stands at the beginning of the log
 */
export async function attempt(
  command: readonly string[],
  wrapped: WrappedCommand,
  { timeoutMs, warningCodes, env, known }: AttemptOptions,
  mark: string,
): Promise<Attempt> {
  const excerpt = new LogExcerpt();
  excerpt.write(Buffer.from(mark));
  const stdout = new Tail(KEPT_STDOUT_BYTES);
  const stderr = new Tail(KEPT_STDERR_BYTES);
  const run = await runChild(command, {
    timeoutMs,
    env,
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
  registerCommandSecrets(command);
  registerSecretSettings(wrapped, known);
  const said = { stdout: stdout.bytes().toString(), stderr: stderr.text() };
  const verdict = await judge(run, said, wrapped, { warningCodes, timeoutMs }).catch((error): Verdict => {
    const how = `how it ended can't be judged: ${redact(causeText(error))}`;
    return { result: 'FAILED', summary: how, causes: [how], archives: [] };
  });
  return { run, verdict, log: excerpt.text() };
}

/**
 * Secrets of the command's own configuration: it may print them, also those that others stand in front of. What can't be
 * read is the command's to report.
 */
function registerSecretSettings({ settingsOf, configFile }: WrappedCommand, known: KnownSettings): void {
  const own = { configFile, ...(settingsOf && { fileOf: settingsOf }) };
  const { GARNER_CONFIG_DIR } = process.env;
  const files = { GARNER_CONFIG_DIR };
  for (const sources of [
    { known, ...own },
    { known, env: files, ...own },
    { known, env: files },
  ]) {
    for (const [name, setting] of Object.entries(known)) {
      if (setting.secret !== true) continue;
      try {
        loadSettings({ [name]: { parse: text, secret: true, describe: '' } }, sources);
      } catch {
        // not notify's business
      }
    }
  }
}
