// The system log, by the host's own `logger`: one line a message, its fields as `key=value`, for whoever collects logs.
import { asGarnerError, cannot } from '../../lib/errors.ts';
import { capture, describeExit } from '../../lib/process.ts';
import { findProgram } from '../../lib/program.ts';
import { path, type SettingTable } from '../../lib/settings.ts';
import type { Message } from '../message.ts';
import { defineTransport } from '../transport.ts';

const facility = (value: string): string => {
  if (!/^(user|daemon|cron|local[0-7])$/.test(value))
    throw 'it is none of user, daemon, cron, local0 to local7';
  return value;
};

const SETTINGS = {
  NOTIFY_SYSLOG_FACILITY: {
    parse: facility,
    describe: 'under which facility messages are logged, such as daemon or local0; unset: they are not',
  },
  NOTIFY_SYSLOG_SOCKET: { parse: path, default: '/dev/log', describe: 'where the syslog daemon listens' },
} as const satisfies SettingTable;

const PRIORITIES = {
  OK: 'info',
  WARNINGS: 'warning',
  LOCKED: 'warning',
  FAILED: 'err',
  MISSED: 'err',
} as const satisfies Record<Message['result'], string>;

/** Above any line of ours: what is longer becomes two entries. */
const LONGEST_ENTRY_BYTES = 4096;

/** @returns `result=FAILED name=mediawiki host=web1 id=… summary="exit code 7"`; the text that may be foreign is last */
export function logLineOf({ result, name, host, id, summary }: Message): string {
  const shownName = /^[\w.-]+$/.test(name) ? name : JSON.stringify(name);
  return `result=${result} name=${shownName} host=${host} id=${id} summary=${JSON.stringify(summary)}`;
}

export default defineTransport({
  settings: SETTINGS,
  open(values) {
    const { NOTIFY_SYSLOG_FACILITY: facility, NOTIFY_SYSLOG_SOCKET: socket } = values;
    if (facility === undefined) return undefined;
    return {
      to: `the system log by ${socket}`,
      async send(message, signal) {
        const failure = (cause: unknown) => cannot('delivery', 'write to the system log by', socket, cause);
        const priority = `${facility}.${PRIORITIES[message.result]}`;
        // without a daemon logger would say nothing and exit with 0
        const args = ['--tag', 'garner', '--priority', priority, '--socket', socket, '--socket-errors=on'];
        try {
          const logger = {
            file: findProgram(['logger'], 'bsdutils'),
            args: [...args, '--size', `${LONGEST_ENTRY_BYTES}`],
          };
          const ended = await capture(logger, { input: `${logLineOf(message)}\n`, signal });
          if (ended.code !== 0) throw failure(describeExit(ended));
        } catch (error) {
          const known = asGarnerError(error);
          throw known.code === 'delivery' ? known : failure(known);
        }
        return [];
      },
    };
  },
});
