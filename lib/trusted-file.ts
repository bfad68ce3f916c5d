// Files whose commands garner runs: nobody but root and the caller can have written them, put them there, or can replace
// them; that holds for every directory and link on the way to them too.
import { lstatSync, readlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { readConfigurationText } from './configuration-file.ts';
import { cannot, type GarnerError } from './errors.ts';

/** The kernel's own limit. */
const MAX_LINKS = 40;

/**
 * Reads a configuration file that holds commands.
 * @throws configuration-permissions, naming what on the way to it others can change; what the system says where there is
 *   no such file; a text that says what is odd
 */
export function readTrustedText(file: string): string {
  checkTrusted(file);
  return readConfigurationText(file);
}

/**
 * Refuses a file that anybody but root and the caller could have written or can replace.
 * @throws configuration-permissions with the remedy as its hint; ENOENT and the like
 */
export function checkTrusted(file: string): void {
  const waiting = resolve(file).split('/').filter(Boolean);
  let links = 0;
  let at = '/';
  checkOne(file, at);
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    if (name === '..') {
      at = dirname(at);
      continue;
    }
    const next = join(at, name);
    if (!checkOne(file, next)) {
      at = next;
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) throw refuse(file, 'too many levels of symbolic links');
    const target = readlinkSync(next);
    waiting.unshift(...target.split('/').filter((part) => part !== '' && part !== '.'));
    if (target.startsWith('/')) at = '/';
  }
  if (!lstatSync(at).isFile()) throw refuse(file, 'it is no regular file');
}

/** @returns whether it is a link, which is to be followed */
function checkOne(file: string, path: string): boolean {
  const stat = lstatSync(path);
  const itself = path === resolve(file) ? 'it' : `"${path}" on the way to it`;
  if (stat.uid !== 0 && stat.uid !== process.getuid?.()) {
    throw refuse(file, `${itself} is owned by user ${stat.uid}`, `chown root '${path}'`);
  }
  if (stat.isSymbolicLink()) return true;
  // in a directory such as /tmp nobody can replace what isn't his own
  const sticky = stat.isDirectory() && (stat.mode & 0o1000) !== 0;
  if ((stat.mode & 0o022) !== 0 && !sticky) {
    const who = stat.mode & 0o002 ? 'others' : `group ${stat.gid}`;
    throw refuse(file, `${itself} can be changed by ${who}`, `chmod go-w '${path}'`);
  }
  return false;
}

function refuse(file: string, cause: string, hint?: string): GarnerError {
  return cannot('configuration-permissions', 'run commands from file', file, cause, { hint });
}
