import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { asGarnerError, cannot } from '../../lib/errors.ts';
import { runSignal } from '../../lib/interrupt.ts';
import { acquireLock } from '../../lib/lock.ts';
import { info, setLogFormat } from '../../lib/log.ts';
import { startProgress } from '../../lib/progress.ts';
import { CORE_SETTINGS, loadSettings } from '../../lib/settings.ts';
import { plural } from '../../lib/text.ts';
import { configurationFile, readPushConfiguration } from '../configuration.ts';
import { emptyPushReport, type PushReport, pushTo } from '../push.ts';
import { type CommonOptions, tellFailure, worst } from '../run.ts';
import { bareVerb, EXIT_OF, printJson } from './verb.ts';

interface Options extends CommonOptions {
  dryRun?: boolean;
  allowLarge?: boolean;
  init?: boolean;
}

export function declarePush(program: Command, context: CommandContext): void {
  bareVerb(program, 'push', 'copy archives from here to other stores, prune there', 'archiver push --dry-run')
    .argument('[target...]', 'targets of the configuration; none: all')
    .option('--dry-run', 'say what would be done; change nothing')
    .option('--init', 'mark targets that are new as places for archives')
    .option('--allow-large', 'prune also where much would go at once')
    .action(async (names: string[], options: Options) => {
      const settings = loadSettings(CORE_SETTINGS, { known: context.known });
      setLogFormat(settings.GARNER_LOG);
      const configuration = readPushConfiguration(configurationFile(options.config), names);
      const dryRun = options.dryRun === true;
      using running = runSignal('push', settings.GARNER_TIMEOUT);
      const progress = startProgress('push');
      const reports: PushReport[] = [];
      try {
        for (const target of configuration.targets) {
          try {
            using _lock = acquireLock(settings.GARNER_RUN_DIR, `archiver-push-${target.name}`);
            const report = await pushTo(target, configuration, {
              dryRun,
              allowLarge: options.allowLarge === true,
              init: options.init === true,
              signal: running.signal,
              onBytes: (count) => progress.add(count),
            });
            reports.push(report);
          } catch (error) {
            // one to which another run pushes, and may be stuck, holds up no other
            if (asGarnerError(error).code !== 'locked' || configuration.targets.length === 1) throw error;
            const failure = tellFailure(target.name, error);
            reports.push({
              ...emptyPushReport(target.name),
              ...{ result: 'failed', error: failure, failures: [failure] },
            });
          }
        }
      } finally {
        progress.done();
      }
      const result = worst(reports.map((report) => report.result));
      if (options.json) printJson({ result, ...(dryRun && { dryRun }), targets: reports });
      for (const report of reports) info(summarize(report) + (dryRun ? ' (dry run)' : ''));
      const failed = reports.filter(({ error }) => error !== null);
      if (failed.length > 0) {
        const cause = failed[0]?.error?.message ?? 'the log says why';
        throw cannot('hosts-failed', 'push to', failed.map(({ target }) => target).join(', '), cause);
      }
      process.exitCode = EXIT_OF[result];
    });
}

function summarize({ target, result, pushed, removed, pruned, failures }: PushReport): string {
  const parts = [`${plural(pushed.length, 'archive')} pushed`];
  if (removed.length > 0) parts.push(`${removed.length} removed here`);
  if (pruned.length > 0) parts.push(`${pruned.length} pruned there`);
  if (failures.length > 0) parts.push(plural(failures.length, 'failure'));
  return `${target}: ${result}, ${parts.join(', ')}`;
}
