// Walks a tree as it will be archived. Names are bytes that need not be UTF-8: they are held as latin1 strings, one
// character per byte, and only become text for messages.
import { lstatSync, readdirSync, statSync } from 'node:fs';
import type { Warning } from '../../archive/manifest.ts';
import { containerSuffix } from '../../databases/toolkit/container.ts';
import { cannot } from '../../lib/errors.ts';
import type { TreeSource } from './define-agent.ts';
import { type GitPlace, gitOrder, gitPlaceOf } from './git-tree.ts';

export interface WalkEntry {
  /** Below the root, latin1; `.` for the root itself. */
  path: string;
  isDirectory: boolean;
  sizeBytes: number;
  mtimeMs: number;
  /** It is of a repository's objects: to be listed only when all before it has been read. */
  isLate: boolean;
  /** A file that has other names too. */
  isLinked: boolean;
}

const bytes = (latin1: string): Buffer => Buffer.from(latin1, 'latin1');
const latin1 = (text: string): string => Buffer.from(text).toString('latin1');

/** @returns a name in latin1 form as text for people */
export function nameText(path: string): string {
  return bytes(path).toString('utf8');
}

/** @returns a function that gives the pattern by which a path below the root is left out */
function excluder(patterns: readonly string[]): (path: string) => string | undefined {
  const alternatives = patterns.map((pattern) =>
    pattern
      .split('*')
      .map((part) => RegExp.escape(latin1(part)))
      .join('[^/]*'),
  );
  const whole = (expression: string): RegExp => new RegExp(`^(?:${expression})$`, 's');
  const any = whole(alternatives.join('|'));
  const each = alternatives.map(whole);
  // one look at a path that stays, which most do
  return (path) => (any.test(path) ? patterns[each.findIndex((one) => one.test(path))] : undefined);
}

/** @returns a function that tells whether a path, latin1, or one above it is meant by one of the patterns */
export function meantBy(patterns: readonly string[]): (path: string) => boolean {
  const pattern = excluder(patterns);
  return (path) => {
    const names = path.split('/');
    return names.some((_, index) => pattern(names.slice(0, index + 1).join('/')) !== undefined);
  };
}

/** What is below a path. */
export interface Extent {
  fileCount: number;
  sizeBytes: number;
}

/** @returns how much there is at a path and below it; what can't be read is passed over */
function measure(absolute: string): Extent {
  const stat = lstatSync(bytes(absolute), { throwIfNoEntry: false });
  if (stat === undefined) return { fileCount: 0, sizeBytes: 0 };
  if (!stat.isDirectory()) return { fileCount: 1, sizeBytes: stat.isFile() ? stat.size : 0 };
  const sum: Extent = { fileCount: 0, sizeBytes: 0 };
  let names: string[] = [];
  try {
    names = readdirSync(bytes(absolute), { encoding: 'latin1' });
  } catch {
    // it is left out: no reason to fail
  }
  for (const name of names) {
    const { fileCount, sizeBytes } = measure(`${absolute}/${name}`);
    sum.fileCount += fileCount;
    sum.sizeBytes += sizeBytes;
  }
  return sum;
}

/** @throws file-unreadable where a tree's directory is missing: a disk that is not mounted, a link that leads nowhere */
export function checkRoot({ root }: TreeSource): void {
  if (statSync(bytes(latin1(root)), { throwIfNoEntry: false })?.isDirectory()) return;
  const hint =
    containerSuffix() === ''
      ? undefined
      : 'the files of a container lie in its volumes: set the directory that one has on this host';
  throw cannot('file-unreadable', 'read directory', root, 'no such directory', { hint });
}

/** @returns a warning for each tree that holds nothing at all: a disk that is not mounted leaves an empty directory */
export function emptyTrees(trees: readonly TreeSource[]): Warning[] {
  const isEmpty = ({ root, includes }: TreeSource): boolean =>
    includes === undefined && readdirSync(bytes(latin1(root))).length === 0;
  return trees
    .filter(isEmpty)
    .map(({ root }) => ({ code: 'tree-empty', message: `${root} is empty: is its disk mounted?` }));
}

export interface WalkOptions {
  repositories?: Set<string>;
  from?: readonly string[];
  onLeftOut?: (pattern: string, extent: Extent) => void;
}

/**
 * Lists what of a tree is archived: the root first, then each directory before what is in it, in a fixed order.
 * Sockets are left out, applications make them anew; devices are left out too. What vanishes meanwhile is passed over.
 * Repositories of a tree that has some are read in their own order, see git-tree.ts.
 * @param notThese absolute paths of directories that are never entered: the work directory itself
 * @param repositories gets the paths of those that are found, latin1
 * @param from paths to begin with in place of the root, latin1
 * @param onLeftOut gets what a pattern leaves out, which is measured for it
 * @throws file-unreadable where a directory can't be read
 */
export function* walkTree(
  tree: TreeSource,
  notThese: readonly string[] = [],
  { repositories, from, onLeftOut }: WalkOptions = {},
): Generator<WalkEntry> {
  const excluded = excluder(tree.excludes ?? []);
  const root = latin1(tree.root);
  const skipped = new Set(notThese.map(latin1));
  const postponed: { path: string; place: GitPlace }[] = [];

  function* visit(path: string, place: GitPlace = 'outside'): Generator<WalkEntry> {
    const absolute = path === '.' ? root : `${root}/${path}`;
    if (skipped.has(absolute)) return;
    const pattern = excluded(path);
    if (pattern !== undefined) {
      onLeftOut?.(pattern, measure(absolute));
      return;
    }
    const stat = lstatSync(bytes(absolute), { throwIfNoEntry: false });
    if (stat === undefined || stat.isSocket() || stat.isBlockDevice() || stat.isCharacterDevice()) return;
    yield {
      path,
      isDirectory: stat.isDirectory(),
      sizeBytes: stat.isFile() ? stat.size : 0,
      mtimeMs: stat.mtimeMs,
      isLate: place === 'objects' || place === 'packs' || place === 'info',
      isLinked: stat.isFile() && stat.nlink > 1,
    };
    if (!stat.isDirectory()) return;
    const below = (name: string): string => (path === '.' ? name : `${path}/${name}`);
    const names = readNames(absolute);
    if (tree.git !== true) {
      for (const name of names) yield* visit(below(name));
      return;
    }
    const { isRepository, now, later } = gitOrder(place, names);
    if (isRepository) repositories?.add(path);
    for (const name of now) yield* visit(below(name), gitPlaceOf(place, isRepository, name));
    for (const name of later)
      postponed.push({ path: below(name), place: gitPlaceOf(place, isRepository, name) });
  }

  checkRoot(tree);
  for (const path of from ?? tree.includes?.map(latin1) ?? ['.']) yield* visit(path);
  for (const { path, place } of postponed) yield* visit(path, place); // it grows meanwhile: objects, then packs
}

function readNames(absolute: string): string[] {
  try {
    return readdirSync(bytes(absolute), { encoding: 'latin1' }).sort();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return []; // vanished meanwhile
    throw cannot('file-unreadable', 'read directory', nameText(absolute), error);
  }
}
