import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { type CommonOptions, setUp } from '../run.ts';
import { formatShown, showArchive } from '../show.ts';
import { bareVerb, printJson } from './verb.ts';

export function declareShow(program: Command, context: CommandContext): void {
  bareVerb(
    program,
    'show',
    'show all that is known of one archive',
    'archiver show mediawiki-web1-20260731T021500Z',
  )
    .argument('<archive>', 'its name, or its path')
    .action(async (name: string, options: CommonOptions) => {
      const archive = await showArchive(setUp(context, options, []), name);
      if (options.json) printJson({ result: 'ok', archive });
      else process.stdout.write(formatShown(archive));
    });
}
