// Extracts a tree into a fresh directory beside its target, then swaps it in. Until the swap,
// nothing that exists is touched.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import type { DecodeOptions } from '../../archive/decode.ts';
import { extractTree } from '../../archive/extract.ts';
import type { Member } from '../../archive/manifest.ts';
import type { ArchiveReader } from '../../archive/read.ts';
import { syncDirectory } from '../../lib/durable.ts';
import { cannot } from '../../lib/errors.ts';
import { captureOk } from '../../lib/process.ts';

export interface TreeTarget {
  /** Where the tree is to stand. */
  root: string;
  /** Paths below the root that the tree consists of; undefined: all of the root. */
  includes: readonly string[] | undefined;
}

export interface StagedTree {
  directory: string;
  /** What was left out because it would reach outside or give rights: `path -> target`. */
  refused: string[];
}

/** A mount point can't be renamed: what is in it is swapped instead. */
function isMountPoint(path: string): boolean {
  return existsSync(path) && statSync(path).dev !== statSync(dirname(path)).dev;
}

/** The directory on the same file system where staged and replaced things lie for the moment. */
function besideOf({ root }: TreeTarget): string {
  return isMountPoint(root) ? root : dirname(root);
}

const ASIDE = '.before-restore-';
const HOLDER = '.garner-restore-';

/** What is in a mount point, but for what restores and the file system itself keep there. */
function contents(mountPoint: string): string[] {
  return readdirSync(mountPoint).filter(
    (name) => name !== 'lost+found' && !name.startsWith(HOLDER) && !name.includes(ASIDE),
  );
}

/** @returns the paths below the root that are replaced, each whole; `''` is the root itself */
function units({ root, includes }: TreeTarget): string[] {
  return includes === undefined ? (isMountPoint(root) ? contents(root) : ['']) : [...includes];
}

/** @returns the paths below the root that a staged tree brings */
function stagedUnits({ root, includes }: TreeTarget, staged: string): string[] {
  if (includes === undefined) return isMountPoint(root) ? contents(staged) : [''];
  return includes.filter((path) => isThere(join(staged, path)));
}

/** @returns what stands where the tree is to go, and isn't empty */
export function occupiedPaths(target: TreeTarget): string[] {
  return units(target)
    .map((path) => join(target.root, path))
    .filter((path) => {
      const stat = lstatSync(path, { throwIfNoEntry: false });
      return stat !== undefined && !(stat.isDirectory() && readdirSync(path).length === 0);
    });
}

/**
 * Removes what ended restores of one application have left beside its trees. The caller holds the application's lock.
 * @param group `<application>[.<instance>]`
 */
export function sweepStaged(targets: readonly TreeTarget[], group: string): void {
  for (const beside of new Set(targets.map(besideOf))) {
    if (!existsSync(beside)) continue;
    for (const name of readdirSync(beside)) {
      if (name.startsWith(`${HOLDER}${group}-`)) rmSync(join(beside, name), { recursive: true, force: true });
    }
  }
}

/**
 * Extracts a tree into a fresh directory beside the target, and makes it durable. The caller removes it, swapped or not.
 * @param group names the directory, for {@link sweepStaged}
 * @param roots of all trees that are restored: links may lead there
 */
export async function stageTree(
  archive: ArchiveReader,
  member: Member,
  target: TreeTarget,
  group: string,
  roots: readonly string[],
  options: DecodeOptions,
): Promise<StagedTree> {
  const beside = besideOf(target);
  mkdirSync(beside, { recursive: true, mode: 0o755 });
  const holder = mkdtempSync(join(beside, `${HOLDER}${group}-`));
  const directory = join(holder, 'tree');
  mkdirSync(directory, { mode: 0o755 });
  try {
    const refused = await extractTree(archive, member, directory, { root: target.root, roots }, options);
    // what it will replace goes aside next: a power cut must not leave an empty tree in its place
    await captureOk({ file: 'sync', args: ['--file-system', directory] }, { signal: options.signal });
    return { directory, refused };
  } catch (error) {
    rmSync(holder, { recursive: true, force: true });
    throw error;
  }
}

export interface Moved {
  /** Where what was there lies now; undefined: there was nothing. */
  aside: string | undefined;
  /** Moves it back. */
  undo: () => void;
}

/**
 * Moves what a restore will replace out of the way, all or nothing.
 * @param stamp names the directory that takes it; only root (or the caller) may enter that
 * @throws io where it can't be moved; then nothing has been
 */
export function setAside(target: TreeTarget, stamp: string): Moved {
  const { root } = target;
  const aside = join(besideOf(target), `.${basename(root)}${ASIDE}${stamp}`);
  const moves: { from: string; to: string }[] = [];
  const undo = (): void => {
    for (const { from, to } of moves.splice(0).reverse()) renameSync(to, from);
    rmSync(aside, { recursive: true, force: true });
  };
  for (const path of occupiedPaths(target)) {
    const kept = path === root ? join(aside, basename(root)) : join(aside, relative(root, path));
    try {
      mkdirSync(aside, { recursive: true, mode: 0o700 });
      mkdirSync(dirname(kept), { recursive: true });
      renameSync(path, kept);
      moves.push({ from: path, to: kept });
    } catch (error) {
      undo();
      throw cannot('io', 'put aside', path, error, {
        hint: 'nothing was changed; restore with --to DIR and move it by hand',
      });
    }
  }
  return { aside: moves.length > 0 ? aside : undefined, undo };
}

const isThere = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/** Puts a staged tree where it belongs; what was there has been set aside. */
export function putIntoPlace(staged: StagedTree, target: TreeTarget): void {
  for (const path of stagedUnits(target, staged.directory)) {
    const to = join(target.root, path);
    try {
      if (isThere(to)) rmdirSync(to); // an empty directory
      mkdirSync(dirname(to), { recursive: true });
      renameSync(join(staged.directory, path), to);
      syncDirectory(dirname(to));
    } catch (error) {
      throw cannot('io', 'put into place', to, error, { hint: 'restore with --to DIR and move it by hand' });
    }
  }
}

/** Removes the directory that a tree was staged in. */
export function removeStaged({ directory }: StagedTree): void {
  rmSync(dirname(directory), { recursive: true, force: true });
}
