// One host of a pull: what it offers is looked through, and fetched one by one, oldest first. What the host says, names
// first of all, is hostile until checked. An archive that fails leaves the others be; a host that can't be reached ends.

import { leaveLastPull } from '../archive/last-pull.ts';
import {
  ARCHIVE_SUFFIX,
  CHECKSUMS,
  groupName,
  ORPHAN_MS,
  parseName,
  withoutSuffix,
} from '../archive/name.ts';
import { readSidecars } from '../archive/sidecars.ts';
import { GarnerError } from '../lib/errors.ts';
import { warn } from '../lib/log.ts';
import { escapeControls, formatDuration } from '../lib/text.ts';
import { openStore } from '../stores/open.ts';
import type { HostKey } from '../stores/sftp-target.ts';
import type { Store, StoreEntry } from '../stores/store.ts';
import type { HostConfiguration } from './configuration.ts';
import { copyHistory } from './history.ts';
import { inParallel, type Places } from './in-parallel.ts';
import { sweepHost } from './layout.ts';
import type { Ledger, Place } from './ledger.ts';
import { keepListing } from './listings.ts';
import { type Offered, pullArchive } from './pull-archive.ts';
import { type Failure, isOverdue, type Result, type Run, tellFailure } from './run.ts';
import { isWanted } from './series.ts';

/** Checksum files are published before their archive: one that is missing this long does not come any more. */
const CHECKSUM_WAIT_MS = 3 * 3_600_000;
/** Archives that mostly wait for answers and for the disk, which then serves several with one sync: four take one place. */
const SMALL_BYTES = 1 << 20;
const SMALL_SHARE = 1 / 4;
/** More than anybody reads; a host can make up as many names as it likes. */
const MAX_WARNINGS = 20;
const MAX_FAILURES = 20;
const MAX_SKIPPED = 10_000;
const MAX_NEXT_KEYS = 4;

export interface HostReport {
  host: string;
  result: Result;
  pulled: { name: string; sizeBytes: number; sha256: string }[];
  /** Of what was pulled. */
  sizeBytes: number;
  /** From the first word to the host until it was done with. */
  durationMs: number;
  skipped: { name: string; reason: string }[];
  warnings: string[];
  /** Archives that were pruned here afterwards. */
  pruned: string[];
  /** The first failure. */
  error: Failure | null;
  /** The first of them, as the log has them. */
  failures: (Failure & { name?: string })[];
  failureCount: number;
  /** Fingerprints of keys that the host will go over to; unset: it has not told. */
  nextKeys?: string[];
}

export function emptyReport(host: string): HostReport {
  return {
    host,
    result: 'ok',
    pulled: [],
    sizeBytes: 0,
    durationMs: 0,
    skipped: [],
    warnings: [],
    pruned: [],
    error: null,
    failures: [],
    failureCount: 0,
  };
}

/** Adds a warning to a host's report, and tells it. */
export function addWarning(report: HostReport, message: string): void {
  if (report.result === 'ok') report.result = 'warnings';
  if (report.warnings.length > MAX_WARNINGS) return;
  const text = report.warnings.length < MAX_WARNINGS ? escapeControls(message) : 'there are more warnings';
  report.warnings.push(text);
  warn(`${report.host}: ${text}`, { host: report.host });
}

/** What the hosts of a run share, and what is to be told of each. */
export interface PullShare {
  ledger: Ledger;
  places: Places;
  /** Gets the size of each fetched chunk. */
  onBytes: (count: number) => void;
  /** Told when the host keeps us waiting, and when it goes on. */
  onSilence: (silent: boolean) => void;
  /** Waits until so many bytes more may be received from this host. */
  pace: (count: number) => Promise<void>;
}

/** Keys are taken over one by one: before the old one goes, sshd has two of its kind. */
function nextKeysOf(keys: readonly HostKey[], recorded: readonly string[]): string[] {
  const isRecorded = ({ fingerprint }: HostKey): boolean => recorded.includes(fingerprint);
  const types = new Set(keys.filter(isRecorded).map(({ type }) => type));
  const next = keys.filter((key) => types.has(key.type) && !isRecorded(key));
  return next.slice(0, MAX_NEXT_KEYS).map(({ fingerprint }) => fingerprint);
}

