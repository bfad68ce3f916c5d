// What a bucket holds, to be asked by key and by version: a temporary SQLite database, which grows on the disk, not in memory, and
// is gone with its process. So nothing here relies on the order in which a server, or a point, lists its keys; only of one key the
// newest version has to come first.
import { DatabaseSync } from 'node:sqlite';
import type { ListedVersion } from './listing.ts';
import type { PointVersion } from './point-text.ts';

export interface StoredVersion {
  /** Its place in the listing: of one key, a newer version has a lower one. */
  row: number;
  key: string;
  versionId: string;
  isLatest: boolean;
  sizeBytes: number;
  etag: string;
  modified: Date;
}

export interface VersionIndex extends Disposable {
  add(versions: readonly ListedVersion[]): void;
  /** @returns a version that is there; delete markers are none */
  find(key: string, versionId: string): StoredVersion | undefined;
  /** @returns what somebody who reads the key gets; undefined where it is deleted or never was */
  current(key: string): StoredVersion | undefined;
  /** All that can be read, by key. */
  allCurrent(): IteratorObject<StoredVersion>;
  /** All that could be read at a time: of each key the newest version that is not younger; by key. */
  asOf(time: Date): Iterable<StoredVersion>;
  /** Takes a key out of what {@link unmarked} tells. */
  mark(key: string): void;
  /** All that can be read and was not marked, by key. */
  unmarked(): Iterable<StoredVersion>;
  /** Notes that a point, by its number, names a version; of one that can be read now nothing is noted, so that it is safe. */
  note(version: StoredVersion, point: number): void;
  /** Of the versions that were noted, those that points of `gone` name and no other point does. */
  namedOnlyBy(gone: readonly number[]): IteratorObject<StoredVersion>;
}

/** A temporary database is written out where it no longer fits. */
const CACHE_KIB = 32_000;
const COLUMNS = 'row, key, id, latest, marker, size, etag, modified';
const READABLE = `SELECT ${COLUMNS} FROM versions WHERE latest AND NOT marker`;

interface Row {
  row: number;
  key: Uint8Array;
  id: string;
  latest: number;
  marker: number;
  size: number;
  etag: string;
  modified: number;
}

export function openVersionIndex(): VersionIndex {
  const db = new DatabaseSync(''); // no name: temporary
  db.exec(`
    PRAGMA cache_size = -${CACHE_KIB};
    PRAGMA journal_mode = OFF;
    CREATE TABLE versions (row INTEGER PRIMARY KEY, key BLOB, id TEXT, latest INTEGER, marker INTEGER, size INTEGER,
      etag TEXT, modified INTEGER, marked INTEGER DEFAULT 0);
    CREATE INDEX by_key ON versions (key, row);
    CREATE TABLE naming (row INTEGER, point INTEGER, PRIMARY KEY (row, point)) WITHOUT ROWID;
    CREATE TABLE gone (point INTEGER PRIMARY KEY);
    BEGIN`);
  const insert = db.prepare(
    'INSERT INTO versions (key, id, latest, marker, size, etag, modified) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const find = db.prepare(`SELECT ${COLUMNS} FROM versions WHERE key = ? AND id = ? AND NOT marker`);
  const current = db.prepare(`${READABLE} AND key = ?`);
  const mark = db.prepare('UPDATE versions SET marked = 1 WHERE latest AND key = ?');
  const note = db.prepare('INSERT OR IGNORE INTO naming VALUES (?, ?)');
  const one = (row: unknown): StoredVersion | undefined =>
    row === undefined ? undefined : stored(row as Row);
  const all = function* (sql: string, ...values: number[]): Generator<StoredVersion> {
    for (const row of db.prepare(sql).iterate(...values)) yield stored(row as unknown as Row);
  };
  return {
    add(versions) {
      for (const { key, versionId, isLatest, isMarker, sizeBytes, etag, modified } of versions)
        insert.run(bytesOf(key), versionId, +isLatest, +isMarker, sizeBytes, etag, modified.getTime());
    },
    find: (key, versionId) => one(find.get(bytesOf(key), versionId)),
    current: (key) => one(current.get(bytesOf(key))),
    allCurrent: () => all(`${READABLE} ORDER BY key, row`),
    *asOf(time) {
      const rows = db
        .prepare(`SELECT ${COLUMNS} FROM versions WHERE modified <= ? ORDER BY key, row`)
        .iterate(time.getTime());
      let last: Uint8Array | undefined;
      for (const row of rows as Iterable<unknown> as Iterable<Row>) {
        if (last !== undefined && Buffer.compare(last, row.key) === 0) continue;
        last = row.key;
        if (!row.marker) yield stored(row);
      }
    },
    mark: (key) => void mark.run(bytesOf(key)),
    unmarked: () => all(`${READABLE} AND NOT marked ORDER BY key, row`),
    note({ row, isLatest }, point) {
      if (!isLatest) note.run(row, point);
    },
    *namedOnlyBy(gone) {
      db.exec('DELETE FROM gone');
      const insertGone = db.prepare('INSERT INTO gone VALUES (?)');
      for (const point of gone) insertGone.run(point);
      yield* all(`SELECT ${COLUMNS} FROM versions v WHERE
        EXISTS (SELECT 1 FROM naming n WHERE n.row = v.row AND n.point IN gone)
        AND NOT EXISTS (SELECT 1 FROM naming n WHERE n.row = v.row AND n.point NOT IN gone)
        ORDER BY key, row`);
    },
    [Symbol.dispose]: () => db.close(),
  };
}

/** As a blob: a key may have a NUL in it, which would end a text. */
const bytesOf = (key: string): Buffer => Buffer.from(key);

function stored({ row, key, id, latest, size, etag, modified }: Row): StoredVersion {
  return {
    row,
    key: Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString(),
    versionId: id,
    isLatest: latest === 1,
    sizeBytes: size,
    etag,
    modified: new Date(modified),
  };
}

/** @returns a version as a point names it */
export function storedAsPoint({ key, versionId, sizeBytes, modified }: StoredVersion): PointVersion {
  return { key, versionId, sizeBytes, modified: modified.toISOString() };
}
