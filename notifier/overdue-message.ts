// What is overdue, as a message, as lines and as JSON.
import { plural } from '../lib/text.ts';
import type { Finding } from './due.ts';
import { type Fact, type Message, makeMessage, safeText, showTime } from './message.ts';

export interface Trouble {
  name: string;
  /** What to move away where the run is expected no more. */
  files: string[];
  finding: Extract<Finding, { state: 'overdue' | 'doubtful' }>;
  /** The cause in one line. */
  summary: string;
  /** false: it was told not long ago. */
  tell: boolean;
}

function lastRunOf({ finding }: Trouble): string {
  if (finding.state === 'doubtful') return '';
  const { lastRun } = finding;
  return lastRun === undefined ? 'not known' : `${showTime(new Date(lastRun.startedAt))}, ${lastRun.result}`;
}

/** @returns one message about all of them */
export function messageOf(troubles: readonly Trouble[], host: string): Message {
  const [first, second, ...others] = troubles as [Trouble, ...Trouble[]];
  const facts: Fact[] = [{ label: 'Host', value: host }];
  if (second === undefined) {
    const { finding, files } = first;
    if (finding.state === 'overdue') {
      facts.push(
        { label: 'Schedule', value: finding.schedule.text },
        { label: 'Due', value: showTime(finding.dueAt) },
        { label: 'Last run', value: lastRunOf(first) },
      );
    }
    facts.push({
      label: 'To do',
      value: `see whether its timer or its crontab is there and runs\n${endOf(files)}`,
    });
    return makeMessage({ result: 'MISSED', name: first.name, host, summary: first.summary, facts });
  }
  for (const trouble of troubles) {
    const last = trouble.finding.state === 'overdue' ? `\nlast run ${lastRunOf(trouble)}` : '';
    facts.push({
      label: safeText(trouble.name, 64),
      value: `${trouble.summary}${last}\n${endOf(trouble.files)}`,
    });
  }
  facts.push({ label: 'To do', value: 'see whether timers and cron run' });
  const more = others.length > 0 ? ` and ${plural(others.length, 'other')}` : '';
  return makeMessage({
    result: 'MISSED',
    name: `${first.name}, ${second.name}${more}`,
    host,
    summary: `${plural(troubles.length, 'run')} overdue`,
    facts,
  });
}

function endOf(files: readonly string[]): string {
  return `where it shall run no more, move away ${files.join(' and ')}`;
}

/** @returns a line for each */
export function linesOf(troubles: readonly Trouble[]): string {
  return troubles.map(lineOf).join('');
}

function lineOf({ name, summary, finding }: Trouble): string {
  const last = finding.state === 'overdue' ? `; last run ${lastRunOf({ finding } as Trouble)}` : '';
  return `${safeText(`${name}: ${summary}${last}`)}\n`;
}

/** @returns one JSON object */
export function jsonOf(host: string, troubles: readonly Trouble[]): string {
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
