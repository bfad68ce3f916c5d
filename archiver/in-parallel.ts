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
 * @param share how much of a place an item takes; default all of one
 * @throws what `work` throws first, once those that were begun have ended; then no other is begun
 */
export async function inParallel<T>(
  items: readonly T[],
  { limit, places, share = () => 1 }: { limit: number; places: Places; share?: (item: T) => number },
  work: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  let taken = 0;
  const take = (count: number): void => {
    taken += count;
    places.taken += count;
  };
  const begin = (item: T): void => {
    take(share(item));
    const one: Promise<void> = work(item)
      .catch((error) => {
        failures.push(error);
      })
      .finally(() => {
        take(-share(item));
        running.delete(one);
      });
    running.add(one);
  };
  while (waiting.length > 0 && failures.length === 0) {
    const more = share(waiting[0] as T);
    const mayBegin = running.size === 0 || (taken + more <= limit && places.taken + more <= places.total);
    if (mayBegin) begin(waiting.shift() as T);
    else await Promise.race(running);
  }
  await Promise.all(running);
  if (failures.length > 0) throw failures[0];
}
