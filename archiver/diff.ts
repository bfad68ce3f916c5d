// What changed between two archives: their members, the rows of their tables, the files of their trees. By the manifests
// and the lists alone: a file counts as changed where its size or its time of change is another.
import { listedFiles } from '../archive/listing.ts';
import type { Manifest } from '../archive/manifest.ts';
import { openCatalog } from './catalog/catalog.ts';
import { checkMark } from './layout.ts';
import { type Listing, openListing, type TreeList } from './listings.ts';
import type { Setup } from './run.ts';
import { findRow } from './show.ts';

/** More than anybody reads; all are counted. */
const MAX_FILES = 10_000;
const TOP_DIRECTORIES = 10;
/** How deep directories are told apart: `images/thumb`. */
const DIRECTORY_DEPTH = 2;

/** undefined: it isn't there. */
interface Change<T> {
  before?: T;
  after?: T;
}

export interface FileChange extends Change<{ sizeBytes: number; mtimeSeconds: number }> {
  /** Below the tree's root, latin1. */
  path: string;
}

export interface Count {
  fileCount: number;
  sizeBytes: number;
}

export interface TreeDiff {
  name: string;
  root: string;
  /** Why its files were not compared; then there are none here. */
  notCompared?: string;
  added: Count;
  removed: Count;
  /** Sizes as they are afterwards. */
  changed: Count;
  /** Those with the most bytes added, changed or removed; `.` is the root itself, paths are latin1. */
  directories: ({ path: string } & Count)[];
  /** The first of them, by path. */
  files: FileChange[];
}

export interface ArchiveDiff {
  before: Side;
  after: Side;
  /** Those that only one has, or that have another size. */
  members: ({ name: string } & Change<{ sizeBytes: number; uncompressedSizeBytes: number }>)[];
  /** Those that only one has, or that have more or less rows. */
  tables: ({ database: string; table: string } & Change<number>)[];
  trees: TreeDiff[];
}

interface Side {
  name: string;
  host: string;
  version: string;
  startedAt: string;
}

/**
 * Compares two archives, of one application or not.
 * @param given their names, or their paths
 * @throws usage, not-an-archive, content-mismatch, io
 */
export async function diffArchives(
  { configuration }: Setup,
  given: readonly [string, string],
): Promise<ArchiveDiff> {
  checkMark(configuration.root);
  await using catalog = openCatalog(configuration.catalog);
  const [first, second] = [await findRow(catalog, given[0]), await findRow(catalog, given[1])];
  const [before, after] = [openListing(configuration, first), openListing(configuration, second)];
  const side = (name: string, { manifest: { host, version, startedAt } }: Listing): Side => ({
    name,
    host,
    version,
    startedAt,
  });
  const trees: TreeDiff[] = [];
  for (const [name, tree] of changesOf(treesOf(before), treesOf(after)))
    trees.push(await diffTree(name, tree));
  const tables = changesOf(tablesOf(before.manifest), tablesOf(after.manifest));
  return {
    before: side(first.name, before),
    after: side(second.name, after),
    members: [...changesOf(membersOf(before.manifest), membersOf(after.manifest))]
      .filter(([, { before: a, after: b }]) => a?.uncompressedSizeBytes !== b?.uncompressedSizeBytes)
      .map(([name, change]) => ({ name, ...change })),
    tables: [...tables]
      .filter(([, { before: a, after: b }]) => a !== b)
      .map(([key, change]) => ({ ...(JSON.parse(key) as { database: string; table: string }), ...change })),
    trees,
  };
}

const treesOf = ({ trees }: Listing): Map<string, TreeList> =>
  new Map(trees.map((tree) => [tree.name, tree]));

const membersOf = ({ members }: Manifest) =>
  new Map(
    members.map(({ name, sizeBytes, uncompressedSizeBytes }) => [name, { sizeBytes, uncompressedSizeBytes }]),
  );

const tablesOf = ({ members }: Manifest): Map<string, number> =>
  new Map(
    members.flatMap(({ name, database }) =>
      Object.entries(database?.tables ?? {}).map(([table, rows]): [string, number] => [
        JSON.stringify({ database: database?.name ?? name, table }),
        rows,
      ]),
    ),
  );

function changesOf<T>(before: ReadonlyMap<string, T>, after: ReadonlyMap<string, T>): Map<string, Change<T>> {
  const all = new Set([...before.keys(), ...after.keys()]);
  return new Map(
    [...all].map((key) => {
      const [a, b] = [before.get(key), after.get(key)];
      return [key, { ...(a !== undefined && { before: a }), ...(b !== undefined && { after: b }) }];
    }),
  );
}

async function diffTree(name: string, { before, after }: Change<TreeList>): Promise<TreeDiff> {
  const none = (): Count => ({ fileCount: 0, sizeBytes: 0 });
  const root = (after ?? before)?.root ?? '';
  const diff: TreeDiff = {
    name,
    root,
    added: none(),
    removed: none(),
    changed: none(),
    directories: [],
    files: [],
  };
  const unreadable = before?.unreadable ?? after?.unreadable;
  if (unreadable !== undefined) return { ...diff, notCompared: unreadable };
  if (before?.sha256 === after?.sha256) return diff;

  const directories = new Map<string, Count>();
  const note = (change: FileChange): void => {
    const kind = change.before === undefined ? 'added' : change.after === undefined ? 'removed' : 'changed';
    const sizeBytes = (change.after ?? change.before)?.sizeBytes ?? 0;
    const directory = directoryOf(change.path);
    const there = directories.get(directory) ?? none();
    directories.set(directory, there);
    for (const count of [diff[kind], there]) {
      count.fileCount += 1;
      count.sizeBytes += sizeBytes;
    }
    diff.files.push(change);
    if (diff.files.length > 2 * MAX_FILES) diff.files = firstOf(diff.files);
  };
  const known = new Map<string, string>();
  for (const { path, sizeBytes, mtimeSeconds } of listedFiles((await before?.read()) ?? Buffer.alloc(0)))
    known.set(path, `${sizeBytes} ${mtimeSeconds}`);
  const stateOf = (text: string) => {
    const [sizeBytes = 0, mtimeSeconds = 0] = text.split(' ').map(Number);
    return { sizeBytes, mtimeSeconds };
  };
  for (const { path, sizeBytes, mtimeSeconds } of listedFiles((await after?.read()) ?? Buffer.alloc(0))) {
    const was = known.get(path);
    known.delete(path);
    if (was === `${sizeBytes} ${mtimeSeconds}`) continue;
    note({ path, ...(was !== undefined && { before: stateOf(was) }), after: { sizeBytes, mtimeSeconds } });
  }
  for (const [path, was] of known) note({ path, before: stateOf(was) });
  diff.files = firstOf(diff.files);
  diff.directories = [...directories]
    .map(([path, count]) => ({ path, ...count }))
    .sort((a, b) => b.sizeBytes - a.sizeBytes || b.fileCount - a.fileCount)
    .slice(0, TOP_DIRECTORIES);
  return diff;
}

const firstOf = (files: FileChange[]): FileChange[] =>
  files.sort((a, b) => (a.path < b.path ? -1 : 1)).slice(0, MAX_FILES);

function directoryOf(path: string): string {
  const names = path.split('/').slice(0, -1);
  return names.slice(0, DIRECTORY_DEPTH).join('/') || '.';
}
