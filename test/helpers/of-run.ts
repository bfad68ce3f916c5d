// What the test files of one vitest run share: it is made by the first that needs it.
import { chmodSync, existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const VARIABLE = 'TEST_RUN_DIRECTORY';

/** For vitest's globalSetup. */
export default function setup(): () => void {
  const directory = mkdtempSync(join(tmpdir(), 'garner-run-'));
  chmodSync(directory, 0o755); // accounts of servers read what is theirs
  process.env[VARIABLE] = directory;
  return () => rmSync(directory, { recursive: true, force: true });
}

/**
 * @param make gets a fresh directory and fills it; two workers may do so at once, and the first one's stays
 * @returns the directory that all workers of this run get for that name; what is in it is not to be changed
 */
export async function onceInRun(name: string, make: (directory: string) => Promise<void>): Promise<string> {
  if (process.env[VARIABLE] === undefined) process.once('exit', setup()); // benchmarks start servers too
  const shared = process.env[VARIABLE] as string;
  const made = join(shared, name);
  if (existsSync(made)) return made;
  const directory = mkdtempSync(join(shared, `making-${name}-`));
  await make(directory);
  try {
    renameSync(directory, made);
  } catch (error) {
    if (!existsSync(made)) throw error;
    rmSync(directory, { recursive: true });
  }
  return made;
}
