// One archive on its way here: fetched, read back, verified member by member, written down, and only then removed at
// its host. At every step a crash leaves either the source's copy or a recorded one here, and the next pull goes on.
import { basename, join } from 'node:path';
import { ARCHIVE_SUFFIX, type ArchiveName } from '../archive/name.ts';
import { type Digests, readSidecars } from '../archive/sidecars.ts';
import { removeTransferred, transfer } from '../archive/transfer.ts';
import { FREE_ORIGINAL_BYTES as freeOriginalBytes, type Verified, verifyArchive } from '../archive/verify.ts';
import { asGarnerError, cannot, GarnerError } from '../lib/errors.ts';
import { info } from '../lib/log.ts';
import { formatDuration, formatSize } from '../lib/text.ts';
import type { Store, StoreEntry } from '../stores/store.ts';
import { type ArchiveRow, type TransferRow, unverifiedRow } from './catalog/schema.ts';
import type { HostConfiguration } from './configuration.ts';
import { archivePath, checkSpace, fileSize, quarantinePath, syncArchive } from './layout.ts';
import type { Place } from './ledger.ts';
import { isBad, noteQuarantined, quarantine } from './quarantine.ts';
import { checkQuota } from './quota.ts';
import type { Run } from './run.ts';

/** An archive that a host offers, under a name that is its own. */
export interface Offered {
  entry: StoreEntry;
  /** Without `.tar`. */
  name: string;
  parsed: ArchiveName;
}

export interface PullHooks {
  place: Place;
  /** How large the archives of its host are together that are being fetched. */
  fetching: { bytes: number };
  onBytes: (count: number) => void;
  /** Gets what somebody should know of although the archive is safe. */
  onWarning: (message: string, error?: unknown) => void;
}

export type Outcome =
  | { pulled: { name: string; sizeBytes: number; sha256: string } }
  | { skipped: { name: string; reason: string } };

/**
 * Brings one archive here, or finds that it is here.
 * @throws what keeps it from being safe here; then the source's copy stays
 */
export async function pullArchive(
  run: Run,
  host: HostConfiguration,
  store: Store,
  offered: Offered,
  hooks: PullHooks,
): Promise<Outcome> {
  const { catalog, configuration } = run;
  const { entry, name, parsed } = offered;
  const path = join(configuration.root, archivePath(parsed, name));
  const skip = (reason: string): Outcome => ({ skipped: { name, reason } });

  const known = await catalog.find(name);
  const here = fileSize(path);
  // what rescan found gone was not pruned: it is fetched again
  if (known?.state === 'removed' && known.problem !== 'vanished') {
    if (host.remove) hooks.onWarning(`${name}: pruned here, but still at its host: remove it there`);
    return skip('was pruned here');
  }
  const whole = known?.state === 'present' && known.problem === null && here === known.size_bytes;
  // each poll would read the checksum files of all that the host keeps
  if (whole && !host.remove && entry.sizeBytes === here) return skip('is here already');

  const digests = await readSidecars(store, entry.name);
  const sha256 = digests.sha256 as string;
  if (known?.state === 'quarantined' && known.sha256 === sha256 && known.problem !== 'checksum-mismatch') {
    // fetching the same bytes again would find the same again
    throw cannot(
      'content-mismatch',
      'pull',
      name,
      `it was found bad (${known.problem}) and is in quarantine`,
      {
        hint: 'remove it at its host once you know why; make a new backup',
      },
    );
  }
  if (known?.state === 'present' && known.sha256 !== sha256) {
    throw cannot('store-exists', 'pull', name, 'another archive of that name is here already', {
      hint: 'one of the two was made anew under the same name; nothing was changed',
    });
  }
  if (here !== undefined) {
    const outcome = await settleExisting(run, host, store, offered, { path, digests, known }, hooks);
    if (outcome !== undefined) return outcome;
  } else if (known?.state === 'present') {
    hooks.onWarning(`${name}: it was in the catalog but not on the disk any more; it is fetched again`);
    await catalog.change([name], { verified: null }, { kind: 'vanished', subject: name });
  }

  hooks.fetching.bytes += entry.sizeBytes;
  try {
    await checkQuota(run, host, name, hooks.fetching.bytes);
    checkSpace(configuration.root, name, hooks.fetching.bytes);
    return await fetchArchive(run, host, store, offered, { path, digests }, hooks);
  } finally {
    hooks.fetching.bytes -= entry.sizeBytes;
  }
}

