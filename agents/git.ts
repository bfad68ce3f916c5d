// Git: every repository below some directories, whole: all refs, reflogs, objects, configuration, hooks, LFS objects,
// working trees, and what lies beside the repositories. A push meanwhile does no harm. Each is checked by `git fsck`.
import type { Warning } from '../archive/manifest.ts';
import { captureOk } from '../lib/process.ts';
import { findProgram } from '../lib/program.ts';
import { paths } from '../lib/settings.ts';
import { shellWord } from '../lib/text.ts';
import { type AgentContext, defineAgent, type TreeSource } from './toolkit/define-agent.ts';
import { examineRepositories, findRepositories, GIT_SETTINGS } from './toolkit/git-repositories.ts';
import { rootTrees } from './toolkit/root-trees.ts';

const SETTINGS = {
  GIT_ROOTS: {
    parse: paths,
    default: '/srv/git',
    describe: 'the directories below which repositories are: /srv/git:/home/git',
  },
  ...GIT_SETTINGS,
} as const;

/** A disk that isn't mounted leaves an empty directory: a copy of that is no good backup. */
function emptyRoots({ settings, view }: AgentContext<typeof SETTINGS>): Warning[] {
  const isEmpty = (root: string): boolean =>
    Object.values(findRepositories(view.resolve(root))).every((found) => found.length === 0);
  return settings.GIT_ROOTS.filter(isEmpty).map((root) => ({
    code: 'git-none',
    message: `there is no repository below ${root}: is its disk mounted? GIT_ROOTS says where they are`,
  }));
}

function gitTrees({ settings, view }: AgentContext<typeof SETTINGS>): TreeSource[] {
  const roots = settings.GIT_ROOTS;
  const linked = roots.flatMap((root) => findRepositories(view.resolve(root)).linked);
  return rootTrees([...roots, ...linked], view).map((tree) => ({ ...tree, git: true }));
}

export default defineAgent({
  application: 'git',
  title: 'Git repositories',
  testedWith: 'real repositories, judged by git itself',
  settings: SETTINGS,

  // its files have been the same through all of a major version; a repository says itself what else it needs
  async version({ signal }) {
    const said = await captureOk({ file: findProgram(['git'], 'git'), args: ['--version'] }, { signal });
    return /(\d+)\.\d/.exec(said)?.[1] ?? said;
  },

  databases: () => [],
  trees: gitTrees,
  examine: async (context, trees) => [
    ...emptyRoots(context),
    ...(await examineRepositories(trees, context.settings.GIT_FSCK, context.signal)),
  ],

  nextSteps: ({ settings }) =>
    settings.GIT_ROOTS.map(
      (root) =>
        `find ${shellWord(root)} -type d -name objects -prune -execdir git --git-dir=. fsck --no-dangling \\;`,
    ),
});
