// Any directories, for what has no database and no agent of its own.
import { cannot } from '../lib/errors.ts';
import { paths } from '../lib/settings.ts';
import { type AgentContext, defineAgent, type TreeSource } from './toolkit/define-agent.ts';
import { rootTrees } from './toolkit/root-trees.ts';
import { emptyTrees } from './toolkit/walk.ts';

const SETTINGS = {
  DIRECTORIES: { parse: paths, describe: 'the directories to back up: /a:/b' },
} as const;

function trees({ settings, view }: AgentContext<typeof SETTINGS>): TreeSource[] {
  const roots = settings.DIRECTORIES ?? [];
  if (roots.length === 0) {
    throw cannot('configuration', 'back up', 'directories', 'DIRECTORIES is not set', {
      hint: 'DIRECTORIES=/srv/data:/home/www',
    });
  }
  return rootTrees(roots, view);
}

export default defineAgent({
  application: 'directories',
  title: 'Directories',
  testedWith: 'real files',
  settings: SETTINGS,

  version: () => '1',
  databases: () => [],
  trees,
  examine: async (context) => emptyTrees(trees(context)),
});