/** Fetches one that is not here. */
async function fetchArchive(
  run: Run,
  host: HostConfiguration,
  store: Store,
  { entry, name, parsed }: Offered,
  { path, digests }: { path: string; digests: Digests },
  hooks: PullHooks,
): Promise<Outcome> {
  const { catalog, configuration } = run;
  const started = performance.now();
  const startedAt = new Date().toISOString();
  const transferred = (problem: string | null): TransferRow => {
    const endedAt = new Date().toISOString();
    const of = { name, host: host.name, size_bytes: entry.sizeBytes };
    return { ...of, started_at: startedAt, ended_at: endedAt, problem };
  };
  let row: ArchiveRow;
  let unread: string[] = [];
  const badPath = quarantinePath(configuration.root, host.name, name);
  try {
    const { verified } = await transfer({
      from: store,
      fromPath: entry.name,
      to: run.archives,
      toPath: archivePath(parsed, name),
      signal: run.signal,
      onBytes: hooks.onBytes,
      digests,
      source: entry,
      content: { badPath, freeOriginalBytes },
    });
    row = await verifyAndRecord(run, parsed, name, path, digests, hooks.place, {
      event: 'pulled',
      transferred,
      verified,
    });
    unread = verified?.unread ?? [];
  } catch (error) {
    const bad = join(configuration.root, badPath);
    if (fileSize(bad) !== undefined) {
      const found = { sha256: digests.sha256 as string, sha1: digests.sha1 ?? null };
      const unverified = unverifiedRow(name, parsed, new Date().toISOString(), entry.sizeBytes);
      await noteQuarantined(run, { ...unverified, ...found }, bad, error);
    }
    await catalog.noteTransfer(transferred(asGarnerError(error).code)).catch(() => {}); // that error says more
    throw error;
  }
  tellUnread(name, unread, hooks);
  const ms = performance.now() - started;
  const rate = `${formatSize(Math.round((row.size_bytes / Math.max(ms, 1)) * 1000))}/s`;
  info(
    `${host.name}: pulled ${name}${ARCHIVE_SUFFIX}, ${formatSize(row.size_bytes)} in ${formatDuration(ms)} (${rate}), verified ${row.verified}`,
    { host: host.name, name, sizeBytes: row.size_bytes, durationMs: Math.round(ms), verified: row.verified },
  );
  await removeAtSource(run, host, store, entry, hooks);
  return { pulled: { name, sizeBytes: row.size_bytes, sha256: row.sha256 } };
}

function tellUnread(name: string, unread: string[], { onWarning }: PullHooks): void {
  if (unread.length === 0) return;
  const more = unread.length > 1 ? ` and ${unread.length - 1} more` : '';
  onWarning(
    `${name}: compared by digest alone: ${unread[0]}${more} would expand beyond measure (disk images of zeros?)`,
  );
}

/**
 * Deals with a file that is under the archive's name already: one of an earlier run that was ended before it could
 * write it down or remove it at its host, or one that has gone bad.
 * @returns undefined where it was bad and is in quarantine now: the archive is to be fetched
 */
async function settleExisting(
  run: Run,
  host: HostConfiguration,
  store: Store,
  { entry, name, parsed }: Offered,
  { path, digests, known }: { path: string; digests: Digests; known: ArchiveRow | undefined },
  hooks: PullHooks,
): Promise<Outcome | undefined> {
  try {
    const event = known?.state === 'present' ? undefined : 'adopted';
    // a run that was cut off may have named it and not synced the name
    syncArchive(path);
    await verifyAndRecord(run, parsed, name, path, digests, hooks.place, { event, known });
  } catch (error) {
    if (!(error instanceof GarnerError) || error.code !== 'checksum-mismatch') throw error;
    hooks.onWarning(`${name}: the copy here is damaged and in quarantine now; it is fetched again`);
    return undefined;
  }
  const removed = await removeAtSource(run, host, store, entry, hooks);
  return {
    skipped: { name, reason: removed ? 'was here already; removed at its host now' : 'is here already' },
  };
}

interface Finding {
  /** What is noted with it; undefined: it was known. */
  event: 'pulled' | 'adopted' | undefined;
  known?: ArchiveRow | undefined;
  /** What was found when it came; undefined: it is read now. */
  verified?: Verified | undefined;
  /** Tells of the transfer that has brought it. */
  transferred?: (problem: string | null) => TransferRow;
}

/**
 * Verifies the copy here and writes down what was found; a bad one goes to quarantine.
 * @throws checksum-mismatch, content-mismatch, not-an-archive
 */
async function verifyAndRecord(
  run: Run,
  parsed: ArchiveName,
  name: string,
  path: string,
  digests: Digests,
  place: Place,
  finding: Finding,
): Promise<ArchiveRow> {
  const { catalog, signal } = run;
  const { event, known, transferred, verified: found } = finding;
  const sha256 = digests.sha256 as string;
  const receivedAt = known?.received_at ?? new Date().toISOString();
  const row = unverifiedRow(name, parsed, receivedAt, fileSize(path) ?? 0);
  Object.assign(row, { sha256, sha1: digests.sha1 ?? null });
  let verified: Verified;
  try {
    // also refuses a manifest of another host, application or instance than the name's
    verified = found ?? (await verifyArchive(path, { expectedSha256: sha256, freeOriginalBytes, signal }));
  } catch (error) {
    signal.throwIfAborted();
    if (isBad(error)) await quarantine(run, row, path, error);
    throw error;
  }
  Object.assign(row, { verified: verified.level, verified_at: new Date().toISOString() });
  if (event === undefined) {
    await catalog.change([name], { verified: row.verified, verified_at: row.verified_at, problem: null });
  } else {
    const { size_bytes: sizeBytes, verified: level } = row;
    const detail = { sizeBytes, sha256, verified: level };
    const made = known ?? new Date(verified.manifest.startedAt);
    await place.record(row, made, { kind: event, subject: name, detail }, transferred?.(null));
  }
  return row;
}

/** @returns whether it is gone; a failure is a warning, the next pull tries again */
async function removeAtSource(
  { catalog }: Run,
  host: HostConfiguration,
  store: Store,
  { name: file }: StoreEntry,
  hooks: PullHooks,
): Promise<boolean> {
  if (!host.remove) return false;
  try {
    await removeTransferred(store, file);
  } catch (error) {
    hooks.onWarning(
      `${file} is safe here but could not be removed at its host; the next pull tries again`,
      error,
    );
    return false;
  }
  const name = basename(file, ARCHIVE_SUFFIX);
  await catalog.change([name], { source_removed: 1 }, { kind: 'source-removed', subject: name });
  return true;
}
