// MediaWiki: the wiki's database (MariaDB, MySQL, PostgreSQL or SQLite), uploaded files, LocalSettings.php, extensions and skins.
import { lstatSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { cannot } from '../lib/errors.ts';
import { path } from '../lib/settings.ts';
import { shellWord } from '../lib/text.ts';
import { type AgentContext, defineAgent, type TreeSource } from './toolkit/define-agent.ts';
import { wikiDatabases } from './toolkit/mediawiki-databases.ts';
import { type UploadDirectories, uploadChecks, uploadTrees } from './toolkit/mediawiki-uploads.ts';
import { type PhpSettings, readPhpSettings } from './toolkit/php.ts';

const SETTINGS = {
  MEDIAWIKI_DIR: {
    parse: path,
    default: '/var/lib/mediawiki',
    describe: "MediaWiki's directory, with LocalSettings.php",
  },
} as const;

type Context = AgentContext<typeof SETTINGS>;

const settingsFile = ({ settings }: Context): string => join(settings.MEDIAWIKI_DIR, 'LocalSettings.php');

const readSettings = (context: Context): PhpSettings =>
  readPhpSettings(context.view, settingsFile(context), { IP: context.settings.MEDIAWIKI_DIR });

function uploadDirectories({ settings, view }: Context, php: PhpSettings): UploadDirectories {
  const deleted = php.value('wgDeletedDirectory');
  return {
    uploads: view.resolve(php.literal('wgUploadDirectory') ?? join(settings.MEDIAWIKI_DIR, 'images')),
    deleted: typeof deleted === 'string' && deleted !== '' ? view.resolve(deleted) : undefined,
  };
}

/** A part of the site that is a link is kept as what it points to. */
function siteTrees(root: string, view: Context['view']): TreeSource[] {
  const isLink = (name: string): boolean =>
    lstatSync(join(root, name), { throwIfNoEntry: false })?.isSymbolicLink() === true;
  const own = ['LocalSettings.php', 'extensions', 'skins'].filter((name) => !isLink(name));
  const linked = ['extensions', 'skins'].filter((name) => isLink(name) && view.exists(join(root, name)));
  const trees: TreeSource[] = [{ name: 'site', root, includes: own }];
  if (isLink('LocalSettings.php')) {
    const real = view.resolve(join(root, 'LocalSettings.php'));
    trees.push({ name: 'settings', root: dirname(real), includes: [basename(real)] });
  }
  for (const name of linked) trees.push({ name, root: view.resolve(join(root, name)) });
  return trees;
}

export default defineAgent({
  application: 'mediawiki',
  title: 'MediaWiki',
  testedWith: 'the real thing: MediaWiki of Debian, on MariaDB, PostgreSQL and SQLite',
  settings: SETTINGS,

  version({ settings, view }) {
    const candidates = [
      ['includes/Defines.php', /define\(\s*'MW_VERSION',\s*'([^']+)'/],
      ['includes/DefaultSettings.php', /\$wgVersion\s*=\s*'([^']+)'/],
    ] as const;
    for (const [file, pattern] of candidates) {
      const full = join(settings.MEDIAWIKI_DIR, file);
      const version = view.exists(full) ? pattern.exec(view.readText(full))?.[1] : undefined;
      if (version !== undefined) return version;
    }
    throw cannot(
      'application-configuration',
      'find the version in',
      settings.MEDIAWIKI_DIR,
      'includes/Defines.php does not name it',
    );
  },

  databases(context) {
    const file = settingsFile(context);
    return wikiDatabases(readSettings(context), file, context.settings.MEDIAWIKI_DIR, context.view);
  },

  trees(context) {
    const { settings, view } = context;
    const root = view.resolve(settings.MEDIAWIKI_DIR);
    const php = readSettings(context);
    const trees = siteTrees(root, view);
    // one that is named, or a link that leads nowhere, is a disk that isn't mounted: that fails, and loudly
    const isNamed = php.literal('wgUploadDirectory') !== undefined;
    if (!isNamed && lstatSync(join(root, 'images'), { throwIfNoEntry: false }) === undefined) return trees;
    return [...uploadTrees(uploadDirectories(context, php)), ...trees];
  },

  crossChecks(context, [database]) {
    const php = readSettings(context);
    return database === undefined ? [] : uploadChecks(php, database, uploadDirectories(context, php));
  },

  nextSteps: ({ settings }) => [
    `php ${shellWord(join(settings.MEDIAWIKI_DIR, 'maintenance/update.php'))} --quick`,
    `php ${shellWord(join(settings.MEDIAWIKI_DIR, 'maintenance/rebuildall.php'))}   # only where links or search look wrong`,
  ],
});
