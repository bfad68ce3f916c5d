// Whether all that is kept is known to be good.
import { plural } from '../../lib/text.ts';
import type { Series } from '../series.ts';
import { type Finding, found } from './finding.ts';

export function checkUnverified(series: Series): Finding[] {
  const doubtful = series.archives.filter(
    ({ state, verified, problem }) => state === 'present' && (verified === null || problem !== null),
  );
  const newest = doubtful.at(-1);
  if (newest === undefined) return [];
  const detail = `${plural(doubtful.length, 'archive')}, the newest ${newest.name}: archiver verify looks at them`;
  return [found(series, 'unverified', 'warning', 'archives are not verified', detail)];
}
