// The command line of the archiver: options in, reports out, exit codes.
import type { Command } from 'commander';
import { type CommandMain, declareProgram, exampleText, runProgram } from '../lib/command-line.ts';
import { cannot, EXIT, type GarnerError } from '../lib/errors.ts';
import { info } from '../lib/log.ts';
import { parseDuration, plural } from '../lib/text.ts';
import { init } from './init.ts';
import { formatList, listArchives } from './list.ts';
import { type PruneReport, pruneHost } from './prune.ts';
import { pullHosts } from './pull.ts';
import { type HostReport, summarize } from './pull-host.ts';
import { rescan } from './rescan.ts';
import { type CommonOptions, checkClock, type Result, setUp, tellFailure, withStore, worst } from './run.ts';
import { verifyHosts } from './verify.ts';

const EXAMPLE = `archiver init --accept-new      set up the store of archiver.yaml, learn the hosts' keys
archiver pull                   fetch, verify, remove at the hosts, prune
archiver list web1              what there is of one host`;

const EXIT_OF: Record<Result, number> = {
  ok: EXIT.ok.code,
  warnings: EXIT.warnings.code,
  failed: EXIT.failed.code,
};

export const main: CommandMain = (args, context) => {
  const program = declareProgram('archiver', 'Pulls archives from hosts, verifies and keeps them', EXAMPLE);

  verb(program, 'init', 'set up the archive store and the catalog', 'archiver init --accept-new')
    .option('--accept-new', 'write the keys that hosts without one offer into the configuration')
    .action(async (names: string[], options: CommonOptions & { acceptNew?: boolean }) => {
      const report = await init(setUp(context, options, names), options.acceptNew === true);
      const isOpen = report.hosts.some(({ message }) => message !== undefined);
      const result: Result = isOpen ? 'warnings' : 'ok';
      if (options.json) printJson({ result, ...report });
      process.exitCode = EXIT_OF[result];
    });

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
      if (options.json) printJson({ result, ...(dryRun && { dryRun }), hosts: reports });
      const [failed, others] = [true, false].map((bad) =>
        reports.filter((report) => (report.result === 'failed') === bad),
      ) as [HostReport[], HostReport[]];
      // those that failed last: of a long log the end is shown
      for (const report of [...others, ...failed])
        info(dryRun ? `${summarize(report)} (dry run)` : summarize(report));
      if (failed.length > 0) throw hostsFailed(failed, reports.length);
      process.exitCode = EXIT_OF[result];
    });

  verb(program, 'prune', 'delete what retention lets go', 'archiver prune --dry-run --explain')
    .option('--dry-run', 'say what would be deleted; delete nothing')
    .option('--explain', 'say why each archive stays or goes')
    .option('--allow-large', 'also where much would go at once')
    .action(prune);

  verb(program, 'list', 'show the archives that there are', 'archiver list web1 --json').action(
    async (names: string[], options: CommonOptions) => {
      const archives = await listArchives(setUp(context, options, names));
      if (options.json) printJson({ result: 'ok', archives });
      else process.stdout.write(formatList(archives, new Date()));
    },
  );

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

  program
    .command('rescan')
    .description('bring the catalog in line with the archives on the disk; rebuild it where it is damaged')
    .option('--config <file>', 'in place of archiver.yaml in the configuration directory')
    .option('--json', 'print one JSON object')
    .option('--debug', 'print the stack of an error')
    .action(async (options: CommonOptions) => {
      const report = await rescan(setUp(context, options, []));
      const result: Result = report.failed.length > 0 ? 'failed' : 'ok';
      if (options.json) printJson({ result, ...report });
      const { added, vanished, failed } = report;
      info(`rescanned: ${added.length} added, ${vanished.length} vanished, ${failed.length} failed`);
      process.exitCode = result === 'ok' ? EXIT.ok.code : EXIT.verification.code;
    });

  async function prune(
    names: string[],
    options: CommonOptions & { dryRun?: boolean; explain?: boolean; allowLarge?: boolean },
  ): Promise<void> {
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
    const refused = report.refused.map(({ subject, error }) => ({ subject, ...tellFailure(subject, error) }));
    const result: Result = refused.length > 0 ? 'failed' : 'ok';
    if (options.json) printJson({ result, dryRun, keep, remove, ...(refused.length > 0 && { refused }) });
    else if (options.explain || dryRun)
      process.stdout.write(explain(report, options.explain === true, dryRun));
    info(
      `${plural(remove.length, 'archive')} ${dryRun ? 'would be deleted' : 'deleted'}, ${keep.length} kept`,
    );
    process.exitCode = EXIT_OF[result];
  }

  return runProgram(program, args);
};

const NAMED_HOSTS = 5;

/** @returns one line for all hosts that failed; what each of them said is in the log */
function hostsFailed(failed: HostReport[], of: number): GarnerError {
  const names = failed.slice(0, NAMED_HOSTS).map(({ host }) => host);
  const more = failed.length - names.length;
  const cause = failed[0]?.error?.message ?? 'the log says why';
  const count = `${failed.length} of ${plural(of, 'host')} failed`;
  return cannot(
    'hosts-failed',
    'pull from',
    names.join(', ') + (more > 0 ? ` and ${more} more` : ''),
    failed.length === 1 ? cause : `${count}, the first: ${cause}`,
  );
}

function verb(program: Command, name: string, summary: string, example: string): Command {
  return program
    .command(name)
    .description(summary)
    .argument('[host...]', 'hosts of the configuration; none: all')
    .option('--config <file>', 'in place of archiver.yaml in the configuration directory')
    .option('--json', 'print one JSON object')
    .option('--debug', 'print the stack of an error')
    .addHelpText('after', exampleText(example));
}

function explain({ keep, remove }: PruneReport, withKept: boolean, dryRun: boolean): string {
  const lines = withKept ? keep.map(({ name, reasons }) => `keep    ${name}  ${reasons.join('; ')}`) : [];
  const verb = dryRun ? 'would remove' : 'removed';
  lines.push(...remove.map(({ name, reason }) => `${withKept ? 'remove ' : verb} ${name}  ${reason}`));
  return lines.map((line) => `${line}\n`).join('');
}

function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
