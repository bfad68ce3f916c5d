// What notify knows of the command it wraps from its words alone: whether it is garner's, and what it is for.
import { basename } from 'node:path';
import { groupName, instanceName } from '../archive/name.ts';
import { registerSecret, registerUrlSecret } from '../lib/redact.ts';

export interface WrappedCommand {
  /** What messages call it unless they are told: `mediawiki`, `archiver`. */
  name: string;
  /** garner's commands exit with 3 for warnings and 4 for locked; anybody else's may mean anything by them. */
  isGarner: boolean;
  /** An agent that makes an archive: its end alone doesn't make the run good. */
  makesArchive: boolean;
  /** It may make several, each a line of its output. */
  makesSeveral: boolean;
  /** Whose configuration file it reads: `agent-mediawiki.blue`; undefined where it is no agent. */
  settingsOf: string | undefined;
  /** Its --config. */
  configFile: string | undefined;
  /** Its --work-dir. */
  workDir: string | undefined;
  /** Which history its runs belong to: an agent's archives and their runs have one name. */
  series: string;
}

const AGENT = /^agent-([a-z][a-z0-9]*)$/;
const TOOLS = ['garner', 'archiver', 'bucket'];
/** Its operands are operations, and its --config is their file. */
const OPERATIONS = ['agent-command', 'hamster'];
/** What an agent may be told to do. */
const ACTIONS = ['backup', 'describe', 'restore', 'help'];
/** Options of agents that take a value, which is no operand. */
const WITH_VALUE = ['--instance', '--config', '--work-dir', '--only', '--to'];

/** @param command program and arguments */
export function readCommand(command: readonly string[]): WrappedCommand {
  const [program = '', ...args] = command;
  let tool = basename(program);
  const isTool = (word: string): boolean =>
    AGENT.test(word) || TOOLS.includes(word) || OPERATIONS.includes(word);
  if (tool === 'garner' && isTool(args[0] ?? '')) tool = args.shift() as string;
  const application = tool === 'hamster' ? 'command' : AGENT.exec(tool)?.[1];
  const { operands, options } = parse(args);
  const asked = options.get('--instance');
  const runsOperations = OPERATIONS.includes(tool);
  const isAction = !runsOperations || (tool !== 'hamster' && ACTIONS.includes(operands[0] ?? ''));
  const action = (isAction && operands[0]) || 'backup';
  const operations = runsOperations ? operands.slice(isAction ? 1 : 0) : [];
  // each operation has a history of its own
  const operation = operations.length === 1 ? operations[0] : undefined;
  const named = asked === undefined ? operation : `${asked}/${operation}`;
  const instance = operation === undefined ? asked : instanceName(named as string);
  const groupOf = (one: string | undefined): string => groupName(`${application}`, one);
  const name = application === undefined ? tool : groupOf(instance);
  const isGarner = application !== undefined || TOOLS.includes(tool);
  const makesArchive =
    application !== undefined && action === 'backup' && !options.has('--help') && !options.has('--version');
  return {
    name,
    isGarner,
    makesArchive,
    makesSeveral: runsOperations,
    settingsOf: application === undefined ? undefined : `agent-${groupOf(asked)}`,
    configFile: runsOperations ? undefined : options.get('--config') || undefined,
    workDir: application === undefined ? undefined : options.get('--work-dir') || undefined,
    series:
      makesArchive && SERIES.test(name)
        ? name
        : jobSeries(isGarner && operands[0] !== undefined ? `${name}_${operands[0]}` : name),
  };
}

const SERIES = /^[a-z][a-z0-9]*(\.[a-z0-9_]+)?$/;

/** @returns the history of what is no backup by an agent, by what messages call it */
export function jobSeries(name: string): string {
  return groupName('job', instanceName(name));
}

function parse(args: readonly string[]): { operands: string[]; options: Map<string, string> } {
  const operands: string[] = [];
  const options = new Map<string, string>();
  for (let i = 0; i < args.length; i += 1) {
    const arg = args[i] as string;
    if (!arg.startsWith('-')) operands.push(arg);
    else if (WITH_VALUE.includes(arg)) options.set(arg, args[++i] ?? '');
    else options.set(arg.split('=', 1)[0] as string, arg.split('=').slice(1).join('='));
  }
  return { operands, options };
}

/** Registers what looks like a secret in the command's words and in the environment that it gets. */
export function registerCommandSecrets(
  command: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): void {
  for (const [index, word] of command.entries()) {
    const [, option, value] = /^--?([a-z-]+)(?:=(.*))?$/is.exec(word) ?? [];
    registerUrlSecret(value ?? word);
    if (/passw|secret|token|api-?key/i.test(option ?? '')) registerSecret(value ?? command[index + 1]);
  }
  for (const [name, value] of Object.entries(env)) {
    registerUrlSecret(value);
    // shorter ones are rather a `true` than a key
    if (/(PASSWORD|PASSWD|_PWD|SECRET|TOKEN|_KEY)$/i.test(name) && (value?.length ?? 0) >= 8)
      registerSecret(value);
  }
}

/** @returns the command as a shell would take it, for people */
export function showCommand(command: readonly string[]): string {
  return command
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(' ');
}
