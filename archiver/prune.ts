// Deletes what retention lets go. Refused, rather than guessed, wherever something looks like a mistake: the store is not
// mounted, the catalog and the disk disagree, the clock jumped, or much would go at once. An application that is failing, or
// of which odd things come, keeps what it has. What was changed on the disk since it was verified is verified again before
// it counts. The intent is written down before a deletion, the result after it.
import { groupName } from '../archive/name.ts';
import { asGarnerError, cannot, type GarnerError } from '../lib/errors.ts';
import { info } from '../lib/log.ts';
import { isLarge, type Policy, plan } from '../lib/retention.ts';
import { plural } from '../lib/text.ts';
import type { BriefRow } from './catalog/catalog.ts';
import type { Finding } from './checks/finding.ts';
import type { HostConfiguration } from './configuration.ts';
import { whatHolds } from './evidence.ts';
import { archiveFile, deleteArchive, fileSize, type StoredArchive, storedArchives } from './layout.ts';
import { sweepListings } from './listings.ts';
import type { Run } from './run.ts';
import { loadSeries } from './series.ts';
import { verifyOne } from './verify.ts';

export interface PruneOptions {
  dryRun: boolean;
  /** Deletes also where much would go at once. */
  allowLarge: boolean;
  /** Deletes also where an application is failing, or what comes of it is odd. */
  allowOdd: boolean;
}

export interface PruneReport {
  keep: { name: string; reasons: string[] }[];
  remove: { name: string; reason: string }[];
  /** What was not pruned, and why: a host, one application of it, an archive that has gone bad. */
  refused: { subject: string; error: GarnerError }[];
  /** What was left as it is because of how its application does. */
  held: { subject: string; findings: Finding[] }[];
}

export function emptyPruneReport(): PruneReport {
  return { keep: [], remove: [], refused: [], held: [] };
}

/**
 * Prunes one host's archives.
 * @returns what was deleted (or would be, on a dry run), what stays, and what was refused
 */
export async function pruneHost(
  run: Run,
  host: HostConfiguration,
  policy: Policy,
  { dryRun, allowLarge, allowOdd }: PruneOptions,
): Promise<PruneReport> {
  const report = emptyPruneReport();
  if (!dryRun) await settleInterrupted(run, host.name);
  let onDisk = lookAtDisk(run, host.name);
  if (!dryRun && (await verifyTouched(run, host.name, onDisk, report))) onDisk = lookAtDisk(run, host.name);
  const series = await loadSeries(run, host.name);
  const rows = series
    .flatMap(({ archives }) => archives)
    .filter(({ state }) => state === 'present' || state === 'removing');
  const doubt = findDoubt(host.name, rows, onDisk);
  if (doubt !== undefined) {
    report.refused.push({ subject: host.name, error: doubt });
    return report;
  }
  const groups = Map.groupBy(rows, ({ application, instance }) =>
    groupName(application, instance || undefined),
  );
  for (const [group, members] of groups) {
    run.signal.throwIfAborted();
    const subject = `${host.name}/${group}`;
    const { keep, remove } = planGroup(members, onDisk, policy, run.now);
    report.keep.push(...keep);
    const findings = allowOdd
      ? []
      : series.filter(({ name }) => name === group).flatMap((one) => whatHolds(one, run.now));
    if (remove.length > 0 && findings.length > 0) {
      const why = findings.map(({ reason }) => reason).join(', ');
      report.held.push({ subject, findings });
      report.keep.push(...remove.map(({ name, reason }) => ({ name, reasons: [`${why}, else: ${reason}`] })));
      continue;
    }
    if (isLarge(remove.length, members.length) && !allowLarge) {
      const cause = `${remove.length} of ${plural(members.length, 'archive')} would go at once`;
      const hint =
        'look with archiver prune --dry-run --explain; if it is right: archiver prune --allow-large';
      report.refused.push({ subject, error: cannot('prune-refused', 'prune', subject, cause, { hint }) });
      report.keep.push(
        ...remove.map(({ name, reason }) => ({ name, reasons: [`refused, else: ${reason}`] })),
      );
      continue;
    }
    if (!dryRun && remove.length > 0) await deleteGroup(run, subject, remove);
    report.remove.push(...remove);
  }
  if (!dryRun && report.remove.length > 0)
    sweepListings(run.configuration, host.name, await run.catalog.list(['present'], host.name));
  return report;
}

/** A host's archives by name, each looked at once: there may be a hundred thousand. */
type OnDisk = ReadonlyMap<string, StoredArchive>;

