// What is in each archive, kept beside the catalog so that looking for something need not touch the archives: the
// manifest and the lists of files, compressed, as `listings/<host>/<application>[.<instance>]/<archive>.<digest>/`. It is a
// cache: what is missing or damaged is made again from the archive, and nothing of it is ever believed over that.
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { zstdCompressSync, zstdDecompress, zstdDecompressSync } from 'node:zlib';
import { MAX_MANIFEST_BYTES, type Manifest, type Member, parseManifest } from '../archive/manifest.ts';
import { type ArchiveName, groupName, parseName } from '../archive/name.ts';
import { openArchive, storedChunks } from '../archive/read.ts';
import { writeFully } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';
import type { ArchiveRow } from './catalog/schema.ts';
import type { ArchiverConfiguration } from './configuration.ts';
import { archiveFile, checkSpace } from './layout.ts';

/** Ten million files or so: more is not held in memory. */
const MAX_LIST_BYTES = 1 << 30;

const decompress = promisify(zstdDecompress) as (
  data: Uint8Array,
  options: { maxOutputLength: number },
) => Promise<Buffer>;

type Place = Pick<ArchiverConfiguration, 'catalog' | 'root'>;
type Row = Pick<ArchiveRow, 'name' | 'sha256'>;

/** The list of one tree of an archive. */
export interface TreeList {
  /** The tree's name in the archive: `files`. */
  name: string;
  /** Where the tree was at its host. */
  root: string;
  fileCount: number;
  /** Of the list, decompressed. */
  sizeBytes: number;
  /** Of the list as it is stored: lists that have the same are the same. */
  sha256: string;
  /** Why it can't be read; undefined: it can. */
  unreadable: 'encrypted' | 'too large' | undefined;
  /** @throws content-mismatch, io */
  read(): Promise<Buffer>;
}

export interface Listing {
  manifest: Manifest;
  trees: TreeList[];
}

/** @returns what is in an archive; where that was not kept yet, it is read from the archive and kept */
export function openListing(place: Place, row: Row): Listing {
  const kept = readKeptManifest(place, row);
  const manifest = kept ?? readAndKeep(place, row);
  const trees = manifest.members
    .filter(({ kind }) => kind === 'tree')
    .map((tree): TreeList | undefined => {
      const name = tree.name.replace(/\.tar(\.zst)?(\.age)?$/, '');
      const list = manifest.members.find(
        (member) => member.kind === 'list' && member.name.replace(/\.list(\.zst)?(\.age)?$/, '') === name,
      );
      if (list === undefined) return undefined;
      const sealed = list.encoding.includes('age') ? 'encrypted' : undefined;
      return {
        name,
        root: tree.tree?.root ?? '',
        fileCount: tree.tree?.fileCount ?? 0,
        sizeBytes: list.uncompressedSizeBytes,
        sha256: list.sha256,
        unreadable:
          sealed ??
          (Math.max(list.sizeBytes, list.uncompressedSizeBytes) > MAX_LIST_BYTES ? 'too large' : undefined),
        read: () => readList(place, row, list),
      };
    });
  return { manifest, trees: trees.filter((tree) => tree !== undefined) };
}

/** Keeps what is in an archive that has come. Where that fails, whoever looks for something is told why. */
export function keepListing(place: Place, row: Row): void {
  try {
    readAndKeep(place, row);
  } catch {
    // it is not needed to keep the archive
  }
}

/**
 * Not durable: what a power cut damages is made again.
 * @throws not-an-archive, io
 */
function readAndKeep(place: Place, row: Row): Manifest {
  const { name } = row;
  using archive = openArchive(archiveFile(place.root, name));
  const { manifest } = archive;
  const directory = directoryOf(place, row);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const lists = manifest.members.filter(isKept);
    // what is free is for archives and the catalog
    checkSpace(
      directory,
      name,
      lists.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    );
    for (const list of lists) writeKept(join(directory, list.name), storedChunks(archive, list));
    // last: where it is, the lists are
    writeKept(join(directory, MANIFEST), [zstdCompressSync(JSON.stringify(manifest))]);
  } catch {
    // who may only read can look all the same; a full disk is no reason not to
  }
  return manifest;
}

/** Removes what was kept of a host's archives that are not among these. */
export function sweepListings(place: Pick<Place, 'catalog'>, host: string, rows: readonly Row[]): void {
  const top = join(dirname(place.catalog), LISTINGS, host);
  if (!existsSync(top)) return;
  const known = new Set(rows.map((row) => basename(directoryOf(place, row))));
  for (const group of readdirSync(top)) {
    for (const archive of readdirSync(join(top, group)))
      if (!known.has(archive)) rmSync(join(top, group, archive), { recursive: true, force: true });
  }
}

const LISTINGS = 'listings';
const MANIFEST = 'manifest.json.zst';

const isKept = ({ kind, encoding, sizeBytes, uncompressedSizeBytes }: Member): boolean =>
  kind === 'list' &&
  !encoding.includes('age') &&
  Math.max(sizeBytes, uncompressedSizeBytes) <= MAX_LIST_BYTES;

/** The digest tells apart what was kept of another archive that had this name before. */
function directoryOf({ catalog }: Pick<Place, 'catalog'>, { name, sha256 }: Row): string {
  const { host, application, instance } = parseName(name) as ArchiveName;
  const group = groupName(application, instance);
  return join(dirname(catalog), LISTINGS, host, group, `${name}.${sha256.slice(0, 12)}`);
}

function readKeptManifest(place: Place, row: Row): Manifest | undefined {
  const file = join(directoryOf(place, row), MANIFEST);
  try {
    const text = zstdDecompressSync(readFileSync(file), { maxOutputLength: MAX_MANIFEST_BYTES });
    return parseManifest(text.toString(), file);
  } catch {
    return undefined;
  }
}

async function readList(place: Place, row: Row, list: Member): Promise<Buffer> {
  const kept = await decodeKept(place, row, list);
  if (kept !== undefined) return kept;
  using archive = openArchive(archiveFile(place.root, row.name));
  const stored = Buffer.concat([...storedChunks(archive, list)].map((chunk) => Buffer.from(chunk)));
  const decoded = await decode(stored, list).catch(() => undefined);
  if (decoded?.length !== list.uncompressedSizeBytes)
    throw cannot('content-mismatch', 'read member', list.name, 'it is damaged');
  readAndKeep(place, row);
  return decoded;
}

async function decodeKept(place: Place, row: Row, list: Member): Promise<Buffer | undefined> {
  try {
    const decoded = await decode(readFileSync(join(directoryOf(place, row), list.name)), list);
    return decoded.length === list.uncompressedSizeBytes ? decoded : undefined;
  } catch {
    return undefined;
  }
}

async function decode(stored: Buffer, { encoding, uncompressedSizeBytes }: Member): Promise<Buffer> {
  if (!encoding.includes('zst')) return stored;
  return decompress(stored, { maxOutputLength: Math.max(uncompressedSizeBytes, 1) });
}

/** Not in one step: what is torn is noticed when it is read. */
function writeKept(path: string, chunks: Iterable<Uint8Array>): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    for (const chunk of chunks) writeFully(fd, chunk);
  } finally {
    closeSync(fd);
  }
}