/**
 * Pulls from one host all that is new.
 * @param dryRun looks, and neither fetches nor removes anything
 * @returns what was done, and what failed
 * @throws only where the run was ended, and not by its time limit: that is the failure of a host which takes too long
 */
export async function pullHost(
  run: Run,
  host: HostConfiguration,
  dryRun: boolean,
  { ledger, places, onBytes, onSilence, pace }: PullShare,
): Promise<HostReport> {
  const { signal, configuration } = run;
  const report = emptyReport(host.name);
  const started = performance.now();
  const fail = (caught: unknown, name?: string): void => {
    if (!isOverdue(signal)) signal.throwIfAborted();
    report.failureCount += 1;
    if (report.failures.length === MAX_FAILURES) {
      if (report.failureCount === MAX_FAILURES + 1) addWarning(report, 'more of its archives failed');
      return;
    }
    const failure = tellFailure(host.name, caught);
    report.failures.push(name === undefined ? failure : { name, ...failure });
    report.error ??= failure;
    report.result = 'failed';
  };
  try {
    await using store = await openStore(host.url, {
      identityFile: host.identityFile,
      hostKeys: host.hostKeys,
      credentialsFile: host.credentialsFile,
      onHostKeys: (keys) => {
        report.nextKeys = nextKeysOf(keys, host.hostKeys);
      },
      onSilence,
      pace,
      signal,
    });
    const entries = await store.list('');
    const names = new Set(entries.map(({ name }) => name));
    if (!dryRun) sweepHost(configuration.root, host.name, names);
    const enter = ledger.open();
    const fetching = { bytes: 0 };
    let isGone = false;
    const pullOne = async (offered: Offered, place: Place): Promise<void> => {
      const outcome = await pullArchive(run, host, store, offered, {
        place,
        fetching,
        onBytes,
        onWarning: (message, error) => {
          addWarning(report, error === undefined ? message : `${message}: ${describe(error)}`);
        },
      });
      if ('pulled' in outcome) {
        report.pulled.push(outcome.pulled);
        keepListing(configuration, outcome.pulled);
      } else addSkipped(report, outcome.skipped.name, outcome.skipped.reason);
    };
    const all = pick(entries, host, report);
    // up to a quota the oldest come, not those that are quickest
    const limit = host.quotaBytes === undefined ? host.transfers : 1;
    const share = ({ entry }: Offered): number =>
      limit > 1 && entry.sizeBytes < SMALL_BYTES ? SMALL_SHARE : 1;
    await inParallel(all, { limit, places, share }, async (offered) => {
      if (isGone) return;
      const place = enter();
      try {
        if (!hasChecksum(names, offered, run.now, report)) return;
        if (dryRun) await addOffered(run, store, offered, report);
        else await pullOne(offered, place);
      } catch (error) {
        // those that are fetched beside it fail for the same reason
        if (!isGone || !isLost(error)) fail(error, offered.name);
        isGone ||= isLost(error) || signal.aborted;
      } finally {
        place.leave();
      }
    });
    const order = new Map(all.map(({ name }, index) => [name, index]));
    report.pulled.sort((a, b) => (order.get(a.name) ?? 0) - (order.get(b.name) ?? 0));
    if (isGone || dryRun) return report;
    if (host.remove) await sweepSource(run, store, entries, host);
    await copyHistory(run, store, host.name, (message) => addWarning(report, message)).catch((error) => {
      signal.throwIfAborted();
      addWarning(report, `its history was not copied: ${describe(error)}`);
    });
    const { result, pulled } = report;
    // it may allow no writing, which is well where nothing is to be removed
    await leaveLastPull(store, entries, {
      at: run.now.toISOString(),
      result,
      pulledCount: pulled.length,
    }).catch(() => signal.throwIfAborted());
  } catch (error) {
    fail(error);
  } finally {
    report.sizeBytes = report.pulled.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    report.durationMs = Math.round(performance.now() - started);
  }
  return report;
}

