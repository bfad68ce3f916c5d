// The runs that hosts tell of, in the catalog: each once, however often its line is read, and of each series as many as
// anybody looks at.
import { type Kysely, sql } from 'kysely';
import type { HistoryRun } from '../../archive/history.ts';
import type { RunRow, Schema } from './schema.ts';

/** Of one series, about two years of hourly runs: a host can write as many as it likes. */
export const MAX_RUNS = 20_000;
/** SQLite takes 32,766 values in one statement. */
const ROWS_AT_ONCE = 500;

export interface RunSeries {
  host: string;
  application: string;
  /** `''` for none. */
  instance: string;
}

/** How far a series' history was read. */
export interface HistoryPosition {
  readBytes: number;
  damagedCount: number;
}

export interface RunsCatalog {
  historyPosition(series: RunSeries): Promise<HistoryPosition>;
  /** Adds the runs that it does not have yet, and notes how far the history was read: both or neither. */
  importRuns(series: RunSeries, runs: readonly HistoryRun[], position: HistoryPosition): Promise<void>;
  /** @returns the newest runs of each series that began until then, oldest first; of all hosts where none is given */
  runs(limit: number, of?: { host?: string | undefined; until?: string }): Promise<RunRow[]>;
}

export function changeRuns(db: Kysely<Schema>): RunsCatalog {
  return {
    async historyPosition({ host, application, instance }) {
      const row = await db
        .selectFrom('histories')
        .select(['read_bytes', 'damaged_count'])
        .where('host', '=', host)
        .where('application', '=', application)
        .where('instance', '=', instance)
        .executeTakeFirst();
      return { readBytes: row?.read_bytes ?? 0, damagedCount: row?.damaged_count ?? 0 };
    },
    importRuns: (series, runs, { readBytes, damagedCount }) =>
      db.transaction().execute(async (transaction) => {
        const rows = runs.map((run) => rowOf(series, run));
        for (let at = 0; at < rows.length; at += ROWS_AT_ONCE)
          await transaction
            .insertInto('runs')
            .values(rows.slice(at, at + ROWS_AT_ONCE))
            .onConflict((conflict) => conflict.doNothing())
            .execute();
        const ofSeries = transaction
          .selectFrom('runs')
          .select('id')
          .where('host', '=', series.host)
          .where('application', '=', series.application)
          .where('instance', '=', series.instance);
        const tooMany = ofSeries.orderBy('started_at', 'desc').limit(-1).offset(MAX_RUNS);
        if (rows.length > 0) await transaction.deleteFrom('runs').where('id', 'in', tooMany).execute();
        await transaction
          .replaceInto('histories')
          .values({ ...series, read_bytes: readBytes, damaged_count: damagedCount })
          .execute();
      }),
    // as text: to build it takes longer than SQLite does, and each of a thousand hosts is asked for its own
    async runs(limit, { host, until } = {}) {
      const { rows } = await sql<RunRow>`
        SELECT ${sql.raw(COLUMNS.join(', '))}
        FROM (
          SELECT *, row_number() OVER (PARTITION BY host, application, instance ORDER BY started_at DESC) AS place
          FROM runs
          WHERE ${host === undefined ? sql`TRUE` : sql`host = ${host}`}
            AND ${until === undefined ? sql`TRUE` : sql`started_at <= ${until}`}
        ) AS numbered
        WHERE place <= ${limit}
        ORDER BY host, application, instance, started_at`.execute(db);
      return rows;
    },
  };
}

const COLUMNS = [
  'host',
  'application',
  'instance',
  'name',
  'started_at',
  'finished_at',
  'result',
  'exit_code',
  'summary',
  'archives',
  'size_bytes',
  'row_count',
  'file_count',
  'members',
  'schedule',
  'next_due_at',
] as const satisfies (keyof RunRow)[];

function rowOf(series: RunSeries, run: HistoryRun): RunRow {
  return {
    ...series,
    name: run.name,
    started_at: new Date(run.startedAt).toISOString(),
    finished_at: new Date(run.finishedAt).toISOString(),
    result: run.result,
    exit_code: run.exitCode,
    summary: run.summary,
    archives: JSON.stringify(run.archives),
    size_bytes: run.sizeBytes ?? null,
    row_count: run.rowCount ?? null,
    file_count: run.fileCount ?? null,
    members: run.members === undefined ? null : JSON.stringify(run.members),
    schedule: run.schedule ?? null,
    next_due_at: run.nextDueAt === undefined ? null : new Date(run.nextDueAt).toISOString(),
  };
}
