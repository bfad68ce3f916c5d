// The directory where archives are made: ours, no link, closed to others.
import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lstatSync,
  openSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { type FileAccess, makeDirectory } from './durable.ts';
import { cannot } from './errors.ts';
import { captureOk } from './process.ts';

export interface WorkDir {
  path: string;
  /**
   * Where what is read again by its name lies meanwhile, on the same disk. Whoever may remove archives can put another file,
   * or a link, in the place of one in the work directory.
   */
  scratch: string;
  /** The mode and group of what is published in it. */
  access: FileAccess;
}

/**
 * Makes or checks the work directory.
 * @param group setting GARNER_GROUP; its members may read and remove
 * @throws work-dir where it is a link, foreign, writable by others or not writable
 */
export async function openWorkDir(
  path: string,
  group: string | undefined,
  signal: AbortSignal,
): Promise<WorkDir> {
  const gid = group === undefined ? undefined : await groupId(group, signal);
  const access = gid === undefined ? { mode: 0o600 } : { mode: 0o640, gid };
  ensureDirectory(path, gid);
  return { path, scratch: gid === undefined ? path : (openScratch(path) ?? path), access };
}

/**
 * @returns a directory beside the work directory that is its owner's alone; undefined where none can be: the work directory is
 * a disk of its own, or those beside it may be written to by others, or not by us
 */
function openScratch(path: string): string | undefined {
  const parent = dirname(resolve(path));
  const scratch = join(parent, `.${basename(path)}-scratch`);
  const uid = process.getuid?.();
  try {
    const above = statSync(parent);
    if (above.mode & 0o022 || (above.uid !== 0 && above.uid !== uid) || above.dev !== statSync(path).dev)
      return undefined;
    makeDirectory(scratch);
    const { mode, uid: owner } = lstatSync(scratch);
    return owner === uid && (mode & (constants.S_IFMT | 0o077)) === constants.S_IFDIR ? scratch : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Makes (0700, or 2770 for a group) or checks the work directory or one in it; what an existing one allows its owner stays.
 * @param groupMode what the group may do in it
 */
export function ensureDirectory(path: string, gid: number | undefined, groupMode = 0o2770): void {
  const refuse = (cause: unknown, hint: string): Error =>
    cannot('work-dir', 'use the work directory', path, cause, { hint });
  let stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) {
    try {
      // the group has to get through to it
      if (gid !== undefined) makeDirectory(dirname(path), 0o755);
      makeDirectory(path);
      stat = lstatSync(path);
    } catch (error) {
      throw refuse(error, 'set GARNER_WORK_DIR to a directory of your own');
    }
  }
  if (stat.isSymbolicLink())
    throw refuse('it is a symbolic link', `set it to where the link points: readlink -f '${path}'`);
  if (!stat.isDirectory()) throw refuse('it is no directory', 'set GARNER_WORK_DIR to a directory');
  const own = stat.uid === process.getuid?.();
  if (!own && stat.uid !== 0) {
    throw refuse(`it is owned by user ${stat.uid}`, 'use a directory of your own');
  }
  if (stat.mode & 0o002) throw refuse('others can write into it', 'use a directory of your own');
  try {
    if (own && gid !== undefined) giveToGroup(path, gid, groupMode);
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw refuse(error, 'make it writable for the user that runs the agent');
  }
}

/**
 * What was looked at may be another by now: in a directory that a group can write to, its members can put a link in its
 * place, to a file of root's.
 */
function giveToGroup(path: string, gid: number, mode: number): void {
  const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;
  const fd = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    const stat = fstatSync(fd);
    if (stat.gid !== gid) fchownSync(fd, -1, gid);
    if ((stat.mode & 0o7777) !== mode) fchmodSync(fd, mode);
  } finally {
    closeSync(fd);
  }
}

async function groupId(group: string, signal: AbortSignal): Promise<number> {
  try {
    const line = await captureOk({ file: 'getent', args: ['group', '--', group] }, { signal });
    return Number(line.split(':')[2]);
  } catch {
    signal.throwIfAborted();
    throw cannot('configuration', 'use GARNER_GROUP', group, 'there is no such group', {
      hint: `addgroup --system '${group}'`,
    });
  }
}
