import { describe, expect, it } from 'vitest';
import type { HistoryRun } from '../../archive/history.ts';
import { captionOf, seriesOf, seriesSchema, sparkLine } from '../../notifier/chart.ts';
import { htmlChart } from '../../notifier/html-chart.ts';
import { plot } from '../../notifier/plot.ts';

const START = Date.UTC(2026, 0, 1, 2, 15);

/** @param runs a size, or a result without one; each takes as many seconds as it is the n-th */
function runsOf(...runs: (number | HistoryRun['result'])[]): HistoryRun[] {
  return runs.map((one, index) => ({
    name: 'wiki',
    startedAt: new Date(START + index * 86_400_000).toISOString(),
    finishedAt: new Date(START + index * 86_400_000 + (index + 1) * 1000).toISOString(),
    result: typeof one === 'number' ? 'ok' : one,
    exitCode: 0,
    summary: '',
    archives: [],
    ...(typeof one === 'number' && { sizeBytes: one }),
  }));
}

describe('spark line', () => {
  it('has a character for each run, with bars from zero', () => {
    const series = seriesOf(runsOf(0, 10, 20, 'failed', 40, 60, 'locked', 80, 'missed'));
    expect(series?.of).toBe('size');
    expect(sparkLine(series!)).toBe('▁▁▂×▄▆·█×');
    expect(sparkLine(series!, true)).toBe('__.x:+,#x');
  });

  it('shows durations where nothing has a size', () => {
    const series = seriesOf(runsOf('ok', 'failed', 'ok', 'warnings'));
    expect(series).toMatchObject({
      of: 'duration',
      bars: [{ value: 1000 }, { value: null }, {}, { value: 4000 }],
    });
    expect(sparkLine(series!)).toBe('▂×▆█');
  });

  it('is none of one run, and none of runs that had nothing to measure', () => {
    expect(seriesOf(runsOf(5))).toBeUndefined();
    expect(seriesOf(runsOf('failed', 'failed'))).toBeUndefined();
  });

  it('is of the last month of nights, and small enough for a queue', () => {
    const series = seriesOf(runsOf(...Array.from({ length: 400 }, (_, index) => index)));
    expect(series?.bars).toHaveLength(30);
    expect(series?.bars.at(-1)?.value).toBe(399);
    expect(seriesSchema.parse(series)).toEqual(series);
  });

  it('survives archives that are empty, and a clock that went back', () => {
    expect(sparkLine(seriesOf(runsOf(0, 0))!)).toBe('▁▁');
    const [run, other] = runsOf('ok', 'ok') as [HistoryRun, HistoryRun];
    const back = { ...run, finishedAt: new Date(START - 5000).toISOString() };
    expect(seriesOf([back, other])?.bars[0]?.value).toBe(0);
  });
});

describe('chart of a mail', () => {
  it('has a bar for each run, as high as its share, and marks those that failed', () => {
    const series = seriesOf(runsOf(100e6, 50e6, 'failed', 0, 'locked', 1))!;
    expect(captionOf(series)).toBe(
      'Size of the last 6 runs, since 2026-01-01, at most 100.0 MB; × 1 failed or missed',
    );
    const html = htmlChart(series);
    const bars = [...html.matchAll(/title="([^"]*)".*?height="(\d+)".*?bgcolor="(#\w+)".*?>([^<]*)<\/td>/g)];
    expect(bars.map(([, title, height, , text]) => `${title} ${height} ${text}`)).toEqual([
      '2026-01-01 02:15: 100.0 MB 56 &nbsp;',
      '2026-01-02 02:15: 50.0 MB 28 &nbsp;',
      '2026-01-03 02:15: failed 15 ×',
      '2026-01-04 02:15: 0 B 1 &nbsp;',
      '2026-01-05 02:15: locked 15 ·',
      '2026-01-06 02:15: 1 B 2 &nbsp;',
    ]);
    expect(new Set(bars.map(([, , , colour]) => colour))).toEqual(new Set(['#1a7f37', '#c62828', '#6e7781']));
  });

  it('loads nothing, attaches nothing, and is drawn by programs that know tables only', () => {
    const html = htmlChart(seriesOf(runsOf(1, 2))!);
    expect(html).not.toMatch(/https?:|url\(|src=|data:|cid:|<svg|<img|flex|grid/);
  });
});

describe('chart of a terminal', () => {
  const format = (value: number): string => `${value} kB`;
  const bars = seriesOf(runsOf(80, 40, 'failed', 0.1, 0))!.bars;

  it('has bars from zero, the greatest value, its half, and marks', () => {
    expect(plot(bars, { title: 'wiki: size', format, width: 40, ascii: false }).split('\n')).toEqual([
      'wiki: size',
      '80 kB ┤███',
      '      │███',
      '      │███',
      '      │███',
      '40 kB ┤███ ███',
      '      │███ ███',
      '      │███ ███',
      '      │███ ███     ▁▁▁',
      '    0 └────────×───────────',
      '       2026-01-01  2026-01-05',
    ]);
  });

  it('is as wide as the terminal and no wider, with the newest runs, and ASCII where there is nothing else', () => {
    const many = seriesOf(runsOf(...Array.from({ length: 30 }, (_, index) => index + 1)))!.bars;
    const lines = plot(many, { title: 'x', format, width: 24, ascii: true }).split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBe(24);
    expect(lines.join('')).toMatch(/^[\x20-\x7e]+$/);
    expect(lines.at(-1)).toContain('2026-01-30');
    expect(lines[1]).toMatch(/30 kB \+ +#+$/);
  });
});
