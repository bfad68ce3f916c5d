// Questions to a copy of an SQLite database that nobody else uses. Rows stream; a run that ends is noticed among them.
import { setImmediate } from 'node:timers/promises';
import type { SnapshotQuery } from './engine.ts';
import { openQuiet } from './sqlite-file.ts';

/** After how many rows others get their turn. */
const TURN_ROWS = 1000;

/** A text may have been stored as bytes. */
const asText = (value: unknown): string =>
  value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : String(value);

/** Answers one after the other; failures go to the query that failed. */
export async function answerQueries(
  copy: string,
  queries: readonly SnapshotQuery[],
  signal: AbortSignal,
): Promise<void> {
  for (const { sql, onRow, onFailure } of queries) {
    try {
      using db = openQuiet(copy);
      const statement = db.prepare(sql);
      statement.setReturnArrays(true);
      statement.setReadBigInts(true);
      let rowCount = 0;
      for (const row of statement.iterate()) {
        onRow((row as unknown as unknown[]).map(asText));
        rowCount += 1;
        if (rowCount % TURN_ROWS === 0) await setImmediate(undefined, { signal });
      }
    } catch (error) {
      signal.throwIfAborted();
      onFailure(error);
    }
  }
}
