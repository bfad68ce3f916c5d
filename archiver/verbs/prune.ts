import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { cannot } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { plural } from '../../lib/text.ts';
import { type PruneReport, pruneHost } from '../prune.ts';
import { type CommonOptions, checkClock, type Result, setUp, tellFailure, withStore } from '../run.ts';
import { EXIT_OF, printJson, verb } from './verb.ts';

type PruneCommandOptions = CommonOptions & { dryRun?: boolean; explain?: boolean; allowLarge?: boolean };

export function declarePrune(program: Command, context: CommandContext): void {
  verb(program, 'prune', 'delete what retention lets go', 'archiver prune --dry-run --explain')
    .option('--dry-run', 'say what would be deleted; delete nothing')
    .option('--explain', 'say why each archive stays or goes')
    .option('--allow-large', 'also where much would go at once')
    .action(async (names: string[], options: PruneCommandOptions) => {
      const setup = setUp(context, options, names);
      const { retention, file } = setup.configuration;
      const dryRun = options.dryRun === true;
      if (retention === undefined) {
        throw cannot('configuration', 'prune by', file, 'it has no retention', {
          hint: 'say there what to keep, such as retention: {daily: 7, weekly: 4, monthly: 12, minimum: 2}',
        });
      }
      const report = await withStore(setup, 'prune', async (run) => {
        await checkClock(run);
        const all: PruneReport = { keep: [], remove: [], refused: [] };
        for (const host of setup.hosts) {
          const one = await pruneHost(run, host, retention, {
            dryRun,
            allowLarge: options.allowLarge === true,
          });
          all.keep.push(...one.keep);
          all.remove.push(...one.remove);
          all.refused.push(...one.refused);
        }
        return all;
      });
      const { keep, remove } = report;
      const refused = report.refused.map(({ subject, error }) => ({
        subject,
        ...tellFailure(subject, error),
      }));
      const result: Result = refused.length > 0 ? 'failed' : 'ok';
      if (options.json) printJson({ result, dryRun, keep, remove, ...(refused.length > 0 && { refused }) });
      else if (options.explain || dryRun)
        process.stdout.write(explain(report, options.explain === true, dryRun));
      info(
        `${plural(remove.length, 'archive')} ${dryRun ? 'would be deleted' : 'deleted'}, ${keep.length} kept`,
      );
      process.exitCode = EXIT_OF[result];
    });
}

function explain({ keep, remove }: PruneReport, withKept: boolean, dryRun: boolean): string {
  const lines = withKept ? keep.map(({ name, reasons }) => `keep    ${name}  ${reasons.join('; ')}`) : [];
  const did = dryRun ? 'would remove' : 'removed';
  lines.push(...remove.map(({ name, reason }) => `${withKept ? 'remove ' : did} ${name}  ${reason}`));
  return lines.map((line) => `${line}\n`).join('');
}
