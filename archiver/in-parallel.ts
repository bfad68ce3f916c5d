// Several things of one host at once, within what all hosts together may have. Each host always has one place, so that none
// waits for another.

/** How many are at work, of all hosts; changed by those who work. */
export interface Places {
  readonly total: number;
  taken: number;
}

/**
 * Works on items, begun in their order.
 * @param limit how many at once
 * @throws what `work` throws first, once those that were begun have ended; then no other is begun
 */
export async function inParallel<T>(
  items: readonly T[],
  { limit, places }: { limit: number; places: Places },
  work: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  const begin = (item: T): void => {
    places.taken += 1;
    const one: Promise<void> = work(item)
      .catch((error) => {
        failures.push(error);
      })
      .finally(() => {
        places.taken -= 1;
        running.delete(one);
      });
    running.add(one);
  };
  while (waiting.length > 0 && failures.length === 0) {
    const mayBegin = running.size === 0 || (running.size < limit && places.taken < places.total);
    if (mayBegin) begin(waiting.shift() as T);
    else await Promise.race(running);
  }
  await Promise.all(running);
  if (failures.length > 0) throw failures[0];
}
