// Which archives hold which versions of a file or a table, over all hosts. Lists that are the same are searched once, and
// a list is looked through as it is, without a string for each of its files.
import { type ListedFile, latin1Path, parseListed } from '../archive/listing.ts';
import { groupName } from '../archive/name.ts';
import { asGarnerError } from '../lib/errors.ts';
import { type Catalog, openCatalog } from './catalog/catalog.ts';
import type { ArchiveRow } from './catalog/schema.ts';
import { checkMark } from './layout.ts';
import { openListing, type TreeList } from './listings.ts';
import { compilePattern, type Pattern } from './pattern.ts';
import type { Setup } from './run.ts';

/** More than anybody reads; what is beyond is counted. */
const MAX_VERSIONS = 100_000;
/** How much is remembered of lists that other archives may have too. */
const MAX_REMEMBERED = 500_000;
/** Lists are decompressed by other threads meanwhile. */
const AT_ONCE = 4;
/** Such lists are held in memory one at a time. */
const LARGE_BYTES = 64 << 20;

export interface FoundVersion {
  host: string;
  /** `<application>[.<instance>]` */
  group: string;
  kind: 'file' | 'table';
  /** Of a file: absolute at its host, latin1. Of a table: `<database>.<table>`. */
  path: string;
  /** Of a file. */
  sizeBytes?: number;
  /** Of a file, whole seconds since 1970. */
  mtimeSeconds?: number;
  /** Of a table. */
  rowCount?: number;
  /** Those that hold this version, newest first. */
  archives: string[];
}

export interface FindReport {
  /** By host, application and path; of each the newest version first. */
  versions: FoundVersion[];
  /** How many versions more there are. */
  leftOutCount: number;
  /** Trees, or whole archives, that were not looked through. */
  notSearched: { name: string; tree?: string; reason: string; isFailure: boolean }[];
  searchedCount: number;
}

type Hit = Omit<FoundVersion, 'host' | 'group' | 'archives'>;

/** @param pattern see pattern.ts */
export async function find(
  { configuration, hosts }: Setup,
  pattern: string,
  signal: AbortSignal,
): Promise<FindReport> {
  checkMark(configuration.root);
  await using catalog: Catalog = openCatalog(configuration.catalog);
  const names = hosts.map(({ name }) => name);
  const rows = (await catalog.list(['present', 'removing'], names)).toSorted((a, b) =>
    a.time < b.time ? 1 : -1,
  );
  const wanted = compilePattern(pattern);
  const searched = new Map<string, Promise<Hit[]>>();
  const report: FindReport = { versions: [], leftOutCount: 0, notSearched: [], searchedCount: rows.length };

  let rememberedCount = 0;
  let lastLarge: Promise<unknown> = Promise.resolve();
  const searchTree = (tree: TreeList): Promise<Hit[]> => {
    const key = `${tree.sha256} ${tree.root}`;
    const known = searched.get(key);
    if (known !== undefined) return known;
    const look = async (): Promise<Hit[]> => {
      const { hits, leftOutCount } = hitsIn(await tree.read(), tree.root, wanted);
      report.leftOutCount += leftOutCount;
      rememberedCount += hits.length;
      return hits;
    };
    const looking = tree.sizeBytes < LARGE_BYTES ? look() : lastLarge.then(look);
    if (tree.sizeBytes >= LARGE_BYTES) lastLarge = looking.catch(() => {});
    if (rememberedCount > MAX_REMEMBERED) {
      searched.clear();
      rememberedCount = 0;
    }
    searched.set(key, looking);
    return looking;
  };
  const search = async ({ name, sha256 }: ArchiveRow): Promise<Hit[]> => {
    const { manifest, trees } = openListing(configuration, { name, sha256 });
    const hits: Hit[][] = [];
    for (const { database } of manifest.members) {
      for (const [table, rowCount] of Object.entries(database?.tables ?? {}))
        if (matchesTable(wanted, database?.name ?? '', table))
          hits.push([{ kind: 'table', path: latin1Path(`${database?.name}.${table}`), rowCount }]);
    }
    for (const tree of trees) {
      if (tree.unreadable === undefined) hits.push(await searchTree(tree));
      else report.notSearched.push({ name, tree: tree.name, reason: tree.unreadable, isFailure: false });
    }
    return hits.flat();
  };

  const versions = new Map<string, FoundVersion>();
  const found: (Hit[] | undefined)[] = [];
  let folded = 0;
  const waiting = rows.entries();
  const worker = async (): Promise<void> => {
    for (const [index, row] of waiting) {
      signal.throwIfAborted();
      found[index] = await search(row).catch((error) => {
        const reason = asGarnerError(error).message;
        report.notSearched.push({ name: row.name, reason, isFailure: true });
        return [];
      });
      // in their order, and none is held for longer than it takes
      for (let hits = found[folded]; hits !== undefined; hits = found[folded]) {
        fold(rows[folded] as ArchiveRow, hits, versions, report);
        found[folded] = undefined;
        folded += 1;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  // the versions of a path come newest first, and stay so
  const place = ({ host, group, path }: FoundVersion): string => `${host}\0${group}\0${path}`;
  report.versions = [...versions.values()].sort((a, b) => {
    const [left, right] = [place(a), place(b)];
    if (left === right) return 0;
    return left < right ? -1 : 1;
  });
  return report;
}

/** A table goes by its own name, or with its database's before it. */
function matchesTable({ matches }: Pattern, database: string, table: string): boolean {
  return matches(latin1Path(table)) || matches(latin1Path(`${database}.${table}`));
}

/** @returns as many as can be shown; what is beyond is counted */
function hitsIn(
  list: Buffer,
  root: string,
  { literal, matches }: Pattern,
): { hits: Hit[]; leftOutCount: number } {
  const hits: Hit[] = [];
  let leftOutCount = 0;
  const prefix = `${latin1Path(root).replace(/\/$/, '')}/`;
  for (let start = 0; start < list.length; ) {
    if (literal !== undefined) {
      const at = list.indexOf(literal, start);
      if (at === -1) break;
      start = at === 0 ? 0 : list.lastIndexOf(0, at) + 1;
    }
    const next = list.indexOf(0, start);
    const end = next === -1 ? list.length : next;
    const file: ListedFile | undefined = parseListed(list.toString('latin1', start, end));
    if (file !== undefined && matches(prefix + file.path)) {
      const { sizeBytes, mtimeSeconds } = file;
      if (hits.length === MAX_VERSIONS) leftOutCount += 1;
      else hits.push({ kind: 'file', path: prefix + file.path, sizeBytes, mtimeSeconds });
    }
    start = end + 1;
  }
  return { hits, leftOutCount };
}

function fold(
  { host, application, instance, name }: ArchiveRow,
  hits: readonly Hit[],
  versions: Map<string, FoundVersion>,
  report: FindReport,
): void {
  const group = groupName(application, instance || undefined);
  for (const hit of hits) {
    const { kind, path, sizeBytes, mtimeSeconds, rowCount } = hit;
    const key = [host, group, kind, path, sizeBytes, mtimeSeconds, rowCount].join('\0');
    const known = versions.get(key);
    if (known !== undefined) known.archives.push(name);
    else if (versions.size < MAX_VERSIONS) versions.set(key, { host, group, ...hit, archives: [name] });
    else report.leftOutCount += 1;
  }
}
