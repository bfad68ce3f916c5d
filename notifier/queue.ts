// Messages that could not be sent wait here, each a file of its own, whole or absent, until a later run has sent them.
// A crash between sending and removing sends one twice; its id tells.
import { readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { makeDirectory, PART_PREFIX, sweepParts, writeFileDurably } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';
import { log } from '../lib/log.ts';
import { seriesSchema } from './chart.ts';
import { LEVELS } from './decide.ts';
import type { Message } from './message.ts';

/** More than this nobody reads any more; the oldest go first. */
const MOST_MESSAGES = 1000;
/** No file is written for so long. */
const PART_AGE_MS = 3_600_000;

const FIRST_DELAY_MS = 60_000;
const LONGEST_DELAY_MS = 6 * 3_600_000;

export interface Queued {
  message: Message;
  /** The transports that have not sent it yet. */
  waiting: Record<string, Waiting>;
}

export interface Waiting {
  /** How often it has been tried; 0: it is being tried now, by somebody who may be killed before that is done. */
  attempts: number;
  /** When it is tried again at the latest, ISO 8601; earlier where the transport works again. */
  nextAt: string;
  /** Where it leads, see Route; missing: anywhere. */
  destination?: string | undefined;
}

/** @returns what a failed attempt makes of a message: it waits, twice as long each time, some more and some less */
export function postponed(attempts: number, now = Date.now(), random = Math.random()): Waiting {
  const delayMs = Math.min(FIRST_DELAY_MS * 2 ** (attempts - 1), LONGEST_DELAY_MS);
  return { attempts, nextAt: new Date(now + delayMs * (0.75 + random / 2)).toISOString() };
}

/** @returns whether it is time; a clock that went back doesn't make it wait for longer than ever intended */
export function isDue(nextAt: string, now = Date.now()): boolean {
  const inMs = Date.parse(nextAt) - now;
  return inMs <= 0 || inMs > LONGEST_DELAY_MS * 1.25;
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
    table: z.object({ head: z.array(z.string()), rows: z.array(z.array(z.string())) }).optional(),
    series: seriesSchema.optional(),
    log: z.object({ head: z.string(), tail: z.string(), leftOutBytes: z.number() }).optional(),
    ended: z.array(z.enum(LEVELS)).optional(),
    run: z.object({ id: z.uuid(), durationMs: z.number().nonnegative() }).optional(),
  }),
  waiting: z.record(
    z.string(),
    z.object({
      attempts: z.number().int().nonnegative(),
      nextAt: z.iso.datetime(),
      destination: z.string().optional(),
    }),
  ),
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
 * Keeps a message for later, durably, in place of what was kept of it before. Where the queue is full, the oldest messages go.
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
  const file = queueFile(queued.message);
  const waiting = listQueue(directory).filter((name) => name !== file);
  for (const name of waiting.slice(0, Math.max(0, waiting.length + 1 - MOST_MESSAGES))) {
    rmSync(join(directory, name), { force: true });
    log('error', `the queue of unsent messages is full: the oldest, ${name}, has been dropped`);
  }
  writeQueued(directory, file, queued);
}

/** @returns the name of the file in which a message waits */
export function queueFile({ time, id }: Message): string {
  return `${time.replace(/[-:.]/g, '')}-${id}.json`;
}

/** Removes a message. */
export function dropQueued(directory: string, name: string): void {
  rmSync(join(directory, name), { force: true });
}

/**
 * Writes what became of an attempt.
 * @param next undefined: the transport has nothing to do with the message any more; once no transport has, it is removed
 */
export function settleQueued(
  directory: string,
  name: string,
  transport: string,
  next: Waiting | undefined,
): void {
  const queued = readQueued(directory, name);
  if (queued === undefined) return;
  const { [transport]: before, ...others } = queued.waiting;
  const waiting = next === undefined ? others : { ...others, [transport]: { ...before, ...next } };
  if (Object.keys(waiting).length === 0) dropQueued(directory, name);
  else writeQueued(directory, name, { ...queued, waiting });
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
