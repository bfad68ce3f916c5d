// What the last usual archive of a series held, kept on this host so that a later one can be compared with it: the rows of
// each table, and the sums of each tree's top directories. One small file for each series, whole or absent, mode 0600.
// Reading lists takes memory of one size whatever they hold.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { z } from 'zod';
import { decodeMember } from '../archive/decode.ts';
import { parseListed } from '../archive/listing.ts';
import type { Member } from '../archive/manifest.ts';
import { type ArchiveReader, openArchive } from '../archive/read.ts';
import { makeDirectory, writeFileDurably } from '../lib/durable.ts';

/** How deep directories are looked at, and how many are kept of a tree: the largest. */
const DEPTH = 2;
export const MOST_KEPT = 500;
/** How many are counted one by one. */
const MOST_COUNTED = 50_000;
/** A longer list is left unread. */
const MAX_LIST_BYTES = 1 << 30;
/** No entry of a list is longer. */
const MAX_ENTRY_CHARS = 1 << 16;
const MAX_KEPT_BYTES = 64 << 20;

const count = z.number().int().nonnegative();

const contentsSchema = z.object({
  format: z.literal(1),
  databases: z.array(
    z.object({ name: z.string(), sizeBytes: count, tables: z.array(z.tuple([z.string(), count])) }),
  ),
  trees: z.array(
    z.object({
      name: z.string(),
      sizeBytes: count,
      /** Those of the first two levels, each with all that is below it, the largest first; null: the list can't be read. */
      directories: z
        .array(
          z.object({
            /** Latin1, see listing.ts. */
            path: z.string(),
            sizeBytes: count,
            fileCount: count,
          }),
        )
        .nullable(),
    }),
  ),
});

export type Contents = z.infer<typeof contentsSchema>;
export type Directory = NonNullable<Contents['trees'][number]['directories']>[number];

/** @returns what a member is of: `wiki` of `wiki.sql.zst.age` */
export function subjectOfMember(name: string): string {
  return name.replace(/(\.zst)?(\.age)?$/, '').replace(/\.[a-z]+$/, '');
}

/**
 * Reads what an archive holds.
 * @throws not-an-archive, content-mismatch; where the signal is aborted
 */
export async function readContents(file: string, signal: AbortSignal): Promise<Contents> {
  using archive = openArchive(file);
  const { members } = archive.manifest;
  const contents: Contents = { format: 1, databases: [], trees: [] };
  for (const member of members) {
    const name = subjectOfMember(member.name);
    const sizeBytes = member.uncompressedSizeBytes;
    if (member.database !== undefined) {
      const tables = Object.entries(member.database.tables);
      contents.databases.push({ name, sizeBytes, tables });
    } else if (member.tree !== undefined) {
      const list = members.find((one) => one.kind === 'list' && subjectOfMember(one.name) === name);
      const directories = list === undefined ? null : await readDirectories(archive, list, signal);
      contents.trees.push({ name, sizeBytes, directories });
    }
  }
  return contents;
}

async function readDirectories(
  archive: ArchiveReader,
  list: Member,
  signal: AbortSignal,
): Promise<Directory[] | null> {
  if (list.encoding.includes('age') || list.uncompressedSizeBytes > MAX_LIST_BYTES) return null;
  const sums = new Map<string, Directory>();
  const add = (path: string, sizeBytes: number): void => {
    const sum = sums.get(path) ?? { path, sizeBytes: 0, fileCount: 0 };
    if (sum.fileCount === 0 && sums.size >= MOST_COUNTED) return;
    sum.sizeBytes += sizeBytes;
    sum.fileCount += 1;
    sums.set(path, sum);
  };
  let rest = '';
  const take = (chunk: Buffer): void => {
    const entries = (rest + chunk.toString('latin1')).split('\0');
    rest = (entries.pop() as string).slice(0, MAX_ENTRY_CHARS);
    for (const entry of entries) {
      const file = parseListed(entry);
      if (file === undefined) continue;
      for (const path of directoriesAbove(file.path)) add(path, file.sizeBytes);
    }
  };
  await decodeMember(archive, list, take, { signal });
  return [...sums.values()].sort((a, b) => b.sizeBytes - a.sizeBytes);
}

/** @returns `images` and `images/a` of `images/a/ab/x.png` */
function directoriesAbove(path: string): string[] {
  const above: string[] = [];
  for (let at = path.indexOf('/'); at !== -1 && above.length < DEPTH; at = path.indexOf('/', at + 1)) {
    if (at > 0) above.push(path.slice(0, at));
  }
  return above;
}

/** @returns where the contents of a series are kept; a series is no foreign text */
export function contentsFile(stateDir: string, series: string): string {
  return join(stateDir, 'manifests', `${series}.json.zst`);
}

/** Keeps contents, durably; of directories the largest. @throws io, no-space */
export function keepContents(file: string, contents: Contents): void {
  const trees = contents.trees.map((tree) => ({
    ...tree,
    directories: tree.directories?.slice(0, MOST_KEPT) ?? null,
  }));
  makeDirectory(dirname(file));
  writeFileDurably(file, zstdCompressSync(JSON.stringify({ ...contents, trees })), { replace: true });
}

/** @returns undefined where there are none, or none that can be read */
export function readKeptContents(file: string): Contents | undefined {
  try {
    const text = zstdDecompressSync(readFileSync(file), { maxOutputLength: MAX_KEPT_BYTES }).toString();
    return contentsSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
