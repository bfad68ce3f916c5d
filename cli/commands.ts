// Which commands there are: garner, its tools, and one for each file in agents/. What is not asked for is not loaded.
import type { CommandMain } from '../lib/command-line.ts';
import { loadModule, moduleNames } from '../lib/modules.ts';

const TOOLS = ['garner', 'notify', 'archiver', 'bucket', 'hamster'];

/** @returns all names that {@link findCommand} knows */
export function commandNames(): string[] {
  return [...TOOLS, ...moduleNames('agents').map((application) => `agent-${application}`)];
}

/** @returns the main function of a command, or undefined where there is no such command */
export async function findCommand(name: string): Promise<CommandMain | undefined> {
  switch (name) {
    case 'garner':
      return (await import('./garner.ts')).main;
    case 'notify':
      return (await import('../notifier/notify.ts')).main;
    case 'archiver':
      return (await import('../archiver/archiver.ts')).main;
    case 'bucket':
      return (await import('../bucket/bucket.ts')).main;
    case 'hamster':
      return (await import('../agents/toolkit/operations-command.ts')).hamsterMain(
        await loadModule('agents', 'command'),
      );
    case 'agent-command':
      return (await import('../agents/toolkit/operations-command.ts')).operationsMain(
        await loadModule('agents', 'command'),
      );
  }
  if (!commandNames().includes(name)) return undefined;
  const { agentMain } = await import('../agents/toolkit/command.ts');
  return agentMain(await loadModule('agents', name.slice('agent-'.length)));
}
