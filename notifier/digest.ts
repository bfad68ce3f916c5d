// `notify digest`: one message on all that ran on this host in a day or a week, from the histories. It says plainly what is
// not well now, what was not well meanwhile, and where nothing ran.
import type { History, HistoryRun } from '../archive/history.ts';
import { EXIT } from '../lib/errors.ts';
import { formatMinute, formatSize, plural } from '../lib/text.ts';
import { kindOfCause } from './cause.ts';
import { seriesOf, sparkLine } from './chart.ts';
import type { Finding } from './due.ts';
import { expectedRuns, judgeExpected } from './histories.ts';
import { type Fact, type Message, makeMessage, safeText, showTime } from './message.ts';
import type { NotifySettings } from './settings.ts';
import { tell } from './tell.ts';

export const DAY_MS = 86_400_000;
/** How late a run may be. */
const GRACE_MS = 3_600_000;
/** How many runs tell how often it runs, and how many it takes. */
const RECENT_RUNS = 10;
const FEWEST_RUNS = 4;
/** Of what went wrong in one application: causes that are shown. */
const MOST_CAUSES = 5;
/** Bars of a trend: a row must fit into a mail. */
const MOST_BARS = 14;

/** What is known of one application. */
export interface Chapter {
  /** Its name, where no run tells it. */
  series: string;
  history: History;
  finding: Finding;
}

/**
 * Tells what the histories of this host have of the last day or week.
 * @returns 0, or 1 where somebody who is to get it did not
 */
export async function tellDigest(
  settings: NotifySettings,
  periodMs: number,
  signal: AbortSignal,
): Promise<number> {
  const { host } = settings;
  const now = new Date();
  const chapters: Chapter[] = [];
  for (const expected of expectedRuns(settings)) {
    chapters.push({ series: expected.name, ...(await judgeExpected(expected, host, now, GRACE_MS)) });
  }
  const message = digestOf(chapters, { host, now, periodMs });
  return (await tell(message, settings, signal, 'digest')) ? EXIT.ok.code : EXIT.failed.code;
}

/** The worse, the further down. */
const STATES = ['OK', 'WARNINGS', 'MISSED', 'FAILED'] as const;
type State = (typeof STATES)[number];

interface Line {
  name: string;
  state: State;
  /** Why it is not well; empty where it is. */
  why: string;
  /** Oldest first. */
  all: HistoryRun[];
  /** Those of the period, without those that another run's lock kept from starting. */
  runs: HistoryRun[];
  finding: Finding;
  /** The last run was good, and unlike those before it, which was told when that began. */
  isUnusual: boolean;
}

/** @returns the message of a digest; pure but for its id */
export function digestOf(
  chapters: readonly Chapter[],
  { host, now, periodMs }: { host: string; now: Date; periodMs: number },
): Message {
  const from = new Date(now.getTime() - periodMs);
  const lines = chapters.map((chapter) => lineOf(chapter, from, now));
  const ill = lines.filter(({ state }) => state !== 'OK');
  const ran = lines.flatMap(({ runs }) => runs.filter(({ result }) => result !== 'missed'));
  const unusual = lines.flatMap(({ name, isUnusual }) => (isUnusual ? name : []));
  const isIdle = ran.length === 0;
  // that nothing ran is well only where the schedules say so
  const isMeant = lines.length > 0 && lines.every(({ finding }) => finding.state === 'in-time');
  const worst = Math.max(
    isIdle && !isMeant ? STATES.indexOf('WARNINGS') : 0,
    ...lines.map(({ state }) => STATES.indexOf(state)),
  );
  const idle = isMeant ? 'nothing ran, and nothing was due' : 'nothing ran';
  const applications = plural(lines.length, 'application');
  const summary =
    ill.length > 0
      ? `${isIdle ? 'nothing ran; ' : ''}${ill.length} of ${applications} not well: ${ill.map(({ name }) => name).join(', ')}`
      : isIdle
        ? idle
        : `${applications}, ${plural(ran.length, 'run')}, ${unusual.length === 0 ? 'all well' : `well, but unusual: ${unusual.join(', ')}`}`;
  const facts: Fact[] = [
    { label: 'Period', value: `${showTime(from)} to ${showTime(now)}` },
    ...(isIdle ? [{ label: 'Nothing ran', value: nothingRan(lines) }] : []),
    ...ill.map(({ name, why }) => ({ label: safeText(name, 64), value: why })),
  ];
  return makeMessage({
    result: STATES[worst] as State,
    name: `${formatPeriod(periodMs)} digest`,
    host,
    summary,
    facts,
    ...(lines.length > 0 && {
      table: {
        head: ['Application', 'Now', 'Last run (UTC)', 'Runs', 'Size', 'Trend'],
        rows: lines.map(rowOf),
      },
    }),
  });
}

