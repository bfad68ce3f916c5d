// Which agents this host is set up for: each has a file of settings in the configuration directory, or one of operations.
import { readdirSync } from 'node:fs';
import { groupName } from '../archive/name.ts';
import { moduleNames } from '../lib/modules.ts';

export interface ConfiguredAgent {
  application: string;
  instance: string | undefined;
  /** `mediawiki`, `mediawiki.blue`: what its archives and its history are called. */
  series: string;
  /** What cron would run: `agent-mediawiki --instance blue`. */
  command: string;
}

/** @returns what cron would run */
export function agentCommand(application: string, instance: string | undefined): string {
  return `agent-${application}${instance === undefined ? '' : ` --instance ${instance}`}`;
}

/** @returns them in alphabetical order; none where the directory can't be read */
export async function configuredAgents(directory: string): Promise<ConfiguredAgent[]> {
  let names: string[] = [];
  try {
    names = readdirSync(directory).sort();
  } catch {
    return []; // `garner config check` says so
  }
  const known = moduleNames('agents');
  const found = new Map<string, ConfiguredAgent>();
  const add = (application: string, instance?: string): void => {
    const series = groupName(application, instance);
    found.set(series, { application, instance, series, command: agentCommand(application, instance) });
  };
  for (const name of names) {
    const [, application, instance] = /^agent-([a-z][a-z0-9]*)(?:\.([a-z0-9_]+))?\.env$/.exec(name) ?? [];
    if (application !== undefined && known.includes(application)) add(application, instance);
  }
  const { OPERATIONS_FILES } = await import('../agents/toolkit/operations.ts');
  if (OPERATIONS_FILES.some((name) => names.includes(name))) add('command');
  return [...found.values()];
}
