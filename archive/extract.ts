// Takes members out of an archive: a dump as a file, a tree as a directory. What an archive brings is made harmless: no
// devices, no setuid or setgid, no links that lead out of the tree.
import {
  chmodSync,
  closeSync,
  fsyncSync,
  lstatSync,
  readdirSync,
  readlinkSync,
  rmSync,
  unlinkSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { createFile, partPath, publish, writeFully } from '../lib/durable.ts';
import { findProgram } from '../lib/program.ts';
import { type DecodeOptions, decodeMember } from './decode.ts';
import type { Member } from './manifest.ts';
import type { ArchiveReader } from './read.ts';

/**
 * Puts a member, decompressed, into a file that is whole or absent.
 * @throws EEXIST where there is one; content-mismatch
 */
export async function extractMember(
  archive: ArchiveReader,
  member: Member,
  file: string,
  options: DecodeOptions,
): Promise<void> {
  const part = partPath(file);
  const fd = createFile(part);
  try {
    await decodeMember(archive, member, (chunk) => writeFully(fd, chunk), options);
    fsyncSync(fd);
    publish(part, file);
  } finally {
    closeSync(fd);
    rmSync(part, { force: true });
  }
}

export interface TreePlace {
  /** Where the tree is to stand in the end: links are judged by that. */
  root: string;
  /** The roots of all trees that are restored: links may lead there. */
  roots: readonly string[];
  /** Paths below the root, latin1, that are wanted; undefined: all. */
  only?: readonly string[];
}

/**
 * Extracts a tree into a directory that is there and empty.
 * @returns what was left out because it would reach outside or give rights: `path -> target`
 * @throws content-mismatch, program-failed
 */
export async function extractTree(
  archive: ArchiveReader,
  member: Member,
  directory: string,
  { root, roots, only }: TreePlace,
  options: DecodeOptions,
): Promise<string[]> {
  const asRoot = process.getuid?.() === 0;
  const selection = only === undefined ? undefined : openSelection(directory, only);
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
          ...(selection === undefined
            ? []
            : ['--null', '--verbatim-files-from', '--no-unquote', '--files-from=/proc/self/fd/3']),
        ],
        ...(selection !== undefined && { fds: [selection] }),
      },
      options,
    );
  } finally {
    if (selection !== undefined) closeSync(selection);
  }
  return makeHarmless(directory, root, roots);
}

/** @returns an open file with the paths that tar is to take; it has no name any more */
function openSelection(directory: string, paths: readonly string[]): number {
  const file = partPath(join(dirname(directory), 'selection'));
  const fd = createFile(file);
  unlinkSync(file);
  writeFully(fd, Buffer.from(paths.map((path) => `${path}\0`).join(''), 'latin1'));
  return fd;
}

const textOf = (latin1: string): string => Buffer.from(latin1, 'latin1').toString('utf8');

/** Removes devices and links that lead out of the tree, and takes setuid and setgid from files. */
function makeHarmless(directory: string, root: string, roots: readonly string[]): string[] {
  const refused: string[] = [];
  const top = Buffer.from(directory).toString('latin1');
  const visit = (path: string): void => {
    const raw = Buffer.from(path, 'latin1');
    const stat = lstatSync(raw);
    const shown = textOf(path.slice(top.length + 1));
    if (stat.isSymbolicLink()) {
      const target = readlinkSync(raw, { encoding: 'latin1' });
      const known = standsThere(`${root}/${shown}`, target) || isAmong(roots, `${root}/${shown}`, target);
      if (leadsOut(path, target, top, root) && !known) {
        rmSync(raw);
        refused.push(`${shown} -> ${textOf(target)}`);
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
  const wanted = resolve(dirname(path), textOf(target));
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
