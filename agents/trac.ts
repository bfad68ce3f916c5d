// Trac: an environment's database (SQLite, PostgreSQL, MySQL, MariaDB), its configuration with the files that it inherits,
// attachments, plugins, templates, and the repositories that trac.ini names. Logs and Trac's own database copies are left out.
import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { asOwner } from '../lib/as-account.ts';
import { cannot } from '../lib/errors.ts';
import { captureOk } from '../lib/process.ts';
import { path, paths, text } from '../lib/settings.ts';
import { shellWord } from '../lib/text.ts';
import { type AgentContext, defineAgent, type TreeSource } from './toolkit/define-agent.ts';
import { examineRepositories, GIT_SETTINGS } from './toolkit/git-repositories.ts';
import { rootTrees } from './toolkit/root-trees.ts';
import {
  attachmentFiles,
  configuredRepositories,
  readTracConfiguration,
  type TracConfiguration,
  tracDatabase,
} from './toolkit/trac-environment.ts';
import { isBelow, treeBeside } from './toolkit/tree-beside.ts';
import { emptyTrees } from './toolkit/walk.ts';

const SETTINGS = {
  TRAC_ENV: { parse: path, describe: 'the environment: the directory with conf/trac.ini' },
  TRAC_ADMIN: {
    parse: text,
    default: 'trac-admin',
    describe: 'the program that tells the version: /opt/trac/bin/trac-admin',
  },
  TRAC_REPOSITORIES: {
    parse: paths,
    describe: "more repositories, which Trac's database names and trac.ini does not: /srv/git/a:/srv/git/b",
  },
  ...GIT_SETTINGS,
} as const;

type Context = AgentContext<typeof SETTINGS>;

function environmentOf({ settings }: Context): string {
  if (settings.TRAC_ENV !== undefined) return settings.TRAC_ENV;
  throw cannot('configuration', 'back up', 'Trac', 'TRAC_ENV is not set', {
    hint: 'TRAC_ENV=/var/lib/trac/project; of several environments each is an --instance',
  });
}

const configurationOf = (context: Context): TracConfiguration =>
  readTracConfiguration(environmentOf(context), context.view);

const isLink = (file: string): boolean =>
  lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() === true;

const namesIn = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory).sort() : []);

/** Directories and files outside of the environment that belong to it: links lead there, or trac.ini names them. */
function elsewhere(context: Context, root: string, configuration: TracConfiguration): TreeSource[] {
  const { view, settings } = context;
  const environment = environmentOf(context);
  const linked = [...namesIn(root), 'files/attachments'].map((name) => join(root, name)).filter(isLink);
  const shared = ['htdocs_dir', 'plugins_dir', 'templates_dir']
    .map((key) => configuration.value('inherit', key))
    .filter((place) => place !== undefined)
    .map((place) => resolve(environment, place));
  const repositories = [
    ...configuredRepositories(configuration, environment),
    ...(settings.TRAC_REPOSITORIES ?? []),
  ];
  const isOutside = (place: string): boolean => !isBelow(view.resolve(place), root);
  const directories = [...linked, ...shared.filter((place) => view.exists(place)), ...repositories];
  const trees = rootTrees(directories.map((place) => view.resolve(place)).filter(isOutside), view);
  const files = configuration.files.map(({ path: file }) => view.resolve(file)).filter(isOutside);
  const configurations = [...new Set(files.map((file) => dirname(file)))]
    .filter((directory) => !trees.some((tree) => isBelow(directory, tree.root)))
    .map((directory, index) => ({
      name: index === 0 ? 'inherited' : `inherited_${index + 1}`,
      root: directory,
      includes: files.filter((file) => dirname(file) === directory).map((file) => basename(file)),
    }));
  return [...configurations, ...trees.map((tree) => ({ ...tree, git: true }))];
}

function tracTrees(context: Context): TreeSource[] {
  const root = context.view.resolve(environmentOf(context));
  const configuration = configurationOf(context);
  const { source } = tracDatabase(configuration, environmentOf(context));
  const { file } = source.connection as { file?: string };
  const database = file === undefined ? undefined : context.view.resolve(file);
  const copies = namesIn(join(root, 'db')).filter((name) => name.endsWith('.bak'));
  const excludes = ['log', ...copies.map((name) => `db/${name}`)];
  const tree = treeBeside({ name: 'environment', root, excludes, git: true }, database);
  return [tree, ...elsewhere(context, root, configuration)];
}

export default defineAgent({
  application: 'trac',
  title: 'Trac',
  testedWith: "environments made from Trac's sources, with a real SQLite",
  settings: SETTINGS,

  async version({ settings, signal }) {
    const command = asOwner({ file: settings.TRAC_ADMIN, args: ['--version'] }, 'trac');
    const said = await captureOk(command, { signal });
    return /\d+(\.\w+)+/.exec(said)?.[0] ?? said;
  },

  databases: (context) => [tracDatabase(configurationOf(context), environmentOf(context)).source],
  trees: tracTrees,
  async examine({ settings, signal }, trees) {
    const damaged = await examineRepositories(trees, settings.GIT_FSCK, signal);
    return [...emptyTrees(trees), ...damaged];
  },

  crossChecks(context, [database]) {
    if (database === undefined) return [];
    const trees = tracTrees(context);
    const root = context.view.resolve(environmentOf(context));
    const { schema } = tracDatabase(configurationOf(context), environmentOf(context));
    const isPostgres = database.engine === 'postgres';
    const table = (name: string): string =>
      isPostgres ? `"${(schema || 'public').replaceAll('"', '""')}"."${name}"` : name;
    // the innermost that has all that is below
    const whole = trees
      .filter(({ name, includes }) => name === 'environment' || includes === undefined)
      .sort((a, b) => b.root.length - a.root.length);
    const placeOf = (directory: string): { tree: string; below: string } => {
      const real = context.view.resolve(join(root, directory));
      const tree = whole.find((one) => isBelow(real, one.root));
      const below = relative(tree?.root ?? root, real);
      return { tree: tree?.name ?? 'environment', below: below === '' ? '' : `${below}/` };
    };
    const [hashed, named] = [placeOf('files/attachments'), placeOf('attachments')];
    const isKnown = (place: string): boolean =>
      whole.some((tree) => isBelow(context.view.resolve(resolve(environmentOf(context), place)), tree.root));
    return [
      {
        ...{ database: database.name, tree: hashed.tree },
        ...attachmentFiles(table('attachment'), {
          hashed: hashed.below,
          named: named.tree === hashed.tree ? named.below : undefined,
        }),
      },
      {
        ...{ database: database.name, tree: 'environment' },
        sql: `SELECT value FROM ${table('repository')} WHERE name = 'dir' AND value <> ''`,
        // a directory of the tree is none of its files: one that is known is passed over, another is missing
        pathsOf: ([place = '']) => (isKnown(place) ? [] : [place]),
        concerns: () => false,
      },
    ];
  },

  nextSteps: (context) => {
    const [admin, environment] = [context.settings.TRAC_ADMIN, environmentOf(context)].map(shellWord);
    return [
      `${admin} ${environment} upgrade`,
      `${admin} ${environment} repository resync '*'`,
      `# then restart the web server, or tracd: it has the old database open`,
    ];
  },
});
