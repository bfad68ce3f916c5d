// Copies archives from this host to another store: from an application host's work directory, laid out there as here, so
// that an archiver pulls from it; or from the archive store to a further place, laid out as in the store. What was
// copied is read back from the target before anything here is removed, or there pruned.
import { dirname, join } from 'node:path';
import { parseHistoryFile } from '../archive/history.ts';
import { type ArchiveName, groupName, parseName } from '../archive/name.ts';
import { readSidecars } from '../archive/sidecars.ts';
import { removeTransferred, transfer, verifyDigests } from '../archive/transfer.ts';
import { asGarnerError, cannot, GarnerError } from '../lib/errors.ts';
import { info, warn } from '../lib/log.ts';
import { isLarge, plan } from '../lib/retention.ts';
import { formatSize, plural } from '../lib/text.ts';
import { openFileStore } from '../stores/file.ts';
import type { Store } from '../stores/store.ts';
import type { CopyRow } from './catalog/schema.ts';
import type { PushConfiguration, PushTarget } from './configuration.ts';
import { archivePath } from './layout.ts';
import { archiveSource, type Candidate, type Source, workSource } from './push-source.ts';
import { type Copy, checkTarget, listTarget, openTarget, vanished } from './push-target.ts';
import { type Failure, type Result, tellFailure } from './run.ts';

export interface PushReport {
  target: string;
  result: Result;
  pushed: { name: string; sizeBytes: number; sha256: string }[];
  /** Archives that were removed from the work directory. */
  removed: string[];
  /** Archives that were pruned at the target. */
  pruned: string[];
  /** Applications that were not pruned there because of how they do, and why. */
  held: { subject: string; reason: string }[];
  /** The first failure. */
  error: Failure | null;
  failures: (Failure & { name?: string })[];
}

export function emptyPushReport(target: string): PushReport {
  return { target, result: 'ok', pushed: [], removed: [], pruned: [], held: [], error: null, failures: [] };
}

export interface PushOptions {
  dryRun: boolean;
  /** Prunes at the target also where much would go at once. */
  allowLarge: boolean;
  /** Marks a target that is new as a place for archives. */
  init: boolean;
  signal: AbortSignal;
  onBytes: (count: number) => void;
}

/**
 * Pushes to one target.
 * @returns what was done, and what failed
 * @throws only where the run was ended
 */
export async function pushTo(
  target: PushTarget,
  { archives, bandwidth }: PushConfiguration,
  options: PushOptions,
): Promise<PushReport> {
  const { signal, dryRun } = options;
  const report = emptyPushReport(target.name);
  const fail = (caught: unknown, name?: string): void => {
    signal.throwIfAborted();
    const failure = tellFailure(name === undefined ? target.name : `${target.name}: ${name}`, caught);
    report.failures.push(name === undefined ? failure : { name, ...failure });
    report.error ??= failure;
    report.result = 'failed';
  };
  try {
    await using from = await openFileStore(target.from ?? (archives as NonNullable<typeof archives>).root);
    await using source =
      target.from === undefined
        ? await archiveSource(from, archives as NonNullable<typeof archives>)
        : await workSource(from);
    await using to = await openTarget(target, bandwidth, signal);
    if (target.from === undefined) await checkTarget(to, target, options);
    const paths = source.candidates.map(({ parsed, name }) => source.pathOf(parsed, name));
    const there = await listTarget(to, paths);
    const copies = await source.copies?.of(target.name);
    for (const name of goneFrom(there, paths, copies)) {
      fail(vanished(to, name), name);
      if (!dryRun) await source.copies?.forget(target.name, name);
    }
    const { wanted, remove } = choose(source, there, copies, target, options);
    for (const candidate of wanted) {
      try {
        const pushed = await pushArchive(source, to, candidate, there, { target, copies }, options);
        if (pushed !== undefined) report.pushed.push(pushed);
        if (!target.remove || dryRun) continue;
        await removeTransferred(source.store, source.pathOf(candidate.parsed, candidate.name));
        report.removed.push(candidate.name);
      } catch (error) {
        fail(error, candidate.name);
        if (asGarnerError(error).code === 'store-connect') return report;
      }
    }
    if (!dryRun) await pushHistories(source, to);
    // what failed may be what the others would be pruned for
    if (report.failures.length === 0)
      await pruneBoth(to, source, { remove, removesHere: target.remove }, there, options, report);
  } catch (error) {
    fail(error);
  }
  return report;
}

