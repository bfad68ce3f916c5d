// Bitbucket (MySQL, MariaDB, PostgreSQL): its database, its home with the repositories, attachments and installed plugins,
// and its shared home and data stores where they lie elsewhere. Where it is told how to reach it, Bitbucket is locked for
// maintenance meanwhile, so that all is of one moment. What it makes anew is left out: caches, the search index, logs.
// Repositories on Mesh nodes lie on other hosts and are not in the archive.
import { join } from 'node:path';
import { path, paths, text } from '../lib/settings.ts';
import { shellWord } from '../lib/text.ts';
import { withheldSecrets } from './toolkit/atlassian-withheld.ts';
import {
  propertiesFile,
  repositoryTrees,
  serverDatabase,
  versionOf,
  writtenDatabase,
} from './toolkit/bitbucket-home.ts';
import { maintenanceLock, UNLOCKED } from './toolkit/bitbucket-lock.ts';
import { REST_SETTINGS, type RestAccess, restAccess } from './toolkit/bitbucket-rest.ts';
import { type AgentContext, defineAgent, type TreeSource } from './toolkit/define-agent.ts';
import { emptyTrees } from './toolkit/walk.ts';

const SETTINGS = {
  BITBUCKET_HOME: {
    parse: path,
    default: '/var/atlassian/application-data/bitbucket',
    describe: "Bitbucket's home",
  },
  BITBUCKET_SHARED_HOME: {
    parse: path,
    describe: 'the shared home, with bitbucket.properties; unset: `shared` in the home',
  },
  BITBUCKET_DATA_STORES: {
    parse: paths,
    describe: 'data stores beside the shared home, as the administration lists them: /a:/b',
  },
  BITBUCKET_INSTALL_DIR: {
    parse: path,
    default: '/opt/atlassian/bitbucket',
    describe:
      'where Bitbucket is installed, or the directory with an installation for each version: its version',
  },
  BITBUCKET_BASE_URL: REST_SETTINGS.url,
  BITBUCKET_USER: REST_SETTINGS.user,
  BITBUCKET_PASSWORD: REST_SETTINGS.password,
  BITBUCKET_TOKEN: { parse: text, secret: true, describe: 'an HTTP access token in place of that account' },
  BITBUCKET_ALLOW_HTTP: REST_SETTINGS.allowHttp,
  JDBC_URL: {
    parse: text,
    secret: true,
    describe: "the database as the container's environment names it; unset: as bitbucket.properties does",
  },
  JDBC_USER: { parse: text, describe: 'the account of the database, likewise' },
  JDBC_PASSWORD: { parse: text, secret: true, describe: 'its password, likewise' },
} as const;

type Context = AgentContext<typeof SETTINGS>;

const sharedHome = ({ settings }: Context): string =>
  settings.BITBUCKET_SHARED_HOME ?? join(settings.BITBUCKET_HOME, 'shared');

function databaseFile(context: Context): string {
  return propertiesFile(
    context.view,
    context.settings.BITBUCKET_HOME,
    sharedHome(context),
    'bitbucket.properties',
  );
}

const written = (context: Context) =>
  writtenDatabase(context.view, databaseFile(context), {
    url: context.settings.JDBC_URL,
    user: context.settings.JDBC_USER,
    password: context.settings.JDBC_PASSWORD,
  });

const access = ({ settings }: Context): RestAccess | undefined =>
  restAccess(
    {
      url: settings.BITBUCKET_BASE_URL,
      user: settings.BITBUCKET_USER,
      password: settings.BITBUCKET_PASSWORD,
      token: settings.BITBUCKET_TOKEN,
      allowHttp: settings.BITBUCKET_ALLOW_HTTP,
    },
    {
      url: 'BITBUCKET_BASE_URL',
      user: 'BITBUCKET_USER',
      password: 'BITBUCKET_PASSWORD',
      allowHttp: 'BITBUCKET_ALLOW_HTTP',
    },
  );

function trees(context: Context): TreeSource[] {
  const { settings, view } = context;
  const stores = settings.BITBUCKET_DATA_STORES ?? [];
  return [
    ...repositoryTrees(view, settings.BITBUCKET_HOME, sharedHome(context)),
    ...stores.map((root, index) => ({ name: `store_${index + 1}`, root: view.resolve(root), git: true })),
  ];
}

export default defineAgent({
  application: 'bitbucket',
  title: 'Bitbucket',
  testedWith:
    'homes made from its documentation with real repositories, a real MariaDB, and a server that answers as its REST documentation says',
  settings: SETTINGS,

  version: (context) =>
    versionOf(
      {
        application: 'bitbucket',
        install: context.settings.BITBUCKET_INSTALL_DIR,
        setting: 'BITBUCKET_INSTALL_DIR',
      },
      access(context),
      context.signal,
    ),

  databases: (context) => [serverDatabase(written(context))],
  trees,
  quiet: maintenanceLock(access),

  examine: async (_, read) => emptyTrees(read),

  withheld(context) {
    const roots = trees(context).map(({ root }) => root);
    const secrets = withheldSecrets(written(context), context.view, roots);
    return access(context) === undefined ? [...secrets, UNLOCKED] : secrets;
  },

  nextSteps(context) {
    const home = context.settings.BITBUCKET_HOME;
    const shared = sharedHome(context);
    return [
      `grep -F jdbc.url ${shellWord(databaseFile(context))}   # is it the database that was restored?`,
      `rm -rf ${shellWord(join(home, 'caches'))} ${shellWord(join(shared, 'search/data'))}   # made anew`,
      `chown -R atlbitbucket: ${[...new Set([home, shared])].map(shellWord).join(' ')}`,
      'systemctl restart atlbitbucket   # then, in the browser: is every repository there?',
    ];
  },
});
