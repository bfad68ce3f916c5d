// Reads archives on the disk again, least recently verified first: disks forget. What has gone bad is moved to
// quarantine, so that retention doesn't count it and the next pull fetches it again where its host still has it.
import { join } from 'node:path';
import { type ArchiveName, parseName } from '../archive/name.ts';
import { verifyArchive } from '../archive/verify.ts';
import { cannot } from '../lib/errors.ts';
import { info } from '../lib/log.ts';
import { startProgress } from '../lib/progress.ts';
import type { ArchiveRow } from './catalog/schema.ts';
import type { HostConfiguration } from './configuration.ts';
import { archivePath, fileSize } from './layout.ts';
import { isBad, quarantine } from './quarantine.ts';
import { type Failure, type Run, tellFailure } from './run.ts';

export interface VerifyReport {
  verified: { name: string; level: 'digest' | 'content' }[];
  failed: (Failure & { name: string })[];
}

/**
 * Verifies the archives of some hosts.
 * @param olderThanMs only those that were not verified for that long
 */
export async function verifyHosts(
  run: Run,
  hosts: HostConfiguration[],
  olderThanMs: number,
): Promise<VerifyReport> {
  const { catalog, signal, now } = run;
  const names = new Set(hosts.map(({ name }) => name));
  const before = new Date(now.getTime() - olderThanMs).toISOString();
  const rows = (await catalog.list(['present']))
    .filter(({ host }) => names.has(host))
    // a time of the future is from a wrong clock, and says nothing
    .filter(({ verified_at: at }) => at === null || at <= before || at > now.toISOString())
    .toSorted((a, b) => ((a.verified_at ?? '') < (b.verified_at ?? '') ? -1 : 1));
  const progress = startProgress(
    'verify',
    rows.reduce((sum, { size_bytes }) => sum + size_bytes, 0),
  );
  const report: VerifyReport = { verified: [], failed: [] };
  for (const row of rows) {
    try {
      const level = await verifyOne(run, row);
      report.verified.push({ name: row.name, level });
    } catch (error) {
      signal.throwIfAborted();
      report.failed.push({ name: row.name, ...tellFailure(row.host, error) });
    }
    progress.add(row.size_bytes);
  }
  progress.done();
  return report;
}

/**
 * Verifies one archive and writes down what was found; a bad one goes to quarantine.
 * @throws checksum-mismatch, content-mismatch, not-an-archive; io where it could not be looked at
 */
export async function verifyOne(run: Run, row: ArchiveRow): Promise<'digest' | 'content'> {
  const { catalog, configuration, signal } = run;
  const path = join(configuration.root, archivePath(parseName(row.name) as ArchiveName, row.name));
  if (fileSize(path) === undefined) {
    await catalog.change([row.name], { verified: null });
    throw cannot('checksum-mismatch', 'verify', row.name, 'it is not on the disk any more', {
      hint: 'the next pull fetches it where its host still has it; else archiver rescan takes note',
    });
  }
  try {
    const { level } = await verifyArchive(path, { expectedSha256: row.sha256, signal });
    await catalog.change([row.name], {
      verified: level,
      verified_at: new Date().toISOString(),
      problem: null,
    });
    info(`${row.host}: ${row.name} verified: ${level}`, { host: row.host, name: row.name, level });
    return level;
  } catch (error) {
    signal.throwIfAborted();
    if (isBad(error)) await quarantine(run, row, path, error);
    throw error;
  }
}