/** @returns what was good at the target and is gone, of the directories that were looked at */
function goneFrom(
  there: ReadonlyMap<string, Copy>,
  paths: readonly string[],
  copies: ReadonlyMap<string, CopyRow> = new Map(),
): string[] {
  const seen = new Set(paths.map((path) => dirname(path)));
  return [...copies.values()]
    .filter(({ name, problem }) => problem === null && !there.has(name))
    .map(({ name }) => name)
    .filter((name) => seen.has(dirname(archivePath(parseName(name) as ArchiveName, name))));
}

interface Choice {
  wanted: Candidate[];
  /** Per application of a host: what retention lets go at the target, and in a work directory, and of how many. */
  remove: { subject: string; names: string[]; of: number }[];
}

/** With retention, what the target would prune at once isn't sent: where archives are removed here, it goes as it is. */
function choose(
  { candidates, timeOf }: Source,
  there: ReadonlyMap<string, Copy>,
  copies: ReadonlyMap<string, CopyRow> | undefined,
  { retention, remove: removesHere }: PushTarget,
  { allowLarge }: PushOptions,
): Choice {
  if (retention === undefined) return { wanted: [...candidates], remove: [] };
  const times = new Map([...there.keys()].map((name) => [name, timeOf(name)]));
  for (const { name, time } of candidates) times.set(name, time);
  const isSent = new Set(candidates.map(({ name }) => name));
  // what was never read there, or was found bad, pushes out nothing that was; where nobody notes what was read, nothing that is
  // here, until somebody has looked: by a name of next year anybody could have put it there
  const isKnownGood = (name: string): boolean =>
    !there.has(name) ||
    (copies === undefined ? isSent.has(name) || allowLarge : copies.get(name)?.problem === null);
  const points = [...times].map(([id, time]) => ({ id, time, verified: isKnownGood(id) }));
  const groups = Map.groupBy(points, ({ id }) => {
    const { host, application, instance } = parseName(id) as ArchiveName;
    return `${host}/${groupName(application, instance)}`;
  });
  const mayGo = ({ id }: { id: string }): boolean => there.has(id) || (removesHere && isSent.has(id));
  const plans = [...groups].map(([subject, members]) => ({
    subject,
    ...plan(members, retention, new Date()),
    of: members.filter(mayGo).length,
  }));
  const kept = new Set(plans.flatMap(({ keep }) => keep.map(({ id }) => id)));
  return {
    wanted: candidates.filter(({ name }) => kept.has(name)),
    remove: plans.map(({ subject, remove, of }) => ({
      subject,
      names: remove
        .filter(mayGo)
        .map(({ id }) => id)
        .toSorted(),
      of,
    })),
  };
}