/** @returns the archives among what a host offers, oldest first; the rest is told in the report */
function pick(entries: StoreEntry[], host: HostConfiguration, report: HostReport): Offered[] {
  const offered: Offered[] = [];
  for (const entry of entries) {
    const name = withoutSuffix(entry.name);
    if (name === undefined) continue;
    const parsed = parseName(name);
    let odd: string | undefined;
    if (parsed === undefined) odd = "its name is not an archive's";
    else if (parsed.host !== host.name) odd = `it is of host ${parsed.host}, not of ${host.name}`;
    else if (entry.kind !== 'file') odd = 'it is no regular file';
    if (odd !== undefined) {
      addSkipped(report, name, odd);
      addWarning(report, `${entry.name} is left out: ${odd}`);
    } else if (parsed !== undefined && !isWanted(host, groupName(parsed.application, parsed.instance))) {
      addSkipped(report, name, 'its application is not in the configuration');
    } else {
      offered.push({ entry, name, parsed: parsed as Offered['parsed'] });
    }
  }
  return offered.toSorted(
    (a, b) => a.parsed.time.getTime() - b.parsed.time.getTime() || (a.name < b.name ? -1 : 1),
  );
}

/** @throws checksum-missing where it was waited for long enough */
function hasChecksum(names: ReadonlySet<string>, offered: Offered, now: Date, report: HostReport): boolean {
  const { entry, name } = offered;
  if (names.has(`${entry.name}.sha256`)) return true;
  // a time of the future doesn't make it wait for ever
  const ageMs = Math.abs(now.getTime() - entry.modifiedMs);
  if (ageMs > CHECKSUM_WAIT_MS) {
    throw new GarnerError(
      'checksum-missing',
      `cannot pull "${name}": it has had no checksum file for ${formatDuration(ageMs)}`,
      { hint: 'an archive of an agent always has one; make a new backup, then remove this' },
    );
  }
  addSkipped(report, name, 'it has no checksum file yet');
  addWarning(report, `${entry.name} has no checksum file yet`);
  return false;
}

function addSkipped(report: HostReport, name: string, reason: string): void {
  if (report.skipped.length < MAX_SKIPPED) report.skipped.push({ name: escapeControls(name), reason });
}

/** On a dry run: what would be fetched, by the catalog and the checksum file alone. */
async function addOffered(
  { catalog }: Run,
  store: Store,
  { entry, name }: Offered,
  report: HostReport,
): Promise<void> {
  const state = (await catalog.find(name))?.state;
  if (state === 'present' || state === 'removed') {
    addSkipped(report, name, state === 'present' ? 'is here already' : 'was pruned here');
  } else {
    const { sha256 } = await readSidecars(store, entry.name);
    report.pulled.push({ name, sizeBytes: entry.sizeBytes, sha256: sha256 as string });
  }
}

/** Removes checksum files at a host whose archive was removed there by a run that ended before it came to them. */
async function sweepSource(
  { catalog, now }: Run,
  store: Store,
  entries: StoreEntry[],
  host: HostConfiguration,
): Promise<void> {
  const names = new Set(entries.map(({ name }) => name));
  for (const { name, kind, modifiedMs } of entries) {
    const checksum = CHECKSUMS.find((suffix) => name.endsWith(`${ARCHIVE_SUFFIX}.${suffix}`));
    if (checksum === undefined || kind !== 'file' || now.getTime() - modifiedMs < ORPHAN_MS) continue;
    const archive = name.slice(0, -`.${checksum}`.length);
    const archiveName = withoutSuffix(archive) as string;
    const parsed = parseName(archiveName);
    if (names.has(archive) || parsed?.host !== host.name) continue;
    const known = await catalog.find(archiveName);
    if (known?.source_removed === 1) await store.remove(name);
  }
}

/** After these, the host's other archives would fail the same way. */
function isLost(error: unknown): boolean {
  return error instanceof GarnerError && ['store-connect', 'host-key', 'quota'].includes(error.code);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
