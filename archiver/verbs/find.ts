import type { Command } from 'commander';
import { jsonPath, showPath } from '../../archive/listing.ts';
import type { CommandContext } from '../../lib/command-line.ts';
import { cannot } from '../../lib/errors.ts';
import { runSignal } from '../../lib/interrupt.ts';
import { info, warn } from '../../lib/log.ts';
import { formatSize, plural } from '../../lib/text.ts';
import { type FindReport, type FoundVersion, find } from '../find.ts';
import { type CommonOptions, type Result, setUp } from '../run.ts';
import { bareVerb, EXIT_OF, printJson } from './verb.ts';

export function declareFind(program: Command, context: CommandContext): void {
  bareVerb(
    program,
    'find',
    'show which archives hold which versions of a file or a table',
    "archiver find LocalSettings.php\narchiver find '/var/lib/mediawiki/images/**.png' web1",
  )
    .argument(
      '<file>',
      'a name or the end of a path, the whole path with / in front; * ? and ** are patterns',
    )
    .argument('[host...]', 'hosts of the configuration; none: all')
    .action(async (pattern: string, names: string[], options: CommonOptions) => {
      if (/^\/*$/.test(pattern)) throw cannot('usage', 'find', pattern, 'it names no file');
      const setup = setUp(context, options, names);
      using running = runSignal('find', setup.settings.GARNER_TIMEOUT);
      const report = await find(setup, pattern, running.signal);
      const result: Result = report.notSearched.some(({ isFailure }) => isFailure) ? 'warnings' : 'ok';
      if (options.json) printJson(jsonOf(result, pattern, report));
      else process.stdout.write(formatVersions(report.versions));
      tell(report);
      process.exitCode = EXIT_OF[result];
    });
}

const timeOf = (seconds: number): string => {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? 'at no time' : time.toISOString().replace('.000Z', 'Z');
};

function jsonOf(result: Result, pattern: string, report: FindReport): object {
  const { versions, leftOutCount, notSearched, searchedCount } = report;
  return {
    result,
    pattern,
    found: versions.map(({ path, mtimeSeconds, ...version }) => ({
      ...version,
      ...jsonPath(path),
      ...(mtimeSeconds !== undefined && { modifiedAt: timeOf(mtimeSeconds) }),
    })),
    leftOutCount,
    searchedCount,
    notSearched,
  };
}

/** @returns for each path a line, and one for each of its versions, newest first */
function formatVersions(versions: readonly FoundVersion[]): string {
  const lines: string[] = [];
  let before = '';
  for (const { host, group, kind, path, sizeBytes, mtimeSeconds, rowCount, archives } of versions) {
    const head = `${host} ${group} ${kind === 'table' ? 'table ' : ''}${showPath(path)}`;
    if (head !== before) lines.push(head);
    before = head;
    const what =
      kind === 'table'
        ? plural(rowCount ?? 0, 'row').padStart(31)
        : `${formatSize(sizeBytes ?? 0).padStart(9)}  ${timeOf(mtimeSeconds ?? 0)}`;
    const [newest, oldest] = [archives[0], archives.at(-1)];
    const where = archives.length === 1 ? newest : `${archives.length} archives, ${oldest} to ${newest}`;
    lines.push(`  ${what}  in ${where}`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

function tell({ versions, leftOutCount, notSearched, searchedCount }: FindReport): void {
  for (const { name, reason } of notSearched.filter(({ isFailure }) => isFailure))
    warn(`${name}: not searched: ${reason}`);
  const withReason = Map.groupBy(
    notSearched.filter(({ isFailure }) => !isFailure),
    ({ reason }) => reason,
  );
  for (const [reason, of] of withReason)
    info(`${plural(new Set(of.map(({ name }) => name)).size, 'archive')}: ${reason}: not searched`);
  const more = leftOutCount === 0 ? '' : `, and ${leftOutCount} more: ask for less`;
  info(`${plural(versions.length, 'version')} found in ${plural(searchedCount, 'archive')}${more}`);
}
