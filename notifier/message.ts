// What a message says, for any transport, and how it reads as plain text. Everything in it is redacted and has its
// control characters escaped when it is made: it may be written to disk, shown and sent as it is.
import { randomUUID } from 'node:crypto';
import { redact } from '../lib/redact.ts';
import { formatTable } from '../lib/table.ts';
import { escapeControls, formatDuration, formatSize, plural } from '../lib/text.ts';
import { captionOf, type Series, sparkLine } from './chart.ts';
import type { Decision, Level } from './decide.ts';
import type { Result, Verdict } from './judge.ts';
import type { LogText } from './log-excerpt.ts';
import type { ChildRun } from './run-child.ts';
import { showCommand } from './wrapped-command.ts';

export interface Message {
  /** Stays the same when it is sent again: a receiver can tell a repetition by it. */
  id: string;
  /** When it was made, ISO 8601. */
  time: string;
  result: Result;
  /** Whom it concerns; `recovered` is an OK after trouble. */
  level: Level;
  /** Of one that is `recovered`: what was told of the trouble. */
  ended?: Level[];
  /** What it is about: `mediawiki`. */
  name: string;
  host: string;
  /** Size of the archive, or the cause, in one short line. */
  summary: string;
  /** What else there is to know, in its order. */
  facts: Fact[];
  /** Shown in front of the facts. */
  table?: Table;
  /** The runs of late, for a picture. */
  series?: Series;
  log?: LogText;
  /** The run that it is about; missing where it is about something else, or about a run that never was. */
  run?: { id: string; durationMs: number };
}

/** A value may have several lines. */
export interface Fact {
  label: string;
  value: string;
}

/** Each cell is one line; each row has a cell for each title. */
export interface Table {
  head: string[];
  rows: string[][];
}

const LONGEST_NAME = 64;
const LONGEST_SUBJECT = 200;
const LONGEST_COMMAND = 1000;

/**
 * Makes foreign text safe for one line of a message: redacted, control characters escaped.
 * @param longest in characters; what is longer is cut, with a mark
 */
export function safeText(text: string, longest = Number.POSITIVE_INFINITY): string {
  return clip(escapeControls(redact(text)), longest);
}

/** @returns a text of at most so many characters, no character cut in two */
function clip(text: string, longest: number): string {
  if (text.length <= longest) return text;
  return `${text.slice(0, longest - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}

const LEVEL_OF: Record<Result, Level> = {
  OK: 'ok',
  WARNINGS: 'warnings',
  LOCKED: 'warnings',
  FAILED: 'failed',
  MISSED: 'missed',
};

/** Makes a message of what is given; all of it may be foreign text. */
export function makeMessage(content: Omit<Message, 'id' | 'time' | 'level'> & { level?: Level }): Message {
  const { name, summary, facts, table, ...rest } = content;
  return {
    id: randomUUID(),
    time: new Date().toISOString(),
    level: LEVEL_OF[content.result],
    ...rest,
    name: safeText(name, LONGEST_NAME),
    summary: safeText(summary, LONGEST_SUBJECT),
    facts: facts.map(({ label, value }) => ({
      label,
      value: value
        .split('\n')
        .map((line) => safeText(line))
        .join('\n'),
    })),
    ...(table && {
      table: { head: table.head, rows: table.rows.map((row) => row.map((cell) => safeText(cell))) },
    }),
  };
}

/** @returns the message about a run that has ended */
export function messageOfRun(
  run: ChildRun,
  verdict: Verdict,
  about: {
    name: string;
    host: string;
    command: readonly string[];
    decision: Decision;
    /** What came of the tries before this one. */
    failed: readonly string[];
    log: LogText;
    /** This run among those before it. */
    series?: Series | undefined;
    /** By which its start was told. */
    runId?: string;
  },
): Message {
  const { archives, causes, result } = verdict;
  const { level, trouble } = about.decision;
  const facts = [
    { label: 'Command', value: clip(showCommand(about.command), LONGEST_COMMAND) },
    { label: 'Host', value: about.host },
    { label: 'Started', value: showTime(run.startedAt) },
    { label: 'Duration', value: formatDuration(run.durationMs) },
    {
      label: 'Exit code',
      value: run.signal === undefined ? `${run.exitCode}` : `${run.exitCode} (${run.signal})`,
    },
  ];
  if (about.failed.length > 0) {
    const before = about.failed.map((cause, i) => `try ${i + 1}: ${cause}`);
    facts.push({ label: 'Tries', value: [`${before.length + 1}`, ...before].join('\n') });
  }
  if (causes.length > 0) facts.push({ label: 'Cause', value: causes.join('\n') });
  for (const archive of archives) {
    facts.push(
      { label: 'Archive', value: archive.path },
      { label: 'Size', value: `${formatSize(archive.sizeBytes)} (${archive.sizeBytes} bytes)` },
      { label: 'SHA-256', value: archive.sha256 },
    );
    const withheld = (archive.manifest?.withheld ?? []).map(({ what, remedy }) => `${what}: ${remedy}`);
    if (withheld.length > 0) facts.push({ label: 'Left out', value: withheld.join('\n') });
  }
  if (trouble !== undefined && trouble.runs > 1) {
    const what = level === 'recovered' ? 'Was not well' : 'Not well';
    facts.push({
      label: what,
      value: `since ${showTime(new Date(trouble.since))}, ${plural(trouble.runs, 'run')}`,
    });
  }
  const summary = level === 'recovered' ? `${verdict.summary}, well again` : verdict.summary;
  const { name, host, log, series, runId = randomUUID() } = about;
  const told = { id: runId, durationMs: run.durationMs };
  const ended = level === 'recovered' && trouble !== undefined ? { ended: trouble.told } : {};
  return makeMessage({
    ...{ result, level, ...ended, name, host, summary, facts, log, run: told },
    ...(series && { series }),
  });
}

/** @returns `2026-11-21 02:15:00 UTC` */
export function showTime(time: Date): string {
  return `${time.toISOString().replace('T', ' ').slice(0, 19)} UTC`;
}

/** @returns `[garner] OK mediawiki on web1: 12.3 MB` */
export function subjectOf({ result, name, host, summary }: Message): string {
  return clip(`[garner] ${result} ${name} on ${host}: ${summary}`, LONGEST_SUBJECT);
}

/** @returns what stands between the head and the tail of a log */
export function gapOf(log: LogText): string {
  return `[… ${formatSize(log.leftOutBytes)} left out …]`;
}

/** @returns the message as plain text */
export function textOf(message: Message): string {
  const { result, name, host, summary, facts, table, series, log } = message;
  const width = Math.max(0, ...facts.map(({ label }) => label.length)) + 2;
  const lines = [`${result}: ${name} on ${host}`, summary, ''];
  if (table !== undefined) lines.push(formatTable(table.head, table.rows));
  for (const { label, value } of facts) {
    lines.push(`${`${label}:`.padEnd(width)}${value.replaceAll('\n', `\n${' '.repeat(width)}`)}`);
  }
  if (series !== undefined) lines.push('', captionOf(series), sparkLine(series));
  if (log !== undefined) {
    lines.push('', 'Log', '---', log.head.trimEnd() || '(nothing was printed)');
    if (log.leftOutBytes > 0) lines.push('', gapOf(log), '', log.tail.trimEnd());
  }
  return `${lines.join('\n')}\n`;
}
