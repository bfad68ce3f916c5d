// Whether the last thing that is known of a series' runs is a failure.
import { formatMinute } from '../../lib/text.ts';
import type { Series } from '../series.ts';
import { type Finding, found } from './finding.ts';

/** What a host says of its runs is foreign text of any length. */
const LONGEST_CAUSE = 200;

export function checkFailing(series: Series): Finding[] {
  // one that was locked out says nothing of the one that ran
  const runs = series.runs.filter(({ result }) => result !== 'locked');
  const lastGood = runs.findLastIndex(({ result }) => result === 'ok' || result === 'warnings');
  const [first] = runs.slice(lastGood + 1);
  const last = runs.at(-1);
  const good = series.archives.at(-1);
  // one that came since was made by somebody who keeps no history
  if (first !== undefined && last !== undefined && (good === undefined || good.time <= last.finished_at)) {
    const since = formatMinute(first.started_at);
    const detail = `since ${since} UTC: ${last.summary.slice(0, LONGEST_CAUSE)}`;
    return [found(series, 'failing', 'critical', 'backups fail at the host', detail)];
  }
  const bad = series.quarantined.at(-1);
  if (bad === undefined || (good !== undefined && good.received_at >= bad.received_at)) return [];
  const detail = `${bad.name} (${bad.problem ?? 'unknown'})`;
  return [found(series, 'failing', 'critical', 'the newest archive is bad and in quarantine', detail)];
}
