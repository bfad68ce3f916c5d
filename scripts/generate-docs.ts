// Writes what repeats the code: the pages of docs/ on agents, exit codes, settings and archiver.yaml, and the names of
// all settings. `make docs`; a test tells when they are stale.
import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { knownNames } from '../cli/known-settings.ts';
import { ERROR_CATALOGUE, EXIT } from '../lib/errors.ts';
import { CORE_SETTINGS, type Setting, type SettingTable } from '../lib/settings.ts';
import { NOTIFY_SETTINGS } from '../notifier/settings.ts';
import { agentsPage, loadAgents } from './docs/agents.ts';
import { archiverYamlPage } from './docs/archiver-yaml.ts';
import { GENERATED, table } from './docs/table.ts';

const ROOT = new URL('..', import.meta.url);
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

/** @returns each generated file by its path from the top of the project */
export async function generateDocs(): Promise<Record<string, string>> {
  return {
    'cli/known-settings.json': `${JSON.stringify(await knownNames(), null, 2)}\n`,
    'docs/agents.md': await agentsPage(),
    'docs/archiver-yaml.md': archiverYamlPage(),
    'docs/exit-codes.md': exitCodes(),
    'docs/settings.md': await settings(),
  };
}

if (import.meta.main) {
  for (const [name, content] of Object.entries(await generateDocs())) {
    writeFileSync(new URL(name, ROOT), content);
  }
}
