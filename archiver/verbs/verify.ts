import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { cannot, EXIT } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { parseDuration, plural } from '../../lib/text.ts';
import { type CommonOptions, type Result, setUp, withStore } from '../run.ts';
import { verifyHosts } from '../verify.ts';
import { printJson, verb } from './verb.ts';

export function declareVerify(program: Command, context: CommandContext): void {
  verb(program, 'verify', 'read the archives again and compare', 'archiver verify --older-than 30d')
    .option('--older-than <duration>', 'only what was not verified for that long, e.g. 7d')
    .option('--all', 'whenever they were verified last (this is the default)')
    .action(async (names: string[], options: CommonOptions & { olderThan?: string; all?: boolean }) => {
      const olderThanMs = parseDuration(options.olderThan ?? '0s');
      if (olderThanMs === undefined || (options.all && options.olderThan !== undefined)) {
        throw cannot(
          'usage',
          'use option',
          '--older-than',
          'it needs a duration such as 7d, and excludes --all',
        );
      }
      const setup = setUp(context, options, names);
      const report = await withStore(setup, 'verify', (run) => verifyHosts(run, setup.hosts, olderThanMs));
      const result: Result = report.failed.length > 0 ? 'failed' : 'ok';
      if (options.json) printJson({ result, ...report });
      info(`${plural(report.verified.length, 'archive')} verified, ${report.failed.length} failed`);
      process.exitCode = result === 'ok' ? EXIT.ok.code : EXIT.verification.code;
    });
}
