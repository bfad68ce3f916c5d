// Writes what repeats the code: the pages of docs/ on agents, exit codes, settings and archiver.yaml, and the names of
// all settings. `make docs`; a test tells when they are stale.
import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';
import type { AgentDefinition } from '../agents/toolkit/define-agent.ts';
import { configurationSchema } from '../archiver/configuration-schema.ts';
import { knownNames } from '../cli/known-settings.ts';
import { ERROR_CATALOGUE, EXIT } from '../lib/errors.ts';
import { loadModule, moduleNames } from '../lib/modules.ts';
import { CORE_SETTINGS, type Setting, type SettingTable } from '../lib/settings.ts';
import { NOTIFY_SETTINGS } from '../notifier/settings.ts';

const ROOT = new URL('..', import.meta.url);
const GENERATED = '<!-- Written by `make docs` from the code: do not edit. -->';

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function exitCodes(): string {
  const codes = Object.values(EXIT).map(({ code, meaning }) => [String(code), meaning]);
  const errors = Object.entries(ERROR_CATALOGUE).map(([name, { exit, meaning }]) => [
    `\`${name}\``,
    String(EXIT[exit].code),
    meaning,
  ]);
  return `# Exit codes

${GENERATED}

${table(['code', 'meaning'], codes)}

A run that a signal ended exits with 128 + the signal's number: 130 after Ctrl-C, 143 after SIGTERM. Any code that is
not in this table is a failure. \`notify\` exits as the command that it runs did; 125, 126 and 127 are its own.

## What went wrong

With \`--json\` an error has one of these codes beside its message.

${table(['error', 'exit', 'meaning'], errors)}
`;
}

function shownDefault({ default: value }: Setting, name: string): string {
  if (name === 'GARNER_HOST') return 'what `hostname -f` says'; // of the host, not of this machine
  if (name === 'GARNER_WORK_DIR') return '`/var/lib/garner/work`';
  const text = typeof value === 'function' ? value() : value;
  if (text?.includes(hostname())) throw new Error(`the default of ${name} is this machine's own`);
  return text === undefined ? '' : `\`${text}\``;
}

function settingsTable(settings: SettingTable): string {
  return table(
    ['name', 'default', 'meaning'],
    Object.entries(settings).map(([name, setting]) => [
      setting.secret ? `\`${name}\`, \`${name}_FILE\`` : `\`${name}\``,
      shownDefault(setting, name),
      setting.describe,
    ]),
  );
}

const loadAgents = (): Promise<AgentDefinition[]> =>
  Promise.all(moduleNames('agents').map((name) => loadModule<AgentDefinition>('agents', name)));

/** @returns what the first lines of an agent's file say of it */
function headerOf({ application }: AgentDefinition): string {
  const [comment = ''] =
    /^(\/\/.*\n)+/.exec(readFileSync(new URL(`../agents/${application}.ts`, import.meta.url), 'utf8')) ?? [];
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
    agent.nextSteps && 'says after a restore what is left to do, as commands',
  ].filter((fact) => typeof fact === 'string');
  const names = Object.keys(settings).map((name) => `\`${name}\``);
  return `## agent-${application}: ${title}

${headerOf(agent)}

${facts.map((fact) => `- ${fact}\n`).join('')}- settings: ${names.join(', ') || 'none of its own'}
- tested with: ${testedWith ?? 'nothing that it says'}
`;
}

