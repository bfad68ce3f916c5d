// The catalog: which archives there are, how good they are, and what was done with them. A change is on the disk when
// its function returns. It is a cache of what the archives themselves say: lost or damaged, `archiver rescan` rebuilds
// it, and nothing is deleted while it and the disk disagree.
import { closeSync, existsSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Kysely, sql } from 'kysely';
import { createFile, makeDirectory, partPath, publish, syncFile } from '../../lib/durable.ts';
import { cannot, GarnerError } from '../../lib/errors.ts';
import { type CopiesCatalog, changeCopies } from './copies.ts';
import { nodeSqliteDialect } from './dialect.ts';
import { changeRuns, type RunsCatalog } from './runs.ts';
import {
  type ArchiveRow,
  type ArchiveState,
  type EventKind,
  type HostRow,
  SCHEMA_STEPS,
  SCHEMA_VERSION,
  type Schema,
  type TransferRow,
} from './schema.ts';

/** How long one command waits while another writes. */
const BUSY_MS = 10_000;

const REBUILD = { hint: 'archiver rescan rebuilds it from the archives; nothing is pruned before' };

export interface CatalogEvent {
  kind: EventKind;
  subject: string;
  detail?: Record<string, unknown>;
}

/** What is noted of an archive. */
export interface Recorded {
  row: ArchiveRow;
  event: CatalogEvent;
  transfer?: TransferRow | undefined;
}

/** What counts of an archive where a hundred thousand are looked at: each column costs a tenth of a second of them. */
const BRIEF = [
  'name',
  'host',
  'application',
  'instance',
  'time',
  'received_at',
  'size_bytes',
  'verified',
  'verified_at',
  'problem',
  'state',
] as const satisfies (keyof ArchiveRow)[];

export type BriefRow = Pick<ArchiveRow, (typeof BRIEF)[number]>;

/** Those archives that are kept and pruned together. */
export type Group = Pick<ArchiveRow, 'host' | 'application' | 'instance'>;

/** What came of asking a host for news. */
export interface Poll {
  host: string;
  at: string;
  result: 'ok' | 'warnings' | 'failed';
  error: { code: string; message: string } | null;
  /** Fingerprints of keys that it will go over to; unset: it was not to be known. */
  nextKeys?: string[] | undefined;
}

export interface Catalog extends RunsCatalog, CopiesCatalog, AsyncDisposable {
  readonly file: string;
  find(name: string): Promise<ArchiveRow | undefined>;
  /** @returns archives in one of these states, by host, application and time; of all hosts where none is given */
  list(states: ArchiveState[], hosts?: string | readonly string[]): Promise<ArchiveRow[]>;
  /** @returns what {@link list} does, of each archive the most important */
  brief(states: ArchiveState[], hosts?: string | readonly string[]): Promise<BriefRow[]>;
  /** Gives what {@link list} gives one by one: there may be more than one wants to hold. */
  each(states: ArchiveState[], hosts?: string | readonly string[]): AsyncIterable<ArchiveRow>;
  /** @returns a group's newest archive that is here and known to be good, of this time or before it */
  newestVerified(group: Group, until: string): Promise<ArchiveRow | undefined>;
  /** @returns the time of a group's newest archive, whether it is still there or not */
  newestTime(group: Group): Promise<string | undefined>;
  /** @returns when anything was received last */
  lastReceived(): Promise<string | undefined>;
  /** Adds an archive, or replaces what is known of it, and notes the event and how it came here with it: all or nothing. */
  record(row: ArchiveRow, event: CatalogEvent, transfer?: TransferRow): Promise<void>;
  /** Does that for several: all or nothing. */
  recordAll(all: readonly Recorded[]): Promise<void>;
  /** Changes archives and notes the event with it: all or nothing. */
  change(names: string[], change: Partial<Omit<ArchiveRow, 'name'>>, event?: CatalogEvent): Promise<void>;
  /** @returns all events, or those of one subject, oldest first */
  events(subject?: string): Promise<{ at: string; kind: EventKind; subject: string; detail: string }[]>;
  /** Notes a transfer that did not arrive. */
  noteTransfer(transfer: TransferRow): Promise<void>;
  /** @returns how an archive came here, oldest first */
  transfers(name: string): Promise<TransferRow[]>;
  /** Notes what came of asking hosts: all or nothing. */
  notePolls(polls: readonly Poll[]): Promise<void>;
  hosts(): Promise<HostRow[]>;
}

/** Makes an empty catalog: whole or absent. */
export function createCatalog(file: string): void {
  const part = partPath(file);
  try {
    makeDirectory(dirname(file));
    closeSync(createFile(part));
    const db = new DatabaseSync(part);
    db.exec('PRAGMA journal_mode = MEMORY');
    upgrade(db);
    db.close();
    syncFile(part);
    publish(part, file);
  } catch (error) {
    rmSync(part, { force: true });
    throw cannot('catalog', 'make the catalog', file, error);
  }
}

/**
 * Opens a catalog that there is; one of an older garner is brought up to date.
 * @throws catalog where it is missing or damaged; catalog-version where it is of a newer garner
 */
export function openCatalog(file: string): Catalog {
  if (!existsSync(file)) throw cannot('catalog', 'open the catalog', file, 'it is missing', REBUILD);
  const db = new DatabaseSync(file, { timeout: BUSY_MS });
  try {
    // one file without companions; EXTRA also makes the end of a transaction durable
    db.exec('PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA');
    const [check] = Object.values(db.prepare('PRAGMA quick_check(1)').get() ?? {});
    if (check !== 'ok') throw `it is damaged: ${check}`;
    const version = versionOf(db);
    if (version > SCHEMA_VERSION) {
      throw cannot(
        'catalog-version',
        'open the catalog',
        file,
        `it has version ${version}, of a newer garner`,
        {
          hint: `use that garner: this one reads versions up to ${SCHEMA_VERSION}`,
        },
      );
    }
    if (version < 1) throw `it has version ${version}`;
    upgrade(db);
  } catch (error) {
    db.close();
    if (error instanceof GarnerError) throw error;
    throw cannot('catalog', 'open the catalog', file, error, REBUILD);
  }
  return wrap(new Kysely<Schema>({ dialect: nodeSqliteDialect(db, file) }), db, file);
}

