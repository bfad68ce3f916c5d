// Whether what should have come has come. What the administrator expects counts most, then what the host says of its own
// schedule, as far as its past makes that plausible, then its past alone: a host can't say "next year" and fall silent.
import { PULL_EVERY_MS } from '../../archive/last-pull.ts';
import { formatDuration, formatMinute } from '../../lib/text.ts';
import type { HostRow, RunRow } from '../catalog/schema.ts';
import type { HostConfiguration } from '../configuration.ts';
import { applicationOf, type Series } from '../series.ts';
import { type Finding, found } from './finding.ts';
import { LOOK_BACK, usualGap } from './rhythm.ts';

const HOUR_MS = 3_600_000;
/** A schedule may leave out as much more than the longest gap of late. */
const PLAUSIBLE = 1.5;
/** Where there is no past yet, the longest that nothing may come: one that comes once a month is well. */
const PLAUSIBLE_MS = 32 * 24 * HOUR_MS;

/** @returns when a series' next archive should be here, and how far apart they are, in milliseconds */
function nextDue(
  series: Series,
  expectMs: number | undefined,
): { dueMs: number; everyMs: number } | undefined {
  const newest = series.archives.at(-1);
  if (newest === undefined) return undefined;
  const receivedMs = Date.parse(newest.received_at);
  if (expectMs !== undefined) return { dueMs: receivedMs + expectMs, everyMs: expectMs };
  const gapMs = usualGap(series.archives.slice(-LOOK_BACK).map(({ time }) => Date.parse(time)));
  // those that failed, or did not run at all, have a schedule too: what came of it is none of theirs; one by hand has none
  const run = series.runs.findLast((one) => isGood(one) && one.next_due_at !== null);
  if (run !== undefined && run.next_due_at !== null) {
    const everyMs = Date.parse(run.next_due_at) - Date.parse(run.started_at);
    // a backup takes its time, and is pulled some time after
    const lagMs = Math.max(0, receivedMs - Date.parse(newest.time));
    const dueMs = Date.parse(run.next_due_at) + lagMs;
    const longestMs = gapMs === undefined ? PLAUSIBLE_MS : gapMs * PLAUSIBLE;
    if (dueMs > receivedMs && dueMs <= receivedMs + lagMs + longestMs) return { dueMs, everyMs };
  }
  const everyMs = gapMs ?? PLAUSIBLE_MS;
  return { dueMs: receivedMs + everyMs, everyMs };
}

const isGood = ({ result }: RunRow): boolean => result === 'ok' || result === 'warnings';

/** @param expectMs what the configuration says: 0 for no more; undefined: the series' own past counts */
export function checkDue(series: Series, expectMs: number | undefined, now: Date): Finding[] {
  if (expectMs === 0) return [];
  const due = nextDue(series, expectMs);
  if (due === undefined) return [];
  const { dueMs, everyMs } = due;
  const overMs = now.getTime() - dueMs;
  if (overMs <= Math.max(HOUR_MS, everyMs / 10)) return [];
  const at = series.archives.at(-1)?.received_at;
  const last = at && formatMinute(at);
  const detail = `the last came on ${last} UTC, the next was due ${formatDuration(overMs)} ago`;
  return overMs > everyMs
    ? [found(series, 'missing', 'critical', 'no archive came when it was due', detail)]
    : [found(series, 'late', 'warning', 'an archive is late', detail)];
}

/**
 * @param known what the catalog knows of the host
 * @returns those of a host's applications that never delivered: that are expected, or that the host says it backs up; or the
 * host, where nothing is known of any
 */
export function checkNeverCame(
  { name: host, expect }: Pick<HostConfiguration, 'name' | 'expect'>,
  series: readonly Series[],
  known: Pick<HostRow, 'first_seen_at' | 'succeeded_at'> | undefined,
  now: Date,
): Finding[] {
  const its = series.filter((one) => one.host === host);
  const isEmpty = ({ archives, quarantined }: Series): boolean => archives.length + quarantined.length === 0;
  const came = new Set(its.flatMap((one) => (isEmpty(one) ? [] : [one.name, applicationOf(one.name)])));
  const never = (name: string, detail: string): Finding =>
    found({ host, name }, 'missing', 'critical', 'no archive ever came', detail);
  const expected = Object.keys(expect)
    .filter((name) => !came.has(name) && expect[name] !== 0)
    .map((name) => never(name, `it is expected every ${formatDuration(expect[name] as number)}`));
  const isOld = (at: string): boolean => now.getTime() - Date.parse(at) > PULL_EVERY_MS;
  const told = its
    .filter((one) => isEmpty(one) && expectedEvery(expect, one.name) === undefined)
    .filter(({ runs }) => runs.some((run) => isGood(run) && run.archives !== '[]' && isOld(run.finished_at)))
    .map(({ name }) => never(name, 'its host says that it made one'));
  if (its.length > 0 || Object.keys(expect).length > 0) return [...expected, ...told];
  // one that can't be reached is told as that
  if (known === undefined || known.succeeded_at === null || !isOld(known.first_seen_at)) return [];
  const detail = `it is asked since ${known.first_seen_at.slice(0, 10)}, and had none`;
  return [{ check: 'missing', level: 'critical', subject: host, reason: 'no archive ever came', detail }];
}

/** @returns how often the configuration expects a series; an application's setting is for all its instances */
export function expectedEvery(
  expect: HostConfiguration['expect'] | undefined,
  name: string,
): number | undefined {
  return expect?.[name] ?? expect?.[applicationOf(name)];
}
