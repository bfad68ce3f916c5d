// What lies at further places, in the catalog: when each copy was read there last, and what was found.
import { type Kysely, sql } from 'kysely';
import type { CopyRow, Schema } from './schema.ts';

export interface CopiesCatalog {
  /** @returns the copies at a place that were read there, by the archives' names */
  copies(target: string): Promise<Map<string, CopyRow>>;
  /** Notes what was found of a copy. */
  noteCopy(row: CopyRow): Promise<void>;
  /** Forgets one that was removed there. */
  forgetCopy(target: string, name: string): Promise<void>;
  /** @returns how many copies were found bad, or were not read since a time, by place */
  doubtfulCopies(since: string): Promise<{ target: string; bad: number; old: number }[]>;
}

export function changeCopies(db: Kysely<Schema>): CopiesCatalog {
  return {
    async copies(target) {
      const rows = await db.selectFrom('copies').selectAll().where('target', '=', target).execute();
      return new Map(rows.map((row) => [row.name, row]));
    },
    async noteCopy(row) {
      await db.replaceInto('copies').values(row).execute();
    },
    async forgetCopy(target, name) {
      await db.deleteFrom('copies').where('target', '=', target).where('name', '=', name).execute();
    },
    doubtfulCopies: (since) =>
      db
        .selectFrom('copies')
        .select([
          'target',
          sql<number>`sum(problem IS NOT NULL)`.as('bad'),
          sql<number>`sum(problem IS NULL AND read_at < ${since})`.as('old'),
        ])
        .groupBy('target')
        .orderBy('target')
        .execute(),
  };
}
