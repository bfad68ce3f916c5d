// What speaks against pruning a series: as long as its backups fail, or what comes is odd, nothing that was good before goes.
import { checkFailing } from './checks/failing.ts';
import type { Finding } from './checks/finding.ts';
import { checkFlood } from './checks/flood.ts';
import { checkSize } from './checks/size.ts';
import type { Series } from './series.ts';

/** @returns what is to be settled first; none: it may be pruned */
export function whatHolds(series: Series, now: Date): Finding[] {
  return [...checkFailing(series), ...checkFlood(series, now), ...checkSize(series)];
}
