// The tables of the catalog. Times are ISO 8601 in UTC, so that they sort as text and read well in `sqlite3`.
import type { Generated, Selectable } from 'kysely';
import type { ArchiveName } from '../../archive/name.ts';

export const SCHEMA_VERSION = 1;

/** `removing` stands while a deletion is under way; what a crash has left in it is settled by the next run. */
export type ArchiveState = 'present' | 'removing' | 'removed' | 'quarantined';

export interface ArchivesTable {
  /** The archive's name, without `.tar`. */
  name: string;
  host: string;
  application: string;
  /** `''` for none: NULLs don't compare. */
  instance: string;
  /** What retention counts by. */
  time: string;
  /** Where that time is from: `received` where the manifest's was not plausible. */
  time_source: 'manifest' | 'received';
  received_at: string;
  size_bytes: number;
  sha256: string;
  sha1: string | null;
  /** How well it was found good, the last time somebody looked; null: not known to be good. */
  verified: 'digest' | 'content' | null;
  verified_at: string | null;
  /** The error's code where it was found bad. */
  problem: string | null;
  state: ArchiveState;
  /** 1: the copy at its host is gone. */
  source_removed: number;
}

export type ArchiveRow = Selectable<ArchivesTable>;

/** @returns the row of an archive that is on the disk, and of which nothing else is known yet */
export function unverifiedRow(
  name: string,
  { host, application, instance = '' }: ArchiveName,
  receivedAt: string,
  sizeBytes: number,
): ArchiveRow {
  return {
    name,
    host,
    application,
    instance,
    time: receivedAt,
    time_source: 'received',
    received_at: receivedAt,
    size_bytes: sizeBytes,
    sha256: '',
    sha1: null,
    verified: null,
    verified_at: null,
    problem: null,
    state: 'present',
    source_removed: 0,
  };
}

/** What was done, and what was about to be done: never changed, never removed. */
export interface EventsTable {
  id: Generated<number>;
  at: string;
  kind: EventKind;
  /** A host, an archive, a group of archives. */
  subject: string;
  /** JSON. */
  detail: string;
}

export type EventKind =
  | 'pulled'
  | 'adopted'
  | 'source-removed'
  | 'quarantined'
  | 'vanished'
  | 'prune-intended'
  | 'pruned'
  | 'prune-interrupted'
  | 'rescanned';

export interface Schema {
  archives: ArchivesTable;
  events: EventsTable;
}

export const CREATE_SCHEMA = `
  CREATE TABLE archives (
    name TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    time TEXT NOT NULL,
    time_source TEXT NOT NULL CHECK (time_source IN ('manifest', 'received')),
    received_at TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    sha1 TEXT,
    verified TEXT CHECK (verified IN ('digest', 'content')),
    verified_at TEXT,
    problem TEXT,
    state TEXT NOT NULL CHECK (state IN ('present', 'removing', 'removed', 'quarantined')),
    source_removed INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX archives_by_group ON archives (host, application, instance, time);
  CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
  ) STRICT;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;
