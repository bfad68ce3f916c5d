// Whether what should have come has come. What the administrator expects counts most, then what the host says of its own
// schedule, as far as its past makes that plausible, then its past alone: a host can't say "next year" and fall silent.
import { formatDuration } from '../../lib/text.ts';
import type { HostConfiguration } from '../configuration.ts';
import { applicationOf, type Series } from '../series.ts';
import { type Finding, found } from './finding.ts';
import { LOOK_BACK, usualGap } from './rhythm.ts';

const HOUR_MS = 3_600_000;
/** A schedule may leave out as much more than the longest gap of late, or this where there is no past yet. */
const PLAUSIBLE = 1.5;
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
  const run = series.runs.at(-1);
  if (run !== undefined && run.next_due_at !== null) {
    const everyMs = Date.parse(run.next_due_at) - Date.parse(run.started_at);
    // a backup takes its time, and is pulled some time after
    const lagMs = Math.max(0, receivedMs - Date.parse(newest.time));
    const dueMs = Date.parse(run.next_due_at) + lagMs;
    const longestMs = gapMs === undefined ? PLAUSIBLE_MS : gapMs * PLAUSIBLE;
    if (dueMs > receivedMs && dueMs <= receivedMs + lagMs + longestMs) return { dueMs, everyMs };
  }
  return gapMs === undefined ? undefined : { dueMs: receivedMs + gapMs, everyMs: gapMs };
}

/** @param expectMs what the configuration says: 0 for no more; undefined: the series' own past counts */
export function checkDue(series: Series, expectMs: number | undefined, now: Date): Finding[] {
  if (expectMs === 0) return [];
  const due = nextDue(series, expectMs);
  if (due === undefined) return [];
  const { dueMs, everyMs } = due;
  const overMs = now.getTime() - dueMs;
  if (overMs <= Math.max(HOUR_MS, everyMs / 10)) return [];
  const last = series.archives.at(-1)?.received_at.slice(0, 16).replace('T', ' ');
  const detail = `the last came on ${last} UTC, the next was due ${formatDuration(overMs)} ago`;
  return overMs > everyMs
    ? [found(series, 'missing', 'critical', 'no archive came when it was due', detail)]
    : [found(series, 'late', 'warning', 'an archive is late', detail)];
}

/** @returns those of a host's expected applications that never delivered */
export function checkNeverCame(
  { name: host, expect }: Pick<HostConfiguration, 'name' | 'expect'>,
  series: readonly Series[],
): Finding[] {
  const came = new Set(
    series.filter((one) => one.host === host).flatMap(({ name }) => [name, applicationOf(name)]),
  );
  return Object.keys(expect)
    .filter((name) => !came.has(name) && expect[name] !== 0)
    .map((name) => {
      const detail = `it is expected every ${formatDuration(expect[name] as number)}`;
      return found({ host, name }, 'missing', 'critical', 'no archive ever came', detail);
    });
}

/** @returns how often the configuration expects a series; an application's setting is for all its instances */
export function expectedEvery(
  expect: HostConfiguration['expect'] | undefined,
  name: string,
): number | undefined {
  return expect?.[name] ?? expect?.[applicationOf(name)];
}
