// Sends what waits in the queue. Each transport has its own turn at the same time as the others, so that a broken one holds
// up nobody; what is not sent is tried again later, ever more seldom, and after a week is dropped, loudly.
import { asGarnerError, causeText, GarnerError } from '../lib/errors.ts';
import { acquireLock } from '../lib/lock.ts';
import { info, log, warn } from '../lib/log.ts';
import { formatDuration, plural } from '../lib/text.ts';
import { deliver } from './deliver.ts';
import { logLost } from './last-resort.ts';
import { type Message, subjectOf } from './message.ts';
import {
  dropQueued,
  isDue,
  listQueue,
  postponed,
  queueFile,
  readQueued,
  settleQueued,
  type Waiting,
} from './queue.ts';
import type { NotifySettings } from './settings.ts';

/** The longest that messages of earlier runs may hold up this one. */
const CATCH_UP_MS = 120_000;
/** So many failures one after the other, and a transport's turn is over. */
const MOST_FAILURES = 3;
/** A transport that has just worked gets what has failed less often than this at once. */
const FEW_ATTEMPTS = 3;
/** Nobody can do anything with older news. */
const OLDEST_MS = 7 * 86_400_000;

/** What a message that was told just now says of the channels. */
export interface JustNow {
  message: Message;
  worked: readonly string[];
  failed: readonly string[];
}

/** What is known of a message in the queue without its text. */
interface Item {
  file: string;
  about: string;
  time: number;
  name: string;
  waiting: Record<string, Waiting>;
}

/**
 * Sends what waits and is due; one run at a time does it.
 * @param signal ends it
 * @param limitMs how long it may take in all
 */
export async function sendQueued(
  settings: NotifySettings,
  signal: AbortSignal,
  now?: JustNow,
  limitMs = CATCH_UP_MS,
): Promise<void> {
  const { queueDir, runDir, channels } = settings;
  try {
    if (listQueue(queueDir).length === 0) return;
    using _lock = acquireLock(runDir, 'notify-queue');
    const items = await readItems(settings);
    const limit = AbortSignal.timeout(limitMs);
    const turns = [...channels.keys()]
      .filter((transport) => !now?.failed.includes(transport))
      .map((transport) => takeTurn(transport, items, settings, { signal, limit }, now));
    const sent = new Set((await Promise.all(turns)).flat()).size;
    // what this run could not send it has said itself
    const own = now && queueFile(now.message);
    const left = listQueue(queueDir).filter((file) => file !== own).length;
    if (sent > 0) info(`sent ${plural(sent, 'message')} of earlier runs`);
    if (left > 0) warn(`${plural(left, 'message')} of earlier runs still unsent in ${queueDir}`);
  } catch (error) {
    if (error instanceof GarnerError && error.code === 'locked') return;
    log('error', `cannot send what earlier runs have queued: ${asGarnerError(error).message}`);
  }
}

/** Reads the queue, oldest first, and drops what is too old. */
async function readItems({ queueDir, syslogSocket }: NotifySettings): Promise<Item[]> {
  const items: Item[] = [];
  for (const file of listQueue(queueDir)) {
    const queued = readQueued(queueDir, file);
    if (queued === undefined) continue;
    const { message, waiting } = queued;
    const time = Date.parse(message.time);
    if (Date.now() - time <= OLDEST_MS) {
      items.push({ file, about: aboutOf(message), time, name: message.name, waiting });
      continue;
    }
    dropQueued(queueDir, file);
    const by = Object.keys(waiting).join(', ');
    const line = `dropped, for ${formatDuration(OLDEST_MS)} not delivered by ${by}: ${subjectOf(message)}`;
    log('error', line);
    await logLost(line, syslogSocket);
  }
  return items;
}

function aboutOf({ name, host }: Message): string {
  return `${name} on ${host}`;
}

/** @returns the files of the messages that this transport has sent */
async function takeTurn(
  transport: string,
  items: readonly Item[],
  { queueDir, channels, routes }: NotifySettings,
  { signal, limit }: { signal: AbortSignal; limit: AbortSignal },
  now: JustNow | undefined,
): Promise<string[]> {
  const channel = channels.get(transport)!;
  const hasWorked = now?.worked.includes(transport) ?? false;
  // the same transport may lead elsewhere by another application's settings; those of its own may have been mended
  const isHere = ({ destination }: Waiting, name: string): boolean =>
    destination === undefined ||
    destination === routes.get(transport)?.destination ||
    name === now?.message.name;
  const mine = items.flatMap((item) => {
    const waiting = item.waiting[transport];
    return waiting !== undefined && isHere(waiting, item.name) ? [{ ...item, ...waiting }] : [];
  });
  if (channel.newestOnly) mine.reverse();
  const sent: string[] = [];
  /** About what something newer was taken; false: something newer waits. */
  const newer = new Map<string, boolean>();
  if (hasWorked && now !== undefined) newer.set(aboutOf(now.message), true);
  let failures = 0;
  for (const { file, about, attempts, nextAt } of mine) {
    if (signal.aborted || limit.aborted || failures >= MOST_FAILURES) break;
    if (channel.newestOnly && newer.has(about)) {
      if (newer.get(about)) settleQueued(queueDir, file, transport, undefined);
      continue;
    }
    newer.set(about, false);
    if (!isDue(nextAt) && !(hasWorked && attempts > 0 && attempts < FEW_ATTEMPTS)) continue;
    const message = readQueued(queueDir, file)?.message;
    if (message === undefined) continue;
    try {
      await deliver(message, channel, AbortSignal.any([signal, limit]));
      settleQueued(queueDir, file, transport, undefined);
      newer.set(about, true);
      sent.push(file);
      failures = 0;
    } catch (error) {
      log('error', `not delivered by ${transport}: ${subjectOf(message)}: ${causeText(error)}`);
      if (signal.aborted) break;
      settleQueued(queueDir, file, transport, postponed(attempts + 1));
      failures += 1;
    }
  }
  return sent;
}
