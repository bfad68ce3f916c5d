import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { info } from '../../lib/log.ts';
import { selectSet } from '../configuration.ts';
import { type CommonOptions, setUp } from '../setup.ts';
import { logged, printJson, setVerb } from './verb.ts';

interface Options extends CommonOptions {
  set?: string;
  back?: boolean;
  force?: boolean;
  dryRun?: boolean;
}

export function declareFailover(program: Command, context: CommandContext): void {
  setVerb(program, 'failover', 'switch the roles of master and replica', 'bucket failover --set photos')
    .option('--back', 'to the roles as they are configured')
    .option('--force', 'also where the two differ, or one of them is lost')
    .option('--dry-run', 'say whether it would be refused; change nothing')
    .action(async (options: Options) => {
      const setup = setUp(context, options);
      await logged(setup, async () => {
        const [{ withSet }, { failover }] = await Promise.all([
          import('../run.ts'),
          import('../failover.ts'),
        ]);
        const set = selectSet(setup.configuration, options.set);
        const dryRun = options.dryRun === true;
        const { master, replica, switchedAt } = await withSet(
          setup,
          set,
          'failover',
          { alone: true },
          (run) => failover(run, { back: options.back === true, force: options.force === true, dryRun }),
        );
        info(
          dryRun
            ? `${set.name}: would be switched: the master would be s3://${replica.bucket}, the replica s3://${master.bucket}`
            : `${set.name}: the master is s3://${master.bucket}, the replica s3://${replica.bucket}`,
        );
        const state = { master: master.bucket, replica: replica.bucket, switchedAt: switchedAt ?? null };
        if (options.json) printJson({ result: 'ok', dryRun, set: set.name, ...state });
      });
    });
}
