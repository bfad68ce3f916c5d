// Runs a command by its name as the whole process. What only asks for the version waits for nothing to be loaded.
import own from '../package.json' with { type: 'json' };
import { commandNames, findCommand } from './commands.ts';

/** What a command says of itself needs no settings. */
const ASKS = ['--help', '--version'];
const FAILED = 1;

/**
 * @param args without the command's own name
 * @param beside the directories that the command lies in: as it was called, and where links lead from there
 */
export function run(name: string, args: string[], beside: readonly string[]): void {
  if (args.length === 1 && args[0] === '--version' && commandNames().includes(name)) {
    process.stdout.write(`${own.version}\n`);
    return;
  }
  let hasEnded = false;
  process.once('exit', () => {
    // it waits for something that nothing will bring: unknown is failure
    if (!hasEnded && !process.exitCode) process.exitCode = FAILED;
  });
  runToItsEnd(name, args, beside).then(() => {
    hasEnded = true;
  });
}

async function runToItsEnd(name: string, args: string[], beside: readonly string[]): Promise<void> {
  const { runCommand } = await import('../lib/command-line.ts');
  await runCommand(
    async (rest, context) => {
      const main = await findCommand(name);
      if (main === undefined) {
        const { cannot } = await import('../lib/errors.ts');
        throw cannot('usage', 'run', name, 'there is no such command', { hint: 'see garner --help' });
      }
      const end = rest.indexOf('--');
      const ownWords = rest.slice(0, end === -1 ? undefined : end);
      if (ownWords.some((word) => ASKS.includes(word))) return main(rest, context);
      const known = await import('./known-settings.json', { with: { type: 'json' } });
      return main(rest, { ...context, known: known.default });
    },
    args,
    { program: name, known: {}, beside },
  );
}
