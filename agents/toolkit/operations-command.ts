// The command line of agent-command and of its alias hamster: which operations run, one after the other, and what is said of them.
import type { Command } from 'commander';
import {
  type CommandContext,
  type CommandMain,
  declareProgram,
  exampleText,
  runProgram,
} from '../../lib/command-line.ts';
import { cannot, EXIT, formatError } from '../../lib/errors.ts';
import { info, warn, writeStderr } from '../../lib/log.ts';
import { redact } from '../../lib/redact.ts';
import { escapeControls } from '../../lib/text.ts';
import { readS3Target } from '../../stores/s3-target.ts';
import { answerOf, type BackupAnswer, failedAnswer, failureOf } from './backup-answer.ts';
import {
  type CommonOptions,
  declareRestore,
  type Prepare,
  prepareWith,
  printJson,
  printOut,
} from './command.ts';
import type { AgentContext, AgentDefinition } from './define-agent.ts';
import {
  type Operation,
  type OperationsFile,
  operationInstance,
  readOperations,
  selectOperations,
} from './operations.ts';
import { passwordsIn, withoutPasswords } from './operations-text.ts';
import { memberName } from './sources.ts';

interface Options extends CommonOptions {
  all?: boolean;
}

function withOptions(command: Command): Command {
  return command
    .option(
      '--instance <name>',
      'which of several on this host; its settings are in agent-command.<name>.env',
    )
    .option('--config <file>', 'the operations: YAML, or JSON as Hamster has it (COMMAND_OPERATIONS)')
    .option('--work-dir <dir>', 'where archives and zips are made (GARNER_WORK_DIR)')
    .option('--json', 'print one JSON object on stdout');
}

/** @returns the main function of agent-command */
export function operationsMain(agent: AgentDefinition): CommandMain {
  return async (args, context) => {
    const name = 'agent-command';
    const program = declareProgram(
      name,
      'Runs commands of yours that fill a folder, and makes an archive or a zip of each.',
      `${name} shop-database\n${name} --all\n${name} restore /var/lib/garner/work/<archive>.tar --to /tmp/look`,
    );
    const prepare = prepareWith(agent, context.known);
    declareBackup(
      program
        .command('backup', { isDefault: true })
        .description('run operations (what happens without a command)')
        .addHelpText('after', exampleText(`${name} backup shop-database mail`)),
      agent,
      context,
    );
    withOptions(program.command('describe').description('show the operations, without secrets'))
      .addHelpText('after', exampleText(`${name} describe`))
      .action(async (options: Options) => {
        using run = prepareRun(prepare, options);
        const description = await describe(agent, readFile(options, run, context), options.instance, run);
        if (options.json) printJson(description);
        else printOut(redact(formatDescription(description)));
      });
    declareRestore(program, agent, (options) => {
      // where it was is gone: a folder that the run has made and removed
      if ((options as { to?: string }).to === undefined) {
        throw cannot('usage', 'restore', 'an operation', 'its folder has no place of its own', {
          hint: `${name} restore ARCHIVE --to DIR`,
        });
      }
      return prepare(options);
    });
    return runProgram(program, args);
  };
}

/** @returns the main function of hamster: operations only, whatever they are called */
export function hamsterMain(agent: AgentDefinition): CommandMain {
  return async (args, context) => {
    const program = declareProgram(
      'hamster',
      'Runs operations of a config.json or operations.yaml: agent-command by its other name.',
      'hamster StreamServer-DB\nhamster --all',
    );
    declareBackup(program, agent, context);
    return runProgram(program, args);
  };
}

function declareBackup(command: Command, agent: AgentDefinition, context: CommandContext): void {
  withOptions(command)
    .argument('[operation...]', 'names of the operations; none: the only one there is')
    .option('--all', 'run all operations of the file')
    .helpOption('--help', 'print this help')
    .action(async (names: string[], options: Options) => {
      process.exitCode = await run(agent, names, options, context);
    });
}

/** --config names the operations here; the settings have files of their own. */
const prepareRun = (prepare: Prepare, { config: _, ...options }: CommonOptions): ReturnType<Prepare> =>
  prepare(options);

const readFile = (
  { config }: Options,
  { settings }: AgentContext,
  { beside = [] }: CommandContext,
): OperationsFile =>
  readOperations(config ?? (settings as { COMMAND_OPERATIONS?: string }).COMMAND_OPERATIONS, beside);

interface Done {
  operation: Operation;
  answer: BackupAnswer;
}

