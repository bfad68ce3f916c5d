// Where things lie in the archive store: `<root>/<host>/<application>[.<instance>]/<name>.tar` with its checksum files,
// the mark that says "this is the store, and it is mounted", and the quarantine.
import { existsSync, lstatSync, readdirSync, renameSync, rmSync, statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { HISTORY_DIRECTORY } from '../archive/history.ts';
import {
  ARCHIVE_SUFFIX,
  type ArchiveName,
  CHECKSUMS,
  groupName,
  ORPHAN_MS,
  parseName,
  withoutSuffix,
} from '../archive/name.ts';
import { makeDirectory, PART_PREFIX, syncDirectory, syncFile } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';
import { formatSize } from '../lib/text.ts';

export const MARK = '.garner-archive';
const QUARANTINE = '.quarantine';
/** What stays free for the catalog and the rest of the system. */
const RESERVE_BYTES = 8_000_000;

/**
 * Refuses a store that isn't there: an unmounted disk looks like an empty one.
 * @throws archive-store
 */
export function checkMark(root: string): void {
  const mark = lstatSync(join(root, MARK), { throwIfNoEntry: false });
  if (mark?.isFile()) return;
  throw cannot(
    'archive-store',
    'use the archive store',
    root,
    `it has no ${MARK}: not mounted, or not set up`,
    {
      hint: 'mount it; only where it is new: archiver init',
    },
  );
}

/** @returns the path of an archive, relative to the root */
export function archivePath(
  { host, application, instance }: Omit<ArchiveName, 'time'>,
  name: string,
): string {
  return `${host}/${groupName(application, instance)}/${name}${ARCHIVE_SUFFIX}`;
}

/** @returns where an archive of the catalog lies, absolute */
export function archiveFile(root: string, name: string): string {
  return join(root, archivePath(parseName(name) as ArchiveName, name));
}

export interface StoredArchive {
  name: string;
  parsed: ArchiveName;
  /** Absolute. */
  path: string;
  sizeBytes: number;
  modifiedMs: number;
  /** When its bytes, name or rights were last changed, in milliseconds since 1970; nobody can set it back. */
  changedMs: number;
}

/** @returns what is under archives' names where archives of a host belong; other files are left out */
export function storedArchives(root: string, host: string): StoredArchive[] {
  const found: StoredArchive[] = [];
  for (const group of groupDirectories(root, host)) {
    const directory = join(root, host, group);
    for (const file of readdirSync(directory)) {
      const name = withoutSuffix(file);
      const parsed = name === undefined ? undefined : parseName(name);
      if (name === undefined || parsed?.host !== host) continue;
      if (groupName(parsed.application, parsed.instance) !== group) continue;
      const path = `${directory}/${file}`;
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (!stat?.isFile()) continue;
      const { size, mtimeMs, ctimeMs } = stat;
      found.push({ name, parsed, path, sizeBytes: size, modifiedMs: mtimeMs, changedMs: ctimeMs });
    }
  }
  return found.toSorted((a, b) => a.parsed.time.getTime() - b.parsed.time.getTime());
}

/** @returns the size of a regular file, undefined where there is none */
export function fileSize(path: string): number | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat?.isFile() ? stat.size : undefined;
}

/** @returns when a file's bytes, name or rights were last changed, in milliseconds since 1970; nobody can set it back */
export function changedMs(path: string): number {
  return lstatSync(path, { throwIfNoEntry: false })?.ctimeMs ?? 0;
}

/** How long what a cut transfer has left waits to be resumed: a host that is pulled from once a day may be down for one. */
const RESUME_MS = 3 * 86_400_000;

/**
 * Removes what ended runs have left: checksum files without archive that are older than a day, and unfinished files, but
 * for those of archives that a transfer may still go on with.
 * The caller holds the lock.
 * @param offered what the host has: of what it has no more, nothing can go on
 */
export function sweepHost(root: string, host: string, offered: ReadonlySet<string>): void {
  for (const group of groupDirectories(root, host)) {
    const directory = join(root, host, group);
    const names = new Set(readdirSync(directory));
    for (const name of names) {
      const path = join(directory, name);
      const archive = name.replace(/\.(sha256|sha1)$/, '');
      const orphan = archive !== name && archive.endsWith(ARCHIVE_SUFFIX) && !names.has(archive);
      if (name.startsWith(PART_PREFIX)) {
        if (!mayResume(path, name, names, offered)) rmSync(path, { force: true, recursive: true });
      } else if (orphan && Date.now() - lstatSync(path).mtimeMs > ORPHAN_MS) rmSync(path, { force: true });
    }
  }
}

