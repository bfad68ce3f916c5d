import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { EXIT } from '../../lib/errors.ts';
import { warn } from '../../lib/log.ts';
import { formatTable } from '../../lib/table.ts';
import { escapeControls, formatSize, plural } from '../../lib/text.ts';
import { type CommonOptions, setUp } from '../setup.ts';
import type { VerifiedPoint } from '../verify.ts';
import { EXIT_OF, eachSet, logged, printJson, type Result, setsVerb, shownKey } from './verb.ts';

const HEAD = ['SET', 'POINT', 'KEYS', 'SIZE', 'FOUND'];

export function declareVerify(program: Command, context: CommandContext): void {
  setsVerb(
    program,
    'verify',
    'read every restoration point, and look whether its versions are there',
    'bucket verify',
  ).action(async (names: string[], options: CommonOptions) => {
    const setup = setUp(context, options);
    await logged(setup, async () => {
      const [{ withSet }, { verifyPoints }] = await Promise.all([
        import('../run.ts'),
        import('../verify.ts'),
      ]);
      const { done, failures } = await eachSet(setup, names, (set) =>
        withSet(setup, set, 'verify', { alone: false }, verifyPoints),
      );
      const points = done.flat();
      const isBad = points.some(({ problem, missing }) => problem !== undefined || missing > 0);
      const isFailed = isBad || failures.length > 0;
      // a directory that is wrong, or not mounted, would pass for good
      const hasNone = done.some((ofSet) => ofSet.length === 0);
      if (hasNone) warn('there is a set without any point: nothing of it was verified');
      const result: Result = isFailed ? 'failed' : hasNone ? 'warnings' : 'ok';
      if (options.json) printJson({ result, points, failures });
      else {
        process.stdout.write(formatTable(HEAD, points.map(rowOf)));
        for (const { point, firstMissing } of points)
          for (const { key, versionId } of firstMissing)
            process.stdout.write(
              `gone    ${escapeControls(point)}: ${shownKey(key)}  version ${shownKey(versionId)}\n`,
            );
      }
      process.exitCode = isBad ? EXIT.verification.code : EXIT_OF[result];
    });
  });
}

function rowOf({ set, point, keys, sizeBytes, missing, problem, hasDigest }: VerifiedPoint): string[] {
  const name = escapeControls(point);
  if (problem !== undefined) return [set, name, '', '', problem];
  const found =
    missing > 0 ? `${plural(missing, 'version')} gone` : hasDigest ? 'good' : 'good (no digest of its own)';
  return [set, name, String(keys), formatSize(sizeBytes), found];
}
