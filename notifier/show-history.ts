// `notify history`: what ran on this host and how it went, by the histories in the work directory. It changes nothing. What
// it reads is foreign text, and shown escaped.
import { join } from 'node:path';
import {
  HISTORY_DIRECTORY,
  type History,
  type HistoryRun,
  historyFile,
  listHistories,
  readHistory,
} from '../archive/history.ts';
import { cannot, causeText } from '../lib/errors.ts';
import { warn } from '../lib/log.ts';
import { formatTable } from '../lib/table.ts';
import { formatDuration, formatMinute, formatSize } from '../lib/text.ts';
import { barOf, durationOf, type Series, seriesOf, sparkLine } from './chart.ts';
import { formatCount } from './explain-variation.ts';
import { safeText } from './message.ts';
import { isUtf8Locale, plot, toAscii } from './plot.ts';
import type { NotifySettings } from './settings.ts';

export interface HistoryOptions {
  /** A series, or what messages call its runs; undefined: all of them, a line each. */
  name: string | undefined;
  /** How many runs of each: the newest. */
  last: number;
  plot: boolean;
  json: boolean;
  /** Of the terminal, in columns; undefined: it is none, and lines may be of any length. */
  width: number | undefined;
  ascii: boolean;
}

interface Story extends History {
  series: string;
}

/** Where no terminal says. */
const USUAL_WIDTH = 80;

/**
 * Shows histories.
 * @returns what to print
 * @throws usage, where there is none of that name; io
 */
export function showHistory(
  settings: Pick<NotifySettings, 'workDir' | 'host'>,
  options: HistoryOptions,
): string {
  const stories = find(settings, options.name).map((story) => ({
    ...story,
    runs: story.runs.slice(-options.last),
  }));
  return options.json ? jsonOf(settings.host, stories) : textOf(stories, options);
}

/** @returns how histories are shown here */
export function displayOf(stdout: Pick<NodeJS.WriteStream, 'isTTY' | 'columns'> = process.stdout): {
  width: number | undefined;
  ascii: boolean;
} {
  return { width: stdout.isTTY ? stdout.columns : undefined, ascii: !isUtf8Locale() };
}

function find(
  { workDir, host }: Pick<NotifySettings, 'workDir' | 'host'>,
  name: string | undefined,
): Story[] {
  const all = listHistories(workDir, host).flatMap((series): Story[] => {
    try {
      return [{ series, ...readHistory(join(workDir, HISTORY_DIRECTORY, historyFile(series, host))) }];
    } catch (error) {
      warn(causeText(error));
      return [];
    }
  });
  for (const { series, damagedCount } of all) {
    if (damagedCount > 0) warn(`lines of the history of ${series} are damaged and left out: ${damagedCount}`);
  }
  if (name === undefined) return all;
  const bySeries = all.filter(({ series }) => series === name);
  const found = bySeries.length > 0 ? bySeries : all.filter(({ runs }) => runs.at(-1)?.name === name);
  if (found.length > 0) return found;
  const known = all.map(({ series, runs }) => runs.at(-1)?.name ?? series).join(', ');
  throw cannot('usage', 'show the history of', name, 'no run of it is known on this host', {
    hint: known === '' ? 'notify keeps one of each command that it runs' : `there is: ${known}`,
  });
}

function jsonOf(host: string, stories: readonly Story[]): string {
  return `${JSON.stringify({ host, series: stories })}\n`;
}

function textOf(stories: readonly Story[], options: HistoryOptions): string {
  if (options.name === undefined && !options.plot) return overviewOf(stories, options);
  const parts = stories.map((story) => (options.plot ? plotsOf(story, options) : tableOf(story, options)));
  return parts.join('\n');
}

function overviewOf(stories: readonly Story[], options: HistoryOptions): string {
  if (stories.length === 0) return 'no run is known on this host\n';
  const rows = stories.map(({ series, runs }) => {
    const last = runs.at(-1);
    const bars = seriesOf(runs);
    // a run by hand has no schedule, and those that have one go on
    const scheduled = runs.findLast(({ nextDueAt }) => nextDueAt !== undefined)?.nextDueAt;
    const dueAt = last?.nextDueAt ?? (isLater(scheduled, last?.finishedAt) ? scheduled : undefined);
    const sized = runs.findLast(({ sizeBytes }) => sizeBytes !== undefined);
    return [
      nameOf(series, last),
      last === undefined ? '' : resultOf(last),
      last === undefined ? '' : formatMinute(last.startedAt),
      formatIf(sized?.sizeBytes, formatSize),
      bars === undefined ? '' : sparkLine(bars, options.ascii),
      dueAt === undefined ? '' : formatMinute(dueAt),
    ];
  });
  return cut(
    formatTable(['Name', 'Result', 'Last run (UTC)', 'Size', 'Trend', 'Next due (UTC)'], rows),
    options,
  );
}

function tableOf({ series, runs }: Story, options: HistoryOptions): string {
  const rows = runs.map((run) => [
    formatMinute(run.startedAt),
    resultOf(run),
    run.result === 'missed' ? '' : formatDuration(durationOf(run)),
    formatIf(run.sizeBytes, formatSize),
    formatIf(run.rowCount, formatCount),
    formatIf(run.fileCount, formatCount),
    // the size stands beside it
    run.result === 'ok' && run.sizeBytes !== undefined ? '' : safeText(run.summary),
  ]);
  const head = ['Started (UTC)', 'Result', 'Duration', 'Size', 'Rows', 'Files', 'Summary'];
  return `${nameOf(series, runs.at(-1))}\n${cut(formatTable(head, rows), options)}`;
}

function plotsOf({ series, runs }: Story, { width = USUAL_WIDTH, ascii }: HistoryOptions): string {
  const name = nameOf(series, runs.at(-1));
  const ofThem = (of: Series['of'], title: string, format: (value: number) => string): string[] => {
    const bars = runs.map((run) => barOf(run, of));
    if (bars.every(({ value }) => value === null)) return [];
    return [plot(bars, { title: `${name}: ${title}`, format, width, ascii })];
  };
  const charts = [...ofThem('size', 'size', formatSize), ...ofThem('duration', 'duration', formatDuration)];
  if (charts.length === 0) return `${name}: nothing to show\n`;
  if (runs.every(({ result }) => result === 'ok')) return `${charts.join('\n\n')}\n`;
  const legend = '× failed or missed   · locked out   ! warnings';
  return `${charts.join('\n\n')}\n${ascii ? toAscii(legend) : legend}\n`;
}

function nameOf(series: string, last: HistoryRun | undefined): string {
  return safeText(last?.name ?? series, 64);
}

/** @returns `ok`, `ok, unusual` where it was unlike those before and that was told already */
function resultOf({ result, variations }: HistoryRun): string {
  return result === 'ok' && variations !== undefined ? 'ok, unusual' : result;
}

function formatIf(value: number | undefined, format: (value: number) => string): string {
  return value === undefined ? '' : format(value);
}

function isLater(time: string | undefined, than: string | undefined): boolean {
  return time !== undefined && than !== undefined && Date.parse(time) > Date.parse(than);
}

/** Keeps lines from wrapping in a terminal. */
function cut(table: string, { width, ascii }: HistoryOptions): string {
  if (width === undefined) return table;
  const end = ascii ? '~' : '…';
  return table
    .split('\n')
    .map((line) => (line.length > width ? `${line.slice(0, Math.max(0, width - 1))}${end}` : line))
    .join('\n');
}
