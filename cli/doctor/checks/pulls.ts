// Whether archives leave this host: a disk that breaks takes those that were never fetched with it.
import { readdir } from 'node:fs/promises';
import { PULL_EVERY_MS, readLastPull } from '../../../archive/last-pull.ts';
import { parseName } from '../../../archive/name.ts';
import { formatDuration, plural } from '../../../lib/text.ts';
import { readArchiverFile } from '../archiver-file.ts';
import { broken, type Check, type Finding, type Patient, warning } from '../check.ts';

export const pulls: Check = {
  name: 'pulls',
  limitMs: 15_000,
  async run(patient) {
    const findings: Finding[] = [];
    const seen: string[] = [];
    for (const workDir of patient.workDirs) {
      const times = (await archiveTimes(workDir)).filter((time) => time <= patient.now.getTime());
      if (times.length === 0) continue;
      const judged = judge(workDir, times, patient);
      seen.push(judged.summary);
      findings.push(...judged.findings);
    }
    if (seen.length === 0) return { summary: 'no archive is here', findings, isSkipped: true };
    return { summary: seen.join('; '), findings };
  },
};

async function archiveTimes(workDir: string): Promise<number[]> {
  const names = await readdir(workDir).catch(() => []);
  return names.flatMap((name) => {
    const parsed = name.endsWith('.tar') ? parseName(name.slice(0, -'.tar'.length)) : undefined;
    return parsed === undefined ? [] : [parsed.time.getTime()];
  });
}

function judge(workDir: string, times: number[], { now }: Patient): { summary: string; findings: Finding[] } {
  const pushes = readArchiverFile()?.targets.some(({ from }) => from === workDir) === true;
  const visit = readLastPull(workDir);
  const here = plural(times.length, 'archive');
  const agoMs = visit === undefined ? Infinity : now.getTime() - Date.parse(visit.at);
  const lateMs = now.getTime() - PULL_EVERY_MS;
  const waiting = times.filter(
    (time) => time < lateMs && (visit === undefined || time > Date.parse(visit.at)),
  );
  const why = 'a broken disk, or somebody who gets in, takes the data and its backups at once';
  if (visit === undefined) {
    if (pushes) return { summary: `${here}, pushed from here`, findings: [] };
    const remedy =
      'archiver pull   # on the archive host, whose archiver.yaml names this one: docs/archiver.md';
    const level = waiting.length > 0 ? broken : warning;
    const what = `${here} in "${workDir}" ${times.length === 1 ? 'was' : 'were'} never fetched: no archiver was ever here`;
    return { summary: `${here}, never fetched`, findings: [level(what, why, remedy)] };
  }
  const summary = `${here}, an archiver was here ${formatDuration(Math.max(0, agoMs))} ago`;
  if (visit.result === 'failed') {
    const what = `the archiver that was here ${formatDuration(Math.max(0, agoMs))} ago could not fetch all`;
    return { summary, findings: [warning(what, why, 'archiver check   # on the archive host')] };
  }
  if (agoMs < PULL_EVERY_MS) return { summary, findings: [] };
  const what = `no archiver was here for ${formatDuration(agoMs)}; ${plural(waiting.length, 'archive')} since`;
  return { summary, findings: [broken(what, why, 'archiver pull   # on the archive host')] };
}
