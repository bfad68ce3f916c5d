// Crowd (MySQL, MariaDB, PostgreSQL, SQL Server): its database and its home with crowd.cfg.xml, crowd.properties, plugins
// and the keys that decrypt what stands in the database. Caches, logs and Crowd's own backups are left out.
import { join } from 'node:path';
import { path } from '../lib/settings.ts';
import { shellWord } from '../lib/text.ts';
import {
  type AtlassianConfiguration,
  credentialsOf,
  databaseOfConfiguration,
  readAtlassianConfiguration,
} from './toolkit/atlassian.ts';
import { findHome, homeTrees, installedVersion } from './toolkit/atlassian-home.ts';
import { withheldSecrets } from './toolkit/atlassian-withheld.ts';
import { type AgentContext, defineAgent, type TreeSource } from './toolkit/define-agent.ts';

const DEFAULT_HOME = '/var/atlassian/application-data/crowd';

const SETTINGS = {
  CROWD_HOME: {
    parse: path,
    describe: `Crowd's home, with shared/crowd.cfg.xml; unset: as the installation says, else \`${DEFAULT_HOME}\``,
  },
  CROWD_INSTALL_DIR: {
    parse: path,
    default: '/opt/atlassian/crowd',
    describe: 'where Crowd is installed: its version, where its home is',
  },
} as const;

type Context = AgentContext<typeof SETTINGS>;

/** What Crowd makes anew, by the same names below the home and below its `shared`, which may be another disk. */
const LEFT_OUT = [...['bundled-plugins', 'caches', 'logs', 'temp', 'backups', 'analytics-logs', '*.pid']];

const homeOf = ({ settings, view }: Context): string =>
  findHome(view, {
    named: settings.CROWD_HOME,
    setting: 'CROWD_HOME',
    script: join(settings.CROWD_INSTALL_DIR, 'apache-tomcat/bin/setenv.sh'),
    variable: 'CROWD_HOME',
    pointer: join(settings.CROWD_INSTALL_DIR, 'crowd-webapp/WEB-INF/classes/crowd-init.properties'),
    key: 'crowd.home',
    fallback: DEFAULT_HOME,
  });

/** In `shared`, which may be a disk that isn't mounted; before 3, where there is none, in the home itself. */
function configurationFile(context: Context): string {
  const home = homeOf(context);
  const shared = join(home, 'shared');
  const isOld = !context.view.exists(shared) && context.view.resolve(shared) === shared;
  const older = join(home, 'crowd.cfg.xml');
  return isOld && context.view.exists(older) ? older : join(shared, 'crowd.cfg.xml');
}

const readConfiguration = (context: Context): AtlassianConfiguration =>
  readAtlassianConfiguration(context.view, configurationFile(context));

function treesOf(context: Context): TreeSource[] {
  readConfiguration(context); // a directory without it is no home of Crowd, or one whose disk isn't mounted
  const home = homeOf(context);
  return homeTrees(context.view, home, join(home, 'shared'), LEFT_OUT);
}

export default defineAgent({
  application: 'crowd',
  title: 'Crowd',
  testedWith: 'homes in the shape of Crowd 2, 3 and 5, made from its documentation, with a real PostgreSQL',
  settings: SETTINGS,

  version: ({ settings, view }) =>
    installedVersion(view, {
      setting: 'CROWD_INSTALL_DIR',
      install: settings.CROWD_INSTALL_DIR,
      jars: 'crowd-webapp/WEB-INF/lib',
      jar: 'crowd-core',
    }),

  build: (context) => readConfiguration(context).buildNumber,

  databases(context) {
    const tomcatFiles = ['Catalina/localhost/crowd.xml', 'context.xml', 'server.xml'];
    const conf = join(context.settings.CROWD_INSTALL_DIR, 'apache-tomcat/conf');
    const { source } = databaseOfConfiguration(
      readConfiguration(context),
      context.view,
      tomcatFiles.map((file) => join(conf, file)),
    );
    return [source];
  },

  trees: treesOf,

  withheld(context) {
    const roots = treesOf(context).map(({ root }) => root);
    const places = [...roots, join(homeOf(context), 'shared')];
    return withheldSecrets(credentialsOf(readConfiguration(context)), context.view, places);
  },

  nextSteps(context) {
    const home = shellWord(homeOf(context));
    return [
      `grep -F hibernate.connection.url ${shellWord(configurationFile(context))}   # is it the database that was restored?`,
      `rm -rf ${home}/{caches,bundled-plugins}   # made anew at the start`,
      `chown -R crowd: ${home}`,
      shellWord(join(context.settings.CROWD_INSTALL_DIR, 'start_crowd.sh')),
    ];
  },
});
