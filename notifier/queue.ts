// Messages that could not be sent wait here, each a file of its own, whole or absent, until a later run has sent them.
// A crash between sending and removing sends one twice; its id tells.
import { readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { makeDirectory, PART_PREFIX, sweepParts, writeFileDurably } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';
import { log } from '../lib/log.ts';
import { LEVELS } from './decide.ts';
import type { Message } from './message.ts';

/** More than this nobody reads any more; the oldest go first. */
const MOST_MESSAGES = 1000;
/** No file is written for so long. */
const PART_AGE_MS = 3_600_000;

export interface Queued {
  message: Message;
  /** The transports that have not sent it yet. */
  transports: string[];
}

const queuedSchema = z.object({
  message: z.object({
    id: z.uuid(),
    time: z.iso.datetime(),
    result: z.enum(['OK', 'WARNINGS', 'FAILED', 'LOCKED', 'MISSED']),
    // one of an earlier release has none
    level: z.enum(LEVELS).default('failed'),
    name: z.string(),
    host: z.string().regex(/^[a-z0-9][a-z0-9.-]*$/),
    summary: z.string(),
    facts: z.array(z.object({ label: z.string(), value: z.string() })),
    log: z.object({ head: z.string(), tail: z.string(), leftOutBytes: z.number() }).optional(),
    run: z.object({ id: z.uuid(), durationMs: z.number().nonnegative() }).optional(),
  }),
  transports: z.array(z.string()),
});

/** @returns the names of waiting messages, oldest first; none where there is no queue */
export function listQueue(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /^\d{8}T\d{9}Z-[0-9a-f-]+\.json$/.test(name))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw cannot('io', 'read the queue', directory, error);
  }
}

/**
 * Keeps a message for later, durably. Where the queue is full, the oldest messages go.
 * @throws io, no-space
 */
export function enqueue(directory: string, queued: Queued): void {
  try {
    makeDirectory(directory);
  } catch (error) {
    throw cannot('io', 'make the queue', directory, error);
  }
  // what a killed run has left; a younger one may be another run's, under way
  sweepParts(directory, (rest) => {
    const stat = statSync(join(directory, `${PART_PREFIX}${rest}`), { throwIfNoEntry: false });
    return stat !== undefined && stat.mtimeMs < Date.now() - PART_AGE_MS;
  });
  const waiting = listQueue(directory);
  for (const name of waiting.slice(0, Math.max(0, waiting.length + 1 - MOST_MESSAGES))) {
    rmSync(join(directory, name), { force: true });
    log('error', `the queue of unsent messages is full: the oldest, ${name}, has been dropped`);
  }
  const stamp = queued.message.time.replace(/[-:.]/g, '');
  writeQueued(directory, `${stamp}-${queued.message.id}.json`, queued);
}

/** Writes what is still to do for a message that some transports have sent; removes one that is done. */
export function updateQueued(directory: string, name: string, queued: Queued): void {
  if (queued.transports.length === 0) rmSync(join(directory, name), { force: true });
  else writeQueued(directory, name, queued);
}

function writeQueued(directory: string, name: string, queued: Queued): void {
  writeFileDurably(join(directory, name), JSON.stringify(queued), { replace: true });
}

/** @returns undefined where the file is gone or damaged; a damaged one is set aside */
export function readQueued(directory: string, name: string): Queued | undefined {
  const path = join(directory, name);
  try {
    return queuedSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    log('error', `"${path}" is no message of the queue; it is set aside as ${name}.damaged`);
    renameSync(path, `${path}.damaged`);
    return undefined;
  }
}
