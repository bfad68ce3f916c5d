// Settings: option > environment > the file of the agent (or --config) > garner.env. Strict: what is misspelt, given
// twice or readable by others where it holds a secret is an error that names the file and the key.
import { spawnSync } from 'node:child_process';
import { homedir, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import {
  checkOwnership,
  parseEnvLines,
  readConfigurationText,
  readSecretFile,
} from './configuration-file.ts';
import { cannot, type GarnerError } from './errors.ts';
import { registerSecret, registerUrlSecret } from './redact.ts';
import { parseDuration } from './text.ts';

/** One setting: how its text becomes a value, and what docs say of it. */
export interface Setting<T = unknown> {
  /** @throws a text that says what is wrong with the value */
  parse: (text: string) => T;
  /** The text that stands where nothing is set; undefined: the value is undefined then. */
  default?: string | (() => string);
  /** An older name of the setting, read where this one is set nowhere. */
  alias?: string;
  /** May hold a secret: also exists as `…_FILE`, and its file must not be readable by others. */
  secret?: boolean;
  describe: string;
}

export type SettingTable = Record<string, Setting>;

/** What is to be known of a setting that somebody else reads. */
export type KnownSettings = Readonly<Record<string, Setting | { secret?: boolean }>>;

type ValueOf<S> =
  S extends Setting<infer T> ? (S extends { default: string | (() => string) } ? T : T | undefined) : never;

export type SettingValues<T extends SettingTable> = { readonly [K in keyof T]: ValueOf<T[K]> };

// What a value can be.

export const text = (value: string): string => value;
export const path = (value: string): string => {
  if (value.includes('\0')) throw 'a path has no NUL';
  return resolve(value === '~' || value.startsWith('~/') ? join(homedir(), value.slice(1)) : value);
};
export const paths = (value: string): string[] => value.split(':').filter(Boolean).map(path);
export const list = (value: string): string[] =>
  value
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean);
export const boolean = (value: string): boolean => {
  if (/^(true|yes|1)$/i.test(value)) return true;
  if (/^(false|no|0)$/i.test(value)) return false;
  throw 'it is neither true nor false';
};
export const durationMs = (value: string): number => {
  const ms = parseDuration(value);
  if (ms === undefined) throw 'it is no duration such as 90s, 15m, 6h, 1d';
  return ms;
};
export const count = (value: string): number => {
  if (!/^\d{1,15}$/.test(value)) throw 'it is no whole number';
  return Number(value);
};
export const oneOf =
  <T extends string>(...allowed: T[]) =>
  (value: string): T => {
    if (!(allowed as string[]).includes(value)) throw `it is none of ${allowed.join(', ')}`;
    return value as T;
  };
const checksums = (value: string): ('sha256' | 'sha1')[] => {
  const names = [...new Set(list(value).map(oneOf('sha256', 'sha1')))];
  if (!names.includes('sha256')) throw 'sha256 must be among them: it is what archives are verified by';
  return names;
};
/** Set, but to nobody: an archive that should be encrypted would lie there in the clear. */
const recipients = (value: string): string[] => {
  const names = list(value);
  if (names.length === 0) throw 'it names no recipient';
  return names;
};
const hostName = (value: string): string => {
  const host = value.toLowerCase();
  if (!/^[a-z0-9][a-z0-9.-]*$/.test(host)) throw 'a host name has letters, digits, dots and dashes only';
  return host;
};

const containerName = (value: string): string => {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(value))
    throw "a container's name has letters, digits, dots, dashes and underscores only";
  return value;
};

/** How long a name server may be asked for the host's name. */
const LOOKUP_LIMIT_MS = 5000;

/** @returns what `hostname -f` says; the short name where the full one can't be found */
function fullHostName(): string {
  const { stdout } = spawnSync('hostname', ['-f'], { encoding: 'utf8', timeout: LOOKUP_LIMIT_MS });
  return stdout?.trim() || hostname();
}

