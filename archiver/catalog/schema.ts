// The tables of the catalog. Times are ISO 8601 in UTC, so that they sort as text and read well in `sqlite3`.
import type { Generated, Selectable } from 'kysely';
import type { HistoryRun } from '../../archive/history.ts';
import type { ArchiveName } from '../../archive/name.ts';

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
  | 'key-retired'
  | 'rescanned';

/** What came of asking a host for news, the last time; `archiver rescan` can't know it. */
export interface HostsTable {
  name: string;
  first_seen_at: string;
  /** When it was asked last. */
  polled_at: string | null;
  /** When it was last asked without a failure. */
  succeeded_at: string | null;
  result: 'ok' | 'warnings' | 'failed' | null;
  error_code: string | null;
  error_message: string | null;
  /** Fingerprints of keys that it will go over to, with spaces between them; `''` for none. */
  next_keys: Generated<string>;
}

export type HostRow = Selectable<HostsTable>;

/** Each time that an archive was brought from somewhere, or wasn't. */
export interface TransfersTable {
  id: Generated<number>;
  /** Of the archive. */
  name: string;
  host: string;
  started_at: string;
  ended_at: string;
  size_bytes: number;
  /** The error's code; null: it arrived whole. */
  problem: string | null;
}

export type TransferRow = Omit<Selectable<TransfersTable>, 'id'>;

/** The runs that hosts tell of in their histories. What a host says: believed of itself only. */
export interface RunsTable {
  id: Generated<number>;
  host: string;
  application: string;
  /** `''` for none. */
  instance: string;
  name: string;
  started_at: string;
  finished_at: string;
  result: HistoryRun['result'];
  exit_code: number | null;
  summary: string;
  /** JSON: the archives' names. */
  archives: string;
  size_bytes: number | null;
  row_count: number | null;
  file_count: number | null;
  /** JSON: sizes, rows and files by member; null: it tells none. */
  members: string | null;
  schedule: string | null;
  next_due_at: string | null;
}

export type RunRow = Omit<Selectable<RunsTable>, 'id'>;

/** How far each copied history was read. */
export interface HistoriesTable {
  host: string;
  application: string;
  instance: string;
  read_bytes: number;
  /** How many of its lines were none. */
  damaged_count: number;
}

/** Archives at further places. */
export interface CopiesTable {
  /** The target's name in archiver.yaml. */
  target: string;
  name: string;
  size_bytes: number;
  /** When it was read there last. */
  read_at: string;
  /** The error's code where it was found bad. */
  problem: string | null;
}

export type CopyRow = Selectable<CopiesTable>;

export interface Schema {
  archives: ArchivesTable;
  copies: CopiesTable;
  events: EventsTable;
  hosts: HostsTable;
  transfers: TransfersTable;
  runs: RunsTable;
  histories: HistoriesTable;
}

/** Each makes the next version of the one before it, the first of an empty file. Those that were released stay as they are. */
export const SCHEMA_STEPS: readonly string[] = [
  `CREATE TABLE archives (
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
  ) STRICT;`,

  `CREATE INDEX archives_by_receipt ON archives (received_at);
  CREATE INDEX events_by_subject ON events (subject);
  CREATE TABLE hosts (
    name TEXT PRIMARY KEY,
    first_seen_at TEXT NOT NULL,
    polled_at TEXT,
    succeeded_at TEXT,
    result TEXT CHECK (result IN ('ok', 'warnings', 'failed')),
    error_code TEXT,
    error_message TEXT
  ) STRICT;
  INSERT INTO hosts (name, first_seen_at) SELECT host, min(received_at) FROM archives GROUP BY host;
  CREATE TABLE transfers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    problem TEXT
  ) STRICT;
  CREATE INDEX transfers_by_name ON transfers (name);
  CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    host TEXT NOT NULL,
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    name TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('ok', 'warnings', 'failed', 'locked', 'missed')),
    exit_code INTEGER,
    summary TEXT NOT NULL,
    archives TEXT NOT NULL,
    size_bytes INTEGER,
    row_count INTEGER,
    file_count INTEGER,
    members TEXT,
    schedule TEXT,
    next_due_at TEXT,
    UNIQUE (host, application, instance, started_at, finished_at, result, name)
  ) STRICT;
  CREATE TABLE histories (
    host TEXT NOT NULL,
    application TEXT NOT NULL,
    instance TEXT NOT NULL,
    read_bytes INTEGER NOT NULL,
    damaged_count INTEGER NOT NULL,
    PRIMARY KEY (host, application, instance)
  ) STRICT;
  CREATE VIEW applications AS
    SELECT host, application, instance, count(*) AS archive_count, sum(size_bytes) AS size_bytes,
      min(received_at) AS first_received_at, max(received_at) AS last_received_at, max(time) AS newest_time
    FROM archives WHERE state IN ('present', 'removing') GROUP BY host, application, instance;`,

  `CREATE TABLE copies (
    target TEXT NOT NULL,
    name TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    read_at TEXT NOT NULL,
    problem TEXT,
    PRIMARY KEY (target, name)
  ) STRICT;`,

  "ALTER TABLE hosts ADD COLUMN next_keys TEXT NOT NULL DEFAULT ''",
];

export const SCHEMA_VERSION = SCHEMA_STEPS.length;
