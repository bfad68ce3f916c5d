import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { cannot, type GarnerError } from '../../lib/errors.ts';
import { plural } from '../../lib/text.ts';
import { pullHosts } from '../pull.ts';
import type { HostReport } from '../pull-host.ts';
import { formatPull } from '../pull-summary.ts';
import { type CommonOptions, setUp, withStore, worst } from '../run.ts';
import { EXIT_OF, printJson, verb } from './verb.ts';

export function declarePull(program: Command, context: CommandContext): void {
  verb(program, 'pull', 'fetch what is new at the hosts, verify it, prune', 'archiver pull web1 web2')
    .option('--no-prune', 'leave retention for another time')
    .option('--dry-run', 'say what would be fetched; change nothing')
    .action(async (names: string[], options: CommonOptions & { prune: boolean; dryRun?: boolean }) => {
      const setup = setUp(context, options, names);
      const dryRun = options.dryRun === true;
      const reports = await withStore(setup, 'pull', (run) =>
        pullHosts(run, setup.hosts, { prune: options.prune, dryRun }),
      );
      const result = worst(reports.map((report) => report.result));
      const failed = reports.filter((report) => report.result === 'failed');
      if (options.json) printJson({ result, ...(dryRun && { dryRun }), hosts: reports });
      else process.stdout.write(formatPull(reports, dryRun));
      if (failed.length > 0) throw hostsFailed(failed, reports.length);
      process.exitCode = EXIT_OF[result];
    });
}

const NAMED_HOSTS = 5;

/** @returns one line for all hosts that failed; what each of them said is in the log */
function hostsFailed(failed: HostReport[], of: number): GarnerError {
  const names = failed.slice(0, NAMED_HOSTS).map(({ host }) => host);
  const more = failed.length - names.length;
  const cause = failed[0]?.error?.message ?? 'the log says why';
  const failures = failed[0]?.failureCount ?? 0;
  const oneHost = failures > 1 ? `${failures} failures, the first: ${cause}` : cause;
  const count = `${failed.length} of ${plural(of, 'host')} failed`;
  return cannot(
    'hosts-failed',
    'pull from',
    names.join(', ') + (more > 0 ? ` and ${more} more` : ''),
    failed.length === 1 ? oneHost : `${count}, the first: ${cause}`,
  );
}
