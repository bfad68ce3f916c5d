// How much is kept of one host: one that was broken into can't fill the disk that the others need. What it can have put
// there besides archives counts as it lies on the disk: of bad archives of one name the catalog knows the last alone.
import { cannot } from '../lib/errors.ts';
import { formatSize } from '../lib/text.ts';
import type { HostConfiguration } from './configuration.ts';
import { besidesArchives } from './layout.ts';
import type { Run } from './run.ts';

/**
 * Refuses an archive that would take its host over its quota. What is in quarantine, what was left of cut transfers of
 * other archives, and histories count: they are the host's too.
 * @param name of the archive, for the message
 * @param sizeBytes of it, and of what is fetched from its host beside it
 * @throws quota
 */
export async function checkQuota(
  { catalog, configuration }: Pick<Run, 'catalog' | 'configuration'>,
  { name: host, quotaBytes }: Pick<HostConfiguration, 'name' | 'quotaBytes'>,
  name: string,
  sizeBytes: number,
): Promise<void> {
  if (quotaBytes === undefined) return;
  const rows = await catalog.list(['present', 'removing'], host);
  const archivesBytes = rows.reduce((sum, row) => sum + row.size_bytes, 0);
  const usedBytes = archivesBytes + besidesArchives(configuration.root, host, name);
  if (usedBytes + sizeBytes <= quotaBytes) return;
  const cause = `${host} would have ${formatSize(usedBytes + sizeBytes)} here, its quota is ${formatSize(quotaBytes)}`;
  throw cannot('quota', 'pull', name, cause, {
    hint: 'nothing more is pulled from that host; if it is right, raise its quota in archiver.yaml',
  });
}
