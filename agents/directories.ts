// Any directories, for what has no database and no agent of its own.
import { cannot } from '../lib/errors.ts';
import { paths } from '../lib/settings.ts';
import { defineAgent } from './toolkit/define-agent.ts';
import { uniqueNames } from './toolkit/sources.ts';

export default defineAgent({
  application: 'directories',
  title: 'Directories',
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
    const names = uniqueNames(roots.map((root) => root.slice(1).replaceAll('/', '_') || 'root'));
    const trees = roots.map((root, index) => ({ name: names[index] as string, root: view.resolve(root) }));
    // one below another is in that one's tree already, and could not be put into place beside it
    return trees.filter(({ root }, index) =>
      trees.every((other, at) => !(root.startsWith(`${other.root}/`) || (root === other.root && at < index))),
    );
  },
});
