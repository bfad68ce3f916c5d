// Whether the next archives fit: each application's last one, against what is free where it is made.
import { lstat, readdir, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { groupName, parseName } from '../../../archive/name.ts';
import { formatSize, shellWord } from '../../../lib/text.ts';
import { broken, type Check, type Finding, type Patient, warning } from '../check.ts';
import { lastRunOf } from '../last-run.ts';

/** What queue, marks and histories may need. */
const STATE_BYTES = 50e6;
/** A file system without inodes of its own (btrfs) says 0 of 0. */
const FEW_INODES = 1000;

export const space: Check = {
  name: 'space',
  limitMs: 15_000,
  async run(patient) {
    const findings: Finding[] = [];
    const seen: string[] = [];
    for (const workDir of patient.workDirs) {
      const { sum, largest } = await lastSizes(patient, workDir);
      const { freeBytes, freeInodes, at } = await freeAt(workDir);
      seen.push(
        `${formatSize(freeBytes)} free for archives of ${sum === 0 ? 'unknown size' : formatSize(sum)}`,
      );
      const remedy = `df -h ${shellWord(at)}; ls -lhS ${shellWord(workDir)}   # fetch archives, or give it more`;
      const state = `${formatSize(freeBytes)} are free in "${workDir}", the last archives have ${formatSize(sum)}`;
      if (freeBytes < largest)
        findings.push(broken(state, 'the next backup fails: the disk will be full', remedy));
      else if (freeBytes < 2 * sum)
        findings.push(warning(state, 'the backup after the next one may fail', remedy));
      if (freeInodes < FEW_INODES) {
        const what = `${freeInodes} more files can be made in "${workDir}"`;
        findings.push(broken(what, 'the disk is full for new files', `df -i ${shellWord(at)}`));
      }
    }
    const state = await freeAt(patient.settings.GARNER_STATE_DIR);
    if (state.freeBytes < STATE_BYTES) {
      const what = `${formatSize(state.freeBytes)} are free in "${patient.settings.GARNER_STATE_DIR}"`;
      const why = 'messages that can not be sent at once would be lost';
      findings.push(warning(what, why, `df -h ${shellWord(state.at)}`));
    }
    return { summary: seen.join('; '), findings };
  },
};

/** @param path or, where it is yet to be made, the next one above it */
async function freeAt(path: string): Promise<{ freeBytes: number; freeInodes: number; at: string }> {
  try {
    const { bavail, bsize, ffree, files } = await statfs(path);
    return { freeBytes: bavail * bsize, freeInodes: files === 0 ? Infinity : ffree, at: path };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || path === '/') throw error;
    return freeAt(dirname(path));
  }
}

/** By the archives that lie there, and the histories of those that were fetched. */
async function lastSizes(
  { agents, now }: Patient,
  workDir: string,
): Promise<{ sum: number; largest: number }> {
  const newest = new Map<string, { time: number; sizeBytes: number }>();
  const add = (series: string, time: number, sizeBytes: number): void => {
    if ((newest.get(series)?.time ?? 0) < time) newest.set(series, { time, sizeBytes });
  };
  for (const name of await readdir(workDir).catch(() => [])) {
    const parsed = name.endsWith('.tar') ? parseName(name.slice(0, -'.tar'.length)) : undefined;
    if (parsed === undefined) continue;
    const stat = await lstat(join(workDir, name)).catch(() => undefined);
    if (!stat?.isFile()) continue;
    add(groupName(parsed.application, parsed.instance), parsed.time.getTime(), stat.size);
  }
  for (const agent of agents.filter(({ settings }) => settings.GARNER_WORK_DIR === workDir)) {
    const run = (await lastRunOf(agent, now)).withArchive;
    if (run?.sizeBytes !== undefined) add(agent.series, Date.parse(run.startedAt), run.sizeBytes);
  }
  const sizes = [...newest.values()].map(({ sizeBytes }) => sizeBytes);
  return { sum: sizes.reduce((total, size) => total + size, 0), largest: Math.max(0, ...sizes) };
}
