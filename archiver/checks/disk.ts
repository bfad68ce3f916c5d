// Whether the disk of the archives gets full, and when: what it held on days past is kept by the check itself, so that all
// that lies on it counts. The median of the days' growth: one large copy is no trend.
import { formatSize } from '../../lib/text.ts';
import type { Finding } from './finding.ts';
import { median } from './rhythm.ts';

export interface DiskSample {
  at: string;
  usedBytes: number;
}

export interface Disk {
  freeBytes: number;
  totalBytes: number;
  /** Nothing can be written: as a disk with errors is mounted anew, or the wrong way. */
  isReadOnly: boolean;
  /** When it will be full, as far as that is known. */
  fullAt: string | undefined;
}

const DAY_MS = 86_400_000;
const KEPT = 30;
/** Fewer days tell no trend. */
const FEWEST = 4;
const WARNING_DAYS = 14;
const CRITICAL_DAYS = 3;
const CRITICAL_SHARE = 0.01;
/** Beyond this a forecast means nothing. */
const FARTHEST_MS = 10 * 365 * DAY_MS;

/** @returns the samples with one more, if a day has passed since the last; the oldest go */
export function addSample(samples: readonly DiskSample[], usedBytes: number, now: Date): DiskSample[] {
  const past = samples.filter(({ at }) => Date.parse(at) <= now.getTime());
  const last = past.at(-1);
  const isDue = last === undefined || now.getTime() - Date.parse(last.at) >= DAY_MS * 0.9;
  return isDue ? [...past, { at: now.toISOString(), usedBytes }].slice(-KEPT) : past;
}

/** @returns when the disk is full if it goes on growing as it did; undefined where it doesn't, or too little is known */
export function forecast(samples: readonly DiskSample[], freeBytes: number, now: Date): string | undefined {
  if (samples.length < FEWEST) return undefined;
  const perDay = samples.slice(1).map(({ at, usedBytes }, index) => {
    const before = samples[index] as DiskSample;
    return ((usedBytes - before.usedBytes) * DAY_MS) / (Date.parse(at) - Date.parse(before.at));
  });
  const growth = median(perDay) as number;
  const leftMs = (freeBytes / growth) * DAY_MS;
  if (!(growth > 0) || leftMs > FARTHEST_MS) return undefined;
  return new Date(now.getTime() + leftMs).toISOString();
}

export function checkDisk({ freeBytes, totalBytes, isReadOnly, fullAt }: Disk, now: Date): Finding[] {
  const about = { check: 'disk', subject: 'archiver' } as const;
  if (isReadOnly) {
    const detail = 'nothing can be pulled: see what the kernel says of it';
    return [{ ...about, level: 'critical', reason: 'the archive disk is read-only', detail }];
  }
  const days =
    fullAt === undefined ? Number.POSITIVE_INFINITY : (Date.parse(fullAt) - now.getTime()) / DAY_MS;
  const isFull = freeBytes < totalBytes * CRITICAL_SHARE;
  if (days > WARNING_DAYS && !isFull) return [];
  const level = days <= CRITICAL_DAYS || isFull ? 'critical' : 'warning';
  const when = fullAt === undefined ? '' : `, full on ${fullAt.slice(0, 10)} as it grows`;
  const detail = `${formatSize(freeBytes)} of ${formatSize(totalBytes)} free${when}`;
  return [{ ...about, level, reason: 'the archive disk gets full', detail }];
}
