// `notify overdue`: tells what should have run on this host and did not. A missed run becomes a line of its history, so it is
// told once; the run that comes after all tells that it is well again.
import { join } from 'node:path';
import {
  appendRun,
  HISTORY_DIRECTORY,
  type History,
  type HistoryRun,
  historyFile,
  listHistories,
  readHistory,
} from '../archive/history.ts';
import { causeText, EXIT } from '../lib/errors.ts';
import { acquireLock } from '../lib/lock.ts';
import { warn } from '../lib/log.ts';
import { plural } from '../lib/text.ts';
import { openWorkDir } from '../lib/work-dir.ts';
import { decide } from './decide.ts';
import { type Finding, judgeHistory } from './due.ts';
import { type Fact, type Message, makeMessage, safeText, showTime } from './message.ts';
import { isUnderWay } from './run-lock.ts';
import { nextDue } from './schedule.ts';
import type { NotifySettings } from './settings.ts';
import { sendWaiting, tell } from './tell.ts';

interface Trouble {
  name: string;
  /** The history's file. */
  path: string;
  finding: Extract<Finding, { state: 'overdue' | 'doubtful' }>;
  /** The cause in one line. */
  summary: string;
  /** false: it was told not long ago. */
  tell: boolean;
}

/**
 * Looks at all histories of this host, tells what is overdue, and sends what waits in the queue.
 * @param graceMs how late a run may be
 * @returns 0 where nothing is overdue, else 1, whether it is told now or was before
 * @throws locked, io
 */
export async function tellOverdue(
  settings: NotifySettings,
  { graceMs, json }: { graceMs: number; json: boolean },
  signal: AbortSignal,
): Promise<number> {
  using _lock = acquireLock(settings.runDir, 'notify-overdue');
  const now = new Date();
  const troubles: Trouble[] = [];
  for (const series of listHistories(settings.workDir, settings.host)) {
    const trouble = await look(settings, series, { now, graceMs }, signal);
    if (trouble !== undefined) troubles.push(trouble);
  }
  process.stdout.write(json ? jsonOf(settings.host, troubles) : troubles.map(lineOf).join(''));
  const news = troubles.filter((trouble) => trouble.tell);
  if (news.length > 0) await tell(messageOf(news, settings.host), settings, signal);
  else await sendWaiting(settings, signal);
  return troubles.length > 0 ? EXIT.failed.code : EXIT.ok.code;
}

/** @returns undefined where all is well */
async function look(
  { workDir, group, host, runDir, remindMs }: NotifySettings,
  series: string,
  { now, graceMs }: { now: Date; graceMs: number },
  signal: AbortSignal,
): Promise<Trouble | undefined> {
  const path = join(workDir, HISTORY_DIRECTORY, historyFile(series, host));
  let history: History = { runs: [], damagedCount: 0 };
  let finding: Finding;
  try {
    history = readHistory(path);
    finding = await judgeHistory(history, now, graceMs);
  } catch (error) {
    finding = { state: 'doubtful', cause: causeText(error) };
  }
  if (finding.state !== 'overdue' && finding.state !== 'doubtful') return undefined;
  if (isUnderWay(runDir, series)) return undefined;
  const name = history.runs.at(-1)?.name ?? series;
  const summary =
    finding.state === 'overdue'
      ? `due ${showTime(finding.dueAt)} and not begun`
      : `cannot tell whether it has run: ${finding.cause}`;
  const run = missedRun(name, summary, now, finding);
  const isDue = finding.state === 'doubtful' || finding.isNew;
  const isTold = isDue && decide(run, history.runs, remindMs).tell;
  // of what stays doubtful one line a message is enough
  if (isTold || (isDue && finding.state === 'overdue')) {
    try {
      appendRun(await openWorkDir(workDir, group, signal), series, host, { ...run, told: isTold });
    } catch (error) {
      warn(`${series} is told again next time: ${causeText(error)}`);
    }
  }
  return { name, path, finding, summary, tell: isTold };
}

function missedRun(name: string, summary: string, now: Date, finding: Trouble['finding']): HistoryRun {
  const time = now.toISOString();
  return {
    name: safeText(name, 64),
    startedAt: time,
    finishedAt: time,
    result: 'missed',
    exitCode: null,
    summary: safeText(summary, 1000),
    archives: [],
    // so that the one after it is missed in its turn
    ...(finding.state === 'overdue' && {
      schedule: finding.schedule.text,
      nextDueAt: nextDue(finding.schedule, { startedAt: finding.dueAt, finishedAt: now }).toISOString(),
    }),
  };
}

function lastRunOf({ finding }: Trouble): string {
  if (finding.state === 'doubtful') return '';
  const { lastRun } = finding;
  return lastRun === undefined ? 'not known' : `${showTime(new Date(lastRun.startedAt))}, ${lastRun.result}`;
}

function messageOf(troubles: readonly Trouble[], host: string): Message {
  const [first, second, ...others] = troubles as [Trouble, ...Trouble[]];
  const facts: Fact[] = [{ label: 'Host', value: host }];
  if (second === undefined) {
    const { finding, path } = first;
    if (finding.state === 'overdue') {
      facts.push(
        { label: 'Schedule', value: finding.schedule.text },
        { label: 'Due', value: showTime(finding.dueAt) },
        { label: 'Last run', value: lastRunOf(first) },
      );
    }
    facts.push(
      { label: 'History', value: path },
      { label: 'To do', value: `see whether its timer or its crontab is there and runs; ${END_OF_A_RUN}` },
    );
    return makeMessage({ result: 'MISSED', name: first.name, host, summary: first.summary, facts });
  }
  for (const trouble of troubles) {
    const last = trouble.finding.state === 'overdue' ? `\nlast run ${lastRunOf(trouble)}` : '';
    facts.push({ label: safeText(trouble.name, 64), value: `${trouble.summary}${last}\n${trouble.path}` });
  }
  facts.push({ label: 'To do', value: `see whether timers and cron run; ${END_OF_A_RUN}` });
  const more = others.length > 0 ? ` and ${plural(others.length, 'other')}` : '';
  return makeMessage({
    result: 'MISSED',
    name: `${first.name}, ${second.name}${more}`,
    host,
    summary: `${plural(troubles.length, 'run')} overdue`,
    facts,
  });
}

const END_OF_A_RUN = 'where it shall run no more, move its history away';

function lineOf({ name, summary, finding }: Trouble): string {
  const last = finding.state === 'overdue' ? `; last run ${lastRunOf({ finding } as Trouble)}` : '';
  return `${safeText(`${name}: ${summary}${last}`)}\n`;
}

function jsonOf(host: string, troubles: readonly Trouble[]): string {
  const overdue = troubles.map(({ name, finding, summary, tell: tells }) => ({
    name,
    state: finding.state,
    ...(finding.state === 'overdue' && {
      schedule: finding.schedule.text,
      dueAt: finding.dueAt.toISOString(),
      lastRun: finding.lastRun && { startedAt: finding.lastRun.startedAt, result: finding.lastRun.result },
    }),
    summary,
    told: tells,
  }));
  return `${JSON.stringify({ result: overdue.length > 0 ? 'missed' : 'ok', host, overdue })}\n`;
}
