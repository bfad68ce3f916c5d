import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { cannot, EXIT } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { parseDuration, parseSize, plural } from '../../lib/text.ts';
import { type CommonOptions, type Result, setUp, withStore } from '../run.ts';
import { lockScrub, lockStore } from '../store-lock.ts';
import { verifyHosts } from '../verify.ts';
import { duePlaces } from '../verify-places.ts';
import { printJson, verb } from './verb.ts';

interface VerifyCommandOptions extends CommonOptions {
  olderThan?: string;
  all?: boolean;
  rate?: string;
  for?: string;
  limit?: string;
}

export function declareVerify(program: Command, context: CommandContext): void {
  verb(
    program,
    'verify',
    'read the archives again and compare, those first that nobody looked at for longest',
    'archiver verify --older-than 30d --for 2h --rate 50MB/s',
  )
    .option('--older-than <duration>', 'only what was not verified for that long, e.g. 7d')
    .option('--all', 'whenever they were verified last (this is the default)')
    .option('--rate <size/s>', 'read no faster, e.g. 50MB/s')
    .option('--for <duration>', 'begin with none after that long, e.g. 2h')
    .option('--limit <size>', 'read no more than that, e.g. 500GB; one archive always')
    .action(async (names: string[], options: VerifyCommandOptions) => {
      if (options.all && options.olderThan !== undefined)
        throw cannot('usage', 'use option', '--older-than', 'it excludes --all');
      const olderThanMs =
        read('--older-than', options.olderThan, parseDuration, 'a duration such as 7d') ?? 0;
      const forMs = read('--for', options.for, parseDuration, 'a duration such as 2h');
      const limitBytes = read('--limit', options.limit, parseSize, 'a size such as 500GB');
      const bytesPerSecond = read('--rate', options.rate, parseRate, 'a rate such as 50MB/s');
      const setup = setUp(context, options, names);
      const lock = () => lockStore(setup);
      const report = await withStore(
        setup,
        'verify',
        async (run) => {
          await using opened = new AsyncDisposableStack();
          const { due, failed } =
            names.length > 0 ? { due: [], failed: [] } : await duePlaces(run, opened, bytesPerSecond);
          const limits = { olderThanMs, forMs, limitBytes, bytesPerSecond, lock };
          const report = await verifyHosts(run, setup.hosts, limits, due);
          return { ...report, failed: [...failed, ...report.failed] };
        },
        lockScrub,
      );
      const result: Result = report.failed.length > 0 ? 'failed' : 'ok';
      if (options.json) printJson({ result, ...report });
      const left = report.leftCount > 0 ? `, ${report.leftCount} left for another time` : '';
      info(`${plural(report.verified.length, 'archive')} verified, ${report.failed.length} failed${left}`);
      process.exitCode = result === 'ok' ? EXIT.ok.code : EXIT.verification.code;
    });
}

/** @throws usage where an option that was given has no such value */
function read(
  name: string,
  value: string | undefined,
  parse: (text: string) => number | undefined,
  what: string,
): number | undefined {
  if (value === undefined) return undefined;
  const number = parse(value);
  if (number === undefined) throw cannot('usage', 'use option', name, `it needs ${what}`);
  return number;
}

function parseRate(text: string): number | undefined {
  const bytes = /\/s$/.test(text) ? parseSize(text.slice(0, -2)) : undefined;
  return bytes === 0 ? undefined : bytes;
}
