import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { EXIT } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { rescan } from '../rescan.ts';
import { type CommonOptions, type Result, setUp } from '../run.ts';
import { bareVerb, printJson } from './verb.ts';

export function declareRescan(program: Command, context: CommandContext): void {
  bareVerb(
    program,
    'rescan',
    'bring the catalog in line with the archives on the disk; rebuild it where it is damaged',
    'archiver rescan',
  ).action(async (options: CommonOptions) => {
    const report = await rescan(setUp(context, options, []));
    const result: Result = report.failed.length > 0 ? 'failed' : 'ok';
    if (options.json) printJson({ result, ...report });
    const { added, vanished, failed } = report;
    info(`rescanned: ${added.length} added, ${vanished.length} vanished, ${failed.length} failed`);
    process.exitCode = result === 'ok' ? EXIT.ok.code : EXIT.verification.code;
  });
}
