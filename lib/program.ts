// Which programs are run, and what they see of our environment: none of the current directory, none of garner's settings, no
// options that no command line shows.
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { cannot } from './errors.ts';

/** The PATH without what depends on the current directory, where another account may have put a program. */
const safePath = (): string[] => (process.env.PATH ?? '').split(delimiter).filter(isAbsolute);

/** Options that no command line shows: with `--exclude` in them an archive would lack files without a word. */
const HIDDEN_OPTIONS = { TAR_OPTIONS: undefined };

/** @returns the environment for programs: the caller's without garner's settings, messages in English */
export function programEnvironment(extra: Record<string, string | undefined> = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!name.startsWith('GARNER_') && !name.startsWith('NOTIFY_')) env[name] = value;
  }
  // an empty PATH would be the current directory, none at all is the system's own
  const PATH = safePath().join(delimiter) || undefined;
  return { ...env, ...HIDDEN_OPTIONS, PATH, LC_ALL: 'C', ...extra };
}

/**
 * Finds the first of several programs on the PATH: a directory further ahead wins over a name further ahead.
 * @param names alternative names of one program, preferred first
 * @throws program-missing with a hint of the Debian package
 */
export function findProgram(names: readonly string[], debianPackage: string): string {
  for (const directory of safePath()) {
    for (const name of names) {
      const path = join(directory, name);
      try {
        accessSync(path, constants.X_OK);
        if (statSync(path).isFile()) return path;
      } catch {
        // not here
      }
    }
  }
  throw cannot('program-missing', 'find program', names.join('" or "'), 'it is not on the PATH', {
    hint: `apt-get install ${debianPackage}`,
  });
}
