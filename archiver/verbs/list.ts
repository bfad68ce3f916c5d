import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { formatList, listArchives } from '../list.ts';
import { type CommonOptions, setUp } from '../run.ts';
import { printJsonList, verb } from './verb.ts';

export function declareList(program: Command, context: CommandContext): void {
  verb(program, 'list', 'show the archives that there are', 'archiver list web1 --json').action(
    async (names: string[], options: CommonOptions) => {
      const archives = listArchives(setUp(context, options, names));
      if (options.json) await printJsonList({ result: 'ok' }, 'archives', archives);
      else process.stdout.write(await formatList(archives, new Date()));
    },
  );
}
