// The one entry of all commands: `main.ts <command> [argument…]`.
// Nothing imports it: it waits while it is loaded, and whatever imported it would wait for itself.
import { resolve } from 'node:path';
import { runCommand } from '../lib/command-line.ts';
import { cannot } from '../lib/errors.ts';
import { findCommand } from './commands.ts';
import { knownSettings } from './known-settings.ts';

delete process.env.NODE_COMPILE_CACHE; // ours: commands that are run by this one have theirs elsewhere
const beside = (process.env.GARNER_BESIDE ?? '')
  .split(':')
  .filter(Boolean)
  .map((directory) => resolve(directory));
delete process.env.GARNER_BESIDE; // no setting: the launcher tells
const [name = 'garner', ...args] = process.argv.slice(2);
await runCommand(
  async (rest, context) => {
    const main = await findCommand(name);
    if (main === undefined) {
      throw cannot('usage', 'run', name, 'there is no such command', { hint: 'see garner --help' });
    }
    return main(rest, { ...context, known: await knownSettings() });
  },
  args,
  { program: name, known: {}, beside },
);
