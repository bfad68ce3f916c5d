// Confluence (MySQL, MariaDB, PostgreSQL, SQL Server): its database, its home with the attachments, and a cluster's
// shared home. What it makes anew is left out: the search index, caches of plugins, thumbnails.
import { join, relative } from 'node:path';
import { cannot } from '../lib/errors.ts';
import { path, text } from '../lib/settings.ts';
import { shellWord } from '../lib/text.ts';
import {
  type AtlassianConfiguration,
  credentialsOf,
  databaseOfConfiguration,
  readAtlassianConfiguration,
} from './toolkit/atlassian.ts';
import {
  findHome,
  homeTrees,
  installedVersion,
  isBelow,
  propertyOfScript,
} from './toolkit/atlassian-home.ts';
import { withheldBucket, withheldSecrets } from './toolkit/atlassian-withheld.ts';
import { attachmentFiles } from './toolkit/confluence-attachments.ts';
import { type AgentContext, defineAgent, type TreeSource } from './toolkit/define-agent.ts';
import type { JdbcDatabase } from './toolkit/jdbc.ts';
import { memberName } from './toolkit/sources.ts';

const DEFAULT_HOME = '/var/atlassian/application-data/confluence';

const SETTINGS = {
  CONFLUENCE_HOME_DIR: {
    parse: path,
    describe: `Confluence's home, with confluence.cfg.xml; unset: as the installation says, else \`${DEFAULT_HOME}\``,
  },
  CONFLUENCE_INSTALL_DIR: {
    parse: path,
    default: '/opt/atlassian/confluence',
    describe: 'where Confluence is installed: its version, where its home is',
  },
  CONFLUENCE_SCHEMA_NAME: {
    parse: text,
    describe:
      "the MySQL database, reached with the client's own option files (`~/.my.cnf`); unset: what confluence.cfg.xml names",
  },
  CONFLUENCE_VERSION_NAME: {
    parse: text,
    describe: 'the version, where the installation does not tell it',
  },
} as const;

type Context = AgentContext<typeof SETTINGS>;

/** What Confluence makes anew; the same names below the home and below a cluster's shared home. */
const LEFT_OUT = [
  ...['index', 'index-snapshots', 'journal', 'bundled-plugins', 'plugins-cache', 'plugins-osgi-cache'],
  ...['plugins-temp', 'temp', 'webresource-temp', 'thumbnails', 'viewfile', 'imgEffects', 'logs', 'restore'],
  ...['backups', 'analytics-logs', 'lock', '.lock', '*.pid'],
];

const scriptOf = ({ CONFLUENCE_INSTALL_DIR }: Context['settings']): string =>
  join(CONFLUENCE_INSTALL_DIR, 'bin/setenv.sh');

const homeOf = ({ settings, view }: Context): string =>
  findHome(view, {
    named: settings.CONFLUENCE_HOME_DIR,
    setting: 'CONFLUENCE_HOME_DIR',
    script: scriptOf(settings),
    variable: 'CONFLUENCE_HOME',
    pointer: join(settings.CONFLUENCE_INSTALL_DIR, 'confluence/WEB-INF/classes/confluence-init.properties'),
    key: 'confluence.home',
    fallback: DEFAULT_HOME,
  });

/** A home without the file will do where the database is named elsewhere: all of it is then below the home. */
function readConfiguration(context: Context): AtlassianConfiguration {
  const file = join(homeOf(context), 'confluence.cfg.xml');
  const { CONFLUENCE_SCHEMA_NAME, GARNER_DATABASE_URL } = context.settings;
  const named = CONFLUENCE_SCHEMA_NAME !== undefined || GARNER_DATABASE_URL !== undefined;
  if (!named || context.view.exists(file)) return readAtlassianConfiguration(context.view, file);
  return { file, setupStep: undefined, buildNumber: undefined, properties: new Map() };
}

/** The database of the configuration. */
const configuredDatabase = (context: Context): JdbcDatabase =>
  databaseOfConfiguration(readConfiguration(context), context.view, [
    join(context.settings.CONFLUENCE_INSTALL_DIR, 'conf/server.xml'),
  ]);

/** @returns the bucket that has the attachments, where they are in an object storage */
function bucketOf(context: Context): string | undefined {
  const key = 'confluence.filestore.attachments.s3.bucket.name';
  const { settings, view } = context;
  const named = readConfiguration(context).properties.get(key)?.trim();
  return named || propertyOfScript(view, scriptOf(settings), key);
}

interface Places {
  home: string;
  /** A cluster's shared home. */
  shared: string | undefined;
  attachments: string;
}

