// When an archive was made, for retention: its manifest's word, where that is plausible. A host's clock may be wrong, or lie.
import { info } from '../lib/log.ts';
import type { ArchiveRow } from './catalog/schema.ts';

export type MadeTime = Pick<ArchiveRow, 'time' | 'time_source'>;

/**
 * @param made what the manifest says
 * @param previous the time of the newest archive before it, if there is one
 * @returns the manifest's time where it lies between that and the time received, else the time received
 */
export function timeOf(row: ArchiveRow, made: Date, previous: string | undefined): MadeTime {
  const time = made.toISOString();
  if (time <= row.received_at && (previous === undefined || time >= previous)) {
    return { time, time_source: 'manifest' };
  }
  info(
    `${row.name}: its time ${time} is not between the previous archive's and now; the time received counts`,
  );
  return { time: row.received_at, time_source: 'received' };
}
