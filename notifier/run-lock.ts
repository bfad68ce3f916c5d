// While a run is under way it holds a lock of its name: with --lock a second one doesn't start, and nobody calls it overdue.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GarnerError } from '../lib/errors.ts';
import { acquireLock } from '../lib/lock.ts';

/** Longer than it takes to look whether a run is under way, which holds the lock for a moment. */
const LOOK_MS = 300;

const lockName = (series: string): string => `run-${series}`;

export interface RunLock {
  /** Who has the lock, as an error line, where it was not to be had. */
  heldBy?: string;
  release(): void;
}

/**
 * Takes the lock of a run.
 * @param runDir where locks lie
 * @param series which history the run belongs to
 * @param name what messages call it
 * @param isAsked whether somebody wants it; else the run goes on where it is not to be had
 * @throws io, where it is asked for and can't be made
 */
export async function lockRun(
  runDir: string,
  series: string,
  isAsked: boolean,
  name = series,
): Promise<RunLock> {
  const acquire = (): RunLock => {
    const lock = acquireLock(runDir, lockName(series), name);
    return { release: () => lock[Symbol.dispose]() };
  };
  try {
    return acquire();
  } catch (error) {
    if (!isAsked) return { release() {} };
    if (!isLocked(error)) throw error;
  }
  await sleep(LOOK_MS);
  try {
    return acquire();
  } catch (error) {
    if (!isLocked(error)) throw error;
    return { heldBy: error.message, release() {} };
  }
}

/**
 * @returns whether a run is under way
 * @throws io
 */
export function isUnderWay(runDir: string, series: string): boolean {
  if (!existsSync(join(runDir, `${lockName(series)}.lock`))) return false;
  try {
    acquireLock(runDir, lockName(series))[Symbol.dispose]();
    return false;
  } catch (error) {
    if (isLocked(error)) return true;
    throw error;
  }
}

function isLocked(error: unknown): error is GarnerError {
  return error instanceof GarnerError && error.code === 'locked';
}
