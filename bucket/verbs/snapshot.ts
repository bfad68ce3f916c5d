import { join } from 'node:path';
import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { type CommonOptions, setUp } from '../setup.ts';
import { EXIT_OF, eachSet, logged, printJson, type Result, setsVerb, tellFailedKeys } from './verb.ts';

export function declareSnapshot(program: Command, context: CommandContext): void {
  setsVerb(program, 'snapshot', 'make a restoration point', 'bucket snapshot photos').action(
    async (names: string[], options: CommonOptions) => {
      const setup = setUp(context, options);
      await logged(setup, async () => {
        const [{ withSet }, { snapshot }] = await Promise.all([
          import('../run.ts'),
          import('../snapshot.ts'),
        ]);
        const { done, failures } = await eachSet(setup, names, async (set) => {
          const report = await withSet(setup, set, 'snapshot', { alone: true }, snapshot);
          if (!options.json) process.stdout.write(`${join(set.points, report.point)}\n`);
          if (report.replicated !== undefined) tellFailedKeys(report.replicated.failed);
          return report;
        });
        const odd = done.some(({ keys, replicated }) => keys === 0 || (replicated?.failed.count ?? 0) > 0);
        const result: Result = failures.length > 0 ? 'failed' : odd ? 'warnings' : 'ok';
        if (options.json) printJson({ result, points: done, failures });
        process.exitCode = EXIT_OF[result];
      });
    },
  );
}
