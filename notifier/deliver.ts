// One message by one channel, within a time limit.
import { GarnerError } from '../lib/errors.ts';
import { warn } from '../lib/log.ts';
import type { Message } from './message.ts';
import type { Channel } from './transport.ts';

/** The longest that one delivery may take. */
const DELIVERY_MS = 60_000;

/** @throws delivery; whatever a transport has thrown */
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
