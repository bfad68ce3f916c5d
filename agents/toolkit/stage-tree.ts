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
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { type DecodeOptions, decodeMember } from '../../archive/decode.ts';
import type { Member } from '../../archive/manifest.ts';
import type { ArchiveReader } from '../../archive/read.ts';
import { syncDirectory } from '../../lib/durable.ts';
import { cannot } from '../../lib/errors.ts';
import { findProgram } from '../../lib/process.ts';
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

/** @returns the paths that are replaced, each whole */
function units(target: TreeTarget, staged: string): { from: string; to: string }[] {
  const { root } = target;
  if (target.includes === undefined && !isMountPoint(root)) return [{ from: staged, to: root }];
  const paths = target.includes ?? readdirSync(staged);
  return paths.map((path) => ({ from: join(staged, path), to: join(root, path) }));
}

/** @returns what stands where the tree is to go, and isn't empty */
export function occupiedPaths(target: TreeTarget): string[] {
  const paths =
    target.includes?.map((path) => join(target.root, path)) ??
    (isMountPoint(target.root)
      ? readdirSync(target.root).map((name) => join(target.root, name))
      : [target.root]);
  return paths.filter((path) => {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return false;
    return !stat.isDirectory() || readdirSync(path).length > 0;
  });
}

/** Extracts a tree into a fresh directory beside the target. The caller removes it, swapped or not. */
export async function stageTree(
  archive: ArchiveReader,
  member: Member,
  target: TreeTarget,
  options: DecodeOptions,
): Promise<StagedTree> {
  const beside = besideOf(target);
  mkdirSync(beside, { recursive: true, mode: 0o755 });
  const holder = mkdtempSync(join(beside, '.garner-restore-'));
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
    return { directory, refused: makeHarmless(directory, target.root) };
  } catch (error) {
    rmSync(holder, { recursive: true, force: true });
    throw error;
  }
}

/** Removes devices and links that lead out of the tree, and takes setuid and setgid from files. */
function makeHarmless(directory: string, root: string): string[] {
  const refused: string[] = [];
  const top = Buffer.from(directory).toString('latin1');
  const visit = (path: string): void => {
    const raw = Buffer.from(path, 'latin1');
    const stat = lstatSync(raw);
    const shown = nameText(path.slice(top.length + 1));
    if (stat.isSymbolicLink()) {
      const target = readlinkSync(raw, { encoding: 'latin1' });
      if (leadsOut(path, target, top, root) && !standsThere(`${root}/${shown}`, target)) {
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

/**
 * Puts a staged tree where it belongs.
 * @param stamp names the directory that takes what was there; only root (or the caller) may enter it
 * @returns where what was replaced lies now, if anything was
 */
export function swapIn(staged: StagedTree, target: TreeTarget, stamp: string): string | undefined {
  const { root } = target;
  const aside = join(besideOf(target), `.${basename(root)}.before-restore-${stamp}`);
  let used = false;
  for (const { from, to } of units(target, staged.directory)) {
    if (!existsSync(from) && lstatSync(from, { throwIfNoEntry: false }) === undefined) continue;
    try {
      const old = lstatSync(to, { throwIfNoEntry: false });
      if (old !== undefined && !(old.isDirectory() && readdirSync(to).length === 0)) {
        const kept = to === root ? join(aside, basename(root)) : join(aside, relative(root, to));
        mkdirSync(aside, { recursive: true, mode: 0o700 });
        mkdirSync(dirname(kept), { recursive: true });
        renameSync(to, kept);
        used = true;
      } else if (old !== undefined) {
        rmSync(to, { recursive: true });
      }
      mkdirSync(dirname(to), { recursive: true });
      renameSync(from, to);
      syncDirectory(dirname(to));
    } catch (error) {
      throw cannot('io', 'put into place', to, error, {
        hint: used ? `what was there before lies in ${aside}` : 'restore with --to DIR and move it by hand',
      });
    }
  }
  return used ? aside : undefined;
}

/** Removes the directory that a tree was staged in. */
export function removeStaged({ directory }: StagedTree): void {
  rmSync(dirname(directory), { recursive: true, force: true });
}
