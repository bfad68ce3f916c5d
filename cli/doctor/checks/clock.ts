// The host's clock against the disk's, against what was made here, and whether something sets it: archives are named, kept and
// missed by it.
import { existsSync } from 'node:fs';
import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import { parseName } from '../../../archive/name.ts';
import { partPath } from '../../../lib/durable.ts';
import { capture } from '../../../lib/process.ts';
import { formatDuration } from '../../../lib/text.ts';
import { broken, type Check, type Finding, type Patient, warning } from '../check.ts';

/** No release is older. */
const EARLIEST = Date.parse('2026-01-01');
/** A disk of another host may be so far away. */
const DISK_SLACK_MS = 60_000;
const SET_CLOCK = 'sudo timedatectl set-ntp true   # or: apt-get install systemd-timesyncd';

export const clock: Check = {
  name: 'clock',
  limitMs: 15_000,
  async run(patient) {
    const { now, workDirs, places, signal } = patient;
    const findings: Finding[] = [];
    if (now.getTime() < EARLIEST) {
      const what = `the clock says ${now.toISOString()}`;
      findings.push(
        broken(what, 'archives get names of a time that never was, and are pruned by it', SET_CLOCK),
      );
    }
    for (const workDir of workDirs)
      findings.push(...(await againstDisk(workDir)), ...(await againstArchives(patient, workDir)));
    const set = existsSync(places.systemd) ? await isSet(signal) : undefined;
    if (set === false) {
      const why = 'it drifts: runs are missed or doubled, and archives of several hosts can not be compared';
      findings.push(warning('nothing sets the clock of this host (NTP)', why, SET_CLOCK));
    }
    const ntp = set === undefined ? 'who sets it is not known' : set ? 'set by NTP' : 'not set by NTP';
    return { summary: `${now.toISOString().slice(0, 19)}Z, ${ntp}`, findings };
  },
};

async function againstDisk(workDir: string): Promise<Finding[]> {
  const file = partPath(`${workDir}/doctor`);
  try {
    const before = Date.now();
    await writeFile(file, '', { flag: 'wx', mode: 0o600 });
    const { mtimeMs } = await stat(file);
    const aheadMs = mtimeMs > Date.now() ? mtimeMs - Date.now() : Math.min(0, mtimeMs - before);
    if (Math.abs(aheadMs) < DISK_SLACK_MS) return [];
    const way = aheadMs > 0 ? 'ahead' : 'behind';
    const what = `the disk of "${workDir}" is ${formatDuration(Math.abs(aheadMs))} ${way} of this host`;
    return [warning(what, 'what was left unfinished is swept too early or too late', SET_CLOCK)];
  } catch {
    return []; // there is none yet, or `rights` says what it is
  } finally {
    await rm(file, { force: true }).catch(() => {});
  }
}

async function againstArchives({ now, settings }: Patient, workDir: string): Promise<Finding[]> {
  const future = (await readdir(workDir).catch(() => [])).filter((name) => {
    const parsed = name.endsWith('.tar') ? parseName(name.slice(0, -'.tar'.length)) : undefined;
    return parsed?.host === settings.GARNER_HOST && parsed.time.getTime() > now.getTime() + DISK_SLACK_MS;
  });
  if (future[0] === undefined) return [];
  const what = `${future[0]} in "${workDir}" is of the future`;
  return [broken(what, 'the clock is wrong, or was when it was made', 'timedatectl; date')];
}

/** @returns undefined where nobody can tell */
async function isSet(signal: AbortSignal): Promise<boolean | undefined> {
  try {
    const { code, stdout } = await capture({ file: 'timedatectl', args: ['show'] }, { signal });
    if (code !== 0) return undefined;
    return /^NTPSynchronized=yes$/m.test(stdout);
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}
