// What the verbs of the archiver have in common on the command line: hosts, options, JSON, exit codes.
import { once } from 'node:events';
import type { Command } from 'commander';
import { exampleText } from '../../lib/command-line.ts';
import { EXIT } from '../../lib/errors.ts';
import type { Result } from '../run.ts';

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

/** Prints JSON. What a terminal may take for a command is written as `\u…`, which means the same. */
export function printJson(value: unknown): void {
  process.stdout.write(`${harmless(JSON.stringify(value, null, 2))}\n`);
}

/** Prints one JSON object that ends in a list, piece by piece: the list may be longer than one wants to hold. */
export async function printJsonList(head: object, key: string, items: AsyncIterable<unknown>): Promise<void> {
  let text = `${JSON.stringify(head).slice(0, -1)},"${key}":[`;
  let separator = '\n';
  for await (const item of items) {
    text += `${separator}${harmless(JSON.stringify(item))}`;
    separator = ',\n';
    if (text.length < PIECE_CHARS) continue;
    const isFull = !process.stdout.write(text);
    // a reader that has gone away drains nothing
    if (isFull && process.stdout.writable)
      await Promise.race([once(process.stdout, 'drain'), once(process.stdout, 'close')]).catch(() => {});
    text = '';
  }
  process.stdout.write(`${text}\n]}\n`);
}

const PIECE_CHARS = 1 << 16;

function harmless(json: string): string {
  return json.replace(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
