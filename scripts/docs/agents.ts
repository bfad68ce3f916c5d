// docs/agents.md: what each agent says of itself, and what it says after a restore.
import { readFileSync } from 'node:fs';
import type { AgentContext, AgentDefinition } from '../../agents/toolkit/define-agent.ts';
import type { HostView } from '../../agents/toolkit/host-view.ts';
import { loadModule, moduleNames } from '../../lib/modules.ts';
import { GENERATED, table } from './table.ts';

export const loadAgents = (): Promise<AgentDefinition[]> =>
  Promise.all(moduleNames('agents').map((name) => loadModule<AgentDefinition>('agents', name)));

/** @returns what the first lines of an agent's file say of it */
function headerOf({ application }: AgentDefinition): string {
  const [comment = ''] =
    /^(\/\/.*\n)+/.exec(readFileSync(new URL(`../../agents/${application}.ts`, import.meta.url), 'utf8')) ??
    [];
  return comment.replace(/^\/\/ ?/gm, '').trim();
}

function agentSection(agent: AgentDefinition): string {
  const { application, title, testedWith, settings } = agent;
  const facts = [
    agent.quiet && 'is quieted while it is backed up',
    agent.product && 'makes a backup of its own, which goes into the archive',
    agent.crossChecks && 'has its rows compared with its files',
    agent.examine && 'is looked over, when it has been read, for what is damaged or missing',
    agent.withheld && 'names what a restore needs and the archive leaves out on purpose',
    agent.build && 'records the number of its build or schema, beside its version',
  ].filter((fact) => typeof fact === 'string');
  const names = Object.keys(settings).map((name) => `\`${name}\``);
  const link = `[settings](settings.md#${anchorOf(`agent-${application}: ${title}`)})`;
  const steps = exampleSteps(agent);
  return `## agent-${application}: ${title}

${headerOf(agent)}

${facts.map((fact) => `- ${fact}\n`).join('')}- ${link}: ${names.join(', ')}
- tested with: ${testedWith ?? 'nothing that it says'}
${steps.length === 0 ? '' : `\nAfter a restore:\n\n\`\`\`sh\n${steps.join('\n')}\n\`\`\`\n`}`;
}

/** An application in its usual places, with a configuration that says nothing. */
const EXAMPLE_VIEW: HostView = {
  readText: (path) => (path.endsWith('.xml') ? '<example><properties></properties></example>' : ''),
  exists: () => false,
  names: () => [],
  locate: (path) => path,
  resolve: (path) => path,
};
/** Of settings that have no default and are needed. */
const EXAMPLES: Record<string, string> = { TRAC_ENV: '/srv/trac' };

/** @returns what a restore says at its end, where all is in its usual place */
function exampleSteps(agent: AgentDefinition): string[] {
  const settings: Record<string, unknown> = {};
  for (const [name, { default: usual, parse }] of Object.entries(agent.settings)) {
    const value = EXAMPLES[name] ?? (typeof usual === 'function' ? usual() : usual);
    if (value !== undefined) settings[name] = parse(value);
  }
  const { signal } = new AbortController();
  const context = { settings, view: EXAMPLE_VIEW, signal } as unknown as AgentContext;
  return agent.nextSteps?.(context) ?? [];
}

/** @returns the page */
export async function agentsPage(): Promise<string> {
  const all = await loadAgents();
  const rows = all.map(({ application, title, testedWith = '' }) => [
    `[agent-${application}](#${anchorOf(`agent-${application}: ${title}`)})`,
    title,
    testedWith.startsWith('the real') ? 'the real thing' : testedWith,
  ]);
  return `# Agents

${GENERATED}

An agent finds an application's configuration, and backs up its databases and files, without being told a password. All are called
alike; here it is MediaWiki's:

\`\`\`sh
agent-mediawiki describe                        # what it finds on this host and what it leaves out, with sizes
notify -- agent-mediawiki                       # a backup; who is told how it went: notifier.md
agent-mediawiki restore ARCHIVE --to /srv/look  # everything into that directory, nothing outside it
agent-mediawiki restore ARCHIVE --dry-run       # what a restore in place would do, or what stands in its way
\`\`\`

\`\`\`crontab
15 2 * * *  root  notify --schedule "15 2 * * *" -- agent-mediawiki
\`\`\`

Stop the application before a restore in place. At its end it prints what is left to do, with the host's own paths; below, as it is
where all is in the usual place. Settings stand in \`/etc/garner/agent-<application>.env\`; of a second installation, called \`blue\`, in
\`/etc/garner/agent-<application>.blue.env\`, with \`--instance blue\` behind the command. Rights of database accounts:
[databases.md](databases.md); databases in containers: [containers.md](containers.md); commands around a backup: [hooks.md](hooks.md).

Not every application can be had for tests. What stands in for those that can't is said here: try a restore before you
rely on it.

${table(['agent', 'application', 'tested with'], rows)}

${all.map(agentSection).join('\n')}`;
}

/** @returns what GitHub makes of a heading's words */
function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^a-z0-9 _-]/g, '')
    .replaceAll(' ', '-');
}
