// The one entry of a bundle: the command is what the bundle is called as, by a link to it; `garner` under any other name.
import { accessSync, constants, existsSync, realpathSync } from 'node:fs';
import { basename, delimiter, dirname, resolve } from 'node:path';
import { isSea } from 'node:sea';
import { isProgram, startProgram } from '../lib/own-code.ts';
import { commandNames } from './commands.ts';
import { run } from './run.ts';

/** @returns what the bundle was called as, as an absolute path; its links are not followed */
function calledAs(): string {
  if (!isSea()) return process.argv[1] as string;
  // argv[0] as the caller gave it: a shell gives a name that it found on the PATH as it was typed
  const given = process.argv0;
  if (given.includes('/')) return resolve(given);
  const found = (process.env.PATH ?? '')
    .split(delimiter)
    .map((directory) => resolve(directory, given))
    .find(isExecutable);
  return found ?? process.execPath;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const [first = ''] = process.argv.slice(2);
if (isProgram(first)) {
  process.argv.splice(2, 1);
  startProgram(first);
} else {
  const path = calledAs();
  const name = basename(path);
  const beside = [path, existsSync(path) ? realpathSync(path) : path].map((file) => dirname(file));
  run(commandNames().includes(name) ? name : 'garner', process.argv.slice(2), beside);
}