/** Where the files are, without links. */
function placesOf(context: Context): Places {
  const { view } = context;
  const home = homeOf(context);
  const { properties, file } = readConfiguration(context);
  const sharedHome = properties.get('confluence.cluster.home')?.trim();
  const expand = (value: string, confluenceHome: string): string => {
    const known: Record<string, string> = {
      confluenceHome,
      localHome: home,
      sharedHome: sharedHome || join(home, 'shared-home'),
    };
    const expanded = value.trim().replace(/\$\{(\w+)\}/g, (whole, name: string) => known[name] ?? whole);
    if (expanded.startsWith('/') && !expanded.includes('${')) return expanded;
    throw cannot(
      'application-configuration',
      'find the directory',
      value,
      `${file} does not say where it is`,
    );
  };
  const shared = sharedHome ? view.resolve(expand(sharedHome, home)) : undefined;
  const attachmentsIn = (confluenceHome: string): string => {
    const written = properties.get('attachments.dir')?.trim();
    return view.resolve(written ? expand(written, confluenceHome) : join(confluenceHome, 'attachments'));
  };
  // a cluster's attachments are in the shared home; where nothing is there, it has not been moved
  const inShared = shared === undefined ? undefined : attachmentsIn(shared);
  const attachments = inShared !== undefined && view.exists(inShared) ? inShared : attachmentsIn(home);
  return { home, shared, attachments };
}

function treesOf(context: Context): TreeSource[] {
  const { home, shared, attachments } = placesOf(context);
  return homeTrees(context.view, home, shared ?? join(home, 'shared-home'), LEFT_OUT, { attachments });
}

export default defineAgent({
  application: 'confluence',
  title: 'Confluence',
  testedWith:
    'homes in the shape of Confluence 7 and 9, made from its documentation, with real MariaDB and PostgreSQL',
  settings: SETTINGS,

  version: ({ settings, view }) =>
    installedVersion(view, {
      setting: 'CONFLUENCE_INSTALL_DIR, or CONFLUENCE_VERSION_NAME',
      install: settings.CONFLUENCE_INSTALL_DIR,
      pom: 'confluence/META-INF/maven/com.atlassian.confluence/confluence-webapp/pom.properties',
      jars: 'confluence/WEB-INF/lib',
      jar: 'confluence',
      named: settings.CONFLUENCE_VERSION_NAME,
    }),

  build: (context) => readConfiguration(context).buildNumber,

  databases(context) {
    const database = context.settings.CONFLUENCE_SCHEMA_NAME;
    if (database === undefined) return [configuredDatabase(context).source];
    const connection = { database };
    return [{ name: memberName(database), engine: 'mysql', connection, withoutRoutines: true }];
  },

  trees: treesOf,

  crossChecks(context, databases) {
    const [database] = databases;
    if (database === undefined || bucketOf(context) !== undefined) return [];
    const { attachments } = placesOf(context);
    const tree = treesOf(context).find(({ root }) => isBelow(attachments, root));
    if (tree === undefined) return [];
    const overridden = context.settings.GARNER_DATABASE_URL !== undefined;
    const schema =
      database.engine === 'postgres' && !overridden ? configuredDatabase(context).schema : undefined;
    return [
      {
        database: database.name,
        tree: tree.name,
        ...attachmentFiles(
          database.engine,
          schema ?? 'public',
          relative(tree.root, attachments),
          context.view.exists(join(attachments, 'v4')),
        ),
      },
    ];
  },

  withheld(context) {
    const { home, shared = home } = placesOf(context);
    const credentials = credentialsOf(readConfiguration(context));
    const bucket = bucketOf(context);
    return [
      ...withheldSecrets(credentials, context.view, [home, shared]),
      ...(bucket === undefined ? [] : [withheldBucket('Confluence', 'attachments', bucket)]),
    ];
  },

  nextSteps(context) {
    const home = homeOf(context);
    const install = context.settings.CONFLUENCE_INSTALL_DIR;
    const places = [home, placesOf(context).shared].filter((place) => place !== undefined).map(shellWord);
    const caches = LEFT_OUT.slice(0, LEFT_OUT.indexOf('thumbnails')).join(',');
    return [
      `grep -F hibernate.connection.url ${shellWord(join(home, 'confluence.cfg.xml'))}   # is it the database that was restored?`,
      ...places.map((place) => `rm -rf ${place}/{${caches}}   # made anew at the start`),
      `chown -R confluence: ${places.join(' ')}`,
      shellWord(join(install, 'bin/start-confluence.sh')),
      '# then, in the browser: General Configuration > Content Indexing > Rebuild',
    ];
  },
});
