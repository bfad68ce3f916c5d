// Extracts a tree into a fresh directory beside its target and makes it harmless, then swaps it in. Until the swap,
// nothing that exists is touched.
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { type DecodeOptions, decodeMember } from '../../archive/decode.ts';
import type { Member } from '../../archive/manifest.ts';
import type { ArchiveReader } from '../../archive/read.ts';
import { syncDirectory } from '../../lib/durable.ts';
import { cannot } from '../../lib/errors.ts';
import { captureOk } from '../../lib/process.ts';
import { findProgram } from '../../lib/program.ts';
import { nameText } from './walk.ts';

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
  const asRoot = process.getuid?.() === 0;
  try {
    await decodeMember(
      archive,
      member,
      {
        file: findProgram(['tar'], 'tar'),
        args: [
          '--extract',
          '--file=-',
          `--directory=${directory}`,
          '--preserve-permissions',
          asRoot ? '--same-owner' : '--no-same-owner',
          '--delay-directory-restore',
        ],
      },
      options,
    );
    const refused = makeHarmless(directory, target.root, roots);
    // what it will replace goes aside next: a power cut must not leave an empty tree in its place
    await captureOk({ file: 'sync', args: ['--file-system', directory] }, { signal: options.signal });
    return { directory, refused };
  } catch (error) {
    rmSync(holder, { recursive: true, force: true });
    throw error;
  }
}

/** Removes devices and links that lead out of the tree, and takes setuid and setgid from files. */
function makeHarmless(directory: string, root: string, roots: readonly string[]): string[] {
  const refused: string[] = [];
  const top = Buffer.from(directory).toString('latin1');
  const visit = (path: string): void => {
    const raw = Buffer.from(path, 'latin1');
    const stat = lstatSync(raw);
    const shown = nameText(path.slice(top.length + 1));
    if (stat.isSymbolicLink()) {
      const target = readlinkSync(raw, { encoding: 'latin1' });
      const known = standsThere(`${root}/${shown}`, target) || isAmong(roots, `${root}/${shown}`, target);
      if (leadsOut(path, target, top, root) && !known) {
        rmSync(raw);
        refused.push(`${shown} -> ${nameText(target)}`);
      }
    } else if (stat.isDirectory()) {
      for (const name of readdirSync(raw, { encoding: 'latin1' })) visit(`${path}/${name}`);
    } else if (stat.isBlockDevice() || stat.isCharacterDevice()) {
      rmSync(raw);
      refused.push(`${shown} (a device)`);
    } else if (stat.mode & 0o6000) {
      chmodSync(raw, stat.mode & 0o1777);
      refused.push(`${shown} (only its setuid or setgid bit)`);
    }
  };
  visit(top);
  return refused;
}

/** A link that this host has at the same place brings nothing new: packages link into /usr/share. */
function standsThere(path: string, target: string): boolean {
  return (
    lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true &&
    readlinkSync(path, { encoding: 'latin1' }) === target
  );
}

/** `attachments` that is a link to another disk, where the tree it leads to comes back too. */
function isAmong(roots: readonly string[], path: string, target: string): boolean {
  if (target.split('/').includes('..')) return false;
  const wanted = resolve(dirname(path), nameText(target));
  return roots.some((root) => `${wanted}/`.startsWith(`${root}/`));
}

/** A name may itself be a link, so that `name/..` can be anywhere: `..` is only followed at the start of a target. */
function leadsOut(path: string, target: string, top: string, root: string): boolean {
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  const first = parts.findIndex((part) => part !== '..');
  if (first !== -1 && parts.includes('..', first)) return true;
  const wanted = target.startsWith('/')
    ? resolve(top, relative(Buffer.from(root).toString('latin1'), target))
    : resolve(dirname(path), target);
  return wanted !== top && !wanted.startsWith(`${top}/`);
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
