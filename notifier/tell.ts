// Tells people: through every channel that wants the message, and where one fails, later. Never throws for a message that
// could not be delivered: what a tool has done does not depend on who was told. All that another tool needs for telling
// is here.

import { existsSync } from 'node:fs';
import { asGarnerError, causeText } from '../lib/errors.ts';
import { log, warn } from '../lib/log.ts';
import { deliver } from './deliver.ts';
import { logLost } from './last-resort.ts';
import { type Message, subjectOf } from './message.ts';
import type { Waiting } from './queue.ts';
import { type Occasion, recipientsOf, takes } from './routes.ts';
import type { NotifySettings } from './settings.ts';
import type { RunStart } from './transport.ts';
import type { JustNow } from './waiting.ts';

export { groupMessages } from './grouping.ts';
export { type Fact, type Message, makeMessage } from './message.ts';
export { loadNotifySettings, type NotifySettings } from './settings.ts';

/** The longest that saying that a run begins may take. */
const START_MS = 5000;
/** Longer than it takes to send a message through all channels. */
const TELLING_MS = 300_000;

/**
 * Says that a run begins, where somebody wants to know. The run need not wait for it, but what is told of its end has to:
 * settles within seconds.
 */
export async function tellStart(
  run: RunStart,
  { channels }: Pick<NotifySettings, 'channels'>,
): Promise<void> {
  await Promise.all(
    [...channels].map(async ([name, channel]) => {
      try {
        await channel.started?.(run, AbortSignal.timeout(START_MS));
      } catch (error) {
        warn(`${name} was not told that ${run.name} begins: ${causeText(error)}`);
      }
    }),
  );
}

/**
 * Puts a message into the queue before anything says that it was told: where this process is killed meanwhile, the next
 * one sends it. Once {@link tell} has sent it, it is there no more.
 */
export async function keepUntilTold(
  message: Message,
  settings: NotifySettings,
  occasion: Occasion = 'news',
): Promise<void> {
  const { queueDir, channels, routes } = settings;
  const { first } = recipientsOf(message, occasion, channels, routes);
  const nextAt = new Date(Date.now() + TELLING_MS).toISOString();
  const waiting = waitingFor(first, settings, { attempts: 0, nextAt });
  if (Object.keys(waiting).length === 0) return;
  try {
    const { enqueue } = await import('./queue.ts');
    enqueue(queueDir, { message, waiting });
  } catch {
    // it is sent all the same; what can't be sent either is told then
  }
}

/** Who watches over runs notices that one was not told, and takes a later word for a later run: it is not for them. */
function waitingFor(
  names: readonly string[],
  { routes }: NotifySettings,
  waiting: Waiting,
): Record<string, Waiting> {
  const transports = names.filter((name) => routes.get(name)?.everyRun !== true);
  return Object.fromEntries(
    transports.map((name) => [name, { ...waiting, destination: routes.get(name)?.destination }]),
  );
}

/**
 * Sends a message through the channels that it is for, and where all of these fail, through the fallbacks. What can't be
 * sent is queued, loudly. Then sends what earlier runs have queued.
 * @param signal ends attempts under way: their messages are queued
 * @returns whether every channel that it is for took it
 */
export async function tell(
  message: Message,
  settings: NotifySettings,
  signal: AbortSignal,
  occasion: Occasion = 'news',
): Promise<boolean> {
  const { channels, routes, levels, syslogSocket } = settings;
  const subject = subjectOf(message);
  if (channels.size === 0) {
    if (occasion === 'repetition' || (occasion === 'news' && !takes(levels, message))) return true;
    log('error', `nobody was told: ${subject}. Set NOTIFY_EMAIL_TO in garner.env to be told by mail`);
    return false;
  }
  const { first, fallback } = recipientsOf(message, occasion, channels, routes);
  const failed = await send(message, first, settings, signal);
  const worked = first.filter((name) => !failed.includes(name));
  // a service that watches over runs is nobody who was told
  const isPerson = (name: string): boolean => routes.get(name)?.everyRun !== true;
  // where only such a service was to be told of trouble, and was not, nobody notices it by that
  const isMissed = failed.some((name) => isPerson(name) || message.level !== 'ok');
  if (isMissed && !worked.some(isPerson)) {
    const alsoFailed = await send(message, fallback, settings, signal);
    failed.push(...alsoFailed);
    worked.push(...fallback.filter((name) => !alsoFailed.includes(name)));
  }
  await keep(message, failed, settings);
  if (failed.length > 0 && !worked.some(isPerson)) {
    await logLost(`not delivered by ${failed.join(', ')}: ${subject}`, syslogSocket);
  }
  if (!signal.aborted) await sendWaiting(settings, signal, { message, worked, failed });
  return failed.length === 0;
}

/** @returns the names of the channels that failed */
async function send(
  message: Message,
  names: readonly string[],
  { channels }: NotifySettings,
  signal: AbortSignal,
): Promise<string[]> {
  const failed: string[] = [];
  await Promise.all(
    names.map(async (name) => {
      try {
        signal.throwIfAborted();
        await deliver(message, channels.get(name)!, signal);
      } catch (error) {
        failed.push(name);
        log('error', `not delivered by ${name}: ${subjectOf(message)}: ${causeText(error)}`);
      }
    }),
  );
  return failed;
}

/** Leaves in the queue what has failed, and nothing else of this message. */
async function keep(message: Message, failed: readonly string[], settings: NotifySettings): Promise<void> {
  const { queueDir } = settings;
  if (failed.length === 0 && !existsSync(queueDir)) return;
  const { dropQueued, enqueue, postponed, queueFile } = await import('./queue.ts');
  const waiting = waitingFor(failed, settings, postponed(1));
  try {
    if (Object.keys(waiting).length === 0) return dropQueued(queueDir, queueFile(message));
    enqueue(queueDir, { message, waiting });
    log('error', `the message waits in ${queueDir}; the next run tries again`);
  } catch (error) {
    log('error', `nobody was told, and the message could not be kept: ${asGarnerError(error).message}`);
  }
}

/** Sends what earlier runs have queued and what is due; of channels that have just worked, all. */
export async function sendWaiting(
  settings: NotifySettings,
  signal: AbortSignal,
  now?: JustNow,
): Promise<void> {
  if (!existsSync(settings.queueDir)) return;
  const { sendQueued } = await import('./waiting.ts');
  await sendQueued(settings, signal, now);
}
