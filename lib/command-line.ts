// What all commands have in common: how they are declared, how they end, and how their errors look.
import { Command, CommanderError } from 'commander';
import own from '../package.json' with { type: 'json' };
import { asGarnerError, cannot, formatError } from './errors.ts';
import { setLogFormat, writeStderr } from './log.ts';
import type { KnownSettings } from './settings.ts';

export interface CommandContext {
  /** The command as it was called, for messages. */
  program: string;
  /** All settings of all tools: what is in none of them is unknown. */
  known: KnownSettings;
  /** The directories that the command lies in: as it was called, and where links lead from there. */
  beside?: readonly string[];
}

/** A command: gets its arguments without its own name, returns the exit code or throws. */
export type CommandMain = (args: string[], context: CommandContext) => Promise<number>;

/** @returns garner's version, from its package.json */
export function garnerVersion(): string {
  return own.version;
}

/**
 * Starts the declaration of a command line.
 * @param example one line or more, shown below --help
 */
export function declareProgram(name: string, summary: string, example: string): Command {
  const program = new Command(name)
    .description(summary)
    .version(garnerVersion(), '--version', 'print the version')
    .helpOption('--help', 'print this help')
    .option('--debug', 'print the stack of an error')
    .exitOverride()
    .configureOutput({ writeErr: () => {} }) // errors are printed by runCommand
    .addHelpText('after', exampleText(example));
  return program;
}

/** @returns an example of one line or more as it stands below --help */
export function exampleText(example: string): string {
  return `\nExample:\n${example.replace(/^/gm, '  ')}`;
}

/**
 * Parses and runs a declared command line.
 * @param program its actions set `process.exitCode` where it isn't 0
 * @returns the exit code
 */
export async function runProgram(program: Command, args: string[]): Promise<number> {
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0; // --help, --version
    const cause =
      error.code === 'commander.help' ? 'a command is missing' : error.message.replace(/^error: /, '');
    const verb = program.commands.find((command) => command.name() === args[0])?.name();
    const name = verb === undefined ? program.name() : `${program.name()} ${verb}`;
    throw cannot('usage', 'run', name, cause.replaceAll('\n', ' '), { hint: `see ${name} --help` });
  }
  return Number(process.exitCode ?? 0);
}

/**
 * Runs a command's main function as the whole process: prints its error, sets the exit code.
 * Output already written is flushed before the process ends by itself; nothing calls `process.exit` under a pipe.
 */
export async function runCommand(main: CommandMain, args: string[], context: CommandContext): Promise<void> {
  if (process.env.GARNER_LOG === 'json') setLogFormat('json');
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return; // a reader that has gone away (`| head`) is no failure of the run
    const lost = cannot('io', 'write to', 'standard output', error);
    writeStderr(`${formatError(context.program, lost)}\n`);
    process.once('exit', () => {
      process.exitCode = lost.exitCode;
    });
  });
  try {
    process.exitCode = await main(args, context);
  } catch (caught) {
    const error = asGarnerError(caught);
    const end = args.indexOf('--');
    const debug = args.slice(0, end === -1 ? undefined : end).includes('--debug');
    writeStderr(`${formatError(context.program, error, debug)}\n`);
    process.exitCode = error.exitCode;
  }
}
