// One AbortSignal for a whole run: SIGTERM, SIGINT, SIGHUP and the time limit end it, and the reason says which.
// Whoever starts something watches the signal; whoever makes something temporary removes it in `finally`.
import { cannot, GarnerError, SIGNAL_NUMBERS } from './errors.ts';
import { formatDuration } from './text.ts';

/** A timer of Node that is longer fires at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

export interface RunSignal extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * Turns the process's ending signals, and a time limit where one is given, into an AbortSignal.
 * Dispose it when the run is over; then signals end the process as usual.
 * @param what the run, for the message
 * @param timeoutMs the limit in milliseconds; 0 or undefined for none
 */
export function runSignal(what: string, timeoutMs?: number): RunSignal {
  const controller = new AbortController();
  const handlers = Object.entries(SIGNAL_NUMBERS).map(([name, number]) => {
    const handler = (): void => {
      controller.abort(
        new GarnerError('interrupted', `ended by ${name}; what was unfinished has been removed`, {
          exitCode: 128 + number,
        }),
      );
    };
    process.on(name, handler);
    return { name, handler };
  });
  const timer = timeoutMs
    ? setTimeout(
        () => {
          controller.abort(
            cannot('timeout', 'finish', what, `the time limit of ${formatDuration(timeoutMs)} has passed`, {
              hint: 'raise GARNER_TIMEOUT if the run is only slow',
            }),
          );
        },
        Math.min(timeoutMs, LONGEST_TIMER_MS),
      )
    : undefined;
  timer?.unref();
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      for (const { name, handler } of handlers) process.off(name, handler);
    },
  };
}
