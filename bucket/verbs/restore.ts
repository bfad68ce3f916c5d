import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { cannot } from '../../lib/errors.ts';
import { info, warn } from '../../lib/log.ts';
import { formatSize, plural } from '../../lib/text.ts';
import { type BucketSet, selectSet } from '../configuration.ts';
import { type Action, openPlan } from '../plan.ts';
import { findPoint } from '../points.ts';
import type { RestoreOptions } from '../restore.ts';
import { type CommonOptions, setUp } from '../setup.ts';
import { EXIT_OF, logged, printJsonList, type Result, setVerb, shownKey, tellFailedKeys } from './verb.ts';

interface Options extends CommonOptions {
  set?: string;
  at?: string;
  history?: string;
  prefix: string;
  to?: string;
  dryRun?: boolean;
  allowMissing?: boolean;
  force?: boolean;
}

export function declareRestore(program: Command, context: CommandContext): void {
  setVerb(
    program,
    'restore',
    'bring the master back to a restoration point, or to a time',
    'bucket restore latest --dry-run\nbucket restore --at 2026-11-20T14:00:00Z --history master --prefix 2015/',
  )
    .argument('[point]', "a point's name, as list shows it, or latest")
    .option('--at <time>', 'in place of a point: as the bucket was then, by its own history')
    .option('--history <role>', 'whose history --at means: master or replica', 'replica')
    .option('--prefix <text>', 'only keys that begin so', '')
    .option('--to <bucket>', 'into another bucket of the same service')
    .option('--dry-run', 'say what would be done; change nothing')
    .option('--allow-missing', 'go on though versions are gone; their keys stay as they are')
    .option('--force', 'also where what is replaced or deleted is gone for good, or of another bucket')
    .action(async (name: string | undefined, options: Options, command: Command) => {
      const setup = setUp(context, options);
      await logged(setup, async () => {
        const set = selectSet(setup.configuration, options.set);
        const of = whatOf(set, name, options, command.getOptionValueSource('history') === 'cli');
        using plan = openPlan();
        const [{ withSet }, { restore }] = await Promise.all([import('../run.ts'), import('../restore.ts')]);
        const show = (): void => {
          if (options.json) return;
          for (const action of options.dryRun ? plan.actions() : plan.actions('gone'))
            process.stdout.write(`${lineOf(action)}\n`);
        };
        const { from, to, failed, refused } = await withSet(setup, set, 'restore', { alone: true }, (run) =>
          restore(
            run,
            {
              of,
              prefix: options.prefix,
              to: options.to,
              dryRun: options.dryRun === true,
              allowMissing: options.allowMissing === true,
              force: options.force === true,
            },
            plan,
            show,
          ),
        );
        const { counts } = plan;
        const result: Result =
          failed.count > 0 ? 'failed' : counts.gone > 0 || refused !== undefined ? 'warnings' : 'ok';
        if (options.json) {
          const what = 'point' in of ? { point: of.point.name } : { at: of.at.toISOString() };
          const { prefix } = options;
          const head = { result, dryRun: options.dryRun === true, set: set.name, ...what, from, to, prefix };
          await printJsonList({ ...head, counts, failed, refused }, 'actions', plan.actions());
        }
        tellFailedKeys(failed);
        if (refused !== undefined) warn(`it would be refused: ${refused}`);
        // the counts are the plan's: which of it failed, the errors say
        const isDone = !options.dryRun && failed.count === 0;
        info(
          `${to}: ${plural(counts.copy, 'key')} ${isDone ? 'copied' : 'to copy'} (${formatSize(counts.copyBytes)}), ` +
            `${counts.delete} ${isDone ? 'deleted' : 'to delete'}, ${counts.equal} equal, ${counts.gone} gone, ${failed.count} failed`,
          { set: set.name },
        );
        process.exitCode = EXIT_OF[result];
      });
    });
}

function whatOf(
  { points }: BucketSet,
  name: string | undefined,
  { at, history }: Options,
  saysHistory: boolean,
): RestoreOptions['of'] {
  const usage = (cause: string): Error =>
    cannot('usage', 'run', 'bucket restore', cause, { hint: 'see bucket restore --help' });
  if ((name === undefined) === (at === undefined)) throw usage('it needs a point or --at, one of them');
  if (saysHistory && at === undefined) throw usage('--history is for --at');
  if (history !== 'master' && history !== 'replica') throw usage('--history is master or replica');
  if (name !== undefined) return { point: findPoint(points, name) };
  // without its zone a time is another one elsewhere
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(at ?? '');
  const time = new Date(isTime ? (at as string) : Number.NaN);
  if (Number.isNaN(time.getTime())) throw usage('--at is no time with a zone, such as 2026-11-20T14:00:00Z');
  return { at: time, history };
}

function lineOf(action: Action): string {
  switch (action.action) {
    case 'copy':
      return `copy    ${shownKey(action.key)}  ${formatSize(action.sizeBytes)}`;
    case 'delete':
      return `delete  ${shownKey(action.key)}`;
    case 'gone':
      return `gone    ${shownKey(action.key)}  version ${shownKey(action.versionId)}`;
  }
}
