// Work on what comes out of a list that need not fit into memory, some of it at once.

/**
 * @param limit how many at once
 * @throws what `work` throws first, once those that were begun have ended; then no other is begun
 */
export async function inParallel<T>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failure: { cause: unknown } | undefined;
  const worker = async (): Promise<void> => {
    while (failure === undefined) {
      const { done, value } = iterator.next();
      if (done === true) return;
      await work(value).catch((cause) => {
        failure ??= { cause };
      });
    }
  };
  await Promise.all(Array.from({ length: limit }, worker));
  iterator.return?.();
  if (failure !== undefined) throw failure.cause;
}
