// What runs that were cut off have left: an application that is still held still, runs that never end, unfinished files.
import { readFileSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ORPHAN_MS } from '../../../archive/name.ts';
import { PART_PREFIX } from '../../../lib/durable.ts';
import { formatDuration, plural, shellWord } from '../../../lib/text.ts';
import { broken, type Check, type Finding, type Patient, warning } from '../check.ts';

export const leftovers: Check = {
  name: 'leftovers',
  limitMs: 15_000,
  async run(patient) {
    const running = await runningLocks(patient);
    const findings = [...longRuns(running, patient), ...(await undoMarks(patient, running))];
    for (const workDir of patient.workDirs) findings.push(...(await unfinished(workDir, patient)));
    const summary =
      running.length === 0 ? 'no run is under way' : `${plural(running.length, 'run')} under way`;
    return { summary, findings };
  },
};

interface Running {
  /** `agent-mediawiki`. */
  name: string;
  pid: number;
  since: Date;
}

/** By what holders wrote: to try a lock would keep a run from starting. A note whose process is gone is nobody's. */
async function runningLocks({ settings }: Patient): Promise<Running[]> {
  const directory = settings.GARNER_RUN_DIR;
  const names = await readdir(directory).catch(() => []);
  return names.flatMap((file) => {
    const name = /^(.+)\.holder$/.exec(file)?.[1];
    if (name === undefined) return [];
    const [, pid, since = ''] = /^pid (\d{1,10}), since (\S+)/.exec(readText(join(directory, file))) ?? [];
    const time = new Date(since);
    // its number may be another's by now
    const isOurs = /agent-|notify|archiver|hamster|garner/.test(readText(`/proc/${pid}/cmdline`));
    if (pid === undefined || !isOurs || Number.isNaN(time.getTime())) return [];
    return [{ name, pid: Number(pid), since: time }];
  });
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function longRuns(running: readonly Running[], { settings, now }: Patient): Finding[] {
  return running.flatMap(({ name, pid, since }) => {
    const ageMs = now.getTime() - since.getTime();
    if (ageMs < settings.GARNER_TIMEOUT) return [];
    const what = `${name} (pid ${pid}) has run for ${formatDuration(ageMs)}, longer than GARNER_TIMEOUT`;
    const why = 'until it ends, no other run of it starts';
    return [warning(what, why, `ps -fp ${pid}   # then: kill ${pid}`)];
  });
}

async function undoMarks({ settings, agents }: Patient, running: readonly Running[]): Promise<Finding[]> {
  const directory = join(settings.GARNER_STATE_DIR, 'undo');
  const names = await readdir(directory).catch(() => []);
  return names.flatMap((file) => {
    const name = /^(agent-.+)\.json$/.exec(file)?.[1];
    if (name === undefined || running.some((one) => one.name === name)) return [];
    const agent = agents.find(({ series }) => `agent-${series}` === name);
    const what = `${name} was cut off before it had undone what it did to the application`;
    const why = 'the application may still be in maintenance mode, or locked';
    const look = `cat ${shellWord(join(directory, file))}`;
    return [
      broken(
        what,
        why,
        agent === undefined ? look : `notify -- ${agent.command}   # the next run undoes it; see ${look}`,
      ),
    ];
  });
}

async function unfinished(workDir: string, { now }: Patient): Promise<Finding[]> {
  const old: string[] = [];
  for (const name of await readdir(workDir).catch(() => [])) {
    if (!name.startsWith(PART_PREFIX)) continue;
    const stat = await lstat(join(workDir, name)).catch(() => undefined);
    if (stat !== undefined && now.getTime() - stat.mtimeMs > ORPHAN_MS) old.push(name);
  }
  if (old[0] === undefined) return [];
  const what = `${plural(old.length, 'unfinished file')} of earlier runs in "${workDir}", ${old[0]} first`;
  const remedy = `ls -lhA ${shellWord(workDir)}   # the next run of the same agent sweeps them; of one that runs no more: rm`;
  return [warning(what, 'they take space', remedy)];
}
