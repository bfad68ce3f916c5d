// Whether all that is kept is known to be good, and was looked at not too long ago: disks forget.
import { plural } from '../../lib/text.ts';
import type { Series } from '../series.ts';
import { type Finding, found } from './finding.ts';

/** @param readSince archives that were last read before are told; undefined: none */
export function checkUnverified(series: Series, readSince: string | undefined): Finding[] {
  const present = series.archives.filter(({ state }) => state === 'present');
  const doubtful = present.filter(({ verified, problem }) => verified === null || problem !== null);
  const findings: Finding[] = [];
  const newest = doubtful.at(-1);
  if (newest !== undefined) {
    const detail = `${plural(doubtful.length, 'archive')}, the newest ${newest.name}: archiver verify looks at them`;
    findings.push(found(series, 'unverified', 'warning', 'archives are not verified', detail));
  }
  if (readSince === undefined) return findings;
  const old = present.filter(({ verified_at: at }) => at !== null && at < readSince);
  if (old.length > 0) {
    const oldest = old.map(({ verified_at }) => verified_at as string).toSorted()[0] as string;
    const detail = `${plural(old.length, 'archive')}, one of them since ${oldest.slice(0, 10)}: archiver verify reads them`;
    findings.push(found(series, 'unverified', 'warning', NOT_READ, detail));
  }
  return findings;
}

const NOT_READ = 'archives were not read again for long';

/** @param doubtful what the catalog knows of copies at further places */
export function checkCopies(doubtful: readonly { target: string; bad: number; old: number }[]): Finding[] {
  return doubtful.flatMap(({ target, bad, old }) => {
    const about = { check: 'unverified', level: 'warning', subject: target } as const;
    const findings: Finding[] = [];
    if (bad > 0) {
      const detail = `${plural(bad, 'archive')}: remove them there, archiver push sends them again`;
      findings.push({ ...about, reason: 'copies at a further place are bad', detail });
    }
    if (old > 0) {
      const detail = `${plural(old, 'archive')} there: archiver verify reads them`;
      findings.push({ ...about, reason: NOT_READ, detail });
    }
    return findings;
  });
}
