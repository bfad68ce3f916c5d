// `notify overdue`: tells what should have run on this host and did not, by the histories in the work directory and those that
// scheduled runs have left a note of. A missed run becomes a line of its history, so it is told once; the run that comes
// after all tells that it is well again. Of a history that says nothing, the note says when that was told.
import { dirname } from 'node:path';
import { appendRun, type HistoryRun } from '../archive/history.ts';
import { causeText, EXIT } from '../lib/errors.ts';
import { acquireLock } from '../lib/lock.ts';
import { warn } from '../lib/log.ts';
import { openWorkDir } from '../lib/work-dir.ts';
import { noteVisit } from './archiver-visit.ts';
import { decide } from './decide.ts';
import type { Finding } from './due.ts';
import { type Expected, expectRun, notePath } from './expected.ts';
import { type Expectation, expectedRuns, judgeExpected } from './histories.ts';
import { safeText, showTime } from './message.ts';
import { jsonOf, linesOf, messageOf, type Trouble } from './overdue-message.ts';
import { isUnderWay } from './run-lock.ts';
import { nextDue } from './schedule.ts';
import type { NotifySettings } from './settings.ts';
import { keepUntilTold, type Message, sendWaiting, tell } from './tell.ts';

/** One that is under way for longer hangs where no time limit reaches it, in a file system that doesn't answer. */
const LONGEST_RUN_MS = 86_400_000;

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
  const found: Found[] = [];
  await noteVisit(settings, now, signal).catch((error) => warn(causeText(error)));
  for (const expected of expectedRuns(settings)) {
    const one = await look(settings, expected, { now, graceMs }, signal);
    if (one !== undefined) found.push(one);
  }
  const troubles = found.map(({ trouble }) => trouble);
  process.stdout.write(json ? jsonOf(settings.host, troubles) : linesOf(troubles));
  const news = troubles.filter((trouble) => trouble.tell);
  const messages = news.length > 0 ? messagesOf(news, settings) : [];
  // the histories say that it is told: from then on it must not get lost
  for (const { message, only } of messages) await keepUntilTold(message, only);
  for (const { note } of found) await note();
  for (const { message, only } of messages) await tell(message, only, signal);
  if (messages.length === 0) await sendWaiting(settings, signal);
  return troubles.length > 0 ? EXIT.failed.code : EXIT.ok.code;
}

/** People get one message about all; what shows the state of each run gets one about each, which that run can end. */
function messagesOf(
  news: readonly Trouble[],
  settings: NotifySettings,
): { message: Message; only: NotifySettings }[] {
  const { channels, routes, host } = settings;
  const showsStates = (name: string): boolean =>
    channels.get(name)?.newestOnly === true && routes.get(name)?.runs === 'always';
  const [states = [], others = []] = [true, false].map((wanted) =>
    [...channels].filter(([name]) => showsStates(name) === wanted),
  );
  const messages: { message: Message; only: NotifySettings }[] = [];
  if (states.length > 0) {
    const only = { ...settings, channels: new Map(states) };
    messages.push(...news.map((one) => ({ message: messageOf([one], host), only })));
  }
  if (others.length > 0 || states.length === 0) {
    messages.push({ message: messageOf(news, host), only: { ...settings, channels: new Map(others) } });
  }
  return messages;
}

interface Found {
  trouble: Trouble;
  /** Writes down that it was found, and whether it is told. */
  note: () => Promise<void> | void;
}

/** @returns undefined where all is well */
async function look(
  { stateDir, group, host, runDir, remindMs, timeoutMs }: NotifySettings,
  expected: Expectation,
  { now, graceMs }: { now: Date; graceMs: number },
  signal: AbortSignal,
): Promise<Found | undefined> {
  const { series, history: file, toldAt } = expected;
  const { history: known, finding } = await judgeExpected(expected, host, now, graceMs);
  const { runs } = known;
  const isRunning = isUnderWay(runDir, series);
  const lateMs = finding.state === 'overdue' ? now.getTime() - finding.dueAt.getTime() : 0;
  if (isRunning && lateMs < Math.max(LONGEST_RUN_MS, 2 * timeoutMs)) return undefined;
  if (finding.state === 'in-time' || finding.state === 'unscheduled') {
    if (toldAt !== undefined) keepNote(stateDir, { ...expected, toldAt: undefined });
    return undefined;
  }
  const files = expected.isNoted ? [notePath(stateDir, series), file] : [file];
  const name = runs.at(-1)?.name ?? expected.name;
  const isDue = (at: string | undefined): boolean => {
    const ageMs = at === undefined ? Infinity : now.getTime() - Date.parse(at);
    return ageMs < 0 || ageMs >= remindMs;
  };
  const noteTold = (): void => keepNote(stateDir, { ...expected, toldAt: now.toISOString() });
  if (finding.state === 'doubtful') {
    const isTold = isDue(toldAt);
    const note = (): void => {
      if (isTold) noteTold();
    };
    const summary = `cannot tell whether it has run: ${finding.cause}`;
    return { trouble: { name, files, finding, summary, tell: isTold }, note };
  }
  const what = isRunning ? 'not done, though a run is under way' : 'not begun';
  const summary = `due ${showTime(finding.dueAt)} and ${what}`;
  const run = missedRun(name, summary, now, finding);
  // one that is due once a month would else be told once a month
  const lastTold = runs.findLast(({ result, told }) => result === 'missed' && told)?.finishedAt;
  const isReminder = expected.isNoted && remindMs > 0 && isDue(lastTold) && isDue(toldAt);
  const isTold = finding.isNew
    ? decide(run, runs, remindMs).tell && (lastTold === undefined || isDue(toldAt))
    : isReminder;
  const note = async (): Promise<void> => {
    if (!finding.isNew) {
      if (isTold) noteTold();
      return;
    }
    try {
      const workDir = await openWorkDir(dirname(dirname(file)), group, signal);
      appendRun(workDir, series, host, { ...run, told: isTold });
    } catch (error) {
      warn(`${series} is told again next time: ${causeText(error)}`);
    }
  };
  return { trouble: { name, files, finding, summary, tell: isTold }, note };
}

function keepNote(stateDir: string, expected: Expected): void {
  try {
    expectRun(stateDir, expected);
  } catch (error) {
    warn(`${expected.series} may be told again next time: ${causeText(error)}`);
  }
}

function missedRun(
  name: string,
  summary: string,
  now: Date,
  { dueAt, schedule }: Extract<Finding, { state: 'overdue' }>,
): HistoryRun {
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
    schedule: schedule.text,
    nextDueAt: nextDue(schedule, { startedAt: dueAt, finishedAt: now }).toISOString(),
  };
}
