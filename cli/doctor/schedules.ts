// What cron and systemd start on this host: the commands of their lines and timers, as far as they are garner's. They are read,
// never run.
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where schedules stand. */
export interface Places {
  /** Crontabs with a user in each line. */
  crontab: string;
  cronDirectory: string;
  /** Directories of scripts that cron runs once an hour, a day, … */
  scripts: string[];
  /** One crontab for each user, without the user in its lines. */
  spool: string;
  /** Directories of units, those that win first. */
  units: string[];
  /** Says which programs run. */
  processes: string;
  /** There where systemd runs. */
  systemd: string;
}

export const SYSTEM_PLACES: Places = {
  crontab: '/etc/crontab',
  cronDirectory: '/etc/cron.d',
  scripts: ['hourly', 'daily', 'weekly', 'monthly'].map((often) => `/etc/cron.${often}`),
  spool: '/var/spool/cron/crontabs',
  units: [
    '/etc/systemd/system',
    '/run/systemd/system',
    '/usr/local/lib/systemd/system',
    '/usr/lib/systemd/system',
    '/lib/systemd/system',
  ],
  processes: '/proc',
  systemd: '/run/systemd/system',
};

export interface Scheduled {
  /** A file, or a timer's name. */
  where: string;
  by: 'cron' | 'systemd';
  /** `agent-mediawiki`, `archiver`, `notify`. */
  program: string;
  /** What follows it. */
  args: string[];
  /** By `notify`, so that somebody is told. */
  isTold: boolean;
}

export interface Schedules {
  scheduled: Scheduled[];
  /** Files of garner's that cron passes over, each with why. */
  ignored: { file: string; because: string }[];
}