function lookAtDisk({ configuration }: Run, host: string): OnDisk {
  return new Map(storedArchives(configuration.root, host).map((archive) => [archive.name, archive]));
}

function planGroup(
  rows: BriefRow[],
  onDisk: OnDisk,
  policy: Policy,
  now: Date,
): Pick<PruneReport, 'keep' | 'remove'> {
  // a bad one neither counts nor goes: `verify` moves it to quarantine
  const isDamaged = (row: BriefRow): boolean => {
    const file = onDisk.get(row.name);
    return row.problem !== null || file?.sizeBytes !== row.size_bytes || wasTouched(row, file);
  };
  const damaged = new Set(rows.filter(isDamaged));
  const whole = rows.filter((row) => !damaged.has(row));
  const points = whole.map(({ name, time, verified }) => ({
    id: name,
    time: new Date(time),
    verified: verified !== null,
  }));
  const { keep, remove } = plan(points, policy, now);
  return {
    keep: [
      ...[...damaged].map(({ name }) => ({
        name,
        reasons: ['damaged or changed since it was verified: see archiver verify'],
      })),
      ...keep.map(({ id, reasons }) => ({ name: id, reasons })),
    ],
    remove: remove.map(({ id, reason }) => ({ name: id, reason })),
  };
}

async function deleteGroup(
  { catalog, configuration, signal }: Run,
  subject: string,
  remove: PruneReport['remove'],
): Promise<void> {
  const names = remove.map(({ name }) => name);
  await catalog.change(names, { state: 'removing' }, { kind: 'prune-intended', subject, detail: { remove } });
  for (const { name, reason } of remove) {
    signal.throwIfAborted();
    deleteArchive(archiveFile(configuration.root, name));
    await catalog.change([name], { state: 'removed' }, { kind: 'pruned', subject: name, detail: { reason } });
    info(`${subject}: pruned ${name} (${reason})`, { subject, name });
  }
}

/** An archive that somebody may have written to after it was verified is no proven copy any more. */
function wasTouched({ verified_at }: BriefRow, { changedMs }: StoredArchive): boolean {
  if (verified_at === null) return false;
  const verifiedMs = Date.parse(verified_at);
  // one that came and was written down within the same millisecond is not changed since; by a wrong clock it may have been
  // verified "later" than it was changed
  return Math.floor(changedMs) > verifiedMs || verifiedMs > Date.now();
}

/**
 * Verifies again what was touched, before anything is deleted on the strength of it; what was found bad, or could not be
 * looked at, is told in the report.
 * @returns whether there was any
 */
async function verifyTouched(
  run: Run,
  host: string,
  onDisk: OnDisk,
  { refused }: PruneReport,
): Promise<boolean> {
  let any = false;
  for (const row of await run.catalog.list(['present'], host)) {
    const file = onDisk.get(row.name);
    if (file?.sizeBytes !== row.size_bytes || !wasTouched(row, file)) continue;
    any = true;
    await verifyOne(run, row).catch((error) => {
      run.signal.throwIfAborted();
      refused.push({ subject: row.name, error: asGarnerError(error) });
    });
  }
  return any;
}

/** What a run that was ended left half done: gone is gone, and what is still there is planned anew. */
async function settleInterrupted({ catalog, configuration }: Run, host: string): Promise<void> {
  for (const { name } of await catalog.list(['removing'], host)) {
    const gone = fileSize(archiveFile(configuration.root, name)) === undefined;
    if (gone) deleteArchive(archiveFile(configuration.root, name)); // its checksum files may have stayed
    await catalog.change(
      [name],
      { state: gone ? 'removed' : 'present' },
      { kind: 'prune-interrupted', subject: name, detail: { gone } },
    );
  }
}

/** @returns why the catalog can't be trusted with deletions, if so */
function findDoubt(host: string, rows: BriefRow[], onDisk: OnDisk): GarnerError | undefined {
  const inCatalog = new Set(rows.map(({ name }) => name));
  const unknown = [...onDisk.keys()].filter((name) => !inCatalog.has(name));
  const missing = rows.filter(({ name, state }) => state === 'present' && !onDisk.has(name));
  if (unknown.length === 0 && missing.length === 0) return undefined;
  const causes = [];
  if (unknown.length > 0)
    causes.push(`${plural(unknown.length, 'archive')} on the disk not in it (${unknown[0]})`);
  if (missing.length > 0)
    causes.push(`${plural(missing.length, 'archive')} in it not on the disk (${missing[0]?.name})`);
  return cannot('catalog', 'trust the catalog for', host, causes.join(', '), {
    hint: 'archiver rescan rebuilds it from the archives; nothing was pruned',
  });
}
