// All runs that somebody may expect on this host: those with a history in the work directory, and those that scheduled runs
// have left a note of. A history that is gone, or that can't be read, is in doubt, and is not passed over.
import { basename, join } from 'node:path';
import {
  HISTORY_DIRECTORY,
  type History,
  historyFile,
  listHistories,
  readHistory,
} from '../archive/history.ts';
import { causeText } from '../lib/errors.ts';
import { warn } from '../lib/log.ts';
import { type Finding, judgeHistory } from './due.ts';
import { type Expected, listExpected } from './expected.ts';
import type { NotifySettings } from './settings.ts';

export interface Expectation extends Expected {
  /** A scheduled run has left a note. */
  isNoted: boolean;
}

/**
 * @returns each history of the work directory, and each that is noted, wherever it is; by the names of their series
 * @throws io, where neither can be listed
 */
export function expectedRuns({ workDir, stateDir, host }: NotifySettings): Expectation[] {
  const all: Expectation[] = listExpected(stateDir).map((expected) => ({ ...expected, isNoted: true }));
  const noted = new Set(all.map(({ history }) => history));
  try {
    for (const series of listHistories(workDir, host)) {
      const history = join(workDir, HISTORY_DIRECTORY, historyFile(series, host));
      if (!noted.has(history)) all.push({ series, name: series, history, isNoted: false });
    }
  } catch (error) {
    if (noted.size === 0) throw error; // else each of them is in doubt
    warn(causeText(error));
  }
  return all.sort((a, b) => (a.series < b.series ? -1 : 1));
}

/**
 * Reads a history and judges it.
 * @param graceMs how late a run may be
 */
export async function judgeExpected(
  { series, history: file, isNoted }: Expectation,
  host: string,
  now: Date,
  graceMs: number,
): Promise<{ history: History; finding: Finding }> {
  const doubt = (cause: string): Finding => ({ state: 'doubtful', cause });
  try {
    if (basename(file) !== historyFile(series, host)) throw new Error('its history is none of this host');
    const history = readHistory(file);
    const finding = await judgeHistory(history, now, graceMs);
    if (!isNoted || finding.state !== 'unscheduled') return { history, finding };
    const isGone = history.runs.length === 0;
    const cause = isGone ? `its history is gone: "${file}"` : 'its history has no schedule any more';
    return { history, finding: doubt(cause) };
  } catch (error) {
    return { history: { runs: [], damagedCount: 0 }, finding: doubt(causeText(error)) };
  }
}
