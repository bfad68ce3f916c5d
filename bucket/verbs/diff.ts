import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { runSignal } from '../../lib/interrupt.ts';
import { formatSize } from '../../lib/text.ts';
import { selectSet } from '../configuration.ts';
import { type Change, diffPoints } from '../diff.ts';
import { findPoint } from '../points.ts';
import { type CommonOptions, setUp } from '../setup.ts';
import { logged, printJsonList, setVerb, shownKey } from './verb.ts';

export function declareDiff(program: Command, context: CommandContext): void {
  setVerb(
    program,
    'diff',
    'show what changed between two restoration points',
    'bucket diff 20261120021500+0000UTC latest',
  )
    .argument('<before>', "a point's name, as list shows it")
    .argument('<after>', 'the same, or latest')
    .action(async (before: string, after: string, options: CommonOptions & { set?: string }) => {
      const setup = setUp(context, options);
      await logged(setup, async () => {
        using running = runSignal('diff', setup.settings.GARNER_TIMEOUT);
        const { points, name } = selectSet(setup.configuration, options.set);
        const [first, second] = [findPoint(points, before), findPoint(points, after)];
        const changes = diffPoints(first, second, running.signal);
        if (options.json) {
          const head = { result: 'ok', set: name, before: first.name, after: second.name };
          await printJsonList(head, 'changes', changes);
        } else for await (const change of changes) process.stdout.write(`${lineOf(change)}\n`);
      });
    });
}

const SIGNS: Record<Change['change'], string> = { added: '+', removed: '-', changed: '~' };

function lineOf({ change, key, before, after }: Change): string {
  const sizes = [before, after].flatMap((one) => (one === undefined ? [] : [formatSize(one.sizeBytes)]));
  return `${SIGNS[change]} ${shownKey(key)}  ${sizes.join(' -> ')}`;
}
