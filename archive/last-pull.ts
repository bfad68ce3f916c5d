// When the archiver was last at a host: a small file that a pull leaves in its work directory, so that the host can notice
// the archiver's silence. It is left only where the host keeps a history of runs: there somebody asks. Whoever may pull may
// write it: it is read as foreign text.
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Store, StoreEntry } from '../stores/store.ts';
import { HISTORY_DIRECTORY } from './history.ts';

export const LAST_PULL_FILE = '.garner-last-pull';
const MAX_BYTES = 4096;
/** Pulls run at least once a day, and take their time. */
export const PULL_EVERY_MS = 26 * 3_600_000;

const lastPullSchema = z.object({
  at: z.iso.datetime(),
  /** Whether all that was there could be fetched. */
  result: z.enum(['ok', 'warnings', 'failed']),
  pulledCount: z.int().nonnegative(),
});

export type LastPull = z.infer<typeof lastPullSchema>;

/**
 * Leaves word at a host that somebody was there. SFTP replaces no file in one step: for a moment there is none.
 * @param entries what the work directory has
 * @throws what the store throws: the host may allow no writing
 */
export async function leaveLastPull(
  store: Store,
  entries: readonly StoreEntry[],
  pull: LastPull,
): Promise<void> {
  if (!entries.some(({ name, kind }) => name === HISTORY_DIRECTORY && kind === 'directory')) return;
  await store.remove(LAST_PULL_FILE);
  const upload = await store.create(LAST_PULL_FILE);
  try {
    await upload.write(Buffer.from(`${JSON.stringify(pull)}\n`));
    await upload.publish();
  } finally {
    await upload.abort();
  }
}

/** @returns undefined where nobody was there, or where the file is none of ours */
export function readLastPull(workDir: string): LastPull | undefined {
  let fd: number;
  try {
    const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
    fd = openSync(join(workDir, LAST_PULL_FILE), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    if (!fstatSync(fd).isFile()) return undefined;
    const content = Buffer.alloc(MAX_BYTES);
    const length = readSync(fd, content, 0, MAX_BYTES, 0);
    return lastPullSchema.safeParse(JSON.parse(content.subarray(0, length).toString())).data;
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}
