// Whether somebody is told: by which ways, whether these can work at all, and what waits unsent.
import { accessSync, constants } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { loadSettings } from '../../../lib/settings.ts';
import { formatDuration, plural, shellWord } from '../../../lib/text.ts';
import { TRANSPORTS } from '../../../notifier/all-transports.ts';
import { listQueue } from '../../../notifier/queue.ts';
import type { Transport } from '../../../notifier/transport.ts';
import { broken, type Check, type Finding, type Patient, warning } from '../check.ts';

/** Later than this the way is not only busy. */
const LONG_MS = 6 * 3_600_000;

export const messages: Check = {
  name: 'messages',
  limitMs: 15_000,
  async run(patient) {
    const { notify, configDirectory, now } = patient;
    const findings = sendmailFindings(patient);
    if (notify.channels.size === 0) {
      const why = 'a backup that fails, or never runs, fails silently';
      const remedy = `echo NOTIFY_EMAIL_TO=you@example.org >> ${shellWord(join(configDirectory, 'garner.env'))} && notify test`;
      findings.push(warning('nobody is told how a backup ended', why, remedy));
    }
    const names = await readdir(notify.queueDir).catch(() => []);
    const waiting = listQueue(notify.queueDir);
    const oldest = waiting[0];
    if (oldest !== undefined) {
      const ageMs = Math.max(0, now.getTime() - timeOf(oldest));
      const what = `${plural(waiting.length, 'message')} could not be sent, the oldest for ${formatDuration(ageMs)}`;
      const why = 'what they tell is not known to anybody';
      findings.push(
        (ageMs > LONG_MS ? broken : warning)(
          what,
          why,
          'notify test   # says what stands in the way, then: notify overdue',
        ),
      );
    }
    const damaged = names.filter((name) => name.endsWith('.damaged'));
    if (damaged.length > 0) {
      const what = `${plural(damaged.length, 'message')} of the queue can not be read any more`;
      findings.push(
        warning(
          what,
          'they were never sent',
          `less ${shellWord(notify.queueDir)}/*.damaged   # then remove them`,
        ),
      );
    }
    const ways = [...notify.channels].map(([name, { to }]) => `${name} to ${to}`).join('; ');
    return { summary: ways === '' ? 'no way is configured' : ways, findings };
  },
};

/** The name begins with its time: `20261121T184000123Z-…`. */
function timeOf(name: string): number {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)/.exec(name) ?? [];
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}

function sendmailFindings({ notify, known }: Patient): Finding[] {
  if (!notify.channels.has('email')) return [];
  const { settings } = TRANSPORTS.get('email') as Transport;
  const { NOTIFY_SMTP_URL: server, NOTIFY_SENDMAIL: sendmail } = loadSettings(settings, { known });
  if (server !== undefined) return [];
  try {
    accessSync(sendmail as string, constants.X_OK);
    return [];
  } catch {
    const what = `mail is given to ${sendmail}, which can not be run`;
    const remedy = 'sudo apt-get install msmtp-mta   # or set NOTIFY_SMTP_URL';
    return [broken(what, 'no mail leaves this host', remedy)];
  }
}
