// The settings of notify and of its transports, and what comes of them: the channels that messages leave by, and what each
// of them is for.
import { createHash } from 'node:crypto';
import { cannot } from '../lib/errors.ts';
import {
  boolean,
  CORE_SETTINGS,
  durationMs,
  list,
  loadSettings,
  type SettingSources,
  type SettingTable,
  text,
} from '../lib/settings.ts';
import { TRANSPORTS } from './all-transports.ts';
import { LEVELS, type Level } from './decide.ts';
import type { Route } from './routes.ts';
import { SYSLOG_SETTINGS } from './syslog.ts';
import type { Channel } from './transport.ts';

const transportNames = (value: string): string[] => {
  const names = list(value);
  for (const name of names) {
    if (!TRANSPORTS.has(name))
      throw `there is no transport "${name}", only ${[...TRANSPORTS.keys()].join(', ')}`;
  }
  return names;
};

const levels = (value: string): ReadonlySet<Level> => {
  const names = list(value);
  if (names.length === 0) throw `it names no level, only commas; there are ${LEVELS.join(', ')}`;
  const unknown = names.find((name) => !(LEVELS as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw `there is no level "${unknown}", only ${LEVELS.join(', ')}; another run's lock is a warning`;
  }
  return new Set(names as Level[]);
};

/** The setting with the levels of one transport. */
const levelsOf = (transport: string): string =>
  `NOTIFY_${transport.toUpperCase().replaceAll('-', '_')}_LEVELS`;

const LEVEL_SETTINGS = Object.fromEntries(
  [...TRANSPORTS]
    .filter(([, { everyRun }]) => !everyRun)
    .map(([name]) => [
      levelsOf(name),
      { parse: levels, describe: `the levels of ${name}; unset: NOTIFY_LEVELS` },
    ]),
);

const GENERAL_SETTINGS = {
  NOTIFY_NAME: { parse: text, describe: "what messages call the run; unset: the command's name" },
  NOTIFY_TRANSPORTS: {
    parse: transportNames,
    describe: 'by which ways messages leave, separated by commas; unset: by all that are configured',
  },
  NOTIFY_FALLBACK: {
    parse: transportNames,
    describe: 'transports that are used only for messages that none of the others could deliver',
  },
  NOTIFY_DIGEST_TRANSPORTS: {
    parse: transportNames,
    describe: 'how digests are sent; unset: as messages are, but by none that shows the state of a run',
  },
  NOTIFY_LEVELS: {
    parse: levels,
    default: LEVELS.join(','),
    describe: 'what is told by all transports that have no levels of their own',
  },
  NOTIFY_REMIND: {
    parse: durationMs,
    default: '1d',
    describe: 'how long the same trouble of the same run is not told again; 0s: it is told each time',
  },
  NOTIFY_VARIATION: {
    parse: boolean,
    default: 'true',
    describe:
      'false: a good run that is unlike those before it in size, duration, rows or files is no warning',
  },
  NOTIFY_QUIET_OK: { parse: boolean, default: 'false', describe: 'true: no message where all is well' },
  ...SYSLOG_SETTINGS,
} as const satisfies SettingTable;

/** All settings whose name starts with NOTIFY_. */
export const NOTIFY_SETTINGS: SettingTable = Object.assign(
  { ...GENERAL_SETTINGS },
  LEVEL_SETTINGS,
  ...[...TRANSPORTS.values()].map((transport) => transport.settings),
);

export interface NotifySettings {
  /** The channels that are configured, by their transport's name; may be none. */
  channels: ReadonlyMap<string, Channel>;
  /** What each of them is for, by the same names. */
  routes: ReadonlyMap<string, Route>;
  /** NOTIFY_LEVELS. */
  levels: ReadonlySet<Level>;
  host: string;
  /** NOTIFY_NAME. */
  name: string | undefined;
  /** How long the same trouble is not told again, in milliseconds. */
  remindMs: number;
  /** Whether a good run that is unlike those before it is a warning. */
  variation: boolean;
  /** The longest that a command may run, in milliseconds. */
  timeoutMs: number;
  /** Where the histories of runs are, beside the archives. */
  workDir: string;
  /** GARNER_GROUP. */
  group: string | undefined;
  /** Where the system log is written to. */
  syslogSocket: string;
  /** What this host keeps between runs. */
  stateDir: string;
  /** Where messages wait that could not be sent. */
  queueDir: string;
  /** Where locks lie. */
  runDir: string;
  logFormat: 'text' | 'json';
}

/**
 * Reads the settings of notify and of the transports that they name.
 * @throws configuration, naming file and key
 */
export function loadNotifySettings(sources: SettingSources): NotifySettings {
  const values = loadSettings({ ...CORE_SETTINGS, ...GENERAL_SETTINGS }, sources);
  const named = {
    NOTIFY_TRANSPORTS: values.NOTIFY_TRANSPORTS,
    NOTIFY_FALLBACK: values.NOTIFY_FALLBACK,
    NOTIFY_DIGEST_TRANSPORTS: values.NOTIFY_DIGEST_TRANSPORTS,
  };
  const forRuns = named.NOTIFY_TRANSPORTS ?? [...TRANSPORTS.keys()];
  const fallback = named.NOTIFY_FALLBACK ?? [];
  const forDigests = named.NOTIFY_DIGEST_TRANSPORTS;
  const quiet = (levels: ReadonlySet<Level>): ReadonlySet<Level> =>
    values.NOTIFY_QUIET_OK ? levels.difference(new Set(['ok'])) : levels;

  const channels = new Map<string, Channel>();
  const routes = new Map<string, Route>();
  for (const name of new Set([...forRuns, ...fallback, ...(forDigests ?? [])])) {
    const transport = TRANSPORTS.get(name)!;
    const own = loadSettings(transport.settings, sources);
    const channel = transport.open(own, values.GARNER_HOST);
    if (channel === undefined) {
      const [setting] = Object.entries(named).find(([, names]) => names?.includes(name)) ?? [];
      if (setting === undefined) continue;
      throw cannot('configuration', 'use setting', setting, `${name} is not configured`, {
        hint: 'docs/transports.md has the settings of each',
      });
    }
    const { everyRun = false } = transport;
    const showsState = everyRun || channel.newestOnly === true;
    const ownLevels = loadSettings(LEVEL_SETTINGS, sources)[levelsOf(name)];
    channels.set(name, channel);
    routes.set(name, {
      levels: quiet(ownLevels ?? values.NOTIFY_LEVELS),
      destination: digestOf(own),
      runs: fallback.includes(name) ? 'fallback' : forRuns.includes(name) ? 'always' : 'never',
      digests: forDigests?.includes(name) ?? !showsState,
      everyRun,
    });
  }
  if (fallback.length > 0 && ![...routes.values()].some(({ runs }) => runs === 'always')) {
    throw cannot('configuration', 'use setting', 'NOTIFY_FALLBACK', 'nothing is left that it stands in for', {
      hint: 'it names transports in addition to one that is no fallback',
    });
  }
  return {
    channels,
    routes,
    levels: quiet(values.NOTIFY_LEVELS),
    host: values.GARNER_HOST,
    name: values.NOTIFY_NAME,
    remindMs: values.NOTIFY_REMIND,
    variation: values.NOTIFY_VARIATION,
    timeoutMs: values.GARNER_TIMEOUT,
    workDir: values.GARNER_WORK_DIR,
    group: values.GARNER_GROUP,
    stateDir: values.GARNER_STATE_DIR,
    queueDir: `${values.GARNER_STATE_DIR}/queue`,
    syslogSocket: values.NOTIFY_SYSLOG_SOCKET,
    runDir: values.GARNER_RUN_DIR,
    logFormat: values.GARNER_LOG,
  };
}

/** How a message gets there may be mended, and it is the same place. */
const HOW = /_(PASSWORD|CA_FILE)$/;

function digestOf(settings: Record<string, unknown>): string {
  const where = Object.entries(settings).filter(([name]) => !HOW.test(name));
  return createHash('sha256').update(JSON.stringify(where)).digest('hex').slice(0, 16);
}
