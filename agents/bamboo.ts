// Bamboo (MySQL, MariaDB, PostgreSQL, SQL Server): its database, its home and since 8 its shared home, with
// configuration, keys, results and logs of builds, artifacts and plugins. Working copies, caches, the index and Bamboo's
// own exports are left out.
import { isAbsolute, join, normalize, relative } from 'node:path';
import { cannot } from '../lib/errors.ts';
import { boolean, path } from '../lib/settings.ts';
import { shellWord } from '../lib/text.ts';
import {
  type AtlassianConfiguration,
  credentialsOf,
  databaseOfConfiguration,
  readAtlassianConfiguration,
} from './toolkit/atlassian.ts';
import { findHome, homeTrees, installedVersion, isBelow, propertyOf } from './toolkit/atlassian-home.ts';
import { withheldSecrets } from './toolkit/atlassian-withheld.ts';
import { type AgentContext, defineAgent, type TreeSource } from './toolkit/define-agent.ts';

const DEFAULT_HOME = '/var/atlassian/application-data/bamboo';

const SETTINGS = {
  BAMBOO_HOME: {
    parse: path,
    describe: `Bamboo's home, with bamboo.cfg.xml; unset: as the installation says, else \`${DEFAULT_HOME}\``,
  },
  BAMBOO_INSTALL_DIR: {
    parse: path,
    default: '/opt/atlassian/bamboo',
    describe: 'where Bamboo is installed: its version, where its homes are',
  },
  BAMBOO_ARTIFACTS: {
    parse: boolean,
    default: 'true',
    describe: 'whether what builds have made is kept: it may be much, and builds may make it anew',
  },
} as const;

type Context = AgentContext<typeof SETTINGS>;

/** What Bamboo makes anew, by the same names below the home and, since 8, below the shared home. */
const LEFT_OUT = [
  ...['analytics-logs', 'backups', 'build-dir', 'caches', 'export', 'exports', 'index', 'jms-store'],
  ...['local-working-dir', 'logs', 'temp', 'xml-data/build-dir', '*.pid'],
];

const pointerOf = ({ settings }: Context): string =>
  join(settings.BAMBOO_INSTALL_DIR, 'atlassian-bamboo/WEB-INF/classes/bamboo-init.properties');

const homeOf = (context: Context): string =>
  findHome(context.view, {
    named: context.settings.BAMBOO_HOME,
    setting: 'BAMBOO_HOME',
    script: join(context.settings.BAMBOO_INSTALL_DIR, 'bin/setenv.sh'),
    variable: 'BAMBOO_HOME',
    pointer: pointerOf(context),
    key: 'bamboo.home',
    fallback: DEFAULT_HOME,
  });

const readConfiguration = (context: Context): AtlassianConfiguration =>
  readAtlassianConfiguration(context.view, join(homeOf(context), 'bamboo.cfg.xml'));

/** @returns undefined before 8 */
function sharedOf(context: Context): string | undefined {
  const { view } = context;
  const named = propertyOf(view, pointerOf(context), 'bamboo.shared.home');
  if (named !== undefined) return view.resolve(named);
  const usual = join(homeOf(context), 'shared');
  return view.exists(join(usual, 'configuration')) ? view.resolve(usual) : undefined;
}

/** Directories that bamboo.cfg.xml may name, by what their trees are called. */
const CONFIGURED = {
  artifacts: 'bamboo.artifacts.directory',
  builds: 'bamboo.project.directory',
  configuration: 'bamboo.config.directory',
  specs: 'bamboo.repository.logs.directory',
} as const;

