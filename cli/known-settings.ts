// All settings of all tools, for the check that no file and no variable has a name that nobody reads. A command needs no
// more than the names: known-settings.json, which `make docs` writes, since loading all agents was half of a command's start.
import type { AgentDefinition } from '../agents/toolkit/define-agent.ts';
import { loadModule, moduleNames } from '../lib/modules.ts';
import { CORE_SETTINGS, type KnownSettings, type SettingTable } from '../lib/settings.ts';
import { NOTIFY_SETTINGS } from '../notifier/settings.ts';

export async function knownSettings(): Promise<SettingTable> {
  const agents = await Promise.all(
    moduleNames('agents').map((name) => loadModule<AgentDefinition>('agents', name)),
  );
  return Object.assign({}, CORE_SETTINGS, NOTIFY_SETTINGS, ...agents.map(({ settings }) => settings));
}

/** @returns what cli/known-settings.json holds */
export async function knownNames(): Promise<KnownSettings> {
  const known = Object.entries(await knownSettings());
  return Object.fromEntries(known.map(([name, { secret }]) => [name, secret === true ? { secret } : {}]));
}