const MAX_BYTES = 1 << 20;
const OURS = /^(?:agent-[a-z][a-z0-9]*|hamster|archiver|bucket|notify)$/;
const CRON_FIELDS = /^\s*(?:@\w+|(?:[\w*?,/#~-]+\s+){4}[\w*?,/#~-]+)\s+/;

/** What can't be read is passed over: another account's crontab is not ours to judge. */
export function readSchedules(places: Places): Schedules {
  const all: Schedules = { scheduled: [], ignored: [] };
  const addLines = (file: string, hasUser: boolean): void => {
    const found = cronCommands(readText(file), hasUser).flatMap((text) => commandsIn(text, file, 'cron'));
    const because = found.length === 0 || !hasUser ? undefined : whyIgnored(file);
    if (because === undefined) all.scheduled.push(...found);
    else all.ignored.push({ file, because });
  };
  addLines(places.crontab, true);
  for (const name of namesIn(places.cronDirectory)) addLines(join(places.cronDirectory, name), true);
  for (const name of namesIn(places.spool)) addLines(join(places.spool, name), false);
  for (const directory of places.scripts) {
    for (const name of namesIn(directory)) {
      const file = join(directory, name);
      const lines = readText(file)
        .split('\n')
        .filter((line) => !line.trimStart().startsWith('#'));
      all.scheduled.push(...lines.flatMap((line) => commandsIn(line, file, 'cron')));
    }
  }
  for (const timer of enabledTimers(places.units)) {
    const text = execStart(timer, places.units);
    all.scheduled.push(...commandsIn(text, timer, 'systemd'));
  }
  return all;
}

/** @returns whether a program of one of these names runs */
export function runs(places: Places, names: readonly string[]): boolean {
  return namesIn(places.processes).some(
    (pid) => /^\d+$/.test(pid) && names.includes(readText(join(places.processes, pid, 'comm')).trim()),
  );
}

/** @returns whether an entry runs this agent's backup */
export function isOf(
  { program, args }: Scheduled,
  application: string,
  instance: string | undefined,
): boolean {
  const own = program === 'hamster' ? 'agent-command' : program;
  const at = args.findIndex((word) => word === '--instance' || word.startsWith('--instance='));
  const asked =
    at === -1 ? undefined : args[at]?.includes('=') ? args[at].slice('--instance='.length) : args[at + 1];
  return (
    own === `agent-${application}` && asked === instance && args[0] !== 'describe' && args[0] !== 'restore'
  );
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

function readText(file: string): string {
  try {
    const stat = lstatSync(file);
    if (!(stat.isFile() || stat.isSymbolicLink()) || stat.size > MAX_BYTES) return '';
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** @returns the commands of a crontab */
function cronCommands(text: string, hasUser: boolean): string[] {
  return text.split('\n').flatMap((line) => {
    const fields = CRON_FIELDS.exec(line)?.[0];
    if (fields === undefined || line.trimStart().startsWith('#')) return [];
    const rest = line.slice(fields.length);
    return [hasUser ? rest.replace(/^\S+\s+/, '') : rest];
  });
}

/** As cron(8) of Debian: such files are not read, and nobody is told. */
function whyIgnored(file: string): string | undefined {
  const name = file.slice(file.lastIndexOf('/') + 1);
  if (!/^[A-Za-z0-9_-]+$/.test(name)) return 'its name has other characters than letters, digits, - and _';
  const { mode, uid } = lstatSync(file);
  if (uid !== 0) return `it is owned by user ${uid}, not by root`;
  return mode & 0o022 ? 'others than root can change it' : undefined;
}

/** @returns garner's commands in a line of a shell; quotes keep words together */
function commandsIn(text: string, where: string, by: Scheduled['by']): Scheduled[] {
  const words = [...text.matchAll(/"([^"]*)"|'([^']*)'|[;&|]+|[^\s;&|"']+/g)].map(
    ([all, a, b]) => a ?? b ?? all,
  );
  const names = words.map((word) => word.replace(/^.*\//, ''));
  const found = names.flatMap((name, at): Scheduled[] => {
    const end = words.findIndex((word, i) => i > at && /^[;&|]+$/.test(word));
    const args = words.slice(at + 1, end === -1 ? undefined : end);
    // what `notify` wraps has an entry of its own
    if (!OURS.test(name) || (name === 'notify' && args.includes('--'))) return [];
    // as a word of another command: `systemctl start archiver`
    if (name === 'archiver' && !/^[a-z]+$/.test(args[0] ?? '')) return [];
    const isTold = names.slice(0, at).includes('notify');
    return [{ where, by, program: name, args, isTold }];
  });
  return found;
}

/** @returns the timers that systemd starts, `garner-agent@mediawiki.timer` */
function enabledTimers(units: readonly string[]): string[] {
  const wanted = units.flatMap((directory) =>
    namesIn(directory)
      .filter((name) => name.endsWith('.wants'))
      .flatMap((name) => namesIn(join(directory, name))),
  );
  return [...new Set(wanted)].filter((name) => name.endsWith('.timer'));
}

/** @returns the commands of a timer's service, `%i` filled in */
function execStart(timer: string, units: readonly string[]): string {
  const [, prefix = '', instance] = /^([^@]+)(?:@(.*))?\.timer$/.exec(timer) ?? [];
  const template = instance === undefined ? prefix : `${prefix}@`;
  const unitText = (suffix: string): string => {
    const candidates = units.flatMap((directory) =>
      [`${timer.slice(0, -'.timer'.length)}${suffix}`, `${template}${suffix}`].map((name) =>
        join(directory, name),
      ),
    );
    const found = candidates.find((file) => existsSync(file));
    return found === undefined ? '' : readText(found);
  };
  const unit = /^Unit=(.+)\.service$/m.exec(unitText('.timer'))?.[1];
  const service = unit === undefined ? unitText('.service') : readFirst(units, `${unit}.service`);
  return [...service.matchAll(/^ExecStart=[-@:+!]*(.+)$/gm)]
    .map(([, command = '']) => command.replaceAll(/%[iI]/g, instance ?? ''))
    .join(' ; ');
}

function readFirst(units: readonly string[], name: string): string {
  return units.map((directory) => readText(join(directory, name))).find((text) => text !== '') ?? '';
}
