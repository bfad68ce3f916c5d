// What the verbs of the archiver have in common on the command line: hosts, options, JSON, exit codes.
import type { Command } from 'commander';
import { exampleText } from '../../lib/command-line.ts';
import { EXIT } from '../../lib/errors.ts';
import type { Result } from '../run.ts';

export { printJson, printJsonList } from '../../lib/print-json.ts';

export const EXIT_OF: Record<Result, number> = {
  ok: EXIT.ok.code,
  warnings: EXIT.warnings.code,
  failed: EXIT.failed.code,
};

/** Declares a verb with the options that all have; its arguments are its own. */
export function bareVerb(program: Command, name: string, summary: string, example: string): Command {
  return program
    .command(name)
    .description(summary)
    .option('--config <file>', 'in place of archiver.yaml in the configuration directory')
    .option('--json', 'print one JSON object')
    .option('--debug', 'print the stack of an error')
    .addHelpText('after', exampleText(example));
}

/** Declares a verb that is about some hosts, or all. */
export function verb(program: Command, name: string, summary: string, example: string): Command {
  return bareVerb(program, name, summary, example).argument(
    '[host...]',
    'hosts of the configuration; none: all',
  );
}
