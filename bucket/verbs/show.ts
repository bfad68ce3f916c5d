import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { runSignal } from '../../lib/interrupt.ts';
import { formatSize } from '../../lib/text.ts';
import { selectSet } from '../configuration.ts';
import type { PointVersion } from '../point-text.ts';
import { findPoint, type PointFile, readPoint } from '../points.ts';
import { type CommonOptions, setUp } from '../setup.ts';
import { logged, printJsonList, setVerb, shownKey } from './verb.ts';

interface ShowOptions extends CommonOptions {
  set?: string;
  prefix: string;
}

export function declareShow(program: Command, context: CommandContext): void {
  setVerb(program, 'show', 'show what a restoration point holds', 'bucket show latest --prefix 2015/')
    .argument('<point>', "a point's name, as list shows it, or latest")
    .option('--prefix <text>', 'only keys that begin so', '')
    .action(async (name: string, options: ShowOptions) => {
      const setup = setUp(context, options);
      await logged(setup, async () => {
        using running = runSignal('show', setup.settings.GARNER_TIMEOUT);
        const set = selectSet(setup.configuration, options.set);
        const point = findPoint(set.points, name);
        const versions = versionsOf(point, options.prefix, running.signal);
        if (options.json) {
          await printJsonList({ result: 'ok', set: set.name, point: point.name }, 'versions', versions);
          return;
        }
        for await (const { key, sizeBytes, modified, versionId } of versions) {
          const columns = [formatSize(sizeBytes).padStart(9), shownKey(modified), shownKey(versionId)];
          process.stdout.write(`${columns.join('  ')}  ${shownKey(key)}\n`);
        }
      });
    });
}

async function* versionsOf(
  point: PointFile,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<PointVersion> {
  for await (const { versions } of readPoint(point, signal))
    for (const version of versions) if (version.key.startsWith(prefix)) yield version;
}
