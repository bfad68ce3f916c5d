import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { EXIT } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { rescan } from '../rescan.ts';
import { type CommonOptions, type Result, setUp } from '../run.ts';
import { bareVerb, EXIT_OF, printJson } from './verb.ts';

export function declareRescan(program: Command, context: CommandContext): void {
  bareVerb(
    program,
    'rescan',
    'bring the catalog in line with the archives on the disk; rebuild it where it is damaged',
    'archiver rescan',
  ).action(async (options: CommonOptions) => {
    const report = await rescan(setUp(context, options, []));
    const { added, vanished, failed } = report;
    const result: Result = failed.length > 0 ? 'failed' : vanished.length > 0 ? 'warnings' : 'ok';
    if (options.json) printJson({ result, ...report });
    info(`rescanned: ${added.length} added, ${vanished.length} vanished, ${failed.length} failed`);
    process.exitCode = result === 'failed' ? EXIT.verification.code : EXIT_OF[result];
  });
}
