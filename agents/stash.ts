// Stash, Bitbucket's predecessor (MySQL, MariaDB, PostgreSQL): its database and its home with the repositories, of one moment
// where the agent is told how to lock it; or, where STASH_BACKUP_CLIENT_JAR names it, the tar that Stash's own backup client
// writes.
import { dirname, join } from 'node:path';
import { cannot } from '../lib/errors.ts';
import { path } from '../lib/settings.ts';
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
import { clientTar, clientTree, discardClientTar, runBackupClient } from './toolkit/stash-client.ts';
import { emptyTrees } from './toolkit/walk.ts';

const DEFAULT_HOME = '/var/atlassian/application-data/stash';

const SETTINGS = {
  STASH_HOME_DIR: {
    parse: path,
    describe: `Stash's home; unset: as its backup client's configuration says, else \`${DEFAULT_HOME}\``,
  },
  STASH_INSTALL_DIR: {
    parse: path,
    default: '/opt/atlassian/stash',
    describe: 'where Stash is installed, or the directory with an installation for each version: its version',
  },
  STASH_BASEURL: REST_SETTINGS.url,
  STASH_USER: REST_SETTINGS.user,
  STASH_PASSWORD: REST_SETTINGS.password,
  STASH_ALLOW_HTTP: REST_SETTINGS.allowHttp,
  STASH_BACKUP_CLIENT_JAR: {
    parse: path,
    describe:
      "Stash's own backup client, stash-backup-client.jar; set: it makes the backup, and the lock is its own",
  },
  STASH_BACKUP_HOME: {
    parse: path,
    describe:
      'an existing directory that has room for what the client writes; removed when the archive holds it',
  },
} as const;

type Context = AgentContext<typeof SETTINGS>;

const NAMES = {
  url: 'STASH_BASEURL',
  user: 'STASH_USER',
  password: 'STASH_PASSWORD',
  allowHttp: 'STASH_ALLOW_HTTP',
};

const access = ({ settings }: Context): RestAccess | undefined =>
  restAccess(
    {
      url: settings.STASH_BASEURL,
      user: settings.STASH_USER,
      password: settings.STASH_PASSWORD,
      allowHttp: settings.STASH_ALLOW_HTTP,
    },
    NAMES,
  );

const homeOf = ({ settings }: Context): string => settings.STASH_HOME_DIR ?? DEFAULT_HOME;
const sharedHome = (context: Context): string => join(homeOf(context), 'shared');

function databaseFile(context: Context): string {
  return propertiesFile(context.view, homeOf(context), sharedHome(context), 'stash-config.properties');
}

const written = (context: Context) =>
  writtenDatabase(context.view, databaseFile(context), {
    url: undefined,
    user: undefined,
    password: undefined,
  });

/** @returns what the client is run with; undefined where garner makes the backup itself */
function backupClient({ settings }: Context) {
  const jar = settings.STASH_BACKUP_CLIENT_JAR;
  if (jar === undefined) return undefined;
  const backupHome = settings.STASH_BACKUP_HOME;
  if (backupHome === undefined) {
    const hint = 'mkdir -m 700 a directory with room for all of Stash, and name it there';
    throw cannot('configuration', 'use setting', 'STASH_BACKUP_CLIENT_JAR', 'STASH_BACKUP_HOME is not set', {
      hint,
    });
  }
  if (settings.GARNER_DATABASE_URL !== undefined) {
    const cause = "Stash's backup client has the database in its tar";
    throw cannot('configuration', 'use setting', 'GARNER_DATABASE_URL', cause);
  }
  return {
    jar,
    backupHome,
    home: DEFAULT_HOME,
    settings: {
      'stash.home': settings.STASH_HOME_DIR,
      'stash.baseUrl': settings.STASH_BASEURL,
      'stash.user': settings.STASH_USER,
      'stash.password': settings.STASH_PASSWORD,
    },
  };
}

function trees(context: Context): TreeSource[] {
  const client = backupClient(context);
  if (client !== undefined) return [clientTree(context.view.resolve(client.backupHome))];
  return repositoryTrees(context.view, homeOf(context), sharedHome(context));
}

export default defineAgent({
  application: 'stash',
  title: 'Stash',
  testedWith:
    'homes made from its documentation with real repositories, a real MariaDB, and executables that behave as its documentation says',
  settings: SETTINGS,

  version: (context) =>
    versionOf(
      {
        application: 'stash',
        install: context.settings.STASH_INSTALL_DIR,
        setting: 'STASH_INSTALL_DIR',
      },
      access(context),
      context.signal,
    ),

  databases: (context) => (backupClient(context) === undefined ? [serverDatabase(written(context))] : []),
  trees,

  quiet: maintenanceLock((context: Context) =>
    backupClient(context) === undefined ? access(context) : undefined,
  ),

  product: {
    async make(context) {
      const client = backupClient(context);
      if (client !== undefined) await runBackupClient(client, context.signal);
    },
    async discard(context) {
      const client = backupClient(context);
      if (client !== undefined) discardClientTar(client.backupHome);
    },
  },

  examine: async (_, read) => emptyTrees(read),

  withheld(context) {
    if (backupClient(context) !== undefined) return [];
    const roots = trees(context).map(({ root }) => root);
    const secrets = withheldSecrets(written(context), context.view, roots);
    return access(context) === undefined ? [...secrets, UNLOCKED] : secrets;
  },

  nextSteps(context) {
    const home = shellWord(homeOf(context));
    const client = backupClient(context);
    if (client !== undefined) {
      const restoreClient = shellWord(join(dirname(client.jar), 'stash-restore-client.jar'));
      const tar = shellWord(clientTar(client.backupHome));
      return [
        `java -Dstash.home=${home} -jar ${restoreClient} ${tar}/*.tar   # into an empty home and an empty database`,
        `rm ${tar}/*.tar   # the next backup removes it too`,
      ];
    }
    return [
      `grep -F jdbc.url ${shellWord(databaseFile(context))}   # is it the database that was restored?`,
      `rm -rf ${home}/caches   # made anew`,
      `chown -R atlstash: ${home}`,
      `systemctl restart atlstash   # then, in the browser: is every repository there?`,
    ];
  },
});