/** @returns where files are that may be elsewhere; those above first */
function directoriesOf(context: Context): Record<string, string> {
  const { file, properties } = readConfiguration(context);
  const home = homeOf(context);
  const base = sharedOf(context) ?? home;
  const found: Record<string, string> = { xmldata: join(base, 'xml-data') };
  for (const name of ['artifacts', 'attachments', 'builds', 'configuration', 'plugins']) {
    found[name] = join(base, name);
  }
  for (const [name, property] of Object.entries(CONFIGURED)) {
    const written = properties.get(property)?.trim();
    if (!written) continue;
    const expanded = written.replace(/\$\{(\w+)\}/g, (whole, variable: string) => {
      if (/shared/i.test(variable)) return base;
      return /home$/i.test(variable) ? home : whole;
    });
    if (!isAbsolute(expanded) || expanded.includes('${')) {
      throw cannot(
        'application-configuration',
        'find the directory',
        written,
        `${file} does not say where it is`,
      );
    }
    const directory = normalize(expanded);
    // after an upgrade to 8 the old place may still be named; one on a disk that isn't mounted is not passed over
    if (context.view.exists(directory) || !isBelow(directory, home)) found[name] = directory;
  }
  return found;
}

function treesOf(context: Context): TreeSource[] {
  const { artifacts = '', ...others } = directoriesOf(context);
  const [home, shared] = [homeOf(context), sharedOf(context)];
  const configurations = [others.configuration ?? '', join(home, 'xml-data/configuration')];
  if (!configurations.some((directory) => context.view.exists(directory))) {
    throw cannot(
      'application-configuration',
      'back up',
      home,
      'neither shared/configuration nor xml-data/configuration is there',
      { hint: 'mount the shared home; bamboo.shared.home in bamboo-init.properties says where it is' },
    );
  }
  if (context.settings.BAMBOO_ARTIFACTS) {
    return homeTrees(context.view, home, shared, LEFT_OUT, { ...others, artifacts });
  }
  const below = relative(shared ?? home, artifacts);
  const places = new Set(['artifacts', below].filter((place) => !place.startsWith('..')));
  return homeTrees(context.view, home, shared, [...LEFT_OUT, ...places], others);
}

export default defineAgent({
  application: 'bamboo',
  title: 'Bamboo',
  testedWith: 'homes in the shape of Bamboo 7 and 9, made from its documentation, with a real MariaDB',
  settings: SETTINGS,

  version: ({ settings, view }) =>
    installedVersion(view, {
      setting: 'BAMBOO_INSTALL_DIR',
      install: settings.BAMBOO_INSTALL_DIR,
      jars: 'atlassian-bamboo/WEB-INF/lib',
      jar: 'atlassian-bamboo-api',
    }),

  build: (context) => readConfiguration(context).buildNumber,

  databases(context) {
    const conf = join(context.settings.BAMBOO_INSTALL_DIR, 'conf');
    const tomcatFiles = [join(conf, 'server.xml'), join(conf, 'context.xml')];
    return [databaseOfConfiguration(readConfiguration(context), context.view, tomcatFiles).source];
  },

  trees: treesOf,

  withheld(context) {
    const places = [...treesOf(context).map(({ root }) => root), sharedOf(context) ?? homeOf(context)];
    const secrets = withheldSecrets(credentialsOf(readConfiguration(context)), context.view, places);
    if (context.settings.BAMBOO_ARTIFACTS) return secrets;
    return [
      ...secrets,
      { what: 'artifacts of builds', remedy: 'run the builds again; BAMBOO_ARTIFACTS=true keeps them' },
    ];
  },

  nextSteps(context) {
    const [home, shared] = [homeOf(context), sharedOf(context)];
    const places = [home, shared].filter((place) => place !== undefined).map(shellWord);
    const file = shellWord(join(home, 'bamboo.cfg.xml'));
    return [
      `grep -F hibernate.connection.url ${file}   # is it the database that was restored?`,
      `grep -F bamboo.jms.broker ${file}   # on a host of another name or address: its new one`,
      ...places.map((place) => `rm -rf ${place}/{caches,index,jms-store,temp}   # made anew at the start`),
      `chown -R bamboo: ${places.join(' ')}`,
      shellWord(join(context.settings.BAMBOO_INSTALL_DIR, 'bin/start-bamboo.sh')),
      '# then, in the browser: Overview > System > Indexing > Reindex',
    ];
  },
});