/** @param names what else is in its directory */
function mayResume(
  path: string,
  name: string,
  names: ReadonlySet<string>,
  offered: ReadonlySet<string>,
): boolean {
  const found = lstatSync(path);
  const archive = /^(.*)\.tar\.[0-9a-f]{8}$/.exec(name.slice(PART_PREFIX.length))?.[1];
  if (!found.isFile() || archive === undefined || parseName(archive) === undefined) return false;
  const file = archive + ARCHIVE_SUFFIX;
  if (names.has(file) || !offered.has(file)) return false;
  return Math.abs(Date.now() - found.mtimeMs) < RESUME_MS;
}

/**
 * Adds up what a host has here besides good archives: its quarantine, its histories, and what cut transfers have left.
 * @param name of the archive whose leftover doesn't count: it is to be fetched now
 * @returns bytes
 */
export function besidesArchives(root: string, host: string, name: string): number {
  const sizeOf = (directory: string, counts: (file: string) => boolean): number => {
    if (!lstatSync(directory, { throwIfNoEntry: false })?.isDirectory()) return 0;
    const files = readdirSync(directory).filter(counts);
    return files.reduce((sum, file) => sum + (fileSize(join(directory, file)) ?? 0), 0);
  };
  const own = `${PART_PREFIX}${name}${ARCHIVE_SUFFIX}.`;
  const isLeft = (file: string): boolean => file.startsWith(PART_PREFIX) && !file.startsWith(own);
  return [
    sizeOf(join(root, QUARANTINE, host), () => true),
    sizeOf(join(root, host, HISTORY_DIRECTORY), () => true),
    ...groupDirectories(root, host).map((group) => sizeOf(join(root, host, group), isLeft)),
  ].reduce((sum, sizeBytes) => sum + sizeBytes, 0);
}

/**
 * Makes an archive durable that a run has found rather than written: another one may have ended before it did.
 * @param path absolute
 */
export function syncArchive(path: string): void {
  for (const file of [path, ...CHECKSUMS.map((checksum) => `${path}.${checksum}`)])
    if (fileSize(file) !== undefined) syncFile(file);
  syncDirectory(join(path, '..'));
}

/**
 * Deletes an archive, then its checksum files: what has its final name is whole at every moment.
 * @param path absolute
 */
export function deleteArchive(path: string): void {
  rmSync(path, { force: true });
  const directory = join(path, '..');
  if (!existsSync(directory)) return;
  syncDirectory(directory);
  for (const checksum of CHECKSUMS) rmSync(`${path}.${checksum}`, { force: true });
}

/** @returns a path in the quarantine that is free, relative to the root */
export function quarantinePath(root: string, host: string, name: string): string {
  const plain = join(QUARANTINE, host, name + ARCHIVE_SUFFIX);
  const stamp = new Date().toISOString().replace(/[-:.]/g, '');
  return existsSync(join(root, plain)) ? `${plain}.${stamp}` : plain;
}

/**
 * Moves a bad archive and its checksum files to `<root>/.quarantine/<host>/`, where nothing counts or deletes it.
 * @param path absolute
 * @returns where it is now
 */
export function moveToQuarantine(root: string, host: string, name: string, path: string): string {
  const target = join(root, quarantinePath(root, host, name));
  const directory = dirname(target);
  makeDirectory(directory);
  renameSync(path, target);
  for (const checksum of CHECKSUMS)
    if (existsSync(`${path}.${checksum}`)) renameSync(`${path}.${checksum}`, `${target}.${checksum}`);
  syncDirectory(directory);
  syncDirectory(join(path, '..'));
  return target;
}

/**
 * Refuses what can't fit before it is fetched.
 * @throws no-space
 */
export function checkSpace(root: string, name: string, sizeBytes: number): void {
  const { bavail, bsize } = statfsSync(root);
  const free = bavail * bsize;
  if (sizeBytes + RESERVE_BYTES <= free) return;
  throw cannot(
    'no-space',
    'fetch',
    name,
    `it has ${formatSize(sizeBytes)}, the archive store ${formatSize(free)} free`,
    {
      hint: 'make room on the archive store; nothing was removed at the source',
    },
  );
}

/** Directories only: a link in their place would lead out of the store. */
function groupDirectories(root: string, host: string): string[] {
  if (!lstatSync(join(root, host), { throwIfNoEntry: false })?.isDirectory()) return [];
  return readdirSync(join(root, host), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && /^[a-z][a-z0-9]*(\.[a-z0-9_]+)?$/.test(entry.name))
    .map(({ name }) => name);
}
