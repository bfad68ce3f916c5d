// Whether more archives come than usual: of a host that was broken into, they may be meant to push out what was made before.
// It counts by the time received, which a host can't choose.
import type { Series } from '../series.ts';
import { type Finding, found } from './finding.ts';
import { usualCount } from './rhythm.ts';

const WINDOW_MS = 86_400_000;
/** More than come in the days that are looked back on. */
const LOOK_BACK = 1000;
/** Somebody may have run a backup by hand. */
const TOLERANCE = 1.5;
const EXTRA = 2;

export function checkFlood(series: Series, now: Date): Finding[] {
  const since = new Date(now.getTime() - WINDOW_MS).toISOString();
  const [before, recent] = [false, true].map((isRecent) =>
    series.archives.filter(({ received_at }) => received_at > since === isRecent),
  ) as [Series['archives'], Series['archives']];
  const last = before.at(-1);
  if (last === undefined) return [];
  // a host that was away delivers all at once what has gathered
  const usual = usualCount(
    before.slice(-LOOK_BACK).map(({ time }) => Date.parse(time)),
    now.getTime() - Date.parse(last.received_at),
  );
  if (usual === undefined || recent.length <= usual * TOLERANCE + EXTRA) return [];
  const detail = `${recent.length} came within a day, ${Math.ceil(usual)} would be usual`;
  return [found(series, 'flood', 'critical', 'more archives came than usual', detail)];
}
