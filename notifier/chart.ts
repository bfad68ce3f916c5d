// The last runs as numbers for a picture, and as one line of text: `▂▂▃▃×▃▄█`. Bars begin at zero, so that what looks like
// half is half.
import { z } from 'zod';
import type { HistoryRun } from '../archive/history.ts';
import { formatDuration, formatSize, plural } from '../lib/text.ts';

/** How many runs a picture has at most: a month of nights. */
export const MOST_BARS = 30;

export const seriesSchema = z.object({
  /** What the values are: sizes of archives in bytes, or durations in milliseconds. */
  of: z.enum(['size', 'duration']),
  /** Oldest first. */
  bars: z
    .array(
      z.object({
        result: z.enum(['ok', 'warnings', 'failed', 'locked', 'missed']),
        /** null: there was nothing to measure. */
        value: z.number().nonnegative().nullable(),
        startedAt: z.iso.datetime(),
      }),
    )
    .min(1)
    .max(MOST_BARS),
});

/** Numbers, times and results only: nothing in it is foreign text. */
export type Series = z.infer<typeof seriesSchema>;
export type Bar = Series['bars'][number];

/**
 * @param runs oldest first
 * @param of what is shown; left out: sizes where there are any, else durations
 * @returns undefined where a picture would show nothing: of fewer than two runs
 */
export function seriesOf(
  runs: readonly HistoryRun[],
  of: Series['of'] = runs.some(({ sizeBytes }) => sizeBytes !== undefined) ? 'size' : 'duration',
): Series | undefined {
  const bars = runs.slice(-MOST_BARS).map((run) => barOf(run, of));
  return bars.length < 2 || bars.every(({ value }) => value === null) ? undefined : { of, bars };
}

/** @returns a run as a bar of a picture of sizes or durations */
export function barOf(run: HistoryRun, of: Series['of']): Bar {
  const { result, startedAt, sizeBytes } = run;
  const value = of === 'size' ? (sizeBytes ?? null) : hasRun(run) ? durationOf(run) : null;
  return { result, value, startedAt };
}

/** @returns how long a run took, in milliseconds; 0 where a clock went back meanwhile */
export function durationOf({ startedAt, finishedAt }: HistoryRun): number {
  return Math.max(0, Date.parse(finishedAt) - Date.parse(startedAt));
}

/** What did not run, or not to its end, has no duration to compare. */
function hasRun({ result }: HistoryRun): boolean {
  return result === 'ok' || result === 'warnings';
}

const BLOCKS = '▁▂▃▄▅▆▇█';
const ASCII = '_.-:=+*#';

/** What stands for a run that has no bar. */
export const MARKS: Record<Bar['result'], string> = {
  ok: ' ',
  warnings: ' ',
  failed: '×',
  missed: '×',
  locked: '·',
};

/**
 * @param ascii for terminals that have no other characters
 * @returns the series as one line, a character for each run; a failed or missed one is `×` (`x`), one locked out `·` (`,`)
 */
export function sparkLine({ bars }: Pick<Series, 'bars'>, ascii = false): string {
  const top = topOf(bars);
  const levels = ascii ? ASCII : BLOCKS;
  const line = bars.map(({ result, value }) =>
    value === null ? MARKS[result] : levels[levelOf(value, top, levels.length)],
  );
  return ascii ? line.join('').replaceAll('×', 'x').replaceAll('·', ',') : line.join('');
}

/** @returns the greatest value, at least 1 */
export function topOf(bars: readonly Bar[]): number {
  return Math.max(1, ...bars.map(({ value }) => value ?? 0));
}

/** @returns which of so many equal steps from zero to the top a value is on, from 0 */
export function levelOf(value: number, top: number, count: number): number {
  return Math.max(0, Math.ceil((value / top) * count) - 1);
}

/** @returns what makes text of a value */
export function formatOf(of: Series['of']): (value: number) => string {
  return of === 'size' ? formatSize : formatDuration;
}

/** @returns `Size of the last 30 runs, since 2026-09-07, at most 369.6 MB; × 2 failed or missed` */
export function captionOf({ of, bars }: Series): string {
  const bad = bars.filter(({ result }) => result === 'failed' || result === 'missed').length;
  const what = `${of === 'size' ? 'Size' : 'Duration'} of the last ${plural(bars.length, 'run')}, since ${bars[0]?.startedAt.slice(0, 10)}`;
  return `${what}, at most ${formatOf(of)(topOf(bars))}${bad === 0 ? '' : `; × ${bad} failed or missed`}`;
}
