// What there is to push on this host, and where it lies here and at the target: the work directory as it is, or what the
// catalog knows to be good.
import { join } from 'node:path';
import { HISTORY_DIRECTORY } from '../archive/history.ts';
import { ARCHIVE_SUFFIX, type ArchiveName, parseName, withoutSuffix } from '../archive/name.ts';
import type { Store, StoreEntry } from '../stores/store.ts';
import { type Catalog, openCatalog } from './catalog/catalog.ts';
import type { CopyRow } from './catalog/schema.ts';
import { whatHolds } from './evidence.ts';
import { archivePath, checkMark } from './layout.ts';
import { loadSeries } from './series.ts';

/** An archive on this host. */
export interface Candidate {
  name: string;
  parsed: ArchiveName;
  /** What retention counts by. */
  time: Date;
  sizeBytes: number;
  modifiedMs: number;
}

export interface Source extends AsyncDisposable {
  store: Store;
  candidates: Candidate[];
  /** Where an archive is, here and at the target. */
  pathOf(parsed: ArchiveName, name: string): string;
  /** The directories of histories. */
  histories: string[];
  /** When an archive was made that may be at the target alone: a name's time is its host's word. */
  timeOf(name: string): Date;
  /** Why applications keep all that they have, by `<host>/<application>[.<instance>]`. */
  held: ReadonlyMap<string, string>;
  /** What is known of copies at targets; undefined: nobody keeps it. */
  copies?: {
    of(target: string): Promise<Map<string, CopyRow>>;
    note(row: CopyRow): Promise<void>;
    forget(target: string, name: string): Promise<void>;
  };
}

/** What the work directory offers: all that has an archive's name. */
export async function workSource(store: Store): Promise<Source> {
  const candidates = (await store.list('')).flatMap((entry): Candidate[] => {
    const { kind, sizeBytes, modifiedMs } = entry;
    const archive = archiveOf(entry);
    if (kind !== 'file' || archive === undefined) return [];
    return [{ ...archive, time: archive.parsed.time, sizeBytes, modifiedMs }];
  });
  return {
    store,
    candidates: candidates.toSorted((a, b) => a.time.getTime() - b.time.getTime()),
    pathOf: (_parsed, name) => name + ARCHIVE_SUFFIX,
    histories: [HISTORY_DIRECTORY],
    timeOf: nameTime,
    held: new Map(),
    async [Symbol.asyncDispose]() {},
  };
}

/** What the catalog knows to be good. */
export async function archiveSource(
  store: Store,
  { root, catalog: file }: { root: string; catalog: string },
): Promise<Source> {
  checkMark(root);
  const catalog = openCatalog(file);
  try {
    return await sourceOf(store, catalog);
  } catch (error) {
    await catalog[Symbol.asyncDispose]();
    throw error;
  }
}

/** @returns what the catalog knows; it goes with it */
async function sourceOf(store: Store, catalog: Catalog): Promise<Source> {
  const now = new Date();
  const all = await loadSeries({ catalog, now });
  const received = all.flatMap(({ archives }) => archives);
  const times = new Map(received.map(({ name, time }) => [name, new Date(time)]));
  const rows = received.filter(
    ({ state, verified, problem }) => state === 'present' && verified !== null && problem === null,
  );
  const candidates: Candidate[] = [];
  for (const { name, time, size_bytes: sizeBytes } of rows) {
    const parsed = parseName(name) as ArchiveName;
    const entry = await store.stat(archivePath(parsed, name));
    // one that is gone or changed is for `verify` and `rescan` to tell
    if (entry?.kind !== 'file' || entry.sizeBytes !== sizeBytes) continue;
    candidates.push({ name, parsed, time: new Date(time), sizeBytes, modifiedMs: entry.modifiedMs });
  }
  const hosts = new Set(candidates.map(({ parsed }) => parsed.host));
  return {
    store,
    candidates: candidates.toSorted((a, b) => a.time.getTime() - b.time.getTime()),
    pathOf: archivePath,
    histories: [...hosts].map((host) => join(host, HISTORY_DIRECTORY)),
    timeOf: (name) => times.get(name) ?? nameTime(name),
    copies: {
      of: (target) => catalog.copies(target),
      note: (row) => catalog.noteCopy(row),
      forget: (target, name) => catalog.forgetCopy(target, name),
    },
    [Symbol.asyncDispose]: () => catalog[Symbol.asyncDispose](),
    held: new Map(
      all.flatMap((series): [string, string][] => {
        const reasons = whatHolds(series, now).map(({ reason }) => reason);
        return reasons.length === 0 ? [] : [[`${series.host}/${series.name}`, reasons.join(', ')]];
      }),
    ),
  };
}

function nameTime(name: string): Date {
  return (parseName(name) as ArchiveName).time;
}

/** @returns undefined where it has no archive's name */
export function archiveOf({ name: file }: StoreEntry): { name: string; parsed: ArchiveName } | undefined {
  const name = withoutSuffix(file);
  const parsed = name === undefined ? undefined : parseName(name);
  return name === undefined || parsed === undefined ? undefined : { name, parsed };
}
