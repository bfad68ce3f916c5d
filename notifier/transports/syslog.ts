// The system log, by the host's own `logger`: one line a message, its fields as `key=value`, for whoever collects logs.
import type { SettingTable } from '../../lib/settings.ts';
import type { Message } from '../message.ts';
import { SYSLOG_SETTINGS, writeSystemLog } from '../syslog.ts';
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
  ...SYSLOG_SETTINGS,
} as const satisfies SettingTable;

const PRIORITIES = {
  OK: 'info',
  WARNINGS: 'warning',
  LOCKED: 'warning',
  FAILED: 'err',
  MISSED: 'err',
} as const satisfies Record<Message['result'], string>;

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
        const priority = `${facility}.${PRIORITIES[message.result]}`;
        await writeSystemLog(logLineOf(message), { priority, socket }, signal);
        return [];
      },
    };
  },
});
