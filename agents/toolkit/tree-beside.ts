// A directory that has a SQLite database among its files: a restore brings the database by itself, so the files go by name.
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { TreeSource } from './define-agent.ts';

const DATABASE_SUFFIXES = ['', '-wal', '-shm', '-journal'];

const namesIn = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory).sort() : []);

/**
 * @param tree its excludes are plain paths below the root
 * @param database a SQLite file, without links; undefined: the database is on a server
 * @returns the tree without the database, in a form that can be put into place beside it
 */
export function treeBeside(tree: TreeSource, database: string | undefined): TreeSource {
  const { root, excludes = [] } = tree;
  const below = database === undefined ? '..' : relative(root, database);
  if (below.startsWith('..')) return tree;
  const live = DATABASE_SUFFIXES.map((suffix) => below + suffix);
  const includes: string[] = [];
  const list = (directory: string): void => {
    for (const name of namesIn(join(root, directory))) {
      const path = join(directory, name);
      if (excludes.includes(path) || live.includes(path)) continue;
      if (below.startsWith(`${path}/`)) list(path);
      else includes.push(path);
    }
  };
  list('');
  return { ...tree, includes, excludes: [...excludes, ...live] };
}

/** @returns whether a path is a directory, or lies below it */
export const isBelow = (path: string, directory: string): boolean =>
  `${path}/`.startsWith(directory === '/' ? '/' : `${directory}/`);

/** @returns of the trees those that are not in another one that has all that is below its root */
export function outermost(trees: readonly TreeSource[]): TreeSource[] {
  return trees.filter(({ root }, index) =>
    trees.every(
      (other, at) =>
        at === index ||
        other.includes !== undefined ||
        !isBelow(root, other.root) ||
        (root === other.root && at > index),
    ),
  );
}
