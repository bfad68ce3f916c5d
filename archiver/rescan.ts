// Brings the catalog in line with the archives on the disk: after it was lost or damaged, an older copy was put back, or
// archives were moved by hand. What the catalog didn't know is verified first; nothing is deleted.
import { existsSync, readdirSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { ARCHIVE_SUFFIX } from '../archive/name.ts';
import { readSidecar } from '../archive/read.ts';
import { FREE_ORIGINAL_BYTES, verifyArchive } from '../archive/verify.ts';
import { syncDirectory } from '../lib/durable.ts';
import { asGarnerError, cannot, GarnerError } from '../lib/errors.ts';
import { runSignal } from '../lib/interrupt.ts';
import { info, warn } from '../lib/log.ts';
import { openFileStore } from '../stores/file.ts';
import { type Catalog, createCatalog, openCatalog } from './catalog/catalog.ts';
import { unverifiedRow } from './catalog/schema.ts';
import { importHistories } from './history.ts';
import { checkMark, type StoredArchive, storedArchives, syncArchive } from './layout.ts';
import { sweepListings } from './listings.ts';
import { timeOf } from './made-time.ts';
import { isBad, quarantine } from './quarantine.ts';
import { type Failure, type Run, type Setup, tellFailure } from './run.ts';
import { lockStore } from './store-lock.ts';

export interface RescanReport {
  /** Archives that the catalog didn't know. */
  added: string[];
  /** Archives that it knew and that are not on the disk. */
  vanished: string[];
  failed: (Failure & { name: string })[];
}

/** @throws locked, archive-store, catalog, catalog-version */
export async function rescan(setup: Setup): Promise<RescanReport> {
  const { configuration, settings } = setup;
  using running = runSignal('rescan', settings.GARNER_TIMEOUT);
  checkMark(configuration.root);
  using lock = lockStore(setup);
  const busy = configuration.hosts.find(({ name }) => lock.isBusy(name));
  if (busy !== undefined)
    throw cannot('locked', 'rescan', configuration.root, `a pull is still at ${busy.name}`);
  await using catalog = openOrReplace(configuration.catalog);
  await using archives = openFileStore(configuration.root);
  const run: Run = { configuration, catalog, archives, signal: running.signal, now: new Date() };
  const report: RescanReport = { added: [], vanished: [], failed: [] };

  await bringBack(run);
  const hosts = new Set([
    ...readdirSync(configuration.root).filter((name) => /^[a-z0-9][a-z0-9.-]*$/.test(name)),
    ...(await catalog.list(['present', 'removing'])).map(({ host }) => host),
  ]);
  for (const host of hosts) {
    await rescanHost(run, host, report);
    await importHistories(catalog, configuration.root, host);
    sweepListings(configuration, host, await catalog.list(['present'], host));
  }
  const detail = {
    added: report.added.length,
    vanished: report.vanished.length,
    failed: report.failed.length,
  };
  await catalog.change([], {}, { kind: 'rescanned', subject: configuration.root, detail });
  return report;
}

/** A catalog that can't be read is put aside, not deleted: somebody may want to look into it. */
function openOrReplace(file: string): Catalog {
  if (existsSync(file)) {
    try {
      return openCatalog(file);
    } catch (error) {
      if (error instanceof GarnerError && error.code === 'catalog-version') throw error;
      const aside = `${file}.damaged-${new Date().toISOString().replace(/[-:.]/g, '')}`;
      renameSync(file, aside);
      // it belongs to the damaged one, and would be played back into the new one
      if (existsSync(`${file}-journal`)) renameSync(`${file}-journal`, `${aside}-journal`);
      syncDirectory(dirname(file));
      warn(`${asGarnerError(error).message}; it was moved to ${aside}`);
    }
  }
  createCatalog(file);
  return openCatalog(file);
}

/** Times of the future are from a wrong clock; they would keep retention from working until they have passed. */
async function bringBack({ catalog, now }: Run): Promise<void> {
  const today = now.toISOString();
  for (const { name, time, received_at } of await catalog.list([
    'present',
    'removing',
    'removed',
    'quarantined',
  ])) {
    if (received_at <= today) continue;
    info(`${name}: its time received, ${received_at}, is later than now and becomes now`);
    await catalog.change([name], {
      received_at: today,
      ...(time > today && { time: today, time_source: 'received' as const }),
    });
  }
}

async function rescanHost(run: Run, host: string, report: RescanReport): Promise<void> {
  const { catalog, configuration, signal } = run;
  const stored = storedArchives(configuration.root, host);
  const rows = await catalog.list(['present', 'removing'], host);
  const known = new Map(rows.map((row) => [row.name, row]));
  const onDisk = new Set(stored.map(({ name }) => name));
  for (const { name } of rows.filter((row) => !onDisk.has(row.name))) {
    await catalog.change(
      [name],
      { state: 'removed', problem: 'vanished' },
      { kind: 'vanished', subject: name },
    );
    warn(`${host}: ${name} is not on the disk any more`);
    report.vanished.push(name);
  }
  for (const archive of stored) {
    signal.throwIfAborted();
    const row = known.get(archive.name);
    if (row?.state === 'removing') await catalog.change([row.name], { state: 'present' });
    if (row !== undefined) continue;
    try {
      await add(run, archive);
      report.added.push(archive.name);
    } catch (error) {
      signal.throwIfAborted();
      report.failed.push({ name: archive.name, ...tellFailure(host, error) });
    }
  }
}

async function add(run: Run, { name, parsed, path, sizeBytes, modifiedMs }: StoredArchive): Promise<void> {
  const receivedAt = new Date(Math.min(modifiedMs, run.now.getTime())).toISOString();
  const row = unverifiedRow(name, parsed, receivedAt, sizeBytes);
  try {
    row.sha256 = readSidecar(path, 'sha256') ?? '';
    if (row.sha256 === '') throw cannot('checksum-missing', 'verify', name, 'it has no .sha256 file');
    row.sha1 = readSidecar(path, 'sha1') ?? null;
    const verified = await verifyArchive(path, {
      expectedSha256: row.sha256,
      freeOriginalBytes: FREE_ORIGINAL_BYTES,
      signal: run.signal,
    });
    Object.assign(
      row,
      timeOf(row, new Date(verified.manifest.startedAt), await run.catalog.newestTime(row)),
      {
        verified: verified.level,
        verified_at: new Date().toISOString(),
      },
    );
  } catch (error) {
    run.signal.throwIfAborted();
    if (isBad(error)) await quarantine(run, row, path, error);
    throw error;
  }
  syncArchive(path);
  await run.catalog.record(row, {
    kind: 'adopted',
    subject: name,
    detail: { sizeBytes, sha256: row.sha256 },
  });
  info(`${parsed.host}: found ${name}${ARCHIVE_SUFFIX}, verified ${row.verified}`);
}
