// Directories that somebody lists, as trees of an archive.
import type { TreeSource } from './define-agent.ts';
import type { HostView } from './host-view.ts';
import { uniqueNames } from './sources.ts';

/** @returns the directories as trees, named after their paths; one below another is in that one's */
export function rootTrees(paths: readonly string[], view: HostView): TreeSource[] {
  const names = uniqueNames(paths.map((path) => path.slice(1).replaceAll('/', '_') || 'root'));
  const trees = paths.map((path, index) => ({ name: names[index] as string, root: view.resolve(path) }));
  // one below another could not be put into place beside it
  return trees.filter(({ root }, index) =>
    trees.every((other, at) => !(root.startsWith(`${other.root}/`) || (root === other.root && at < index))),
  );
}