/** @returns undefined where it is there already */
async function pushArchive(
  { store, pathOf, copies: known }: Source,
  to: Store,
  candidate: Candidate,
  there: ReadonlyMap<string, Copy>,
  { target, copies }: { target: PushTarget; copies: ReadonlyMap<string, CopyRow> | undefined },
  { dryRun, signal, onBytes }: PushOptions,
): Promise<PushReport['pushed'][number] | undefined> {
  const { name, parsed, sizeBytes, modifiedMs } = candidate;
  const path = pathOf(parsed, name);
  const digests = await readSidecars(store, path);
  const pushed = { name, sizeBytes, sha256: digests.sha256 as string };
  const entry = there.get(name)?.entry;
  if (dryRun) return entry === undefined ? pushed : undefined;
  if (entry !== undefined) {
    const copy = copies?.get(name);
    if (copy?.problem) {
      throw cannot('checksum-mismatch', 'push', name, `its copy there was found bad on ${copy.read_at}`, {
        hint: `look why; then remove it at ${to.url}, and it is pushed again`,
      });
    }
    const beside = await readSidecars(to, path);
    if (beside.sha256 !== digests.sha256 || entry.sizeBytes !== sizeBytes) {
      throw cannot('store-exists', 'push', name, 'another archive of that name is at the target', {
        hint: 'compare the two: one of them was made anew or damaged',
      });
    }
    // it was read back when it came; that it is still so must be known before it goes here
    if (target.remove) await verifyDigests(to, path, signal);
    return undefined;
  }
  const source = { sizeBytes, modifiedMs };
  const both = { from: store, fromPath: path, to, toPath: path };
  const { readBack, resumedBytes } = await transfer({ ...both, signal, onBytes, digests, source });
  if (!readBack) await verifyDigests(to, path, signal);
  await known?.note({
    ...{ target: target.name, name, size_bytes: sizeBytes },
    ...{ read_at: new Date().toISOString(), problem: null },
  });
  const went = resumedBytes > 0 ? `, ${formatSize(resumedBytes)} of it before` : '';
  info(`${name} pushed${went}`);
  return pushed;
}

/** Histories grow: what is there is replaced by the longer one. */
async function pushHistories({ store, histories }: Source, to: Store): Promise<void> {
  for (const directory of histories) {
    const sizes = new Map((await to.list(directory)).map(({ name, sizeBytes }) => [name, sizeBytes]));
    for (const { name, kind, sizeBytes } of await store.list(directory)) {
      const host = /^[^-]+-(.+)\.jsonl$/.exec(name)?.[1];
      if (kind !== 'file' || host === undefined || parseHistoryFile(name, host) === undefined) continue;
      if (sizes.get(name) === sizeBytes) continue;
      const path = join(directory, name);
      const upload = await to.create(path);
      try {
        for await (const chunk of store.read(path)) await upload.write(chunk);
        await upload.flush(); // a disk that is full is noticed before the old one goes
        await to.remove(path);
        await upload.publish();
      } finally {
        await upload.abort();
      }
    }
  }
}

/** What is kept has been proven at the target before. */
async function pruneBoth(
  to: Store,
  { store, candidates, pathOf, held, copies }: Source,
  { remove, removesHere }: { remove: Choice['remove']; removesHere: boolean },
  there: ReadonlyMap<string, Copy>,
  { dryRun, allowLarge, signal }: PushOptions,
  report: PushReport,
): Promise<void> {
  for (const { subject, names, of } of remove) {
    const reason = held.get(subject);
    // what is odd here must not push out there what was well
    if (names.length > 0 && reason !== undefined) {
      report.held.push({ subject, reason });
      report.result = 'warnings';
      warn(`${report.target}: ${subject} is not pruned there: ${reason}`);
      continue;
    }
    if (isLarge(names.length, of) && !allowLarge) {
      throw new GarnerError(
        'prune-refused',
        `cannot prune "${subject}" at ${to.url}: ${names.length} of ${plural(of, 'archive')} would go at once`,
        { hint: 'look with archiver push --dry-run; if it is right: archiver push --allow-large' },
      );
    }
    for (const name of names) {
      signal.throwIfAborted();
      const path = pathOf(parseName(name) as ArchiveName, name);
      if (there.has(name)) {
        if (!dryRun) await removeTransferred(to, path);
        if (!dryRun) await copies?.forget(report.target, name);
        report.pruned.push(name);
      }
      if (!removesHere || !candidates.some((one) => one.name === name)) continue;
      if (!dryRun) await removeTransferred(store, path);
      report.removed.push(name);
    }
  }
}
