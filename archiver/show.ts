// One archive, by all that is known of it: what is in it, where it is, how good it is, and what was done with it.
import { describeManifest } from '../archive/describe.ts';
import type { Manifest } from '../archive/manifest.ts';
import { ARCHIVE_SUFFIX, parseName } from '../archive/name.ts';
import { cannot } from '../lib/errors.ts';
import { escapeControls, formatSize } from '../lib/text.ts';
import { type Catalog, openCatalog } from './catalog/catalog.ts';
import type { ArchiveRow, ArchiveState, TransferRow } from './catalog/schema.ts';
import { checkMark } from './layout.ts';
import { type ListedArchive, listedArchive } from './list.ts';
import { openListing } from './listings.ts';
import type { Setup } from './run.ts';

export interface ShownArchive extends ListedArchive {
  state: ArchiveState;
  /** Why it is bad; null: it isn't known to be. */
  problem: string | null;
  /** null: it is not there any more. */
  manifest: Manifest | null;
  transfers: { startedAt: string; endedAt: string; sizeBytes: number; problem: string | null }[];
  events: { at: string; kind: string; detail: unknown }[];
}

/** @throws usage where the catalog knows no such archive */
export async function findRow(catalog: Catalog, given: string): Promise<ArchiveRow> {
  const name = given.replace(/^.*\//, '').replace(new RegExp(`\\${ARCHIVE_SUFFIX}$`), '');
  const row = parseName(name) === undefined ? undefined : await catalog.find(name);
  if (row !== undefined) return row;
  throw cannot('usage', 'find archive', given, 'the catalog has no such archive', {
    hint: 'archiver list names those that there are',
  });
}

/**
 * @param given the archive's name, or its path
 * @throws usage, not-an-archive, io
 */
export async function showArchive({ configuration }: Setup, given: string): Promise<ShownArchive> {
  checkMark(configuration.root);
  await using catalog = openCatalog(configuration.catalog);
  const row = await findRow(catalog, given);
  const events = await catalog.events(row.name);
  const listed = listedArchive(configuration, row);
  return {
    ...listed,
    ...(row.state === 'quarantined' && { path: movedTo(events) ?? listed.path }),
    state: row.state,
    problem: row.problem,
    manifest: listed.onDisk ? openListing(configuration, row).manifest : null,
    transfers: (await catalog.transfers(row.name)).map(shownTransfer),
    events: events.map(({ at, kind, detail }) => ({ at, kind, detail: JSON.parse(detail) })),
  };
}

const shownTransfer = ({ started_at, ended_at, size_bytes, problem }: TransferRow) => ({
  startedAt: started_at,
  endedAt: ended_at,
  sizeBytes: size_bytes,
  problem,
});

function movedTo(events: readonly { kind: string; detail: string }[]): string | undefined {
  const last = events.findLast(({ kind }) => kind === 'quarantined');
  return last === undefined ? undefined : JSON.parse(last.detail).movedTo;
}

/** @returns lines for people */
export function formatShown(archive: ShownArchive): string {
  const { manifest, problem, verified, verifiedAt, state } = archive;
  const lines = manifest === null ? [archive.name] : describeManifest(manifest, archive.sizeBytes);
  const isHere = state === 'present' && archive.onDisk;
  const removed = archive.sourceRemoved ? ', removed at its host' : '';
  lines.push(
    `time      ${archive.time}${archive.timeSource === 'received' ? ' (received: its own is not plausible)' : ''}`,
    `received  ${archive.receivedAt}, ${formatSize(archive.sizeBytes)}${removed}`,
    `where     ${archive.path}${isHere ? '' : ` (${state === 'present' ? 'MISSING' : state})`}`,
    `sha256    ${archive.sha256}`,
    `verified  ${verified === null ? 'no' : `${verified}, ${verifiedAt}`}${problem === null ? '' : `; bad: ${problem}`}`,
  );
  for (const { startedAt, endedAt, sizeBytes, problem: failed } of archive.transfers)
    lines.push(
      `transfer  ${startedAt} to ${endedAt}, ${formatSize(sizeBytes)}${failed === null ? '' : `, failed: ${failed}`}`,
    );
  for (const { at, kind, detail } of archive.events)
    lines.push(`event     ${at} ${kind} ${escapeControls(JSON.stringify(detail))}`);
  return lines.map((line) => `${line}\n`).join('');
}
