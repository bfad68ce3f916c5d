import { describe, expect, it } from 'vitest';
import type { HistoryRun } from '../../archive/history.ts';
import { seriesOf, seriesSchema, sparkLine } from '../../notifier/chart.ts';

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
