// The catalog: which archives there are, how good they are, and what was done with them. A change is on the disk when
// its function returns. It is a cache of what the archives themselves say: lost or damaged, `archiver rescan` rebuilds
// it, and nothing is deleted while it and the disk disagree.
import { closeSync, existsSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Kysely, sql } from 'kysely';
import { createFile, makeDirectory, partPath, publish, syncFile } from '../../lib/durable.ts';
import { cannot } from '../../lib/errors.ts';
import { nodeSqliteDialect } from './dialect.ts';
import {
  type ArchiveRow,
  type ArchiveState,
  CREATE_SCHEMA,
  type EventKind,
  SCHEMA_VERSION,
  type Schema,
} from './schema.ts';

/** How long one command waits while another writes. */
const BUSY_MS = 10_000;

const REBUILD = { hint: 'archiver rescan rebuilds it from the archives; nothing is pruned before' };

export interface CatalogEvent {
  kind: EventKind;
  subject: string;
  detail?: Record<string, unknown>;
}

/** Those archives that are kept and pruned together. */
export type Group = Pick<ArchiveRow, 'host' | 'application' | 'instance'>;

export interface Catalog extends AsyncDisposable {
  readonly file: string;
  find(name: string): Promise<ArchiveRow | undefined>;
  /** @returns archives in one of these states, by host, application and time; of all hosts where none is given */
  list(states: ArchiveState[], host?: string): Promise<ArchiveRow[]>;
  /** @returns the time of a group's newest archive, whether it is still there or not */
  newestTime(group: Group): Promise<string | undefined>;
  /** @returns when anything was received last */
  lastReceived(): Promise<string | undefined>;
  /** Adds an archive, or replaces what is known of it, and notes the event with it: both or neither. */
  record(row: ArchiveRow, event: CatalogEvent): Promise<void>;
  /** Changes archives and notes the event with it: all or nothing. */
  change(names: string[], change: Partial<Omit<ArchiveRow, 'name'>>, event?: CatalogEvent): Promise<void>;
  events(): Promise<{ at: string; kind: EventKind; subject: string; detail: string }[]>;
}

/** Makes an empty catalog: whole or absent. */
export function createCatalog(file: string): void {
  const part = partPath(file);
  try {
    makeDirectory(dirname(file));
    closeSync(createFile(part));
    const db = new DatabaseSync(part);
    db.exec('PRAGMA journal_mode = MEMORY');
    db.exec(CREATE_SCHEMA);
    db.close();
    syncFile(part);
    publish(part, file);
  } catch (error) {
    rmSync(part, { force: true });
    throw cannot('catalog', 'make the catalog', file, error);
  }
}

/**
 * Opens a catalog that there is.
 * @throws catalog where it is missing, damaged or of another version
 */
export function openCatalog(file: string): Catalog {
  if (!existsSync(file)) throw cannot('catalog', 'open the catalog', file, 'it is missing', REBUILD);
  const db = new DatabaseSync(file, { timeout: BUSY_MS });
  try {
    // one file without companions; EXTRA also makes the end of a transaction durable
    db.exec('PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA');
    const [check] = Object.values(db.prepare('PRAGMA quick_check(1)').get() ?? {});
    if (check !== 'ok') throw `it is damaged: ${check}`;
    const version = db.prepare('PRAGMA user_version').get()?.user_version;
    if (version !== SCHEMA_VERSION) throw `it has version ${version}, this garner reads ${SCHEMA_VERSION}`;
  } catch (error) {
    db.close();
    throw cannot('catalog', 'open the catalog', file, error, REBUILD);
  }
  return wrap(new Kysely<Schema>({ dialect: nodeSqliteDialect(db, file) }), db, file);
}

function wrap(db: Kysely<Schema>, connection: DatabaseSync, file: string): Catalog {
  const note = ({ kind, subject, detail = {} }: CatalogEvent, to: Kysely<Schema>) =>
    to
      .insertInto('events')
      .values({ at: new Date().toISOString(), kind, subject, detail: JSON.stringify(detail) })
      .execute();
  return {
    file,
    find: (name) => db.selectFrom('archives').selectAll().where('name', '=', name).executeTakeFirst(),
    list: (states, host) =>
      db
        .selectFrom('archives')
        .selectAll()
        .where('state', 'in', states)
        .$if(host !== undefined, (query) => query.where('host', '=', host as string))
        .orderBy('host')
        .orderBy('application')
        .orderBy('instance')
        .orderBy('time')
        .orderBy('name')
        .execute(),
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
    record: (row, event) =>
      db.transaction().execute(async (transaction) => {
        await transaction.replaceInto('archives').values(row).execute();
        await note(event, transaction);
      }),
    change: (names, change, event) =>
      db.transaction().execute(async (transaction) => {
        for (const name of names)
          await transaction.updateTable('archives').set(change).where('name', '=', name).execute();
        if (event !== undefined) await note(event, transaction);
      }),
    events: () => db.selectFrom('events').select(['at', 'kind', 'subject', 'detail']).orderBy('id').execute(),
    async [Symbol.asyncDispose]() {
      await db.destroy();
      if (connection.isOpen) connection.close(); // Kysely closes only what it has used
    },
  };
}