/** The settings that all of garner shares. */
export const CORE_SETTINGS = {
  GARNER_WORK_DIR: {
    parse: path,
    alias: 'BACKUP_HOME_DIR',
    default: '/var/lib/garner/work',
    describe: 'where archives are made; may be on NFS; BACKUP_HOME_DIR is read too',
  },
  GARNER_STATE_DIR: {
    parse: path,
    default: '/var/lib/garner/state',
    describe: 'queue of unsent messages, must-undo marks, which runs are expected',
  },
  GARNER_RUN_DIR: { parse: path, default: '/run/garner', describe: 'locks; always local to the host' },
  GARNER_HOST: { parse: hostName, default: fullHostName, describe: "the host's name in archives" },
  GARNER_GROUP: {
    parse: text,
    describe: 'set: archives are 0640 and the work directory 2770 with this group; unset: 0600 and 0700',
  },
  GARNER_LOG: { parse: oneOf('text', 'json'), default: 'text', describe: 'how logs look' },
  GARNER_TIMEOUT: { parse: durationMs, default: '6h', describe: 'the longest that a run may take' },
  GARNER_CHECKSUMS: {
    parse: checksums,
    default: 'sha256,sha1',
    describe: 'the checksum files beside an archive',
  },
  GARNER_AGE_RECIPIENTS: {
    parse: recipients,
    describe: 'age recipients; set: members are encrypted for them',
  },
  GARNER_AGE_IDENTITY_FILE: { parse: path, describe: 'the age identity that a restore decrypts with' },
  GARNER_MISSING_FILES_LIMIT: {
    parse: count,
    default: '0',
    describe: 'how many rows may name a file that is not in the archive before a backup ends with a warning',
  },
  GARNER_UNNAMED_FILES_LIMIT: {
    parse: count,
    describe: 'how many files may be named by no row before a backup ends with a warning; unset: any number',
  },
  GARNER_HOOKS_FILE: {
    parse: path,
    describe:
      'commands around a backup; unset: `agent-<application>[.<instance>].hooks.yaml`, where there is one',
  },
  GARNER_STRICT: {
    parse: boolean,
    default: 'false',
    describe: 'true: a backup fails where the archive leaves out, on purpose, what a restore needs',
  },
  MYSQLDUMP_PARAMS: { parse: text, describe: "more options for mysqldump, split like a command line's" },
  GARNER_DATABASE_URL: {
    parse: text,
    secret: true,
    describe: "overrides the database that the application's configuration names",
  },
  GARNER_CONTAINER: {
    parse: containerName,
    describe:
      'the container of the database server: its clients are run there, by docker exec or podman exec',
  },
  GARNER_CONTAINER_ENGINE: {
    parse: oneOf('docker', 'podman'),
    describe: 'what the container belongs to; unset: whichever of the two this host has',
  },
  GARNER_CONTAINER_SERVER: {
    parse: text,
    describe: 'where the server is, as seen in the container: host, host:port or the path of a socket',
  },
  GARNER_RESTORE_DATABASE_URL: { parse: text, secret: true, describe: 'the database that a restore goes to' },
  BACKUP_HOME_DIR: { parse: path, describe: 'the name that older scripts use for GARNER_WORK_DIR' },
} as const satisfies SettingTable;

/** Names that systemd sets and that only look like ours. */
const FOREIGN = new Set(['NOTIFY_SOCKET']);
/** Says where the files are: it can't stand in one of them. */
const CONFIG_DIR = 'GARNER_CONFIG_DIR';
const OURS = /^(GARNER|NOTIFY)_/;

export interface SettingSources {
  /** All settings there are, of every tool: what is neither there nor in the table is unknown. */
  known: KnownSettings;
  /** From the command line, by setting name. */
  options?: Record<string, string | undefined>;
  env?: NodeJS.ProcessEnv;
  /** `agent-mediawiki`, `agent-mediawiki.blue`: whose file is read before garner.env. */
  fileOf?: string;
  /** --config: read in place of that file. */
  configFile?: string | undefined;
}

/** @returns the directory of the configuration files */
export function configDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return env.GARNER_CONFIG_DIR ? resolve(env.GARNER_CONFIG_DIR) : '/etc/garner';
}

const COMMAND_LINE = 'the command line';

interface Source {
  /** What an error names: a file, or `the environment`. */
  origin: string;
  values: Record<string, string | undefined>;
}

/**
 * Reads the settings of a table from all their sources.
 * @returns the values by name; secrets among them are registered for redaction
 * @throws configuration, naming file and key; configuration-permissions
 */
