import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { warn } from '../../lib/log.ts';
import type { CollectReport } from '../collect.ts';
import { type CommonOptions, setUp } from '../setup.ts';
import {
  EXIT_OF,
  eachSet,
  logged,
  printJson,
  type Result,
  setsVerb,
  shownKey,
  tellFailedKeys,
} from './verb.ts';

export function declareGc(program: Command, context: CommandContext): void {
  setsVerb(
    program,
    'gc',
    'remove the restoration points that retention lets go, with versions that no other names',
    'bucket gc --dry-run',
  )
    .option('--dry-run', 'say what would be removed; remove nothing')
    .option('--allow-large', 'also where many points would go at once')
    .action(async (names: string[], options: CommonOptions & { dryRun?: boolean; allowLarge?: boolean }) => {
      const setup = setUp(context, options);
      const dryRun = options.dryRun === true;
      await logged(setup, async () => {
        const [{ withSet }, { collect }] = await Promise.all([import('../run.ts'), import('../collect.ts')]);
        const { done, failures } = await eachSet(setup, names, async (set) => {
          const report = await withSet(setup, set, 'gc', { alone: true }, (run) =>
            collect(run, { dryRun, allowLarge: options.allowLarge === true }),
          );
          if (dryRun && !options.json) process.stdout.write(formatReport(report));
          tellFailedKeys(report.failed);
          if (report.refused !== undefined) warn(`${set.name}: it would be refused: ${report.refused}`);
          return { set: set.name, ...report };
        });
        const failed = failures.length > 0 || done.some((report) => report.failed.count > 0);
        const refused = done.some((report) => report.refused !== undefined);
        const bare = done.filter(({ keep, remove }) => keep.length + remove.length === 0);
        for (const { set } of bare)
          warn(`${set}: there is no point: is its directory the right one, and mounted?`);
        const result: Result = failed ? 'failed' : refused || bare.length > 0 ? 'warnings' : 'ok';
        if (options.json) printJson({ result, dryRun, sets: done, failures });
        process.exitCode = EXIT_OF[result];
      });
    });
}

/** @returns what goes and why, line by line */
export function formatReport({ keep, remove }: CollectReport): string {
  const kept = keep.map(({ point, reasons }) => `keep    ${shownKey(point)}  ${reasons.join(', ')}\n`);
  return [...kept, ...remove.map(({ point, reason }) => `remove  ${shownKey(point)}  ${reason}\n`)].join('');
}
