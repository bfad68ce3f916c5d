// WordPress: the tables of its prefix (MariaDB or MySQL), its directory with wp-config.php, plugins, themes and uploads, and
// what of it lies elsewhere. Caches, debug.log and other plugins' backups are left out.
import { join } from 'node:path';
import { cannot } from '../lib/errors.ts';
import { info } from '../lib/log.ts';
import { path, text } from '../lib/settings.ts';
import { shellWord } from '../lib/text.ts';
import { isBelow } from './toolkit/atlassian-home.ts';
import { type AgentContext, defineAgent } from './toolkit/define-agent.ts';
import { readPhpSettings } from './toolkit/php.ts';
import {
  ofPrefix,
  readWordpress,
  type WordpressConfiguration,
  wordpressDatabase,
} from './toolkit/wordpress-configuration.ts';
import { directoriesOf, type WordpressDirectories, wordpressTrees } from './toolkit/wordpress-files.ts';
import { uploadChecks } from './toolkit/wordpress-uploads.ts';

const SETTINGS = {
  WORDPRESS_DIR: {
    parse: path,
    default: '/usr/share/wordpress',
    describe: "WordPress's directory, with wp-settings.php; Debian's package: the default",
  },
  WORDPRESS_CONFIG_FILE: {
    parse: path,
    describe:
      'its configuration; unset: wp-config.php, or the only `/etc/wordpress/config-*.php` of the package',
  },
  WORDPRESS_CONTENT_DIR: {
    parse: path,
    describe: 'its wp-content, where the configuration does not say so literally',
  },
  WORDPRESS_TABLE_PREFIX: {
    parse: text,
    describe: 'what the names of its tables begin with, where the configuration does not say so literally',
  },
} as const;

type Context = AgentContext<typeof SETTINGS>;

function configurationOf({ settings, view }: Context): WordpressConfiguration {
  const {
    WORDPRESS_DIR: root,
    WORDPRESS_CONFIG_FILE: configFile,
    WORDPRESS_TABLE_PREFIX: tablePrefix,
  } = settings;
  return readWordpress({ root, configFile, tablePrefix }, view);
}

const placesOf = ({ settings, view }: Context, configuration: WordpressConfiguration): WordpressDirectories =>
  directoriesOf(settings.WORDPRESS_DIR, settings.WORDPRESS_CONTENT_DIR, configuration, view);

/** @returns a variable of version.php */
function shipped({ settings, view }: Context, name: string): string | undefined {
  return readPhpSettings(view, join(settings.WORDPRESS_DIR, 'wp-includes/version.php')).literal(name);
}

export default defineAgent({
  application: 'wordpress',
  title: 'WordPress',
  testedWith: 'the real thing: WordPress of Debian, on MariaDB',
  settings: SETTINGS,

  version(context) {
    const version = shipped(context, 'wp_version');
    if (version !== undefined) return version;
    const { WORDPRESS_DIR } = context.settings;
    const cause = 'wp-includes/version.php does not name it';
    throw cannot('application-configuration', 'find the version in', WORDPRESS_DIR, cause);
  },

  build(context) {
    try {
      return shipped(context, 'wp_db_version');
    } catch {
      return undefined; // `version` says what is wrong
    }
  },

  databases: (context) => [wordpressDatabase(configurationOf(context))],

  narrow(context, source) {
    const { prefix } = configurationOf(context);
    if (prefix === undefined)
      info('the whole of the database is taken: set WORDPRESS_TABLE_PREFIX if others use it too');
    return ofPrefix(source, prefix ?? '');
  },

  trees(context) {
    const configuration = configurationOf(context);
    return wordpressTrees(placesOf(context, configuration), configuration, context.view);
  },

  crossChecks(context, [database]) {
    const configuration = configurationOf(context);
    const charset = configuration.constants.value('DB_CHARSET') ?? 'utf8';
    // in latin1 columns old sites keep names that the client gives otherwise
    const { prefix } = configuration;
    if (database?.engine !== 'mysql' || prefix === undefined || !/^utf8/i.test(String(charset))) return [];
    const places = placesOf(context, configuration);
    const trees = wordpressTrees(places, configuration, context.view);
    const tree = trees.find(({ root, includes }) => includes === undefined && isBelow(places.uploads, root));
    if (tree === undefined) return [];
    const sites = context.view.names(join(places.uploads, 'sites')).filter((name) => /^[1-9]\d*$/.test(name));
    return uploadChecks(database.name, prefix, tree, places.uploads, sites);
  },

  withheld(context) {
    const { constants, prefix } = configurationOf(context);
    return ['CUSTOM_USER_TABLE', 'CUSTOM_USER_META_TABLE'].flatMap((name) => {
      const table = constants.literal(name);
      if (table === undefined || table.startsWith(prefix ?? table)) return [];
      const remedy = 'it is shared with others: back up the whole database, by agent-mariadb';
      return [{ what: `the table ${table} (${name})`, remedy }];
    });
  },

  nextSteps({ settings }) {
    const wp = `wp --path=${shellWord(settings.WORDPRESS_DIR)}`;
    return [
      `${wp} core update-db   # or open /wp-admin/upgrade.php`,
      `${wp} option get siteurl   # another host: ${wp} search-replace OLD NEW`,
      `${wp} media regenerate --only-missing --yes   # only where sizes of pictures are missing`,
    ];
  },
});
