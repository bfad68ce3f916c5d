import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { asGarnerError } from '../../lib/errors.ts';
import { runSignal } from '../../lib/interrupt.ts';
import { warn } from '../../lib/log.ts';
import { formatTable } from '../../lib/table.ts';
import { escapeControls, formatMinute, formatSize } from '../../lib/text.ts';
import { selectSets } from '../configuration.ts';
import { eachPiece, pointFiles } from '../points.ts';
import { type CommonOptions, setUp } from '../setup.ts';
import { EXIT_OF, logged, printJson, type Result, setsVerb } from './verb.ts';

interface ListedPoint {
  set: string;
  point: string;
  time?: string;
  keys?: number;
  sizeBytes?: number;
  bucket?: string;
  problem?: string;
}

const HEAD = ['SET', 'POINT', 'TIME', 'KEYS', 'SIZE'];

export function declareList(program: Command, context: CommandContext): void {
  setsVerb(program, 'list', 'show the restoration points that there are', 'bucket list --json')
    .alias('list-snapshots')
    .action(async (names: string[], options: CommonOptions) => {
      const setup = setUp(context, options);
      await logged(setup, async () => {
        using running = runSignal('list', setup.settings.GARNER_TIMEOUT);
        const points: ListedPoint[] = [];
        for (const { name: set, points: directory } of selectSets(setup.configuration, names)) {
          for (const file of pointFiles(directory)) {
            if (file.removing) continue;
            const point = file.name;
            try {
              const { time, count, sizeBytes, bucket } = await eachPiece(file, () => {}, running.signal);
              const more = { time: time.toISOString(), keys: count, sizeBytes };
              points.push({ set, point, ...more, ...(bucket !== undefined && { bucket }) });
            } catch (caught) {
              running.signal.throwIfAborted();
              const problem = asGarnerError(caught).message;
              warn(problem, { set, point });
              points.push({ set, point, problem });
            }
          }
        }
        const result: Result = points.some(({ problem }) => problem !== undefined) ? 'warnings' : 'ok';
        if (options.json) printJson({ result, points });
        else process.stdout.write(formatTable(HEAD, points.map(rowOf)));
        process.exitCode = EXIT_OF[result];
      });
    });
}

function rowOf({ set, point, time, keys, sizeBytes }: ListedPoint): string[] {
  const name = escapeControls(point);
  if (time === undefined) return [set, name, 'damaged', '', ''];
  return [set, name, formatMinute(time), String(keys), formatSize(sizeBytes ?? 0)];
}
