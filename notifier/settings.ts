// The settings of notify and of its transports, and what comes of them: the channels that messages leave by.
import { cannot } from '../lib/errors.ts';
import { loadModule, moduleNames } from '../lib/modules.ts';
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
import type { Channel, Transport } from './transport.ts';

const FOLDER = new URL('./transports/', import.meta.url);

/** All transports there are, by name. */
const TRANSPORTS = new Map(
  await Promise.all(
    moduleNames(FOLDER).map(async (name) => [name, await loadModule<Transport>(FOLDER, name)] as const),
  ),
);

const transportNames = (value: string): string[] => {
  const names = list(value);
  for (const name of names) {
    if (!TRANSPORTS.has(name))
      throw `there is no transport "${name}", only ${[...TRANSPORTS.keys()].join(', ')}`;
  }
  return names;
};

const GENERAL_SETTINGS = {
  NOTIFY_NAME: { parse: text, describe: "what messages call the run; unset: the command's name" },
  NOTIFY_TRANSPORTS: {
    parse: transportNames,
    describe: 'by which ways messages leave, separated by commas; unset: by all that are configured',
  },
  NOTIFY_REMIND: {
    parse: durationMs,
    default: '1d',
    describe: 'how long the same trouble of the same run is not told again; 0s: it is told each time',
  },
  NOTIFY_QUIET_OK: { parse: boolean, default: 'false', describe: 'true: no message where all is well' },
} as const satisfies SettingTable;

/** All settings whose name starts with NOTIFY_. */
export const NOTIFY_SETTINGS: SettingTable = Object.assign(
  { ...GENERAL_SETTINGS },
  ...[...TRANSPORTS.values()].map((transport) => transport.settings),
);

export interface NotifySettings {
  /** The channels that are configured, by their transport's name; may be none. */
  channels: ReadonlyMap<string, Channel>;
  host: string;
  /** NOTIFY_NAME. */
  name: string | undefined;
  quietOk: boolean;
  /** How long the same trouble is not told again, in milliseconds. */
  remindMs: number;
  /** The longest that a command may run, in milliseconds. */
  timeoutMs: number;
  /** Where the histories of runs are, beside the archives. */
  workDir: string;
  /** GARNER_GROUP. */
  group: string | undefined;
  /** Where messages wait that could not be sent. */
  queueDir: string;
  /** Where locks lie. */
  runDir: string;
  logFormat: 'text' | 'json';
}

/**
 * Reads the settings of notify and of the transports: of those that NOTIFY_TRANSPORTS names, else of all.
 * @throws configuration, naming file and key
 */
export function loadNotifySettings(sources: SettingSources): NotifySettings {
  const values = loadSettings({ ...CORE_SETTINGS, ...GENERAL_SETTINGS }, sources);
  const channels = new Map<string, Channel>();
  for (const name of values.NOTIFY_TRANSPORTS ?? TRANSPORTS.keys()) {
    const transport = TRANSPORTS.get(name)!;
    const channel = transport.open(loadSettings(transport.settings, sources), values.GARNER_HOST);
    if (channel !== undefined) channels.set(name, channel);
    else if (values.NOTIFY_TRANSPORTS !== undefined) {
      throw cannot('configuration', 'use setting', 'NOTIFY_TRANSPORTS', `${name} is not configured`, {
        hint: 'docs/transports.md has the settings of each',
      });
    }
  }
  return {
    channels,
    host: values.GARNER_HOST,
    name: values.NOTIFY_NAME,
    quietOk: values.NOTIFY_QUIET_OK,
    remindMs: values.NOTIFY_REMIND,
    timeoutMs: values.GARNER_TIMEOUT,
    workDir: values.GARNER_WORK_DIR,
    group: values.GARNER_GROUP,
    queueDir: `${values.GARNER_STATE_DIR}/queue`,
    runDir: values.GARNER_RUN_DIR,
    logFormat: values.GARNER_LOG,
  };
}
