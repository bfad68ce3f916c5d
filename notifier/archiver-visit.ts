// Whether the archiver still comes: its visits become lines of a history of their own, due once a day, so that its silence
// is noticed and told as that of any run is.
import { join } from 'node:path';
import { appendRun, HISTORY_DIRECTORY, historyFile, readHistory } from '../archive/history.ts';
import { PULL_EVERY_MS, readLastPull } from '../archive/last-pull.ts';
import { openWorkDir } from '../lib/work-dir.ts';
import type { NotifySettings } from './settings.ts';

const SERIES = 'job.archiver';
const SCHEDULE = 'every 26h';

/**
 * Notes the archiver's last visit, where there was one; of many a day only some.
 * @throws io, work-dir
 */
export async function noteVisit(
  { workDir, group, host }: Pick<NotifySettings, 'workDir' | 'group' | 'host'>,
  now: Date,
  signal: AbortSignal,
): Promise<void> {
  const visit = readLastPull(workDir);
  // one of the future would keep it quiet until then
  if (visit === undefined || Date.parse(visit.at) > now.getTime()) return;
  const { runs } = readHistory(join(workDir, HISTORY_DIRECTORY, historyFile(SERIES, host)));
  const last = runs.at(-1);
  const newMs = Date.parse(visit.at) - Date.parse(last?.startedAt ?? '');
  if (last?.result === 'ok' ? newMs < PULL_EVERY_MS / 2 : newMs <= 0) return;
  appendRun(await openWorkDir(workDir, group, signal), SERIES, host, {
    name: 'archiver',
    startedAt: visit.at,
    finishedAt: visit.at,
    result: 'ok',
    exitCode: null,
    summary: 'the archiver was here',
    archives: [],
    schedule: SCHEDULE,
    nextDueAt: new Date(Date.parse(visit.at) + PULL_EVERY_MS).toISOString(),
  });
}