export function loadSettings<T extends SettingTable>(table: T, sources: SettingSources): SettingValues<T> {
  const { options = {}, env = process.env, fileOf, configFile } = sources;
  const known: KnownSettings = { ...sources.known, ...table };
  const directory = configDirectory(env);
  const chain: Source[] = [{ origin: COMMAND_LINE, values: options }, environment(env, known)];
  if (configFile !== undefined) chain.push(readEnvFile(configFile, known, true));
  else if (fileOf !== undefined) chain.push(readEnvFile(join(directory, `${fileOf}.env`), known, false));
  chain.push(readEnvFile(join(directory, 'garner.env'), known, false));

  const result: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(table)) {
    const { alias } = setting as Setting;
    const found =
      lookUp(name, setting, chain) ?? (alias === undefined ? undefined : lookUp(alias, setting, chain));
    const value =
      found?.value ?? (typeof setting.default === 'function' ? setting.default() : setting.default);
    if (value === undefined) continue;
    try {
      result[name] = setting.parse(value);
    } catch (problem) {
      if (problem instanceof Error) throw problem;
      const shown = setting.secret ? 'its value' : `"${value}"`;
      const where = found === undefined ? 'the default' : `from ${found.origin}`;
      throw cannot('configuration', 'use setting', name, `${shown} ${where}: ${problem}`);
    }
    if (setting.secret) {
      // a password may look like a URL: `ab:cd` is one
      if (name.endsWith('_URL')) registerUrlSecret(value);
      if (!name.endsWith('_URL') || !URL.canParse(value)) registerSecret(value);
    }
  }
  return result as SettingValues<T>;
}

function lookUp(
  name: string,
  setting: Setting,
  chain: Source[],
): { value: string; origin: string } | undefined {
  for (const { origin, values } of chain) {
    if (origin === COMMAND_LINE && values[name] === '') {
      throw cannot('usage', 'use setting', name, `its value on ${origin} is empty`);
    }
    // an empty value is an unset one, as with `NAME= command`
    const direct = values[name] || undefined;
    const file = (setting.secret && values[`${name}_FILE`]) || undefined;
    if (direct !== undefined && file !== undefined) {
      throw cannot('configuration', 'use', origin, `both ${name} and ${name}_FILE are set`, {
        hint: 'keep one of them',
      });
    }
    if (direct !== undefined) return { value: direct, origin };
    if (file !== undefined) return { value: readSecretFile(file), origin: file };
  }
  return undefined;
}

function isKnown(name: string, known: KnownSettings): boolean {
  if (Object.hasOwn(known, name)) return true;
  return name.endsWith('_FILE') && known[name.slice(0, -'_FILE'.length)]?.secret === true;
}

function unknownSetting(origin: string, name: string, known: KnownSettings): GarnerError {
  const close =
    Object.keys(known).find(
      (other) => other.replace(/_/g, '').toLowerCase() === name.replace(/_/g, '').toLowerCase(),
    ) ??
    Object.keys(known).find(
      (other) =>
        name.replace(OURS, '').length > 3 &&
        (other.startsWith(name.slice(0, -2)) || name.startsWith(other.slice(0, -1))),
    );
  return cannot('configuration', 'use', origin, `unknown setting "${name}"`, {
    hint: close === undefined ? 'see docs/settings.md for all settings' : `did you mean ${close}?`,
  });
}

function environment(env: NodeJS.ProcessEnv, known: KnownSettings): Source {
  for (const name of Object.keys(env)) {
    if (OURS.test(name) && name !== CONFIG_DIR && !FOREIGN.has(name) && !isKnown(name, known))
      throw unknownSetting('the environment', name, known);
  }
  return { origin: 'the environment', values: env };
}

/** @param required whether its absence is an error */
function readEnvFile(file: string, known: KnownSettings, required: boolean): Source {
  let content: string;
  try {
    content = readConfigurationText(file);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (missing && !required) return { origin: file, values: {} };
    throw cannot('configuration', 'read', file, error);
  }
  const values = parseEnvLines(file, content, (name) => {
    if (!isKnown(name, known)) throw unknownSetting(file, name, known);
  });
  const hasSecret = Object.entries(values).some(
    ([name, value]) => value !== '' && known[name]?.secret === true,
  );
  checkOwnership(file, hasSecret);
  return { origin: file, values };
}
