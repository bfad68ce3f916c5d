// Runs a command by its name as the whole process.
import { runCommand } from '../lib/command-line.ts';
import { cannot, EXIT } from '../lib/errors.ts';
import { findCommand } from './commands.ts';
import { knownSettings } from './known-settings.ts';

/** What a command says of itself needs no settings; those of all agents would be most of its start. */
const ASKS = ['--help', '--version'];

/**
 * @param args without the command's own name
 * @param beside the directories that the command lies in: as it was called, and where links lead from there
 */
export function run(name: string, args: string[], beside: readonly string[]): void {
  let hasEnded = false;
  process.once('exit', () => {
    // it waits for something that nothing will bring: unknown is failure
    if (!hasEnded && !process.exitCode) process.exitCode = EXIT.failed.code;
  });
  const ended = runCommand(
    async (rest, context) => {
      const main = await findCommand(name);
      if (main === undefined) {
        throw cannot('usage', 'run', name, 'there is no such command', { hint: 'see garner --help' });
      }
      const end = rest.indexOf('--');
      const own = rest.slice(0, end === -1 ? undefined : end);
      const known = own.some((word) => ASKS.includes(word)) ? {} : await knownSettings();
      return main(rest, { ...context, known });
    },
    args,
    { program: name, known: {}, beside },
  );
  ended.then(() => {
    hasEnded = true;
  });
}
