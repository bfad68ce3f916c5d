import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { formatList, listArchives } from '../list.ts';
import { type CommonOptions, setUp } from '../run.ts';
import { printJson, verb } from './verb.ts';

export function declareList(program: Command, context: CommandContext): void {
  verb(program, 'list', 'show the archives that there are', 'archiver list web1 --json').action(
    async (names: string[], options: CommonOptions) => {
      const archives = await listArchives(setUp(context, options, names));
      if (options.json) printJson({ result: 'ok', archives });
      else process.stdout.write(formatList(archives, new Date()));
    },
  );
}