/** Runs operations one after the other; one that fails keeps no other from being run. */
async function run(
  agent: AgentDefinition,
  names: readonly string[],
  options: Options,
  context: CommandContext,
): Promise<number> {
  const { instance, json } = options;
  const prepare = (): ReturnType<Prepare> => prepareRun(prepareWith(agent, context.known), options);
  const startedAt = new Date();
  let selected: Operation[];
  let target: OperationsFile['target'];
  try {
    using run = prepare();
    const file = readFile(options, run, context);
    ({ target } = file);
    selected = select(names, options, file);
  } catch (caught) {
    if (json) printJson(failedAnswer(agent, instance, caught, { host: null, startedAt }).json);
    throw caught;
  }
  const isOne = selected.length === 1 && !options.all;
  const done: Done[] = [];
  for (const operation of selected) {
    const own = operationInstance(operation, instance);
    const answer = await answerOf(agent, own, prepare, async (run) => {
      const { backUpOperation } = await import('./operations-run.ts');
      return backUpOperation(agent, operation, own, run, target);
    });
    done.push({ operation, answer });
    const { archive, error } = answer;
    if (archive !== undefined && !json) printOut(`${archive}\n`);
    if (error?.code === 'interrupted') break;
    if (error !== undefined && !isOne) writeStderr(`${formatError(context.program, error)}\n`);
  }
  const [first] = done as [Done];
  const outcome = isOne ? first.answer : outcomeOf(done);
  if (json) printJson(outcome.json);
  if (outcome.error !== undefined) throw outcome.error;
  return outcome.exitCode;
}

/** Picks the operations, and says what is odd about them. */
function select(names: readonly string[], { all }: Options, file: OperationsFile): Operation[] {
  if (all && names.length > 0)
    throw cannot('usage', 'run operation', names[0] as string, '--all is given too', {
      hint: 'use one of the two',
    });
  const selected = all ? file.operations : selectOperations(file, names);
  info(`operations of ${file.file}`);
  for (const { name, command } of selected) {
    if (passwordsIn(command).length === 0) continue;
    warn(`operation ${name}: ps shows every user of this host the password in its command`);
    info('put it into a file that only you can read, and name that file in the command');
  }
  return selected;
}

/** What several operations came to. */
function outcomeOf(done: readonly Done[]): Omit<BackupAnswer, 'archive'> {
  const failed = done.filter(({ answer }) => answer.error !== undefined);
  const interrupted = failed.find(({ answer }) => answer.error?.code === 'interrupted')?.answer.error;
  const first = failed[0]?.answer.error;
  const error =
    interrupted ??
    (first &&
      cannot(
        'operations-failed',
        'run operations',
        failed.map(({ operation }) => operation.name).join(', '),
        `${failed.length} of ${done.length} failed; the first: ${first.message}`,
      ));
  const warned = done.some(({ answer }) => answer.exitCode === EXIT.warnings.code);
  const { result, ...failure } = error
    ? failureOf(error)
    : { result: warned ? 'warnings' : 'ok', error: null };
  const operations = done.map(({ operation, answer }) => ({ operation: operation.name, ...answer.json }));
  const exitCode = error?.exitCode ?? (warned ? EXIT.warnings : EXIT.ok).code;
  return { error, exitCode, json: { result, operations, ...failure } };
}

/** What would be run; nothing is. */
async function describe(
  agent: AgentDefinition,
  { file, operations, target }: OperationsFile,
  instance: string | undefined,
  context: AgentContext,
) {
  const { application, title } = agent;
  const version = await agent.version(context);
  const identity = { application, title, instance: instance ?? null, host: context.settings.GARNER_HOST };
  const trees = operations.map((operation) => ({
    name: memberName(operation.name),
    operation: operation.name,
    command: redact(withoutPasswords(operation.command)),
    fileName: operation.fileName ?? null,
    persianDate: operation.persianDate,
    instance: operationInstance(operation, instance),
  }));
  const bucket = target === undefined ? null : readS3Target(target.url).url;
  return { ...identity, version, file, bucket, databases: [], trees };
}

function formatDescription({
  title,
  host,
  file,
  bucket,
  trees,
}: Awaited<ReturnType<typeof describe>>): string {
  const lines = [`${title} of ${file} on ${host}`];
  if (bucket !== null) lines.push(`uploaded to ${bucket}`);
  for (const { operation, command, fileName, persianDate, instance } of trees) {
    lines.push(`operation ${operation}: archives command.${instance}`, `  runs: ${command}`);
    if (fileName !== null) lines.push(`  file: ${fileName}${persianDate ? ' (Jalali dates)' : ''}`);
  }
  return `${lines.map(escapeControls).join('\n')}\n`;
}
