// What the history of an agent says: how its last run ended, and whether the next one is late.
import { join } from 'node:path';
import { HISTORY_DIRECTORY, type HistoryRun, historyFile, readHistory } from '../../archive/history.ts';
import { type Finding, judgeHistory } from '../../notifier/due.ts';
import type { PatientAgent } from './check.ts';

/** As `notify overdue` has it. */
const GRACE_MS = 3_600_000;

export interface LastRun {
  /** undefined: none has been noted. */
  run: HistoryRun | undefined;
  /** The last one that made an archive. */
  withArchive: HistoryRun | undefined;
  due: Finding;
}

/** @throws io */
export async function lastRunOf({ series, settings }: PatientAgent, now: Date): Promise<LastRun> {
  const file = historyFile(series, settings.GARNER_HOST);
  const history = readHistory(join(settings.GARNER_WORK_DIR, HISTORY_DIRECTORY, file));
  return {
    run: history.runs.findLast(({ result }) => result !== 'missed'),
    withArchive: history.runs.findLast(({ archives }) => archives.length > 0),
    due: await judgeHistory(history, now, GRACE_MS),
  };
}
