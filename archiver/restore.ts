// Gets an application's data back from the store, here: picks the archive, verifies it, and takes its trees and dumps out
// into a directory. Nothing outside that directory is written, nothing in it is replaced, and what stands there under its
// final name is whole. No lock is taken: in an emergency nobody waits for a pull, and an archive that is open stays readable.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type DecodeOptions, decodeMember } from '../archive/decode.ts';
import { decoders } from '../archive/encode.ts';
import { extractMember, extractTree } from '../archive/extract.ts';
import { latin1Path, listedFiles } from '../archive/listing.ts';
import type { Manifest, Member } from '../archive/manifest.ts';
import { checkApplication } from '../archive/name.ts';
import { type ArchiveReader, openArchive } from '../archive/read.ts';
import { verifyArchive } from '../archive/verify.ts';
import { syncDirectory } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';
import { info, warn } from '../lib/log.ts';
import { plural } from '../lib/text.ts';
import { type Catalog, openCatalog } from './catalog/catalog.ts';
import type { ArchiveRow } from './catalog/schema.ts';
import { archiveFile, checkMark } from './layout.ts';
import { compileSelection } from './pattern.ts';
import type { Setup } from './run.ts';

export interface Picked {
  row: ArchiveRow;
  /** Absolute. */
  path: string;
}

/**
 * Picks the newest archive that is known to be good.
 * @param group `<application>[.<instance>]`
 * @param until not one that is newer, ISO 8601; undefined: the newest of all
 * @throws store-not-found where there is none; usage
 */
export async function pickArchive(
  { configuration }: Pick<Setup, 'configuration'>,
  host: string,
  group: string,
  until: string | undefined,
): Promise<Picked> {
  const [application = '', ...rest] = group.split('.');
  const instance = rest.length === 0 ? '' : rest.join('.');
  checkApplication(application, instance || undefined);
  checkMark(configuration.root);
  await using catalog: Catalog = openCatalog(configuration.catalog);
  const row = await catalog.newestVerified({ host, application, instance }, until ?? '9999');
  if (row !== undefined) {
    const path = archiveFile(configuration.root, row.name);
    return { row, path };
  }
  const others = (await catalog.list(['present'], host)).filter(
    (other) => other.application === application && other.instance === instance,
  );
  const when = until === undefined ? '' : ` of ${until} or before`;
  const cause =
    others.length === 0
      ? `there is no archive of ${group}`
      : `none of its ${plural(others.length, 'archive')} is known to be good${when}`;
  throw cannot('store-not-found', 'restore from', host, cause, {
    hint: 'archiver list names what there is, archiver verify looks how good it is',
  });
}

export interface RestoreReport {
  /** The directories and files that were made (or would be, on a dry run), absolute. */
  restored: string[];
  /** How many files were asked for and found; undefined: all were asked for. */
  fileCount: number | undefined;
  /** What an archive must not bring: links outward, devices, setuid bits. */
  leftOut: string[];
  manifest: Manifest;
}

interface Wanted {
  member: Member;
  target: string;
  /** Of a tree: paths, latin1; undefined: all. */
  only?: string[];
}

/**
 * Restores an archive into a directory: each tree as a directory, each dump as a file.
 * @param files patterns of the only files that are wanted; none: all, with the dumps
 * @throws restore-refused where something is in the way; checksum-mismatch, content-mismatch; store-not-found where no
 *   file is named so; configuration where it is encrypted and no identity is given
 */
export async function restoreTo(
  { row, path }: Picked,
  { to, files, dryRun }: { to: string; files: readonly string[]; dryRun: boolean },
  options: DecodeOptions,
): Promise<RestoreReport> {
  using archive = openArchive(path);
  const { manifest } = archive;
  for (const { encoding } of manifest.members) decoders(encoding, options.identityFile);
  // the file that is open, though a prune may remove its name meanwhile
  const held = `/proc/self/fd/${archive.fd}`;
  const { level } = await verifyArchive(held, { ...options, expectedSha256: row.sha256, name: path });
  info(`${row.name}: verified: ${level}`);
  const directory = resolve(to);
  const wanted =
    files.length === 0 ? wantAll(manifest, directory) : await select(archive, files, directory, options);
  const inTheWay = wanted.map(({ target }) => target).filter((target) => existsSync(target));
  if (inTheWay.length > 0) {
    throw cannot(
      'restore-refused',
      'restore',
      row.name,
      `there is something already: ${inTheWay.join(', ')}`,
      {
        hint: 'restore into another directory',
      },
    );
  }
  const report: RestoreReport = {
    restored: wanted.map(({ target }) => target),
    fileCount: files.length === 0 ? undefined : wanted.reduce((sum, { only = [] }) => sum + only.length, 0),
    leftOut: [],
    manifest,
  };
  if (dryRun) return report;

  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const holder = mkdtempSync(join(directory, '.garner-restore-'));
  try {
    const roots = wanted.map(({ target }) => target);
    for (const { member, target, only } of wanted) {
      const staged = join(holder, 'member');
      if (member.kind === 'tree') {
        mkdirSync(staged, { mode: 0o755 });
        const place = { root: target, roots, ...(only !== undefined && { only }) };
        report.leftOut.push(...(await extractTree(archive, member, staged, place, options)));
      } else await extractMember(archive, member, staged, options);
      renameSync(staged, target);
    }
    syncDirectory(directory);
  } finally {
    rmSync(holder, { recursive: true, force: true });
  }
  for (const what of report.leftOut) warn(`left out, because an archive must not bring it: ${what}`);
  return report;
}

const plainName = ({ name }: Member): string => name.replace(/\.age$/, '').replace(/\.zst$/, '');
const treeName = (member: Member): string => plainName(member).replace(/\.tar$/, '');

function wantAll({ members }: Manifest, directory: string): Wanted[] {
  return members
    .filter(({ kind }) => kind === 'tree' || kind === 'database' || kind === 'roles')
    .map((member) => ({
      member,
      target: join(directory, member.kind === 'tree' ? treeName(member) : plainName(member)),
    }));
}

/** @returns the trees that have files which are wanted, with these */
async function select(
  archive: ArchiveReader,
  files: readonly string[],
  directory: string,
  options: DecodeOptions,
): Promise<Wanted[]> {
  const { members } = archive.manifest;
  const selections = files.map((text) => ({ text, matches: compileSelection(text), isFound: false }));
  const wanted: Wanted[] = [];
  for (const member of members.filter(({ kind }) => kind === 'tree')) {
    const list = members.find(
      (one) => one.kind === 'list' && plainName(one).replace(/\.list$/, '') === treeName(member),
    );
    if (list === undefined) continue;
    const chunks: Buffer[] = [];
    await decodeMember(archive, list, (chunk) => void chunks.push(Buffer.from(chunk)), options);
    const prefix = `${latin1Path(member.tree?.root ?? '').replace(/\/$/, '')}/`;
    const only: string[] = [];
    for (const { path } of listedFiles(Buffer.concat(chunks))) {
      const matching = selections.filter(({ matches }) => matches(prefix + path));
      for (const selection of matching) selection.isFound = true;
      if (matching.length > 0) only.push(path);
    }
    if (only.length > 0) wanted.push({ member, target: join(directory, treeName(member)), only });
  }
  const missing = selections.find(({ isFound }) => !isFound);
  if (missing === undefined) return wanted;
  throw cannot('store-not-found', 'restore file', missing.text, 'the archive has no such file', {
    hint: 'archiver find names the archives that have it',
  });
}
