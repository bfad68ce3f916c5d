// Looks at what came, what is kept and what is to come, and says what is wrong with it. It reads the catalog, names on the
// disk and nothing else, asks no host, and takes no lock: it may run while a pull does.
import { accessSync, constants, statfsSync } from 'node:fs';
import type { Catalog } from './catalog/catalog.ts';
import { checkDisk, type Disk, type DiskSample, forecast } from './checks/disk.ts';
import { checkDue, checkNeverCame, expectedEvery } from './checks/due.ts';
import { checkFailing } from './checks/failing.ts';
import { CHECKS, type Finding } from './checks/finding.ts';
import { checkFlood } from './checks/flood.ts';
import { checkPulls } from './checks/pulls.ts';
import { checkSize } from './checks/size.ts';
import { checkStore, readStore } from './checks/store.ts';
import { checkCopies, checkUnverified } from './checks/unverified.ts';
import type { ArchiverConfiguration, HostConfiguration } from './configuration.ts';
import { isWanted, loadSeries, type Series } from './series.ts';

export interface CheckReport {
  /** The worst of a kind together, kinds in their order. */
  findings: Finding[];
  series: Series[];
  /** When each host was last asked for news without a failure, by name. */
  pulled: Map<string, string>;
  disk: Disk;
}

/**
 * Checks some hosts, and the archiver itself.
 * @param samples what the disk held on days past
 * @throws catalog
 */
export async function check(
  catalog: Catalog,
  configuration: ArchiverConfiguration,
  hosts: readonly HostConfiguration[],
  samples: readonly DiskSample[],
  now: Date,
): Promise<CheckReport> {
  const { root } = configuration;
  const all = await loadSeries({ catalog, now });
  const known = await catalog.hosts();
  const knownHosts = new Map(known.map((row) => [row.name, row]));
  const disk = readDisk(root, samples, now);
  const configured = new Map(configuration.hosts.map((host) => [host.name, host]));
  const chosen = new Map(hosts.map((host) => [host.name, host]));
  const series = all.filter(({ host, name }) => {
    const of = chosen.get(host);
    return of !== undefined && isWanted(of, name);
  });
  const isAll = hosts.length === configuration.hosts.length;
  const names = hosts.map(({ name }) => name);
  const { pullMs, verifyMs } = configuration.check;
  const readSince = verifyMs > 0 ? new Date(now.getTime() - verifyMs).toISOString() : undefined;
  const stored = readStore(root, names, now).filter(
    ({ host }) => chosen.has(host) || (isAll && !configured.has(host)),
  );
  const findings = [
    ...hosts.flatMap((host) => checkNeverCame(host, series, knownHosts.get(host.name), now)),
    ...series.flatMap((one) => [
      ...checkDue(one, expectedEvery(chosen.get(one.host)?.expect, one.name), now),
      ...checkFailing(one),
      ...checkFlood(one, now),
      ...checkSize(one),
      ...checkUnverified(one, readSince),
    ]),
    ...(isAll ? checkCopies(await catalog.doubtfulCopies(readSince ?? '')) : []),
    ...checkPulls(hosts, known, pullMs, now),
    ...checkStore(stored, configuration.hosts, all),
    ...checkDisk(disk, now),
  ];
  const order = ({ check: kind, level }: Finding): number =>
    CHECKS.indexOf(kind) + (level === 'critical' ? 0 : CHECKS.length);
  return {
    findings: findings.toSorted((a, b) => order(a) - order(b) || (a.subject < b.subject ? -1 : 1)),
    series,
    pulled: new Map(
      known
        .filter(({ name, succeeded_at }) => chosen.has(name) && succeeded_at !== null)
        .map(({ name, succeeded_at }) => [name, succeeded_at as string]),
    ),
    disk,
  };
}

function readDisk(root: string, samples: readonly DiskSample[], now: Date): Disk {
  const { bavail, blocks, bsize } = statfsSync(root);
  const freeBytes = bavail * bsize;
  const fullAt = forecast(samples, freeBytes, now);
  return { freeBytes, totalBytes: blocks * bsize, isReadOnly: isReadOnly(root), fullAt };
}

function isReadOnly(root: string): boolean {
  try {
    accessSync(root, constants.W_OK);
    return false;
  } catch (error) {
    // that whoever checks may not write is no trouble
    return (error as NodeJS.ErrnoException).code === 'EROFS';
  }
}