const versionOf = (db: DatabaseSync): number =>
  Number(db.prepare('PRAGMA user_version').get()?.user_version ?? 0);

/** Takes all steps that a catalog has not taken yet, or none. */
function upgrade(db: DatabaseSync): void {
  if (versionOf(db) === SCHEMA_VERSION) return;
  db.exec('BEGIN IMMEDIATE');
  try {
    // somebody else may have done it while this one waited
    for (const step of SCHEMA_STEPS.slice(versionOf(db))) db.exec(step);
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    db.exec('COMMIT');
  } catch (error) {
    db.exec('ROLLBACK');
    throw error;
  }
}

function wrap(db: Kysely<Schema>, connection: DatabaseSync, file: string): Catalog {
  const note = ({ kind, subject, detail = {} }: CatalogEvent, to: Kysely<Schema>) =>
    to
      .insertInto('events')
      .values({ at: new Date().toISOString(), kind, subject, detail: JSON.stringify(detail) })
      .execute();
  const recordAll: Catalog['recordAll'] = (all) =>
    db.transaction().execute(async (transaction) => {
      for (const { row, event, transfer } of all) {
        await transaction.replaceInto('archives').values(row).execute();
        await transaction
          .insertInto('hosts')
          .values({ name: row.host, first_seen_at: row.received_at })
          .onConflict((conflict) => conflict.column('name').doNothing())
          .execute();
        if (transfer !== undefined) await transaction.insertInto('transfers').values(transfer).execute();
        await note(event, transaction);
      }
    });
  const ordered = (states: ArchiveState[], hosts: string | readonly string[] | undefined) =>
    db
      .selectFrom('archives')
      .where('state', 'in', states)
      .$if(hosts !== undefined, (query) => query.where('host', 'in', [hosts ?? []].flat()))
      .orderBy('host')
      .orderBy('application')
      .orderBy('instance')
      .orderBy('time')
      .orderBy('name');
  return {
    file,
    find: (name) => db.selectFrom('archives').selectAll().where('name', '=', name).executeTakeFirst(),
    ...changeRuns(db),
    ...changeCopies(db),
    each: (states, hosts) => ordered(states, hosts).selectAll().stream(),
    list: (states, hosts) => ordered(states, hosts).selectAll().execute(),
    brief: (states, hosts) => ordered(states, hosts).select(BRIEF).execute(),
    newestVerified: ({ host, application, instance }, until) =>
      db
        .selectFrom('archives')
        .selectAll()
        .where('host', '=', host)
        .where('application', '=', application)
        .where('instance', '=', instance)
        .where('time', '<=', until)
        .where('state', '=', 'present')
        .where('verified', 'is not', null)
        .where('problem', 'is', null)
        .orderBy('time', 'desc')
        .limit(1)
        .executeTakeFirst(),
    async newestTime({ host, application, instance }) {
      const row = await db
        .selectFrom('archives')
        .select(sql<string | null>`max(time)`.as('time'))
        .where('host', '=', host)
        .where('application', '=', application)
        .where('instance', '=', instance)
        .where('state', '!=', 'quarantined')
        .executeTakeFirst();
      return row?.time ?? undefined;
    },
    async lastReceived() {
      const row = await db
        .selectFrom('archives')
        .select(sql<string | null>`max(received_at)`.as('at'))
        .executeTakeFirst();
      return row?.at ?? undefined;
    },
    record: (row, event, transfer) => recordAll([{ row, event, transfer }]),
    recordAll,
    change: (names, change, event) =>
      db.transaction().execute(async (transaction) => {
        for (const name of names)
          await transaction.updateTable('archives').set(change).where('name', '=', name).execute();
        if (event !== undefined) await note(event, transaction);
      }),
    events: (subject) =>
      db
        .selectFrom('events')
        .select(['at', 'kind', 'subject', 'detail'])
        .$if(subject !== undefined, (query) => query.where('subject', '=', subject as string))
        .orderBy('id')
        .execute(),
    async noteTransfer(transfer) {
      await db.insertInto('transfers').values(transfer).execute();
    },
    transfers: (name) =>
      db
        .selectFrom('transfers')
        .select(['name', 'host', 'started_at', 'ended_at', 'size_bytes', 'problem'])
        .where('name', '=', name)
        .orderBy('id')
        .execute(),
    notePolls: (polls) =>
      db.transaction().execute(async (transaction) => {
        for (const { host, at, result, error, nextKeys } of polls) {
          const said = {
            polled_at: at,
            ...(result !== 'failed' && { succeeded_at: at }),
            result,
            error_code: error?.code ?? null,
            error_message: error?.message ?? null,
            ...(nextKeys && { next_keys: nextKeys.join(' ') }),
          };
          await transaction
            .insertInto('hosts')
            .values({ name: host, first_seen_at: at, ...said })
            .onConflict((conflict) => conflict.column('name').doUpdateSet(said))
            .execute();
        }
      }),
    hosts: () => db.selectFrom('hosts').selectAll().orderBy('name').execute(),
    async [Symbol.asyncDispose]() {
      await db.destroy();
      if (connection.isOpen) connection.close(); // Kysely closes only what it has used
    },
  };
}
