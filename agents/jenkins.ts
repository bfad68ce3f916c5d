// Jenkins: its home, with jobs, builds, users, nodes, credentials and plugins. It has no database. What it makes anew is left
// out (workspaces, the unpacked war and plugins, tools, caches), and so is the key that all stored passwords open with:
// whoever has the archive must not have them too.
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cannot } from '../lib/errors.ts';
import { boolean, path } from '../lib/settings.ts';
import { shellWord } from '../lib/text.ts';
import { type AgentContext, defineAgent, type TreeSource } from './toolkit/define-agent.ts';
import { parseXml } from './toolkit/xml.ts';

const SETTINGS = {
  JENKINS_HOME: { parse: path, default: '/var/lib/jenkins', describe: "Jenkins' home, with config.xml" },
  JENKINS_BUILDS: {
    parse: boolean,
    default: 'true',
    describe:
      "false: the builds' logs, results and artifacts are left out; jobs and their next numbers are kept",
  },
} as const;

type Context = AgentContext<typeof SETTINGS>;

/** Below the home. Of an unpacked plugin an empty directory stays, which Jenkins fills from the `.jpi` or `.hpi` beside it. */
const LEFT_OUT = [
  ...['war', 'cache', 'caches', '.cache', 'tools', 'updates', 'logs', 'workspace', 'workspace@*', '*.tmp'],
  ...['plugins/*/*', 'secrets/master.key'],
];
/** Below a job. */
const WORKSPACES = ['workspace', 'workspace@*', 'workspace-files'];
const BUILDS = ['builds', 'lastStable', 'lastSuccessful'];
/** What administrators move to another disk and leave a link to. */
const MOVABLE = ['jobs', 'plugins', 'secrets', 'users', 'nodes', 'userContent', 'fingerprints'];

/** @returns the names in a directory; none where it is missing, as before the first job */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw cannot('file-unreadable', 'read directory', directory, error);
  }
}

/** @returns how deep folders are nested: 1 where jobs lie in none */
function depthOf(jobs: string): number {
  return (
    1 +
    Math.max(
      0,
      ...namesIn(jobs).map((name) => {
        const inner = join(jobs, name, 'jobs');
        const isFolder = lstatSync(inner, { throwIfNoEntry: false })?.isDirectory(); // a link may lead in a circle
        return isFolder && namesIn(inner).length > 0 ? depthOf(inner) : 0;
      }),
    )
  );
}

/**
 * Patterns that name parts of jobs exactly: a job may be called `builds`, an artifact `workspace`.
 * @param parts below a job's own directory
 */
function inJobs(home: string, parts: readonly string[]): string[] {
  const folders = Array.from({ length: depthOf(join(home, 'jobs')) }, (_, n) => 'jobs/*/'.repeat(n + 1));
  const items = folders.flatMap((job) => [job, `${job}branches/*/`, `${job}modules/*/`]);
  return items.flatMap((item) => parts.map((part) => item + part));
}

/** @returns the directory that config.xml names for builds or workspaces of all jobs; undefined: each has its own */
function directoryFor(
  { settings, view }: Context,
  element: 'buildsDir' | 'workspaceDir',
): string | undefined {
  const home = settings.JENKINS_HOME;
  const { children } = parseXml(view.readText(join(home, 'config.xml')), join(home, 'config.xml'));
  const written = children.find(({ name }) => name === element)?.text.trim() ?? '';
  const [before = ''] = written.replace(/\$\{JENKINS_HOME\}/, home).split(/\/*\$\{/);
  return before.startsWith('/') ? before : undefined;
}

type MovableTree = Pick<TreeSource, 'root'> & Required<Pick<TreeSource, 'excludes' | 'underWay'>>;

/** Those that are links are trees of their own: the archive would hold the link and no file. */
function withMoved(tree: MovableTree, view: Context['view']): TreeSource[] {
  const { root, excludes, underWay } = tree;
  const moved = MOVABLE.filter((name) =>
    lstatSync(join(root, name), { throwIfNoEntry: false })?.isSymbolicLink(),
  );
  return [
    { name: 'home', ...tree },
    ...moved.map((name): TreeSource => {
      const below = (patterns: readonly string[]): string[] =>
        patterns.filter((one) => one.startsWith(`${name}/`)).map((one) => one.slice(name.length + 1));
      const patterns = { excludes: below(excludes), underWay: below(underWay) };
      return { name: name.toLowerCase(), root: view.resolve(join(root, name)), ...patterns };
    }),
  ];
}

export default defineAgent({
  application: 'jenkins',
  title: 'Jenkins',
  testedWith: 'homes of Jenkins 1 and 2, made from its documentation',
  settings: SETTINGS,

  version({ settings, view }) {
    const file = join(settings.JENKINS_HOME, 'config.xml');
    const version = parseXml(view.readText(file), file).children.find(({ name }) => name === 'version');
    if (version !== undefined) return version.text;
    throw cannot('application-configuration', 'find the version in', file, 'it has no <version>');
  },

  databases: () => [],

  trees(context) {
    const home = context.view.resolve(context.settings.JENKINS_HOME);
    const builds = directoryFor(context, 'buildsDir');
    const workspaces = directoryFor(context, 'workspaceDir');
    const excludes = [...LEFT_OUT, ...inJobs(home, WORKSPACES)];
    // builds are running: their logs grow, and old ones are discarded
    const underWay = inJobs(home, ['builds']);
    if (!context.settings.JENKINS_BUILDS) excludes.push(...inJobs(home, BUILDS));
    for (const [directory, isKept] of [
      [builds, context.settings.JENKINS_BUILDS],
      [workspaces, false],
    ] as const) {
      const list = isKept ? underWay : excludes;
      if (directory?.startsWith(`${home}/`)) list.push(directory.slice(home.length + 1));
    }
    const trees = withMoved({ root: home, excludes, underWay }, context.view);
    if (context.settings.JENKINS_BUILDS && builds !== undefined && !`${builds}/`.startsWith(`${home}/`)) {
      trees.push({ name: 'builds', root: context.view.resolve(builds), underWay: ['*'] });
    }
    return trees;
  },

  withheld({ settings, view }) {
    const key = join(settings.JENKINS_HOME, 'secrets/master.key');
    const withheld = [];
    if (view.exists(key)) {
      withheld.push({
        what: 'secrets/master.key, without which no stored password opens',
        remedy: `keep a copy of ${key} away from the archives, once: it doesn't change. Put it back before Jenkins starts`,
      });
    }
    if (!settings.JENKINS_BUILDS) {
      withheld.push({ what: 'the builds of all jobs', remedy: 'JENKINS_BUILDS=true keeps them' });
    }
    return withheld;
  },

  nextSteps({ settings }) {
    const home = settings.JENKINS_HOME;
    const key = join(home, 'secrets/master.key');
    return [
      `install -m 600 KEPT-COPY-OF-master.key ${shellWord(key)}   # before Jenkins makes a new one`,
      `chown -R jenkins: ${shellWord(home)}`,
      'systemctl restart jenkins',
    ];
  },
});
