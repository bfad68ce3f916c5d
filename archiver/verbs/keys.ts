import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { EXIT } from '../../lib/errors.ts';
import { info, warn } from '../../lib/log.ts';
import { formatTable } from '../../lib/table.ts';
import { escapeControls, plural } from '../../lib/text.ts';
import { type KeyUse, listKeys, retireKey } from '../keys.ts';
import { type CommonOptions, setUp, withStore } from '../run.ts';
import { bareVerb, printJson } from './verb.ts';

export function declareKeys(program: Command, context: CommandContext): void {
  bareVerb(
    program,
    'keys',
    'show which age keys the kept archives need, or retire one that none needs',
    'archiver keys --retire age1…',
  )
    .option('--retire <recipient>', 'note that its identity will be destroyed; refused where it is needed')
    .action(async (options: CommonOptions & { retire?: string }) => {
      const setup = setUp(context, options, []);
      const { retire } = options;
      if (retire !== undefined) {
        await withStore(setup, 'keys', (run) => retireKey(run, retire));
        if (options.json) printJson({ result: 'ok', retired: retire });
        info(
          `no kept archive needs ${retire}: its identity may go once no host has it in GARNER_AGE_RECIPIENTS`,
        );
        return;
      }
      const report = await withStore(setup, 'keys', listKeys);
      const lost = report.keys.filter(({ retired, neededBy }) => retired && neededBy.length > 0);
      const result = report.unreadable.length + lost.length > 0 ? 'warnings' : 'ok';
      if (options.json) printJson({ result, ...report });
      else process.stdout.write(formatKeys(report.keys));
      for (const { name, message } of report.unreadable) warn(`${name}: ${message}`);
      for (const { key, neededBy } of lost) {
        warn(`${key} is retired, and ${plural(neededBy.length, 'kept archive')} came for retired keys alone`);
      }
      if (result === 'warnings') process.exitCode = EXIT.warnings.code;
    });
}

function formatKeys(keys: readonly KeyUse[]): string {
  if (keys.length === 0) return 'no kept archive is encrypted\n';
  const rows = keys.map(({ key, retired, archives, neededBy }) => [
    escapeControls(key),
    `${archives}`,
    `${neededBy.length}`,
    retired ? 'retired' : '',
  ]);
  return formatTable(['KEY', 'ARCHIVES', 'NO OTHER KEY', ''], rows);
}
