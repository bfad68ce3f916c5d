// Gitea and Forgejo: the database (SQLite, MySQL, MariaDB, PostgreSQL), every repository whole, LFS objects, attachments,
// packages, custom files, and app.ini with its keys. Left out is what they make anew: indexes, queues, sessions.
import { basename, dirname, join, relative } from 'node:path';
import { asOwner } from '../lib/as-account.ts';
import { captureOk } from '../lib/process.ts';
import { findProgram } from '../lib/program.ts';
import { path, text } from '../lib/settings.ts';
import { shellWord } from '../lib/text.ts';
import { type AgentContext, type CrossCheck, defineAgent, type TreeSource } from './toolkit/define-agent.ts';
import { examineRepositories, GIT_SETTINGS } from './toolkit/git-repositories.ts';
import {
  type GiteaConfiguration,
  giteaDatabase,
  giteaStores,
  giteaWithheld,
  readGiteaConfiguration,
} from './toolkit/gitea-configuration.ts';
import { isBelow, outermost, treeBeside } from './toolkit/tree-beside.ts';

const SETTINGS = {
  GITEA_APP_INI: {
    parse: path,
    describe:
      'app.ini; unset: the first there is of /etc/gitea/app.ini, /etc/forgejo/app.ini and their other usual places',
  },
  GITEA_WORK_PATH: {
    parse: path,
    describe:
      "unset: app.ini's WORK_PATH, else where its `custom` is, else `/var/lib/gitea` or `/var/lib/forgejo`",
  },
  GITEA_PROGRAM: {
    parse: text,
    describe: 'the program that tells the version; unset: `gitea` or `forgejo` of the PATH',
  },
  ...GIT_SETTINGS,
} as const;

type Context = AgentContext<typeof SETTINGS>;

/** In the data directory. */
const LEFT_OUT = ['indexers', 'sessions', 'queues', 'tmp', 'repo-archive', 'log'];

const configurationOf = ({ settings, view }: Context): GiteaConfiguration =>
  readGiteaConfiguration(settings.GITEA_APP_INI, settings.GITEA_WORK_PATH, view);

function giteaTrees(context: Context): TreeSource[] {
  const { view } = context;
  const configuration = configurationOf(context);
  const { file } = giteaDatabase(configuration).source.connection as { file?: string };
  const database = file === undefined ? undefined : view.resolve(file);
  const tree = (name: string, root: string): TreeSource => ({ name, root: view.resolve(root), git: true });
  const settings = view.resolve(configuration.file);
  const stores = giteaStores(configuration)
    .filter(({ type, directory }) => type === 'local' && view.exists(directory))
    .map(({ name, directory }) => tree(name.replace('-', '_'), directory));
  const whole = outermost([
    { ...tree('data', configuration.data), excludes: LEFT_OUT },
    tree('repositories', configuration.repositories),
    ...(view.exists(configuration.custom) ? [tree('custom', configuration.custom)] : []),
    ...stores,
  ]);
  const own = { name: 'settings', root: dirname(settings), includes: [basename(settings)] };
  const isInside = whole.some(({ root }) => isBelow(settings, root));
  return [...whole.map((one) => treeBeside(one, database)), ...(isInside ? [] : [own])];
}

export default defineAgent({
  application: 'gitea',
  title: 'Gitea',
  testedWith: 'an installation made from its documentation, with real repositories and SQLite',
  settings: SETTINGS,

  async version({ settings, signal }) {
    const file = settings.GITEA_PROGRAM ?? findProgram(['gitea', 'forgejo'], 'gitea');
    const said = await captureOk(asOwner({ file, args: ['--version'] }, 'gitea'), { signal });
    return /version v?(\d\S*)/i.exec(said)?.[1] ?? said;
  },

  databases: (context) => [giteaDatabase(configurationOf(context)).source],
  trees: giteaTrees,
  examine: ({ settings, signal }, trees) => examineRepositories(trees, settings.GIT_FSCK, signal),
  withheld(context) {
    const trees = giteaTrees(context);
    const isKept = (file: string): boolean =>
      trees.some(({ root, name }) => name !== 'settings' && isBelow(context.view.resolve(file), root));
    return giteaWithheld(configurationOf(context), isKept);
  },

  crossChecks(context, [database]) {
    if (database === undefined) return [];
    const configuration = configurationOf(context);
    const trees = giteaTrees(context);
    const stores = giteaStores(configuration);
    const { schema } = giteaDatabase(configuration);
    const placeOf = (directory: string, otherwise: string): { tree: string; below: string } => {
      const real = context.view.resolve(directory);
      const tree = trees.find(({ root, name }) => name !== 'settings' && isBelow(real, root));
      return { tree: tree?.name ?? otherwise, below: tree === undefined ? '' : relative(tree.root, real) };
    };
    const table = (name: string): string =>
      database.engine === 'postgres' ? `"${schema.replaceAll('"', '""')}"."${name}"` : name;
    const files = [
      { store: 'attachments', from: 'attachment', column: 'uuid', cuts: [1, 2, 0] },
      { store: 'lfs', from: 'lfs_meta_object', column: 'oid', cuts: [2, 4, 4] },
    ];
    const stored = files.flatMap(({ store, from, column, cuts: [first, second, rest] }): CrossCheck[] => {
      const { type, directory } = stores.find(({ name }) => name === store) ?? {};
      if (type !== 'local' || directory === undefined) return [];
      const { tree, below } = placeOf(directory, store);
      return [
        {
          ...{ database: database.name, tree },
          sql: `SELECT ${column} FROM ${table(from)} WHERE ${column} <> ''`,
          pathsOf: ([id = '']) => [join(below, id.slice(0, first), id.slice(first, second), id.slice(rest))],
          concerns: (file) => isBelow(file, below) && file !== below && !/(^|\/)tmp\//.test(file),
        },
      ];
    });
    const { tree, below } = placeOf(configuration.repositories, 'repositories');
    const repositories: CrossCheck = {
      ...{ database: database.name, tree },
      sql: `SELECT owner_name, lower_name FROM ${table('repository')} WHERE owner_name <> '' AND lower_name <> ''`,
      pathsOf: ([owner = '', name = '']) => [join(below, owner.toLowerCase(), `${name}.git`, 'HEAD')],
      concerns: () => false,
    };
    return [...stored, repositories];
  },

  nextSteps(context) {
    const { ini, file, isForgejo } = configurationOf(context);
    const user = ini.value('DEFAULT', 'RUN_USER') || (isForgejo ? 'forgejo' : 'git');
    const program = context.settings.GITEA_PROGRAM ?? (isForgejo ? 'forgejo' : 'gitea');
    const run = `sudo -u ${shellWord(user)} ${shellWord(program)} --config ${shellWord(file)}`;
    return [
      `${run} admin regenerate hooks`,
      `${run} admin regenerate keys`,
      `${run} doctor check --all`,
      `systemctl restart ${isForgejo ? 'forgejo' : 'gitea'}`,
    ];
  },
});
