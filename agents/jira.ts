// Jira (MySQL, MariaDB, PostgreSQL, SQL Server): its database, its home with attachments, avatars and plugins, and a
// cluster's shared home. What it makes anew is left out: the search index, caches of plugins, its own exports, logs.
import { join, relative } from 'node:path';
import { path } from '../lib/settings.ts';
import { shellWord } from '../lib/text.ts';
import { databaseOfCredentials, dataSourceOf } from './toolkit/atlassian.ts';
import { findHome, homeTrees, installedVersion, isBelow, propertyOf } from './toolkit/atlassian-home.ts';
import { withheldBucket, withheldSecrets } from './toolkit/atlassian-withheld.ts';
import { type AgentContext, defineAgent, type TreeSource } from './toolkit/define-agent.ts';
import { jiraAttachments } from './toolkit/jira-attachments.ts';
import {
  type JiraConfiguration,
  readFileStores,
  readJiraConfiguration,
} from './toolkit/jira-configuration.ts';

const DEFAULT_HOME = '/var/atlassian/application-data/jira';

const SETTINGS = {
  JIRA_HOME: {
    parse: path,
    alias: 'JIRA_HOME_DIR',
    describe: `Jira's home, with dbconfig.xml; unset: as the installation says, else \`${DEFAULT_HOME}\``,
  },
  JIRA_INSTALL_DIR: {
    parse: path,
    default: '/opt/atlassian/jira',
    describe: 'where Jira is installed: its version, where its home is',
  },
  JIRA_ATTACHMENTS_DIR: {
    parse: path,
    describe: "where attachments are; unset: `data/attachments` of the home, or of a cluster's shared home",
  },
  JIRA_HOME_DIR: { parse: path, describe: 'the name that older scripts use for JIRA_HOME' },
} as const;

type Context = AgentContext<typeof SETTINGS>;

const PLUGIN_CACHES = ['plugins/.bundled-plugins', 'plugins/.osgi-plugins'];
/** What Jira makes anew, by the same names below the home and below a cluster's shared home. */
const LEFT_OUT = [
  ...['caches', ...PLUGIN_CACHES, 'tmp', 'log', 'export', 'import', 'analytics-logs', 'monitor', 'localq'],
  ...['.jira-home.lock', '*.pid'],
];

const homeOf = ({ settings, view }: Context): string =>
  findHome(view, {
    named: settings.JIRA_HOME,
    setting: 'JIRA_HOME',
    script: join(settings.JIRA_INSTALL_DIR, 'bin/setenv.sh'),
    variable: 'JIRA_HOME',
    pointer: join(settings.JIRA_INSTALL_DIR, 'atlassian-jira/WEB-INF/classes/jira-application.properties'),
    key: 'jira.home',
    fallback: DEFAULT_HOME,
  });

const readConfiguration = (context: Context): JiraConfiguration =>
  readJiraConfiguration(context.view, join(homeOf(context), 'dbconfig.xml'));

interface Places {
  home: string;
  /** A cluster's shared home. */
  shared: string | undefined;
  attachments: string;
}

function placesOf(context: Context): Places {
  const home = homeOf(context);
  const named = propertyOf(context.view, join(home, 'cluster.properties'), 'jira.shared.home');
  const shared = named && context.view.resolve(named);
  const attachments = context.settings.JIRA_ATTACHMENTS_DIR ?? join(shared ?? home, 'data/attachments');
  return { home, shared, attachments };
}

function treesOf(context: Context): TreeSource[] {
  readConfiguration(context); // a directory without it is no home of Jira, or one whose disk isn't mounted
  const { home, shared, attachments } = placesOf(context);
  const base = shared ?? home;
  return homeTrees(context.view, home, shared, LEFT_OUT, {
    data: join(base, 'data'),
    attachments,
    avatars: join(base, 'data/avatars'),
    plugins: join(base, 'plugins/installed-plugins'),
  });
}

export default defineAgent({
  application: 'jira',
  title: 'Jira',
  testedWith:
    'homes in the shape of Jira 8, 9 and 10, made from its documentation, with real MariaDB and PostgreSQL',
  settings: SETTINGS,

  version: ({ settings, view }) =>
    installedVersion(view, {
      setting: 'JIRA_INSTALL_DIR',
      install: settings.JIRA_INSTALL_DIR,
      pom: 'atlassian-jira/META-INF/maven/com.atlassian.jira/jira-webapp-dist/pom.properties',
      jars: 'atlassian-jira/WEB-INF/lib',
      jar: 'jira-api',
    }),

  databases(context) {
    const { credentials, dataSource = '' } = readConfiguration(context);
    const conf = join(context.settings.JIRA_INSTALL_DIR, 'conf');
    const tomcatFiles = [join(conf, 'server.xml'), join(conf, 'context.xml')];
    const { source } =
      credentials === undefined
        ? dataSourceOf(dataSource, context.view, tomcatFiles)
        : databaseOfCredentials(credentials);
    return [source];
  },

  trees: treesOf,

  crossChecks(context, [database]) {
    const stores = readFileStores(context.view, join(homeOf(context), 'filestore-config.xml'));
    if (database === undefined || stores.has('attachments')) return [];
    const attachments = context.view.resolve(placesOf(context).attachments);
    const tree = treesOf(context).find(({ root }) => isBelow(attachments, root));
    if (tree === undefined) return [];
    const { schema = 'public' } = readConfiguration(context);
    const files = jiraAttachments(database.engine, schema, relative(tree.root, attachments));
    return [{ database: database.name, tree: tree.name, ...files }];
  },

  withheld(context) {
    const { credentials } = readConfiguration(context);
    const { home, shared = home } = placesOf(context);
    const places = [...treesOf(context).map(({ root }) => root), shared];
    const secrets = credentials === undefined ? [] : withheldSecrets(credentials, context.view, places);
    const stores = readFileStores(context.view, join(homeOf(context), 'filestore-config.xml'));
    const remote = [...stores].map(([target, bucket]) => withheldBucket('Jira', target, bucket));
    return [...secrets, ...remote];
  },

  nextSteps(context) {
    const { home, shared } = placesOf(context);
    const places = [home, shared].filter((place) => place !== undefined).map(shellWord);
    return [
      `grep -F '<url>' ${shellWord(join(home, 'dbconfig.xml'))}   # is it the database that was restored?`,
      ...places.map(
        (place) =>
          `rm -rf ${place}/{caches,.jira-home.lock,${PLUGIN_CACHES.join(',')}}   # made anew at the start`,
      ),
      `chown -R jira: ${places.join(' ')}`,
      shellWord(join(context.settings.JIRA_INSTALL_DIR, 'bin/start-jira.sh')),
      '# then, in the browser: System > Indexing > Full re-index',
    ];
  },
});
