// What the archive store has, as the catalog knows it.
import { join } from 'node:path';
import { groupName } from '../archive/name.ts';
import { formatTable } from '../lib/table.ts';
import { formatDuration, formatMinute, formatSize } from '../lib/text.ts';
import { type Catalog, openCatalog } from './catalog/catalog.ts';
import type { ArchiveRow } from './catalog/schema.ts';
import { archivePath, checkMark, fileSize } from './layout.ts';
import type { Setup } from './run.ts';

export interface ListedArchive {
  host: string;
  application: string;
  instance: string | null;
  name: string;
  /** What retention counts by. */
  time: string;
  /** `received` where the manifest's time was not plausible. */
  timeSource: 'manifest' | 'received';
  receivedAt: string;
  sizeBytes: number;
  sha256: string;
  verified: 'digest' | 'content' | null;
  verifiedAt: string | null;
  /** Absolute. */
  path: string;
  /** Whether a file of its size is there now. */
  onDisk: boolean;
  sourceRemoved: boolean;
}

/** Gives the archives of the chosen hosts, by host, application and time. */
export async function* listArchives({ configuration, hosts }: Setup): AsyncGenerator<ListedArchive> {
  checkMark(configuration.root);
  await using catalog: Catalog = openCatalog(configuration.catalog);
  const names = hosts.map(({ name }) => name);
  for await (const row of catalog.each(['present', 'removing'], names))
    yield listedArchive(configuration, row);
}

/** @returns what the catalog knows of an archive, and whether it is there */
export function listedArchive({ root }: Setup['configuration'], row: ArchiveRow): ListedArchive {
  const { host, application, instance } = row;
  const path = join(root, archivePath({ host, application, instance: instance || undefined }, row.name));
  return {
    host: row.host,
    application: row.application,
    instance: row.instance || null,
    name: row.name,
    time: row.time,
    timeSource: row.time_source,
    receivedAt: row.received_at,
    sizeBytes: row.size_bytes,
    sha256: row.sha256,
    verified: row.verified,
    verifiedAt: row.verified_at,
    path,
    onDisk: fileSize(path) === row.size_bytes,
    sourceRemoved: row.source_removed === 1,
  };
}

/** @returns a table for people, `*` after a time that is the time received */
export async function formatList(archives: AsyncIterable<ListedArchive>, now: Date): Promise<string> {
  const rows: string[][] = [];
  for await (const archive of archives) {
    rows.push([
      archive.host,
      groupName(archive.application, archive.instance ?? undefined),
      archive.name,
      formatMinute(archive.time) + (archive.timeSource === 'received' ? '*' : ''),
      formatSize(archive.sizeBytes),
      archive.onDisk ? (archive.verified ?? 'no') : 'MISSING',
      formatDuration(Math.max(now.getTime() - new Date(archive.time).getTime(), 0)),
    ]);
  }
  if (rows.length === 0) return 'no archives\n';
  return formatTable(['host', 'application', 'archive', 'time (UTC)', 'size', 'verified', 'age'], rows);
}
