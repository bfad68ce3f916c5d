// The system log, written by the host's own `logger`: a line on its stdin, never among its arguments.
import { asGarnerError, cannot } from '../lib/errors.ts';
import { capture, describeExit } from '../lib/process.ts';
import { findProgram } from '../lib/program.ts';
import { path, type SettingTable } from '../lib/settings.ts';

export const SYSLOG_SETTINGS = {
  NOTIFY_SYSLOG_SOCKET: { parse: path, default: '/dev/log', describe: 'where the syslog daemon listens' },
} as const satisfies SettingTable;

/** Above any line of ours: what is longer becomes two entries. */
const LONGEST_ENTRY_BYTES = 4096;

/**
 * @param line without line breaks
 * @param priority as logger has it: `daemon.err`
 * @throws delivery
 */
export async function writeSystemLog(
  line: string,
  { priority, socket }: { priority: string; socket: string },
  signal: AbortSignal,
): Promise<void> {
  const failure = (cause: unknown) => cannot('delivery', 'write to the system log by', socket, cause);
  // without a daemon logger would say nothing and exit with 0
  const args = ['--tag', 'garner', '--priority', priority, '--socket', socket, '--socket-errors=on'];
  try {
    const logger = {
      file: findProgram(['logger'], 'bsdutils'),
      args: [...args, '--size', `${LONGEST_ENTRY_BYTES}`],
    };
    const ended = await capture(logger, { input: `${line}\n`, signal });
    if (ended.code !== 0) throw failure(describeExit(ended));
  } catch (error) {
    const known = asGarnerError(error);
    throw known.code === 'delivery' ? known : failure(known);
  }
}
