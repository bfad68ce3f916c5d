// How every command is declared, for its page in the manual and for completion: asked of the commands themselves.
import { Command } from 'commander';
import { commandNames, findCommand } from '../../cli/commands.ts';

export interface Declaration {
  /** Its words: `archiver`, `archiver pull`. */
  words: string[];
  summary: string;
  usage: string;
  options: { flags: string; names: string[]; takesValue: boolean; description: string }[];
  arguments: { name: string; description: string }[];
  /** Its subcommands. */
  commands: Declaration[];
  /** What --help shows at its end, without its heading. */
  example: string;
}

/** @returns every command, those of garner's own first */
export async function declarations(): Promise<Declaration[]> {
  const { parseAsync } = Command.prototype;
  let declared: Command | undefined;
  Command.prototype.parseAsync = function (this: Command): never {
    declared = this;
    throw new Error('it is not to be run');
  };
  try {
    const all: Declaration[] = [];
    for (const name of commandNames()) {
      const main = await findCommand(name);
      declared = undefined;
      await main?.([], { program: name, known: {}, beside: [] }).catch(() => {});
      if (declared === undefined) throw new Error(`${name} declares no command line`);
      all.push(declarationOf(declared, []));
    }
    return all;
  } finally {
    Command.prototype.parseAsync = parseAsync;
  }
}

function declarationOf(command: Command, above: string[]): Declaration {
  const words = [...above, command.name()];
  const help = command.createHelp();
  return {
    words,
    summary: command.description(),
    usage: command.usage(),
    options: help.visibleOptions(command).map((option) => ({
      flags: option.flags,
      names: [option.short, option.long].filter((name) => name !== undefined),
      takesValue: option.required || option.optional,
      description: help.optionDescription(option),
    })),
    arguments: help.visibleArguments(command).map((argument) => ({
      name: argument.name(),
      description: help.argumentDescription(argument),
    })),
    commands: help
      .visibleCommands(command)
      .filter((one) => one.name() !== 'help')
      .map((one) => declarationOf(one, words)),
    example: exampleOf(command),
  };
}

function exampleOf(command: Command): string {
  let shown = '';
  command.configureOutput({
    writeOut: (text) => {
      shown += text;
    },
  });
  command.outputHelp();
  return /\nExample:\n(.*)$/s.exec(shown)?.[1]?.replace(/^ {2}/gm, '').trimEnd() ?? '';
}
