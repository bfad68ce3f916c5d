// Writes archives down as they come, those of a host in the order in which it offered them: each one's time is checked
// against that of the one before. What becomes ready together is written in one transaction.
import { setTimeout as sleep } from 'node:timers/promises';
import type { CatalogEvent, Recorded } from './catalog/catalog.ts';
import type { ArchiveRow } from './catalog/schema.ts';
import { type MadeTime, timeOf } from './made-time.ts';
import type { Run } from './run.ts';

/** How long one waits for others: less than writing it down takes. */
const TOGETHER_MS = 5;

/** An archive's place in the order of its host. */
export interface Place {
  /**
   * Waits for those before it, and returns when the archive is on the disk's catalog.
   * @param row gets its time
   * @param made when the archive says that it was made; a time that is known already stays
   */
  record(
    row: ArchiveRow,
    made: Date | MadeTime,
    event: CatalogEvent,
    transfer?: Recorded['transfer'],
  ): Promise<void>;
  /** Lets the next one go on; safe to call again. */
  leave(): void;
}

export interface Ledger {
  /** @returns what gives the archives of one host their places, in the order of the calls */
  open(): () => Place;
}

export function startLedger({ catalog }: Pick<Run, 'catalog'>): Ledger {
  let waiting: Recorded[] = [];
  let writing: Promise<void> | undefined;
  /** By group: the time of its newest archive, those that are about to be written included. */
  const newest = new Map<string, string | undefined>();

  const write = (recorded: Recorded): Promise<void> => {
    waiting.push(recorded);
    writing ??= sleep(TOGETHER_MS).then(() => {
      const all = waiting;
      waiting = [];
      writing = undefined;
      return catalog.recordAll(all);
    });
    return writing;
  };
  return {
    open() {
      let before = Promise.resolve();
      return () => {
        const turn = before;
        const over = Promise.withResolvers<void>();
        before = turn.then(() => over.promise);
        return {
          async record(row, made, event, transfer) {
            await turn;
            const group = `${row.host}/${row.application}/${row.instance}`;
            if (!newest.has(group)) newest.set(group, await catalog.newestTime(row));
            const previous = newest.get(group);
            const { time, time_source } = made instanceof Date ? timeOf(row, made, previous) : made;
            Object.assign(row, { time, time_source });
            if (previous === undefined || row.time > previous) newest.set(group, row.time);
            const detail = { ...event.detail, timeSource: time_source };
            const written = write({ row, event: { ...event, detail }, transfer });
            over.resolve();
            await written;
          },
          leave: () => over.resolve(),
        };
      };
    },
  };
}
