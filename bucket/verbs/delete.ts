import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { selectSet } from '../configuration.ts';
import { findPoint } from '../points.ts';
import { type CommonOptions, setUp } from '../setup.ts';
import { formatReport } from './gc.ts';
import { EXIT_OF, logged, printJson, type Result, setVerb, tellFailedKeys } from './verb.ts';

export function declareDelete(program: Command, context: CommandContext): void {
  setVerb(
    program,
    'delete',
    'remove one restoration point, with versions that no other names',
    'bucket delete 20261120021500+0000UTC --dry-run',
  )
    .argument('<point>', "a point's name, as list shows it")
    .option('--dry-run', 'say what would be removed; remove nothing')
    .action(async (name: string, options: CommonOptions & { set?: string; dryRun?: boolean }) => {
      const setup = setUp(context, options);
      const dryRun = options.dryRun === true;
      await logged(setup, async () => {
        const [{ withSet }, { removeOne }] = await Promise.all([
          import('../run.ts'),
          import('../collect.ts'),
        ]);
        const set = selectSet(setup.configuration, options.set);
        const report = await withSet(setup, set, 'delete', { alone: true }, (run) =>
          removeOne(run, findPoint(set.points, name), dryRun),
        );
        if (dryRun && !options.json) process.stdout.write(formatReport(report));
        tellFailedKeys(report.failed);
        const result: Result = report.failed.count > 0 ? 'failed' : 'ok';
        if (options.json) printJson({ result, dryRun, set: set.name, ...report });
        process.exitCode = EXIT_OF[result];
      });
    });
}