async function agents(): Promise<string> {
  const all = await loadAgents();
  const rows = all.map(({ application, title, testedWith = '' }) => [
    `[agent-${application}](#agent-${application}-${anchorOf(title)})`,
    title,
    testedWith.startsWith('the real') ? 'the real thing' : testedWith,
  ]);
  return `# Agents

${GENERATED}

An agent finds an application's configuration, and backs up its databases and files, without being told a password.
\`agent-<application> describe\` says what it finds on a host and what it leaves out, with sizes. Settings are described in
[settings.md](settings.md), commands around a backup in [hooks.md](hooks.md).

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

async function settings(): Promise<string> {
  const agents = await loadAgents();
  const sections = agents
    .filter((agent) => Object.keys(agent.settings).length > 0)
    .map((agent) => `## agent-${agent.application}: ${agent.title}\n\n${settingsTable(agent.settings)}\n`);
  return `# Settings

${GENERATED}

A setting is looked for in this order; the first that is not empty counts:

1. the option of the command line, where there is one (\`--work-dir\` for \`GARNER_WORK_DIR\`)
2. the environment
3. the file that \`--config\` names, else \`/etc/garner/agent-<application>[.<instance>].env\`
4. \`/etc/garner/garner.env\`

\`GARNER_CONFIG_DIR\` in the environment replaces \`/etc/garner\`. A file has one \`NAME=value\` a line; a value with a \`#\`
in it is put in quotes; a comment has a line of its own. A name that garner doesn't know, a name given twice, and a
file with a secret that others can read are errors. \`garner config check\` reads every file and says what is wrong.

Where a name ends in \`_FILE\`, its value is the path of a file that holds the secret and nothing else.
Durations are written as \`90s\`, \`15m\`, \`6h\`, \`1d\`, \`2w\`; lists of paths have colons between them, other lists commas.

## All commands

${settingsTable(CORE_SETTINGS)}

## notify

${settingsTable(NOTIFY_SETTINGS)}

${sections.join('\n')}`;
}

interface YamlKey {
  default?: unknown;
  description?: string;
}

interface YamlSchema {
  properties: Record<string, YamlKey>;
  required?: string[];
}

/** @throws for a key that says nothing of itself */
function yamlTable({ properties, required = [] }: YamlSchema): string {
  const rows = Object.entries(properties).map(([key, { default: value, description }]) => {
    if (description === undefined) throw new Error(`the key ${key} of archiver.yaml has no description`);
    const isShown = value !== undefined && typeof value !== 'object';
    return [`\`${key}\``, required.includes(key) ? 'needed' : isShown ? `\`${value}\`` : '', description];
  });
  return table(['key', 'default', 'meaning'], rows);
}

function archiverYaml(): string {
  const whole = z.toJSONSchema(configurationSchema, { io: 'input' }) as YamlSchema;
  const ofEach = (key: string) =>
    (whole.properties[key] as { additionalProperties: YamlSchema }).additionalProperties;
  return `# archiver.yaml

${GENERATED}

What the archiver reads, from \`/etc/garner/archiver.yaml\`, the directory that \`GARNER_CONFIG_DIR\` names, or the file that \`--config\`
names. An example, and what each does: [archiver.md](archiver.md#archiveryaml). A key that is not here, one given twice, and a
value out of range are errors that name file and key; \`garner config check\` finds them. With a password in a URL, nobody else
may read the file.

Durations are written as \`12h\`, \`1d\`, \`4w\`, sizes as \`500MB\`, \`50GB\`. A bandwidth is \`20MB/s\`, or by local time
\`{limit: 20MB/s, "08:00-18:00": 2MB/s, "22:00-06:00": unlimited}\`.

${yamlTable(whole)}

## Each of \`hosts\`

${yamlTable(ofEach('hosts'))}

## Each of \`push\`

${yamlTable(ofEach('push'))}

## \`retention\`

What any of these keeps, stays; at least one but \`minimum\` is needed. Per host, application and instance; only good archives count
([archiver.md](archiver.md#retention)).

${yamlTable(whole.properties.retention as YamlSchema)}
`;
}

/** @returns each generated file by its path from the top of the project */
export async function generateDocs(): Promise<Record<string, string>> {
  return {
    'cli/known-settings.json': `${JSON.stringify(await knownNames(), null, 2)}\n`,
    'docs/agents.md': await agents(),
    'docs/archiver-yaml.md': archiverYaml(),
    'docs/exit-codes.md': exitCodes(),
    'docs/settings.md': await settings(),
  };
}

if (import.meta.main) {
  for (const [name, content] of Object.entries(await generateDocs())) {
    writeFileSync(new URL(name, ROOT), content);
  }
}