function lineOf({ series, history, finding }: Chapter, from: Date, now: Date): Line {
  const all = history.runs;
  const name = all.at(-1)?.name ?? series;
  const counted = all.filter(({ result }) => result !== 'locked');
  const runs = counted.filter(({ finishedAt }) => Date.parse(finishedAt) >= from.getTime());
  const bad = runs.filter(({ result }) => result !== 'ok');
  const last = counted.at(-1);
  const causes: string[] = [];
  let state: State = 'OK';
  const worsen = (to: State): void => {
    if (STATES.indexOf(to) > STATES.indexOf(state)) state = to;
  };
  if (finding.state === 'overdue') {
    worsen('MISSED');
    causes.push(`overdue since ${showTime(finding.dueAt)}`);
  } else if (finding.state === 'doubtful') {
    worsen('WARNINGS');
    causes.push(`cannot tell whether it has run: ${finding.cause}`);
  }
  if (finding.state === 'unscheduled' && last !== undefined && isSilent(counted, now)) {
    worsen('WARNINGS');
    causes.push(
      `nothing ran since ${showTime(new Date(last.startedAt))}, unlike before; --schedule says when it should`,
    );
  }
  if (last !== undefined && last.result !== 'ok') {
    const now: Record<string, State> = { warnings: 'WARNINGS', failed: 'FAILED', missed: 'MISSED' };
    worsen(now[last.result] as State);
    if (!bad.includes(last)) bad.push(last);
  }
  // what is well again was not well
  if (bad.length > 0) worsen('WARNINGS');
  if (history.damagedCount > 0) {
    worsen('WARNINGS');
    causes.push(`damaged lines in its history: ${history.damagedCount}`);
  }
  causes.push(...causesOf(bad));
  const isUnusual = last?.result === 'ok' && last.variations !== undefined;
  return { name, state, why: causes.join('\n'), all: counted, runs, finding, isUnusual };
}

/** Without a schedule its own past tells: it was never silent for half as long. */
function isSilent(runs: readonly HistoryRun[], now: Date): boolean {
  const times = runs.slice(-RECENT_RUNS).map(({ startedAt }) => Date.parse(startedAt));
  if (times.length < FEWEST_RUNS) return false;
  const gaps = times.slice(1).map((time, i) => time - (times[i] as number));
  return now.getTime() - (times.at(-1) as number) > 2 * Math.max(...gaps, DAY_MS / 2);
}

/** @returns a line for each kind of trouble, the newest first: `failed: no space left (3 times, last …)` */
function causesOf(bad: readonly HistoryRun[]): string[] {
  const kinds = Map.groupBy(bad, ({ result, summary }) => `${result} ${kindOfCause(summary)}`);
  const lines = [...kinds.values()].reverse().map((runs) => {
    const { result, summary, startedAt } = runs.at(-1) as HistoryRun;
    const times = runs.length > 1 ? `${runs.length} times, last ` : '';
    return `${result}: ${summary} (${times}${showTime(new Date(startedAt))})`;
  });
  const more = lines.length - MOST_CAUSES;
  return more > 0 ? [...lines.slice(0, MOST_CAUSES), `and ${plural(more, 'other cause')}`] : lines;
}

function nothingRan(lines: readonly Line[]): string {
  if (lines.length === 0) return 'no history is here: nothing has ever run by notify on this host';
  const last = lines.flatMap(({ all }) => all.filter(({ result }) => result !== 'missed').at(-1) ?? []);
  const times = last.map(({ startedAt }) => startedAt).sort();
  const newest = times.at(-1);
  return newest === undefined
    ? 'no run is known'
    : `no run began since ${showTime(new Date(newest))}; see whether cron and timers run`;
}

function rowOf({ name, state, all, runs, finding, isUnusual }: Line): string[] {
  const last = all.findLast(({ result }) => result !== 'missed');
  const sized = all.findLast(({ sizeBytes }) => sizeBytes !== undefined);
  const series = seriesOf(all.slice(-MOST_BARS));
  return [
    name,
    finding.state === 'overdue' && state === 'MISSED'
      ? 'overdue'
      : isUnusual && state === 'OK'
        ? 'ok, unusual'
        : state.toLowerCase(),
    last === undefined ? '' : formatMinute(last.startedAt),
    countsOf(runs),
    sized?.sizeBytes === undefined ? '' : formatSize(sized.sizeBytes),
    series === undefined ? '' : sparkLine(series),
  ];
}

/** @returns `7 ok, 1 failed`, or `none` */
function countsOf(runs: readonly HistoryRun[]): string {
  const counts = (['ok', 'warnings', 'failed', 'missed'] as const).flatMap((result) => {
    const count = runs.filter((run) => run.result === result).length;
    return count === 0 ? [] : `${count} ${result === 'warnings' ? 'with warnings' : result}`;
  });
  return counts.join(', ') || 'none';
}

function formatPeriod(ms: number): string {
  return ms === 7 * DAY_MS ? 'weekly' : 'daily';
}
