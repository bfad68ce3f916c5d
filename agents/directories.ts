// Any directories, for what has no database and no agent of its own.
import { cannot } from '../lib/errors.ts';
import { paths } from '../lib/settings.ts';
import { defineAgent } from './toolkit/define-agent.ts';
import { rootTrees } from './toolkit/root-trees.ts';
import { emptyTrees } from './toolkit/walk.ts';

export default defineAgent({
  application: 'directories',
  title: 'Directories',
  testedWith: 'real files',
  settings: {
    DIRECTORIES: { parse: paths, describe: 'the directories to back up: /a:/b' },
  },

  version: () => '1',
  databases: () => [],

  trees({ settings, view }) {
    const roots = settings.DIRECTORIES ?? [];
    if (roots.length === 0) {
      throw cannot('configuration', 'back up', 'directories', 'DIRECTORIES is not set', {
        hint: 'DIRECTORIES=/srv/data:/home/www',
      });
    }
    return rootTrees(roots, view);
  },

  examine: async (_, trees) => emptyTrees(trees),
});
