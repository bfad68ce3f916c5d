// A limit for one of several things: what takes longer is given up, and the others go on.
import { cannot } from '../lib/errors.ts';
import { formatDuration } from '../lib/text.ts';

/**
 * @param outer ends it too
 * @param work is ended by the signal that it gets; where it does not listen, nobody waits for it
 * @throws timeout; what the work throws; the outer signal's reason
 */
export async function within<T>(
  limitMs: number,
  what: string,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  outer.throwIfAborted();
  const limit = new AbortController();
  const signal = AbortSignal.any([outer, limit.signal]);
  const timer = setTimeout(() => {
    limit.abort(cannot('timeout', 'finish', what, `it took longer than ${formatDuration(limitMs)}`));
  }, limitMs);
  try {
    const ended = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    return await Promise.race([work(signal), ended]);
  } finally {
    clearTimeout(timer);
  }
}
