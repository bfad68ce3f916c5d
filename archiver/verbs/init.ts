import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { init } from '../init.ts';
import { type CommonOptions, type Result, setUp } from '../run.ts';
import { EXIT_OF, printJson, verb } from './verb.ts';

export function declareInit(program: Command, context: CommandContext): void {
  verb(program, 'init', 'set up the archive store and the catalog', 'archiver init --accept-new')
    .option('--accept-new', 'write the keys that hosts without one offer into the configuration')
    .action(async (names: string[], options: CommonOptions & { acceptNew?: boolean }) => {
      const report = await init(setUp(context, options, names), options.acceptNew === true);
      const isOpen = report.hosts.some(({ message }) => message !== undefined);
      const result: Result = isOpen ? 'warnings' : 'ok';
      if (options.json) printJson({ result, ...report });
      process.exitCode = EXIT_OF[result];
    });
}
