// The command line of `garner init`.
import { createInterface } from 'node:readline';
import { type Command, Option } from 'commander';
import { type CommandContext, exampleText } from '../../lib/command-line.ts';
import { EXIT } from '../../lib/errors.ts';
import { runSignal } from '../../lib/interrupt.ts';
import { writeStderr } from '../../lib/log.ts';
import type { InitOptions, Person } from './init.ts';

const EXIT_OF = { ok: EXIT.ok.code, warnings: EXIT.warnings.code, failed: EXIT.failed.code } as const;

export function declareInit(program: Command, context: CommandContext): void {
  program
    .command('init')
    .description('set this host up: find its applications, write the configuration, schedule backups')
    .option('--mail-to <address>', 'who is told by mail how backups end')
    .option('--cron [file]', 'install a cron file (default: /etc/cron.d/garner)')
    .addOption(
      new Option('--timer [directory]', 'install timers of systemd (default: /etc/systemd/system)').conflicts(
        'cron',
      ),
    )
    .option('--backup', 'make a first backup of what is found')
    .option('--yes', 'ask nothing; a schedule and a backup come only by their options')
    .option('--dry-run', 'say what would be written, and write nothing')
    .option('--json', 'print one JSON object, and ask nothing')
    .addHelpText(
      'after',
      exampleText('garner init --dry-run\ngarner init --mail-to admins@example.org --cron --backup'),
    )
    .action(async (options: InitOptions & { yes?: boolean; json?: boolean }) => {
      const { init } = await import('./init.ts');
      const { formatReport, jsonOf } = await import('./report.ts');
      using run = runSignal('garner init');
      const isAsked =
        !options.yes && !options.json && !options.dryRun && process.stdin.isTTY && process.stderr.isTTY;
      using person = isAsked ? personAtTerminal(run.signal) : undefined;
      const report = await init(context, options, { signal: run.signal, person });
      process.stdout.write(options.json ? jsonOf(report) : formatReport(report));
      process.exitCode = EXIT_OF[report.result];
    });
}

/** One reader for all questions: what is typed ahead is for the next one. The terminal stays as it is, Ctrl-C too. */
function personAtTerminal(signal: AbortSignal): Person & Disposable {
  const terminal = createInterface({ input: process.stdin, terminal: false, signal });
  const answers = terminal[Symbol.asyncIterator]();
  const line = async (question: string): Promise<string> => {
    writeStderr(`${question} `);
    const { value, done } = await answers.next();
    signal.throwIfAborted();
    return done ? '' : value;
  };
  return {
    line,
    agrees: async (question) => /^y(es)?$/i.test((await line(`${question} [y/N]`)).trim()),
    [Symbol.dispose]: () => terminal.close(),
  };
}
