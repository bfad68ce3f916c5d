// Tells people: through every channel that is configured, and where one fails, later. Never throws for a message that
// could not be delivered: what a tool has done does not depend on who was told. All that another tool needs for telling
// is here.

import { asGarnerError, causeText, GarnerError } from '../lib/errors.ts';
import { acquireLock } from '../lib/lock.ts';
import { info, log, warn } from '../lib/log.ts';
import { plural } from '../lib/text.ts';
import { type Message, subjectOf } from './message.ts';
import type { NotifySettings } from './settings.ts';
import type { Channel, RunStart } from './transport.ts';

export { groupMessages } from './grouping.ts';
export { type Fact, type Message, makeMessage } from './message.ts';
export { loadNotifySettings, type NotifySettings } from './settings.ts';

/** The longest that one delivery may take. */
const DELIVERY_MS = 60_000;
/** The longest that messages of earlier runs may hold up this one. */
const CATCH_UP_MS = 120_000;
/** The longest that saying that a run begins may take. */
const START_MS = 5000;

/**
 * Sends a message through one channel, within a time limit.
 * @throws delivery
 */
export async function deliver(message: Message, channel: Channel, signal: AbortSignal): Promise<void> {
  const limit = new AbortController();
  const timer = setTimeout(
    () => limit.abort(new GarnerError('timeout', `not done after ${DELIVERY_MS / 1000} s`)),
    DELIVERY_MS,
  );
  try {
    for (const flaw of await channel.send(message, AbortSignal.any([signal, limit.signal]))) warn(flaw);
  } finally {
    clearTimeout(timer);
  }
}

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
 * Sends a message through all channels; what can't be sent is queued for the next run, loudly. Then sends what earlier
 * runs have queued.
 * @param signal ends attempts under way: their messages are queued
 * @returns whether every channel took it
 */
export async function tell(
  message: Message,
  settings: NotifySettings,
  signal: AbortSignal,
): Promise<boolean> {
  const { channels, queueDir } = settings;
  const subject = subjectOf(message);
  if (channels.size === 0) {
    log('error', `nobody was told: ${subject}. Set NOTIFY_EMAIL_TO in garner.env to be told by mail`);
    return false;
  }
  const failed: string[] = [];
  await Promise.all(
    [...channels].map(async ([name, channel]) => {
      try {
        signal.throwIfAborted();
        await deliver(message, channel, signal);
      } catch (error) {
        failed.push(name);
        log('error', `not delivered by ${name}: ${subject}: ${causeText(error)}`);
      }
    }),
  );
  // who watches over runs notices that this one was not told, and takes a later word for a later run
  const waiting = failed.filter((name) => channels.get(name)?.everyRun !== true);
  if (waiting.length > 0) await keep(message, waiting, queueDir);
  const working = new Map([...channels].filter(([name]) => !failed.includes(name)));
  if (working.size > 0 && !signal.aborted) await sendWaiting(settings, signal, working, message);
  return failed.length === 0;
}

async function keep(message: Message, transports: string[], queueDir: string): Promise<void> {
  try {
    const { enqueue } = await import('./queue.ts');
    enqueue(queueDir, { message, transports });
    log('error', `the message waits in ${queueDir}; the next run tries again`);
  } catch (error) {
    log('error', `nobody was told, and the message could not be kept: ${asGarnerError(error).message}`);
  }
}

/**
 * Sends what waits, oldest first; one run at a time does it.
 * @param channels those that may work
 * @param told the message that they have just taken
 */
export async function sendWaiting(
  { queueDir, runDir, channels: all }: NotifySettings,
  signal: AbortSignal,
  channels: ReadonlyMap<string, Channel> = all,
  told?: Message,
): Promise<void> {
  try {
    const { listQueue, readQueued, updateQueued } = await import('./queue.ts');
    if (listQueue(queueDir).length === 0) return;
    using _lock = acquireLock(runDir, 'notify-queue');
    const deadline = performance.now() + CATCH_UP_MS;
    let sent = 0;
    for (const name of listQueue(queueDir)) {
      if (performance.now() > deadline || signal.aborted) break;
      const queued = readQueued(queueDir, name);
      if (queued === undefined) continue;
      const left: string[] = [];
      for (const transport of queued.transports) {
        const channel = channels.get(transport);
        try {
          if (channel === undefined) left.push(transport);
          else if (!isOutdated(queued.message, channel, told)) await deliver(queued.message, channel, signal);
        } catch (error) {
          left.push(transport);
          log('error', `not delivered by ${transport}: ${subjectOf(queued.message)}: ${causeText(error)}`);
        }
      }
      if (left.length === queued.transports.length) continue;
      updateQueued(queueDir, name, { ...queued, transports: left });
      sent += 1;
    }
    const waiting = listQueue(queueDir).length;
    if (sent > 0) info(`sent ${plural(sent, 'message')} of earlier runs`);
    if (waiting > 0) warn(`${plural(waiting, 'message')} of earlier runs still unsent in ${queueDir}`);
  } catch (error) {
    if (error instanceof GarnerError && error.code === 'locked') return;
    log('error', `cannot send what earlier runs have queued: ${asGarnerError(error).message}`);
  }
}

/** Whether a message says of a state what was so no longer when another was told. */
function isOutdated(waiting: Message, { newestOnly }: Channel, told: Message | undefined): boolean {
  const isAboutSame = waiting.name === told?.name && waiting.host === told.host;
  return newestOnly === true && isAboutSame && waiting.time <= told.time;
}
