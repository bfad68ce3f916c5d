// Reads archives on the disk again, least recently verified first: disks forget. What has gone bad is moved to
// quarantine, so that retention doesn't count it and the next pull fetches it again where its host still has it. Pulls and
// prunes go on meanwhile: only what moves something waits for them.
import { setTimeout as sleep } from 'node:timers/promises';
import { FREE_ORIGINAL_BYTES as freeOriginalBytes, verifyArchive } from '../archive/verify.ts';
import { cannot, GarnerError } from '../lib/errors.ts';
import { info } from '../lib/log.ts';
import { startProgress } from '../lib/progress.ts';
import type { ArchiveRow } from './catalog/schema.ts';
import type { HostConfiguration } from './configuration.ts';
import { archiveFile, changedMs, fileSize } from './layout.ts';
import { isBad, quarantine } from './quarantine.ts';
import { type Failure, type Run, tellFailure } from './run.ts';
import type { StoreLock } from './store-lock.ts';

export interface VerifyOptions {
  /** Only those that were not verified for that long. */
  olderThanMs: number;
  /** No other is begun after that long; undefined: all are. */
  forMs?: number | undefined;
  /** At most so much is read, but one archive always. */
  limitBytes?: number | undefined;
  /** How fast they are read at most. */
  bytesPerSecond?: number | undefined;
  /** Takes the lock of the store. @throws locked */
  lock: () => Disposable & Partial<Pick<StoreLock, 'isBusy'>>;
}

export interface VerifyReport {
  verified: { name: string; level: 'digest' | 'content' }[];
  failed: (Failure & { name: string })[];
  /** How many were due and are left for another time. */
  leftCount: number;
}

/** Something that can be read again. */
export interface Due {
  name: string;
  /** Its host, or where it lies. */
  subject: string;
  /** When it was read last; null: never. */
  readAt: string | null;
  sizeBytes: number;
  /** @returns undefined where it is not kept any more */
  verify(): Promise<'digest' | 'content' | undefined>;
}

/**
 * Verifies the archives of some hosts.
 * @param elsewhere copies at further places, of which those that are due take their turn
 */
export async function verifyHosts(
  run: Run,
  hosts: HostConfiguration[],
  { olderThanMs, forMs, limitBytes = Number.POSITIVE_INFINITY, bytesPerSecond, lock }: VerifyOptions,
  elsewhere: readonly Due[] = [],
): Promise<VerifyReport> {
  const { catalog, signal, now } = run;
  const before = new Date(now.getTime() - olderThanMs).toISOString();
  const all = await catalog.list(
    ['present'],
    hosts.map(({ name }) => name),
  );
  const here = all.map(
    (row): Due => ({
      name: row.name,
      subject: row.host,
      readAt: row.verified_at,
      sizeBytes: row.size_bytes,
      verify: () => verifyOne(run, row, { bytesPerSecond, lock }),
    }),
  );
  const due = [...here, ...elsewhere]
    // a time of the future is from a wrong clock, and says nothing
    .filter(({ readAt: at }) => at === null || at <= before || at > now.toISOString())
    .toSorted((a, b) => ((a.readAt ?? '') < (b.readAt ?? '') ? -1 : 1));
  const dueBytes = due.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const progress = startProgress('verify', Math.min(dueBytes, limitBytes));
  const report: VerifyReport = { verified: [], failed: [], leftCount: 0 };
  const started = performance.now();
  let readBytes = 0;
  for (const [index, { name, subject, sizeBytes, verify }] of due.entries()) {
    const isOver = forMs !== undefined && performance.now() - started >= forMs;
    if (isOver || (index > 0 && readBytes + sizeBytes > limitBytes)) {
      report.leftCount = due.length - index;
      break;
    }
    try {
      const level = await verify();
      if (level !== undefined) report.verified.push({ name, level });
    } catch (error) {
      signal.throwIfAborted();
      report.failed.push({ name, ...tellFailure(subject, error) });
    }
    readBytes += sizeBytes;
    progress.add(sizeBytes);
  }
  progress.done();
  return report;
}

/**
 * Verifies one archive and writes down what was found; a bad one goes to quarantine, one that can't be read stays.
 * @param lock taken before anything is moved; undefined: the caller holds it
 * @returns undefined where it is not kept any more: it was pruned meanwhile
 * @throws checksum-mismatch, content-mismatch, not-an-archive; io where it could not be looked at; catalog
 */
export async function verifyOne(
  run: Run,
  row: ArchiveRow,
  { bytesPerSecond, lock }: Partial<Pick<VerifyOptions, 'bytesPerSecond' | 'lock'>> = {},
): Promise<'digest' | 'content' | undefined> {
  const { catalog, configuration, signal } = run;
  const { name, host, sha256: expectedSha256 } = row;
  const path = archiveFile(configuration.root, name);
  /** @returns its row of now; undefined where it is not kept any more */
  const findKept = async (): Promise<ArchiveRow | undefined> => {
    const current = await catalog.find(name);
    return current?.state === 'present' && current.sha256 === expectedSha256 ? current : undefined;
  };
  const changed = changedMs(path);
  // what is written to while it is read has changed after this
  const at = new Date().toISOString();
  let level: 'digest' | 'content';
  try {
    if (fileSize(path) === undefined) {
      throw cannot('checksum-mismatch', 'verify', name, 'it is not on the disk any more', {
        hint: 'the next pull fetches it where its host still has it; else archiver rescan takes note',
      });
    }
    ({ level } = await verifyArchive(path, { expectedSha256, freeOriginalBytes, bytesPerSecond, signal }));
  } catch (caught) {
    signal.throwIfAborted();
    const error = caught instanceof GarnerError ? caught : cannot('io', 'verify', name, caught);
    using held = lock === undefined ? undefined : await whenFree(lock, signal);
    const current = await findKept();
    if (current === undefined) return undefined;
    // a pull has fetched it again while this one waited: what was bad was the one before
    if (lock !== undefined && changedMs(path) !== changed)
      return await verifyOne(run, row, { bytesPerSecond });
    if (fileSize(path) === undefined) await catalog.change([name], { verified: null });
    else if (isBad(error) && held?.isBusy?.(host) !== true) await quarantine(run, current, path, error);
    // a disk that can't read it: it may be good, and counts for nothing until it was read; so does one that a pull is at
    else await catalog.change([name], { problem: error.code });
    throw error;
  }
  if ((await findKept()) === undefined) return undefined;
  await catalog.change([name], { verified: level, verified_at: at, problem: null });
  info(`${host}: ${name} verified: ${level}`, { host, name, level });
  return level;
}

const TRY_AGAIN_MS = 500;

/** Waits for a lock as long as the run may last. */
async function whenFree<T>(lock: () => T, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return lock();
    } catch (error) {
      if (!(error instanceof GarnerError) || error.code !== 'locked') throw error;
      await sleep(TRY_AGAIN_MS, undefined, { signal });
    }
  }
}
