// The one entry of all commands: `main.ts <command> [argument…]`. What is not asked for is not loaded.
import { type CommandMain, runCommand } from '../lib/command-line.ts';
import { loadModule, moduleNames } from '../lib/modules.ts';
import { knownSettings } from './known-settings.ts';

const AGENTS = new URL('../agents/', import.meta.url);

/** @returns the main function of a command, or undefined where there is no such command */
export async function findCommand(name: string): Promise<CommandMain | undefined> {
  switch (name) {
    case 'garner':
      return (await import('./garner.ts')).main;
    case 'notify':
      return (await import('../notifier/notify.ts')).main;
    case 'archiver':
      return (await import('../archiver/archiver.ts')).main;
  }
  const application = name.startsWith('agent-') ? name.slice('agent-'.length) : '';
  if (!moduleNames(AGENTS).includes(application)) return undefined;
  const { agentMain } = await import('../agents/toolkit/command.ts');
  return agentMain(await loadModule(AGENTS, application));
}

if (import.meta.main) {
  const [name = 'garner', ...args] = process.argv.slice(2);
  const main = await findCommand(name);
  if (main === undefined) {
    process.stderr.write(`garner: cannot run "${name}": there is no such command\nhint: see garner --help\n`);
    process.exitCode = 2;
  } else {
    await runCommand(main, args, { program: name, known: await knownSettings() });
  }
}
