// Whose the directories are, and who else can read archives or put something among them.
import type { Stats } from 'node:fs';
import { access, constants, lstat, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseName } from '../../../archive/name.ts';
import { capture } from '../../../lib/process.ts';
import { shellWord } from '../../../lib/text.ts';
import { broken, type Check, type Finding, type Patient, warning } from '../check.ts';

export const rights: Check = {
  name: 'rights',
  limitMs: 15_000,
  async run(patient) {
    const { settings, workDirs, signal } = patient;
    const findings: Finding[] = [];
    const gid = await groupId(patient, findings, signal);
    for (const workDir of workDirs) findings.push(...(await judgeWorkDir(workDir, gid)));
    for (const own of [settings.GARNER_STATE_DIR, settings.GARNER_RUN_DIR]) {
      findings.push(
        ...(await judgeDirectory(
          own,
          'GARNER_STATE_DIR and GARNER_RUN_DIR have to be the own directories of one account',
        )),
      );
    }
    return {
      summary: [...workDirs, settings.GARNER_STATE_DIR, settings.GARNER_RUN_DIR].join(', '),
      findings,
    };
  },
};

async function groupId(
  { settings }: Patient,
  findings: Finding[],
  signal: AbortSignal,
): Promise<number | undefined> {
  const group = settings.GARNER_GROUP;
  if (group === undefined) return undefined;
  const { code, stdout } = await capture({ file: 'getent', args: ['group', '--', group] }, { signal });
  if (code === 0) return Number(stdout.split(':')[2]);
  const what = `there is no group "${group}", which GARNER_GROUP names`;
  findings.push(broken(what, 'every backup fails', `addgroup --system ${shellWord(group)}`));
  return undefined;
}

/** @returns the next directory above, or the path itself, that there is; undefined: nothing can be said */
async function nearest(path: string): Promise<{ path: string; stat: Stats } | undefined> {
  try {
    return { path, stat: await lstat(path) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return undefined;
    return path === '/' ? undefined : nearest(dirname(path));
  }
}

async function judgeDirectory(path: string, why: string): Promise<Finding[]> {
  const word = shellWord(path);
  const there = await nearest(path);
  const me = process.getuid?.();
  if (there === undefined)
    return [broken(`"${path}" can not be reached`, why, `ls -ld ${word}; namei -l ${word}`)];
  const { stat } = there;
  const writable = await access(there.path, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  if (there.path !== path) {
    if (stat.isDirectory() && writable) return []; // the first run makes it
    return [broken(`"${path}" can not be made`, why, `sudo install -d -m 700 -o ${me} ${word}`)];
  }
  if (stat.isSymbolicLink())
    return [broken(`"${path}" is a symbolic link`, why, `readlink -f ${word}   # set it to that`)];
  if (!stat.isDirectory()) return [broken(`"${path}" is no directory`, why, `ls -ld ${word}`)];
  if (stat.uid !== me && stat.uid !== 0) {
    return [broken(`"${path}" is owned by user ${stat.uid}`, why, `sudo chown ${me} ${word}`)];
  }
  if (stat.mode & 0o002) return [broken(`others can write into "${path}"`, why, `chmod o-w ${word}`)];
  return writable
    ? []
    : [broken(`"${path}" is not writable for user ${me}`, why, `sudo chown ${me} ${word}`)];
}

async function judgeWorkDir(path: string, gid: number | undefined): Promise<Finding[]> {
  const findings = await judgeDirectory(path, 'every backup fails: archives are made there');
  const stat = findings.length === 0 ? await lstat(path).catch(() => undefined) : undefined;
  if (stat === undefined) return findings;
  const word = shellWord(path);
  if (gid !== undefined && (stat.gid !== gid || (stat.mode & 0o2070) !== 0o2070)) {
    const what = `"${path}" is not 2770 of group ${gid} (GARNER_GROUP)`;
    const why = 'the account that fetches archives may not reach them; a backup by the owner mends it';
    findings.push(warning(what, why, `chgrp ${gid} ${word} && chmod 2770 ${word}`));
  }
  if (stat.mode & 0o005) {
    const why = 'who else has an account here sees what is backed up, and when';
    findings.push(warning(`others can look into "${path}"`, why, `chmod o-rwx ${word}`));
  }
  const open = [];
  for (const name of await readdir(path).catch(() => [])) {
    if (!name.endsWith('.tar') || parseName(name.slice(0, -'.tar'.length)) === undefined) continue;
    const file = await lstat(join(path, name)).catch(() => undefined);
    if (file?.isFile() && file.mode & 0o006) open.push(name);
  }
  if (open[0] !== undefined) {
    const what = `others can read ${open.length === 1 ? 'an archive' : `${open.length} archives`} in "${path}", ${open[0]} first`;
    findings.push(
      broken(what, 'all data of the application is in it, passwords too', `chmod o-rwx ${word}/*.tar`),
    );
  }
  return findings;
}
