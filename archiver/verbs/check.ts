import type { Command } from 'commander';
import type { CommandContext } from '../../lib/command-line.ts';
import { asGarnerError, cannot, EXIT } from '../../lib/errors.ts';
import { runSignal } from '../../lib/interrupt.ts';
import { loadNotifySettings, tell } from '../../notifier/tell.ts';
import { openCatalog } from '../catalog/catalog.ts';
import { type CheckReport, check } from '../check.ts';
import { formatFindings, formatNagios, formatPrometheus, messageOf } from '../check-report.ts';
import { decideTelling, readCheckState, writeCheckState } from '../check-state.ts';
import { addSample } from '../checks/disk.ts';
import { checkMark } from '../layout.ts';
import { type CommonOptions, type Result, type Setup, setUp } from '../run.ts';
import { EXIT_OF, printJson, verb } from './verb.ts';

type CheckOptions = CommonOptions & { nagios?: boolean; prometheus?: boolean };

/** What Nagios and its like understand. */
const NAGIOS: Record<Result, number> = { ok: 0, warnings: 1, failed: 2 };
const NAGIOS_UNKNOWN = 3;

export function declareCheck(program: Command, context: CommandContext): void {
  verb(
    program,
    'check',
    'say what is missing, late, odd or in danger, and tell of it',
    'archiver check --nagios',
  )
    .option('--nagios', 'one line and the exit codes of Nagios; tells nobody else')
    .option('--prometheus', "metrics in Prometheus' text format; tells nobody else")
    .action(async (names: string[], options: CheckOptions) => {
      if ([options.json, options.nagios, options.prometheus].filter(Boolean).length > 1)
        throw cannot(
          'usage',
          'run',
          'archiver check',
          '--json, --nagios and --prometheus exclude each other',
        );
      try {
        await runCheck(setUp(context, options, names), context, options);
      } catch (error) {
        if (!options.nagios) throw error;
        process.stdout.write(`GARNER UNKNOWN - ${asGarnerError(error).message.replaceAll('|', '/')}\n`);
        process.exitCode = NAGIOS_UNKNOWN;
      }
    });
}

async function runCheck(setup: Setup, context: CommandContext, options: CheckOptions): Promise<void> {
  const { configuration, hosts, settings } = setup;
  using running = runSignal('check', settings.GARNER_TIMEOUT);
  const now = new Date();
  checkMark(configuration.root);
  await using catalog = openCatalog(configuration.catalog);
  const state = readCheckState(configuration.catalog);
  const report = await check(catalog, configuration, hosts, state.disk, now);
  const result = resultOf(report);
  const { totalBytes, freeBytes } = report.disk;
  const disk = addSample(state.disk, totalBytes - freeBytes, now);
  if (options.nagios || options.prometheus) {
    // whoever runs this tells by itself, and may not write here
    process.stdout.write(options.nagios ? formatNagios(report) : formatPrometheus(report, now));
    process.exitCode = options.nagios ? NAGIOS[result] : EXIT.ok.code;
    return;
  }
  if (options.json) printJson({ result, findings: report.findings, disk: report.disk });
  else process.stdout.write(formatFindings(report));
  process.exitCode = EXIT_OF[result];

  const telling = loadNotifySettings({ known: context.known });
  const chosen = new Set(hosts.map(({ name }) => name));
  const isAll = hosts.length === configuration.hosts.length;
  const covers = (subject: string): boolean =>
    isAll || subject === 'archiver' || chosen.has(subject.split('/')[0] as string);
  const told = decideTelling(state.open, report.findings, covers, telling.remindMs, now);
  const message = messageOf(told, telling.host);
  if (message !== undefined) await tell(message, telling, running.signal);
  // a crash in between tells once more: better than not at all
  writeCheckState(configuration.catalog, { open: told.open, disk });
}

function resultOf({ findings }: CheckReport): Result {
  if (findings.some(({ level }) => level === 'critical')) return 'failed';
  return findings.length > 0 ? 'warnings' : 'ok';
}
