// Programs that stand ahead of the real ones on the PATH and misbehave: real executables, run as garner runs the real.
import { chmodSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { execa } from 'execa';

/**
 * Makes programs.
 * @param directory gets a fresh directory with them
 * @param scripts their names and bodies for `sh`; `"$REAL"` is the program that they hide
 * @returns the PATH that has them ahead
 */
export function fakeClients(directory: string, scripts: Record<string, string>): string {
  const bin = mkdtempSync(join(directory, 'fake-'));
  for (const [name, body] of Object.entries(scripts)) {
    const real = `REAL=$(PATH=$(echo "$PATH" | sed 's|^[^:]*:||') command -v ${name})`;
    writeFileSync(join(bin, name), `#!/bin/sh\n${real}\n${body}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  return `${bin}${delimiter}${process.env.PATH}`;
}

/** @returns a PATH with these programs of the machine and no others */
export async function onlyPrograms(directory: string, names: string[]): Promise<string> {
  const bin = join(directory, 'only-bin');
  mkdirSync(bin);
  for (const name of names) {
    const { stdout } = await execa('sh', ['-c', `command -v ${name}`]);
    symlinkSync(stdout, join(bin, name));
  }
  return bin;
}

/** `mariadb-dump` asked for its options, its defaults and its version, as garner does before a dump. */
export const HELP = 'case "$*" in *--help*|*--version*|*--print-defaults*) exec "$REAL" "$@";; esac';
