// Whether what lies in the store is what the configuration and the catalog know of.
import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ARCHIVE_SUFFIX, CHECKSUMS, groupName, parseName, withoutSuffix } from '../../archive/name.ts';
import { plural } from '../../lib/text.ts';
import type { HostConfiguration } from '../configuration.ts';
import { isWanted, type Series } from '../series.ts';
import type { Finding } from './finding.ts';

/** Checksum files are published before their archive, which may be large. */
const UNDER_WAY_MS = 3_600_000;

/** What was found in a host's directory. */
export interface StoredHost {
  host: string;
  /** Of archives, without `.tar`, by series. */
  archives: Map<string, Set<string>>;
  /** Names of checksum files whose archive is not there. */
  strays: string[];
  quarantinedCount: number;
}

/**
 * Reads names only, so that many archives take little time.
 * @param hosts that should be there; those that are there besides are found too
 */
export function readStore(root: string, hosts: readonly string[], now: Date): StoredHost[] {
  const all = new Set([...hosts, ...directories(root, /^[a-z0-9][a-z0-9.-]*$/)]);
  return [...all].map((host) => {
    const found: StoredHost = { host, archives: new Map(), strays: [], quarantinedCount: 0 };
    for (const series of directories(join(root, host), /^[a-z][a-z0-9]*(\.[a-z0-9_]+)?$/)) {
      const files = new Set(readdirSync(join(root, host, series)));
      const names = new Set<string>();
      for (const file of files) {
        const name = withoutSuffix(file);
        if (name !== undefined) {
          const parsed = parseName(name);
          if (parsed?.host === host && groupName(parsed.application, parsed.instance) === series)
            names.add(name);
        } else if (isStray(file, files, join(root, host, series), now))
          found.strays.push(`${series}/${file}`);
      }
      // `history` has none
      if (names.size > 0) found.archives.set(series, names);
    }
    const quarantine = join(root, '.quarantine', host);
    if (existsSync(quarantine))
      found.quarantinedCount = readdirSync(quarantine).filter((file) =>
        /\.tar(\.\d+T\d+Z)?$/.test(file),
      ).length;
    return found;
  });
}

function isStray(file: string, files: ReadonlySet<string>, directory: string, now: Date): boolean {
  const checksum = CHECKSUMS.find((suffix) => file.endsWith(`${ARCHIVE_SUFFIX}.${suffix}`));
  if (checksum === undefined || files.has(file.slice(0, -checksum.length - 1))) return false;
  const stat = lstatSync(join(directory, file), { throwIfNoEntry: false });
  return stat !== undefined && now.getTime() - stat.mtimeMs > UNDER_WAY_MS;
}

function directories(path: string, pattern: RegExp): string[] {
  if (!existsSync(path)) return [];
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && pattern.test(entry.name))
    .map(({ name }) => name);
}

/** @param hosts those of the configuration, all of them */
export function checkStore(
  stored: readonly StoredHost[],
  hosts: readonly Pick<HostConfiguration, 'name' | 'applications'>[],
  series: readonly Series[],
): Finding[] {
  const configured = new Map(hosts.map((host) => [host.name, host]));
  const present = Map.groupBy(series, ({ host }) => host);
  const warning = (check: Finding['check'], subject: string, reason: string, detail: string): Finding => ({
    check,
    level: 'warning',
    subject,
    reason,
    detail,
  });
  return stored.flatMap(({ host, archives, strays, quarantinedCount }) => {
    const found: Finding[] = [];
    const wanted = configured.get(host);
    if (wanted === undefined && archives.size > 0) {
      const detail = `${[...archives.keys()].join(', ')}: nothing of it is pulled, checked or pruned`;
      return [warning('unknown', host, 'a host in the store is not in the configuration', detail)];
    }
    for (const name of archives.keys()) {
      if (wanted === undefined || isWanted(wanted, name)) continue;
      const detail = `host ${host} has it no more among its applications`;
      found.push(
        warning(
          'unknown',
          `${host}/${name}`,
          'an application in the store is not in the configuration',
          detail,
        ),
      );
    }
    if (strays.length > 0) {
      const detail = `${plural(strays.length, 'file')}, such as ${strays[0]}`;
      found.push(warning('stray', host, 'checksum files without archive', detail));
    }
    if (quarantinedCount > 0) {
      const detail = `${plural(quarantinedCount, 'archive')}: look why, then remove them from .quarantine/${host}`;
      found.push(warning('quarantine', host, 'bad archives are in quarantine', detail));
    }
    const doubt = compare(archives, present.get(host) ?? []);
    if (doubt !== undefined)
      found.push(warning('catalog', host, 'the catalog and the disk disagree', `${doubt}: archiver rescan`));
    return found;
  });
}

function compare(archives: StoredHost['archives'], series: readonly Series[]): string | undefined {
  let [unknown, missing] = [0, 0];
  const known = new Map(series.map((one) => [one.name, new Set<string>()]));
  for (const { name, archives: rows } of series)
    for (const row of rows) {
      if (row.state !== 'present') continue;
      known.get(name)?.add(row.name);
      if (!archives.get(name)?.has(row.name)) missing += 1;
    }
  for (const [name, names] of archives) for (const one of names) if (!known.get(name)?.has(one)) unknown += 1;
  const parts = [];
  if (unknown > 0) parts.push(`${plural(unknown, 'archive')} on the disk not in it`);
  if (missing > 0) parts.push(`${plural(missing, 'archive')} in it not on the disk`);
  return parts.length === 0 ? undefined : parts.join(', ');
}
