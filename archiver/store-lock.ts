// Who may change the archive store: one run at a time. A pull that some hosts keep waiting lets others at the store in the
// end, and keeps only what is of those hosts.
import { createHash } from 'node:crypto';
import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { GarnerError } from '../lib/errors.ts';
import { acquireLock } from '../lib/lock.ts';
import type { Setup } from './run.ts';

export interface StoreLock extends Disposable {
  /**
   * Lets other runs at the store, but for what is of these hosts.
   * @throws io; then it is as it was
   */
  narrow(hosts: readonly string[]): void;
  /** Lets other runs at one of these. */
  leave(host: string): void;
  /** @returns whether an earlier pull is still at a host, and has let this run at the others */
  isBusy(host: string): boolean;
}

/** One lock covers pull, push, prune and rescan, so none of them deletes what another writes. @throws locked */
export function lockStore(setup: Setup): StoreLock {
  const runDir = setup.settings.GARNER_RUN_DIR;
  const name = nameOf(setup);
  const ofHost = (host: string): string => `${name}-host-${host}`;
  let ofAll: Disposable | undefined = acquireLock(runDir, name);
  const ofHosts = new Map<string, Disposable>();
  const leave = (host: string): void => {
    ofHosts.get(host)?.[Symbol.dispose]();
    ofHosts.delete(host);
  };
  const leaveHosts = (): void => {
    for (const host of [...ofHosts.keys()]) leave(host);
  };
  const leaveAll = (): void => {
    ofAll?.[Symbol.dispose]();
    ofAll = undefined;
  };
  return {
    narrow(hosts) {
      try {
        for (const host of hosts) ofHosts.set(host, acquireLock(runDir, ofHost(host)));
      } catch (error) {
        leaveHosts();
        throw error;
      }
      leaveAll();
    },
    leave,
    isBusy(host) {
      if (!existsSync(join(runDir, `${ofHost(host)}.lock`))) return false;
      try {
        acquireLock(runDir, ofHost(host))[Symbol.dispose]();
        return false;
      } catch (error) {
        if (error instanceof GarnerError && error.code === 'locked') return true;
        throw error;
      }
    },
    [Symbol.dispose]() {
      leaveHosts();
      leaveAll();
    },
  };
}

/** Takes the lock of reading all archives again; whatever changes the store goes on meanwhile. @throws locked */
export function lockScrub(setup: Setup): Disposable {
  return acquireLock(setup.settings.GARNER_RUN_DIR, `${nameOf(setup)}-verify`);
}

function nameOf({ configuration }: Setup): string {
  const id = createHash('sha256').update(realpathSync(configuration.root)).digest('hex').slice(0, 12);
  return `archiver-${id}`;
}
