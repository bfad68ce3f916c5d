// What the verbs have in common on the command line: options, sets, logging, JSON, exit codes.
import type { Command } from 'commander';
import { exampleText } from '../../lib/command-line.ts';
import { asGarnerError, EXIT } from '../../lib/errors.ts';
import { log, setQuiet } from '../../lib/log.ts';
import { escapeControls } from '../../lib/text.ts';
import type { KeyFailures } from '../apply.ts';
import { type BucketSet, selectSets } from '../configuration.ts';
import type { Setup } from '../setup.ts';
import { openSystemLog } from '../system-log.ts';

export { printJson, printJsonList } from '../../lib/print-json.ts';

export type Result = 'ok' | 'warnings' | 'failed';

export const EXIT_OF: Record<Result, number> = {
  ok: EXIT.ok.code,
  warnings: EXIT.warnings.code,
  failed: EXIT.failed.code,
};

/** Why a set was not worked on, as `--json` shows it. */
export interface SetFailure {
  set: string;
  code: string;
  message: string;
  hint?: string;
}

/** Declares a verb with the options that all have; its arguments are its own. */
export function bareVerb(program: Command, name: string, summary: string, example: string): Command {
  return program
    .command(name)
    .description(summary)
    .option(
      '--config <file>',
      'in place of buckets.yaml in the configuration directory; or one of backup-my-bucket',
    )
    .option('--json', 'print one JSON object')
    .option('--debug', 'print the stack of an error')
    .addHelpText('after', exampleText(example));
}

/** Declares a verb that is about some sets, or all. */
export function setsVerb(program: Command, name: string, summary: string, example: string): Command {
  return bareVerb(program, name, summary, example).argument(
    '[set...]',
    'sets of the configuration; none: all',
  );
}

/** Declares a verb that is about one set. */
export function setVerb(program: Command, name: string, summary: string, example: string): Command {
  return bareVerb(program, name, summary, example).option(
    '--set <name>',
    'which set, where there are several',
  );
}

/** Works while all that is told goes where the configuration says. */
export async function logged(setup: Setup, work: () => Promise<void>): Promise<void> {
  const { systemLog, quiet } = setup.configuration;
  setQuiet(quiet);
  if (systemLog === undefined) return work();
  await using _log = openSystemLog(systemLog.tag, systemLog.socket);
  try {
    await work();
  } catch (error) {
    log('error', asGarnerError(error).message);
    throw error;
  }
}

/**
 * Works on sets, one after the other: one that fails does not keep the others.
 * @throws what the work throws where it is about one set only
 */
export async function eachSet<T>(
  setup: Setup,
  names: string[],
  work: (set: BucketSet) => Promise<T>,
): Promise<{ done: T[]; failures: SetFailure[] }> {
  const sets = selectSets(setup.configuration, names);
  if (sets.length === 1) return { done: [await work(sets[0] as BucketSet)], failures: [] };
  const done: T[] = [];
  const failures: SetFailure[] = [];
  for (const set of sets) {
    try {
      done.push(await work(set));
    } catch (caught) {
      const { code, message, hint, exitCode } = asGarnerError(caught);
      if (exitCode > 128) throw caught;
      log('error', `${set.name}: ${message}${hint === undefined ? '' : ` (hint: ${hint})`}`, {
        set: set.name,
      });
      failures.push({ set: set.name, code, message, ...(hint !== undefined && { hint }) });
    }
  }
  return { done, failures };
}

/** How many keys that failed are named in the log; `--json` has more. */
const SHOWN = 20;

export function tellFailedKeys({ count, first }: KeyFailures): void {
  for (const { message } of first.slice(0, SHOWN)) log('error', message);
  if (count > SHOWN) log('error', `and ${count - SHOWN} more keys failed`);
}

/** @returns a key as a person may see it: in one line, without anything that a terminal obeys */
export const shownKey = (key: string): string => escapeControls(key);
