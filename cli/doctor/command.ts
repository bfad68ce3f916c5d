// The command line of `garner doctor`.
import type { Command } from 'commander';
import { type CommandContext, exampleText } from '../../lib/command-line.ts';
import { runSignal } from '../../lib/interrupt.ts';

export function declareDoctor(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .description('look at all that backups of this host depend on, and say what to do')
    .option('--json', 'print one JSON object')
    .addHelpText('after', exampleText('garner doctor\ngarner doctor --json'))
    .action(async ({ json }: { json?: boolean }) => {
      const { EXIT_OF, examine, formatDiagnosis } = await import('./doctor.ts');
      using run = runSignal('garner doctor');
      const diagnosis = await examine(context, run.signal);
      const { hangs, ...report } = diagnosis;
      const text = json ? `${JSON.stringify(report)}\n` : formatDiagnosis(diagnosis);
      process.exitCode = EXIT_OF[diagnosis.result];
      await new Promise((written) => process.stdout.write(text, written));
      // a thread that waits for a disk would keep the process for as long
      if (hangs) process.exit();
    });
}
