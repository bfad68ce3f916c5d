// MediaWiki: the wiki's database (MariaDB, MySQL or SQLite), uploaded files, LocalSettings.php, extensions and skins.
import { lstatSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { DatabaseSource } from '../databases/toolkit/engine.ts';
import { cannot } from '../lib/errors.ts';
import { path } from '../lib/settings.ts';
import { shellWord } from '../lib/text.ts';
import { type AgentContext, defineAgent, type TreeSource } from './toolkit/define-agent.ts';
import { NOT_LITERAL, type PhpValue, readPhpVariables } from './toolkit/php.ts';
import { memberName, notLiteral } from './toolkit/sources.ts';

const SETTINGS = {
  MEDIAWIKI_DIR: {
    parse: path,
    default: '/var/lib/mediawiki',
    describe: "MediaWiki's directory, with LocalSettings.php",
  },
} as const;

type Context = AgentContext<typeof SETTINGS>;

const settingsFile = ({ settings }: Context): string => join(settings.MEDIAWIKI_DIR, 'LocalSettings.php');

function readVariables(context: Context): (name: string) => PhpValue | undefined {
  const file = settingsFile(context);
  const known = { IP: context.settings.MEDIAWIKI_DIR };
  const variables = readPhpVariables(context.view.readText(file), file, known);
  return (name) => variables.get(name);
}

/** @returns a literal value as text, or undefined where the variable isn't set */
function literal(
  context: Context,
  variable: (name: string) => PhpValue | undefined,
  name: string,
): string | undefined {
  const value = variable(name);
  if (value === NOT_LITERAL) throw notLiteral(settingsFile(context), `$${name}`);
  return value === undefined || value === null || value === '' ? undefined : String(value);
}

/** The tables of the installed MediaWiki, from the file that it creates them by. */
function expectedTables({ settings, view }: Context, prefix: string): string[] {
  const file = join(settings.MEDIAWIKI_DIR, 'maintenance/tables-generated.sql');
  if (!view.exists(file)) return [];
  return [...view.readText(file).matchAll(/^CREATE TABLE \/\*_\*\/(\w+)/gm)].map(
    ([, name]) => `${prefix}${name}`,
  );
}

function mysqlSource(context: Context, variable: (name: string) => PhpValue | undefined): DatabaseSource {
  const value = (name: string): string | undefined => literal(context, variable, name);
  // what isn't set here is set in a file that this one includes
  const unset = ['wgDBname', 'wgDBuser', 'wgDBpassword'].find((name) => variable(name) === undefined);
  if (unset !== undefined) throw notLiteral(settingsFile(context), `$${unset}`);
  const database = value('wgDBname') ?? 'my_wiki';
  const server = value('wgDBserver') ?? 'localhost';
  // h, h:3307, h:/path.sock, [::1]:3306, ::1
  const [, host, rest] = /^(\[[^\]]*\]|[^:]*)(?::([^:]*))?$/.exec(server) ?? [undefined, server, undefined];
  const isSocket = rest?.startsWith('/');
  const port = value('wgDBport') ?? (isSocket ? undefined : rest);
  if (port !== undefined && !/^\d{1,5}$/.test(port)) throw notLiteral(settingsFile(context), 'a port number');
  const prefix = value('wgDBprefix') ?? '';
  return {
    name: memberName(database),
    engine: 'mysql',
    connection: {
      host: host?.replace(/^\[(.*)\]$/, '$1') || undefined,
      port: port === undefined ? undefined : Number(port),
      socket: isSocket ? rest : undefined,
      user: value('wgDBuser'),
      password: value('wgDBpassword'),
      database,
    },
    expectedTables: expectedTables(context, prefix),
    // a MyISAM table that maintenance/rebuildtextindex.php makes anew from the pages
    derivedTables: [`${prefix}searchindex`],
  };
}

function sqliteSources(context: Context, variable: (name: string) => PhpValue | undefined): DatabaseSource[] {
  const directory =
    literal(context, variable, 'wgSQLiteDataDir') ?? join(dirname(context.settings.MEDIAWIKI_DIR), 'data');
  const name = literal(context, variable, 'wgDBname') ?? 'my_wiki';
  // the job queue has a file of its own; the caches beside it (`_l10n_cache`, `wikicache`) are made anew
  const queue = `${name}_jobqueue`;
  const file = (database: string): string => join(directory, `${database}.sqlite`);
  return [
    { name: memberName(name), engine: 'sqlite', connection: { file: file(name) } },
    {
      name: memberName(queue),
      engine: 'sqlite',
      connection: { file: file(queue) },
      absent: !context.view.exists(file(queue)),
    },
  ];
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
    const variable = readVariables(context);
    if (variable('wgDBservers') !== undefined) throw notLiteral(settingsFile(context), '$wgDBservers');
    const type = literal(context, variable, 'wgDBtype') ?? 'mysql';
    if (type === 'mysql') return [mysqlSource(context, variable)];
    if (type === 'sqlite') return sqliteSources(context, variable);
    throw cannot(
      'application-configuration',
      'back up',
      settingsFile(context),
      `its database type "${type}" is not supported`,
    );
  },

  trees(context) {
    const { settings, view } = context;
    const root = view.resolve(settings.MEDIAWIKI_DIR);
    const chosen = literal(context, readVariables(context), 'wgUploadDirectory');
    const uploads = chosen ?? join(root, 'images');
    const trees = siteTrees(root, view);
    // one that is named, or a link that leads nowhere, is a disk that isn't mounted: that fails, and loudly
    if (chosen === undefined && lstatSync(uploads, { throwIfNoEntry: false }) === undefined) return trees;
    return [
      { name: 'images', root: view.resolve(uploads), excludes: ['thumb', 'temp', 'lockdir'] },
      ...trees,
    ];
  },

  nextSteps: ({ settings }) => [
    `php ${shellWord(join(settings.MEDIAWIKI_DIR, 'maintenance/update.php'))} --quick`,
    `php ${shellWord(join(settings.MEDIAWIKI_DIR, 'maintenance/rebuildall.php'))}   # only where links or search look wrong`,
  ],
});
