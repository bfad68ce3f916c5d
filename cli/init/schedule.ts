// When the agents of a host run: one cron file, or timers of systemd. Start times are spread over the night, and a host keeps
// its own.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory, writeFileDurably } from '../../lib/durable.ts';
import { cannot } from '../../lib/errors.ts';
import { captureOk } from '../../lib/process.ts';
import { jitterOf } from '../../notifier/schedule.ts';
import type { ConfiguredAgent } from '../configured-agents.ts';
import { isThere } from './files.ts';

export const CRON_FILE = '/etc/cron.d/garner';
export const UNIT_DIRECTORY = '/etc/systemd/system';

/** From one o'clock in the night, for four hours. */
const FIRST_MINUTE = 60;
const SPREAD_MINUTES = 240;

export interface Places {
  /** The directory of garner's commands. */
  bin: string;
  host: string;
  /** Whose runs they are. */
  user: string;
  /** Set where it is not the usual one. */
  configDirectory: string | undefined;
}

/** @returns a crontab's five fields: once each night, always at the same time */
export function nightly(host: string, series: string): string {
  const minute = FIRST_MINUTE + jitterOf(host, series, SPREAD_MINUTES);
  return `${minute % 60} ${Math.floor(minute / 60)} * * *`;
}

/** @returns what runs an agent by notify: garner's own names, so no word needs quotes */
export function wrapped(
  host: string,
  { series, command }: Pick<ConfiguredAgent, 'series' | 'command'>,
): string {
  return `notify --schedule "${nightly(host, series)}" -- ${command}`;
}

const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const pathOf = (bin: string): string =>
  SYSTEM_PATH.split(':').includes(bin) ? SYSTEM_PATH : `${bin}:${SYSTEM_PATH}`;

/** @returns a word as units have it */
const unitWord = (text: string): string =>
  /^[\w@+=:,./-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&').replaceAll('%', '%%')}"`;

/** @returns the directory of garner's commands, from where they may be */
export const commandDirectory = (beside: readonly string[]): string =>
  beside.find((one) => existsSync(join(one, 'notify'))) ?? '/usr/bin';

/** @returns what lines of a crontab need in front of them: cron's own PATH is `/usr/bin:/bin` */
export const cronHead = ({ bin, configDirectory }: Pick<Places, 'bin' | 'configDirectory'>): string[] => [
  `PATH=${pathOf(bin)}`,
  ...(configDirectory === undefined ? [] : [`GARNER_CONFIG_DIR=${configDirectory}`]),
];

/** @returns a file for /etc/cron.d */
export function cronText(
  agents: readonly ConfiguredAgent[],
  { bin, host, user, configDirectory }: Places,
): string {
  return [
    '# Backups of this host, by `garner init`. notify tells how they ended, by mail or as garner.env says.',
    'MAILTO=""',
    ...cronHead({ bin, configDirectory }),
    ...agents.map((agent) => `${nightly(host, agent.series)}  ${user}  ${wrapped(host, agent)}`),
    '# each hour: tells what should have run by now',
    `5 * * * *  ${user}  notify overdue`,
    '',
  ].join('\n');
}

/** @throws io, also where there is such a file */
export function installCron(file: string, text: string): void {
  if (isThere(file)) {
    throw cannot('io', 'install the cron file', file, 'there is one already', {
      hint: 'garner init without --cron prints the lines to add to it',
    });
  }
  try {
    writeFileDurably(file, text, { access: { mode: 0o644 } });
  } catch (error) {
    throw cannot('io', 'install the cron file', file, (error as Error).cause ?? error, {
      hint: 'run it as root, or put the lines of `garner init --dry-run`, without the user, into your own: crontab -e',
    });
  }
}

export interface Unit {
  name: string;
  text: string;
}

/** @returns a timer and a service for each agent, named as those of the packages, and those of `notify overdue` */
export function timerUnits(
  agents: readonly ConfiguredAgent[],
  { bin, host, user, configDirectory }: Places,
): Unit[] {
  const service = (description: string, command: string, success: number): string =>
    [
      '# By `garner init`.',
      '[Unit]',
      `Description=${description}`,
      'Wants=network-online.target',
      'After=network-online.target',
      '',
      '[Service]',
      'Type=oneshot',
      // with it systemd sets HOME, where clients of databases have their option files
      `User=${user}`,
      `Environment=${unitWord(`PATH=${pathOf(bin)}`)}`,
      ...(configDirectory === undefined
        ? []
        : [`Environment=${unitWord(`GARNER_CONFIG_DIR=${configDirectory}`)}`]),
      `ExecStart=${unitWord(`${bin}/notify`)}${command.replace(/^notify/, '')}`,
      '# somebody was told',
      `SuccessExitStatus=${success}`,
      'Nice=10',
      'IOSchedulingClass=best-effort',
      'IOSchedulingPriority=7',
      'TimeoutStopSec=5min',
      '',
    ].join('\n');
  const timer = (description: string, onCalendar: string): string =>
    [
      '# By `garner init`.',
      '[Unit]',
      `Description=${description}`,
      '',
      '[Timer]',
      `OnCalendar=${onCalendar}`,
      'Persistent=yes',
      '',
      '[Install]',
      'WantedBy=timers.target',
      '',
    ].join('\n');
  const own = agents.flatMap((agent): Unit[] => {
    const [minute = '', hour = ''] = nightly(host, agent.series).split(' ');
    const name = `garner-agent@${agent.series}`;
    const at = `*-*-* ${hour.padStart(2, '0')}:${minute.padStart(2, '0')}:00`;
    const text = `Backup of ${agent.series} by garner`;
    return [
      { name: `${name}.service`, text: service(text, wrapped(host, agent), 3) },
      { name: `${name}.timer`, text: timer(text, at) },
    ];
  });
  const watch = 'Runs that should have been are told by garner';
  return [
    ...own,
    { name: 'garner-overdue.service', text: service(watch, 'notify overdue', 1) },
    { name: 'garner-overdue.timer', text: timer(watch, '*-*-* *:05:00') },
  ];
}

/**
 * Writes units that are not there, and starts the timers where systemd runs.
 * @param directory another one than systemd's is only written
 * @returns the files that were written
 * @throws io, program-failed
 */
export async function installTimers(
  directory: string,
  units: readonly Unit[],
  signal: AbortSignal,
): Promise<string[]> {
  const missing = units.filter(({ name }) => !isThere(join(directory, name)));
  makeDirectory(directory, 0o755);
  for (const { name, text } of missing) {
    writeFileDurably(join(directory, name), text, { access: { mode: 0o644 } });
  }
  if (directory === UNIT_DIRECTORY && existsSync('/run/systemd/system')) {
    const timers = units.map(({ name }) => name).filter((name) => name.endsWith('.timer'));
    await captureOk({ file: 'systemctl', args: ['daemon-reload'] }, { signal });
    await captureOk({ file: 'systemctl', args: ['enable', '--now', ...timers] }, { signal });
  }
  return missing.map(({ name }) => join(directory, name));
}
