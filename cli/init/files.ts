// The configuration that `garner init` writes: every setting that may be needed, with what it means; set is only what differs
// from the default. A file that is there stays as it is.
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory, writeFileDurably } from '../../lib/durable.ts';
import { cannot } from '../../lib/errors.ts';
import {
  CORE_SETTINGS,
  type KnownSettings,
  path,
  paths,
  type Setting,
  type SettingTable,
} from '../../lib/settings.ts';
import { NOTIFY_SETTINGS } from '../../notifier/settings.ts';
import type { Found } from './find.ts';

export interface PlannedFile {
  file: string;
  content: string;
}

/** What most hosts need of the settings that all commands share; docs/settings.md has the others. */
const COMMON = [
  'GARNER_WORK_DIR',
  'GARNER_STATE_DIR',
  'GARNER_RUN_DIR',
  'GARNER_HOST',
  'GARNER_GROUP',
  'GARNER_TIMEOUT',
  'GARNER_AGE_RECIPIENTS',
];
const NOTIFY = [
  'NOTIFY_EMAIL_TO',
  'NOTIFY_EMAIL_FROM',
  'NOTIFY_SMTP_URL',
  'NOTIFY_SMTP_PASSWORD_FILE',
  'NOTIFY_SENDMAIL',
  'NOTIFY_QUIET_OK',
];
/** An agent's own file may have these too. */
const OF_DATABASES = ['GARNER_DATABASE_URL_FILE', 'GARNER_CONTAINER'];

/** @returns the files that are to be written: those that are not there */
export function planFiles(
  directory: string,
  found: readonly Found[],
  { mailTo, env = process.env }: { mailTo: string | undefined; env?: NodeJS.ProcessEnv },
): PlannedFile[] {
  const shared = { ...CORE_SETTINGS, ...NOTIFY_SETTINGS } as SettingTable;
  const values = { ...env, ...(mailTo !== undefined && { NOTIFY_EMAIL_TO: mailTo }) };
  const files: PlannedFile[] = [
    {
      file: join(directory, 'garner.env'),
      content: [
        '# What all of garner\'s commands share on this host. "garner config check" says what is wrong with it,',
        '# docs/settings.md has all settings. A file with a password must be readable by its owner alone (chmod 600).',
        ...settingLines(COMMON, shared, values),
        '',
        '# How somebody is told: docs/notifier.md. "notify test" sends a sample.',
        ...settingLines(NOTIFY, shared, values),
      ].join('\n'),
    },
    ...found.map(({ definition, survey }) => {
      const { application, title, settings } = definition;
      const databases = survey.databases.length > 0 ? OF_DATABASES : [];
      const table = { ...shared, ...settings } as SettingTable;
      return {
        file: join(directory, `agent-${application}.env`),
        content: [
          `# ${title}: settings of agent-${application} on this host, beside those of garner.env.`,
          `# "agent-${application} describe" shows what a backup holds.`,
          ...settingLines([...Object.keys(settings), ...databases], table, values),
        ].join('\n'),
      };
    }),
  ];
  return files
    .filter(({ file }) => !isThere(file))
    .map(({ file, content }) => ({ file, content: `${content}\n` }));
}

/** @throws io, no-space, where a file has come meanwhile too */
export function writeFiles(directory: string, files: readonly PlannedFile[]): void {
  try {
    makeDirectory(directory);
  } catch (error) {
    throw cannot('io', 'make the configuration directory', directory, error, {
      hint: 'run it as root, or set GARNER_CONFIG_DIR to a directory of your own',
    });
  }
  for (const { file, content } of files) writeFileDurably(file, content);
}

export function isThere(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}

/** @returns each setting with what it means; set where the environment sets it, else as a comment */
function settingLines(names: readonly string[], table: SettingTable, env: NodeJS.ProcessEnv): string[] {
  return names.flatMap((name) => {
    const setting = table[name] ?? (table[name.replace(/_FILE$/, '')] as Setting);
    const meaning = name in table ? setting.describe : `a file with: ${setting.describe}`;
    const given = isSecret(name, table) ? undefined : env[name] || undefined;
    const value = given === undefined ? undefined : quote(absolute(given, setting));
    const usual = name in table && typeof setting.default === 'string' ? setting.default : '';
    return ['', `# ${meaning}`, value === undefined ? `#${name}=${usual}` : `${name}=${value}`];
  });
}

const isSecret = (name: string, table: KnownSettings): boolean => table[name]?.secret === true;

/** Cron starts commands elsewhere than here. */
function absolute(value: string, { parse }: Setting): string {
  if (parse === path) return path(value);
  return parse === paths ? paths(value).join(':') : value;
}

/** @returns the value as the file has it; undefined where no quotes can hold it */
function quote(value: string): string | undefined {
  if (/^[\w@%+=:,./-]+$/.test(value)) return value;
  const mark = ["'", '"', '`'].find((one) => !value.includes(one));
  // in double quotes a backslash would mean something
  if (mark === undefined || /[\0-\x1f\x7f\u2028\u2029]/.test(value) || (mark === '"' && value.includes('\\')))
    return undefined;
  return `${mark}${value}${mark}`;
}

/** @returns settings with a secret that only the environment has: no later run would have them */
export function unwrittenSecrets(known: KnownSettings, env: NodeJS.ProcessEnv = process.env): string[] {
  return Object.keys(known).filter((name) => isSecret(name, known) && env[name]);
}
