import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { cannot } from '../../lib/errors.ts';
import { info, warn } from '../../lib/log.ts';
import type { Policy } from '../../lib/retention.ts';
import { parseDuration, parseSize, plural } from '../../lib/text.ts';
import { explain, explainHeld, isOdd } from '../explain.ts';
import { emptyPruneReport, pruneHost } from '../prune.ts';
import {
  type CommonOptions,
  checkClock,
  type Result,
  type Setup,
  setUp,
  tellFailure,
  withStore,
} from '../run.ts';
import { formatOutcome, simulate } from '../simulate.ts';
import { EXIT_OF, printJson, verb } from './verb.ts';

interface PruneCommandOptions extends CommonOptions {
  dryRun?: boolean;
  explain?: boolean;
  allowLarge?: boolean;
  allowOdd?: boolean;
  simulate?: boolean;
  years: string;
  every: string;
  size: string;
}

const OF_SIMULATION = ['years', 'every', 'size'];
const OF_DELETION = ['dryRun', 'explain', 'allowLarge', 'allowOdd'];

export function declarePrune(program: Command, context: CommandContext): void {
  verb(program, 'prune', 'delete what retention lets go', 'archiver prune --dry-run --explain')
    .option('--dry-run', 'say what would be deleted; delete nothing')
    .option('--explain', 'say why each archive stays or goes')
    .option('--allow-large', 'also where much would go at once')
    .option('--allow-odd', 'also where backups fail or what comes is odd')
    .option('--simulate', 'show what the policy keeps in the long run; looks at no archive')
    .option('--years <number>', 'of the simulation', '2')
    .option('--every <duration>', 'how often it makes a backup', '1d')
    .option('--size <size>', 'of each archive of it', '1GB')
    .action(async (names: string[], options: PruneCommandOptions, command: Command) => {
      refuseWhatDoesNotFit(command, options.simulate === true);
      if (options.simulate && names.length > 0)
        throw cannot('usage', 'simulate', names.join(', '), 'it looks at no host: all have one retention');
      const setup = setUp(context, options, names);
      const { retention, file } = setup.configuration;
      if (retention === undefined) {
        throw cannot('configuration', 'prune by', file, 'it has no retention', {
          hint: 'say there what to keep, such as retention: {daily: 7, weekly: 4, monthly: 12, minimum: 2}',
        });
      }
      if (options.simulate) showSimulation(retention, options);
      else await prune(setup, retention, options);
    });
}

/** Who forgets --simulate wants nothing deleted. */
function refuseWhatDoesNotFit(command: Command, isSimulation: boolean): void {
  const others = isSimulation ? OF_DELETION : OF_SIMULATION;
  const cause = isSimulation ? 'it does not go with --simulate' : 'it is for --simulate';
  for (const option of command.options) {
    const name = option.attributeName();
    if (!others.includes(name) || command.getOptionValueSource(name) !== 'cli') continue;
    throw cannot('usage', 'use option', `${option.long}`, cause);
  }
}

async function prune(setup: Setup, policy: Policy, options: PruneCommandOptions): Promise<void> {
  const dryRun = options.dryRun === true;
  const busy: string[] = [];
  const report = await withStore(setup, 'prune', async (run) => {
    await checkClock(run);
    const all = emptyPruneReport();
    for (const host of setup.hosts) {
      if (run.lock?.isBusy(host.name)) {
        busy.push(host.name);
        continue;
      }
      const one = await pruneHost(run, host, policy, {
        dryRun,
        allowLarge: options.allowLarge === true,
        allowOdd: options.allowOdd === true,
      });
      all.keep.push(...one.keep);
      all.remove.push(...one.remove);
      all.refused.push(...one.refused);
      all.held.push(...one.held);
    }
    return all;
  });
  const { keep, remove, held } = report;
  for (const one of held) (isOdd(one) ? warn : info)(explainHeld(one), { subject: one.subject });
  for (const host of busy) warn(`${host}: not pruned: a pull is still at it`);
  const refused = report.refused.map(({ subject, error }) => ({ subject, ...tellFailure(subject, error) }));
  const result: Result =
    refused.length > 0 ? 'failed' : busy.length > 0 || held.some(isOdd) ? 'warnings' : 'ok';
  if (options.json) {
    const more = { ...(held.length > 0 && { held }), ...(refused.length > 0 && { refused }) };
    printJson({ result, dryRun, keep, remove, ...more });
  } else if (options.explain) process.stdout.write(explain(report));
  else if (dryRun)
    for (const { name, reason } of remove) process.stdout.write(`would remove ${name}  ${reason}\n`);
  info(`${plural(remove.length, 'archive')} ${dryRun ? 'would be deleted' : 'deleted'}, ${keep.length} kept`);
  process.exitCode = EXIT_OF[result];
}

function showSimulation(policy: Policy, options: PruneCommandOptions): void {
  const [years, everyMs, sizeBytes] = [
    Number(options.years),
    parseDuration(options.every),
    parseSize(options.size),
  ];
  if (!(years > 0) || !everyMs || sizeBytes === undefined) {
    throw cannot('usage', 'use option', '--simulate', '--years, --every or --size has a value that is none', {
      hint: 'such as --years 2 --every 12h --size 500MB',
    });
  }
  const rehearsal = { days: Math.round(years * 365), everyMs, sizeBytes };
  const outcome = simulate(policy, rehearsal, new Date());
  if (options.json) printJson({ result: 'ok', ...rehearsal, ...outcome });
  else process.stdout.write(formatOutcome(outcome, rehearsal));
}
