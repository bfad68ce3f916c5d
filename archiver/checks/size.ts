// Whether the newest archive is much smaller or larger than those before it: a directory that is not mounted, a table that
// was emptied, or files that somebody has encrypted, which then compress no more.
import { formatSize } from '../../lib/text.ts';
import { type Sample, variationOf } from '../../lib/variation.ts';
import type { BriefRow } from '../catalog/catalog.ts';
import type { Series } from '../series.ts';
import { type Finding, found } from './finding.ts';

/** Enough for the same weekday of six weeks, where several come a day. */
const LOOK_BACK = 400;

export function checkSize(series: Series): Finding[] {
  const good = series.archives.filter(({ verified }) => verified !== null);
  const newest = good.at(-1);
  if (newest === undefined) return [];
  const earlier = good.slice(-LOOK_BACK, -1).map(sample);
  const { usual, beyond } = variationOf('size', earlier, sample(newest)) ?? {};
  if (beyond === undefined || usual === undefined) return [];
  const detail = `${newest.name} has ${formatSize(newest.size_bytes)}, usual is ${formatSize(usual)}`;
  return beyond === 'rise'
    ? [found(series, 'size', 'warning', 'the newest archive is much larger than usual', detail)]
    : [
        found(
          series,
          'size',
          beyond === 'collapse' ? 'critical' : 'warning',
          'the newest archive is much smaller than usual',
          detail,
        ),
      ];
}

const sample = ({ time, size_bytes }: BriefRow): Sample => ({ time: Date.parse(time), value: size_bytes });
