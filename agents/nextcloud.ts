// Nextcloud: its database (MariaDB, MySQL, PostgreSQL or SQLite), its data directory, configuration, themes and the apps that it
// doesn't bring itself, in maintenance mode. Previews, logs and half-done uploads are left out.
import { join } from 'node:path';
import type { Warning } from '../archive/manifest.ts';
import { cannot } from '../lib/errors.ts';
import { boolean, path, text } from '../lib/settings.ts';
import { shellWord } from '../lib/text.ts';
import { type AgentContext, defineAgent, type TreeSource } from './toolkit/define-agent.ts';
import {
  type NextcloudConfiguration,
  nextcloudDatabase,
  ofNextcloud,
  readNextcloud,
} from './toolkit/nextcloud-configuration.ts';
import { fileCacheChecks, nextcloudTrees, withoutDatabase } from './toolkit/nextcloud-files.ts';
import { beginMaintenance, endMaintenance, type Occ } from './toolkit/nextcloud-maintenance.ts';
import { readPhp } from './toolkit/php.ts';
import { isArray, NOT_LITERAL, type PhpValue } from './toolkit/php-values.ts';

const SETTINGS = {
  NEXTCLOUD_DIR: {
    parse: path,
    default: '/var/www/nextcloud',
    describe: "Nextcloud's directory, with occ and version.php",
  },
  NEXTCLOUD_CONFIG_DIR: {
    parse: path,
    describe: 'the directory of config.php; unset: `config` of NEXTCLOUD_DIR',
  },
  NEXTCLOUD_OCC: {
    parse: text,
    describe:
      'how occ is run, split like a command line: `docker exec -u www-data cloud php occ`; unset: `php occ` as the owner of config.php',
  },
  NEXTCLOUD_MAINTENANCE: {
    parse: boolean,
    default: 'true',
    describe:
      'false: Nextcloud stays in use during the backup; files that change meanwhile are as they were, or as they are',
  },
} as const;

type Context = AgentContext<typeof SETTINGS>;

const configDirectoryOf = ({ settings }: Context): string =>
  settings.NEXTCLOUD_CONFIG_DIR ?? join(settings.NEXTCLOUD_DIR, 'config');

const configurationOf = (context: Context): NextcloudConfiguration =>
  readNextcloud(context.settings.NEXTCLOUD_DIR, configDirectoryOf(context), context.view);

const occOf = (context: Context): Occ => ({
  root: context.settings.NEXTCLOUD_DIR,
  file: join(configDirectoryOf(context), 'config.php'),
  command: context.settings.NEXTCLOUD_OCC,
});

/** What Nextcloud's program is: `30.0.4`, and the four numbers that config.php compares. */
function programVersion({ settings, view }: Context): { text: string; numbers: string } {
  const file = join(settings.NEXTCLOUD_DIR, 'version.php');
  const { variables } = readPhp(view.readText(file), file);
  const [text, numbers] = [variables.get('OC_VersionString'), variables.get('OC_Version')] as const;
  if (typeof text !== 'string' || !isArray(numbers)) {
    throw cannot(
      'application-configuration',
      'find the version in',
      file,
      '$OC_VersionString and $OC_Version do not name it',
    );
  }
  return { text: text.replaceAll(' ', '-'), numbers: [...numbers.values()].map(String).join('.') };
}

const mayBe = (value: PhpValue | undefined): boolean => value === NOT_LITERAL || isArray(value);

export default defineAgent({
  application: 'nextcloud',
  title: 'Nextcloud',
  testedWith:
    'installations in the shape of Nextcloud 27 and 30, made from its documentation, with a real SQLite and an `occ` that answers as the documentation says',
  settings: SETTINGS,

  version: (context) => programVersion(context).text,

  build: (context) => configurationOf(context).literal('version'),

  databases: (context) => [nextcloudDatabase(configurationOf(context))],

  narrow: (context, source) => ofNextcloud(source, configurationOf(context)),

  trees(context) {
    const configuration = configurationOf(context);
    const trees = nextcloudTrees(configuration, configDirectoryOf(context), context.view);
    const [data, ...others] = trees as [TreeSource, ...TreeSource[]];
    if (context.settings.GARNER_DATABASE_URL !== undefined) return trees;
    return [withoutDatabase(data, nextcloudDatabase(configuration), context.view), ...others];
  },

  crossChecks: (context, [database]) =>
    database === undefined ? [] : fileCacheChecks(configurationOf(context), database),

  quiet: {
    async begin(context, remember) {
      if (context.settings.NEXTCLOUD_MAINTENANCE)
        await beginMaintenance(occOf(context), remember, context.signal);
    },
    end: (context) => endMaintenance(occOf(context), context.signal),
  },

  async examine(context): Promise<Warning[]> {
    const { literal } = configurationOf(context);
    const [program, data] = [programVersion(context).numbers, literal('version')];
    if (data === undefined || data === program) return [];
    const message = `an upgrade of Nextcloud is pending: the program is ${program}, its data ${data}; run occ upgrade`;
    return [{ code: 'upgrade-pending', message }];
  },

  withheld(context) {
    const { value } = configurationOf(context);
    return ['objectstore', 'objectstore_multibucket'].flatMap((name) => {
      const found = value(name);
      if (!mayBe(found)) return [];
      const certainty = found === NOT_LITERAL ? 'may lie' : 'lie';
      const what = `users' files, which ${certainty} in an object store ("${name}")`;
      return [{ what, remedy: 'keep restoration points of the bucket: bucket snapshot' }];
    });
  },

  nextSteps(context) {
    const { NEXTCLOUD_DIR, NEXTCLOUD_OCC } = context.settings;
    const occ = NEXTCLOUD_OCC ?? `sudo -u www-data php ${shellWord(join(NEXTCLOUD_DIR, 'occ'))}`;
    return [
      `${occ} maintenance:mode --off   # it was on while the backup was made`,
      `${occ} maintenance:data-fingerprint   # tells clients that files went back in time`,
      `${occ} maintenance:repair`,
      `${occ} files:scan --all   # only where files were restored without their database`,
    ];
  },
});
