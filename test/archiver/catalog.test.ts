import { createHash } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openCatalog } from '../../archiver/catalog/catalog.ts';
import { MAX_RUNS } from '../../archiver/catalog/runs.ts';
import { copyHistory, importHistories } from '../../archiver/history.ts';
import { pullHosts } from '../../archiver/pull.ts';
import { rescan } from '../../archiver/rescan.ts';
import { type Setup, setUp } from '../../archiver/run.ts';
import { lockStore } from '../../archiver/store-lock.ts';
import { CORE_SETTINGS } from '../../lib/settings.ts';
import { openFileStore } from '../../stores/file.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { errorOf } from '../helpers/error-of.ts';
import { makeArchive } from '../helpers/make-archive.ts';

/** As garner 0.1.0 made it, from the start of the archiver. */
const FIRST_SCHEMA = `
  CREATE TABLE archives (name TEXT PRIMARY KEY, host TEXT NOT NULL, application TEXT NOT NULL, instance TEXT NOT NULL,
    time TEXT NOT NULL, time_source TEXT NOT NULL CHECK (time_source IN ('manifest', 'received')),
    received_at TEXT NOT NULL, size_bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, sha1 TEXT,
    verified TEXT CHECK (verified IN ('digest', 'content')), verified_at TEXT, problem TEXT,
    state TEXT NOT NULL CHECK (state IN ('present', 'removing', 'removed', 'quarantined')),
    source_removed INTEGER NOT NULL DEFAULT 0) STRICT;
  CREATE INDEX archives_by_group ON archives (host, application, instance, time);
  CREATE TABLE events (id INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    detail TEXT NOT NULL) STRICT;
  PRAGMA user_version = 1;
  INSERT INTO archives VALUES ('mediawiki-web1-20260101T000000Z', 'web1', 'mediawiki', '', '2026-01-01T00:00:00.000Z',
    'manifest', '2026-01-01T01:00:00.000Z', 10240, '${'a'.repeat(64)}', NULL, 'content', '2026-01-01T01:00:00.000Z',
    NULL, 'present', 1);
  INSERT INTO events (at, kind, subject, detail) VALUES ('2026-01-01T01:00:00.000Z', 'pulled', 'mediawiki-web1-20260101T000000Z', '{}');
`;

let archiver: TestArchiver;
let file: string;
beforeEach(() => {
  archiver = testArchiver();
  archiver.configureHosts(['web1']);
  file = join(archiver.root, '.catalog/catalog.sqlite');
});
afterEach(() => archiver.remove());

const sqlite = async (sql: string): Promise<string> => (await execa('sqlite3', [file, sql])).stdout;

function setup(): Setup {
  const found = setUp({ program: 'archiver', known: CORE_SETTINGS }, { config: archiver.configFile }, []);
  return { ...found, settings: { ...found.settings, GARNER_RUN_DIR: join(archiver.directory, 'run') } };
}

const rescanHere = (): Promise<unknown> => rescan(setup());

function run(day: number, result = 'ok'): string {
  const at = `2026-11-${String(day).padStart(2, '0')}T02:15`;
  return `${JSON.stringify({
    name: 'mediawiki',
    startedAt: `${at}:00Z`,
    finishedAt: `${at}:30Z`,
    result,
    exitCode: 0,
    summary: '1.2 MB',
    archives: [`mediawiki-web1-202611${day}T021500Z`],
    sizeBytes: 1_200_000,
    nextDueAt: `2026-11-${day + 1}T02:15:00Z`,
  })}\n`;
}

describe('a catalog', () => {
  test('of an older garner is brought up to date in place, with all that it has', async () => {
    mkdirSync(join(archiver.root, '.catalog'), { recursive: true });
    await sqlite(FIRST_SCHEMA);
    const inode = (await execa('stat', ['-c', '%i', file])).stdout;
    await using catalog = openCatalog(file);
    expect(await catalog.find('mediawiki-web1-20260101T000000Z')).toMatchObject({ size_bytes: 10240 });
    expect(await sqlite('PRAGMA user_version')).toBe('4');
    expect(await sqlite('SELECT name, first_seen_at FROM hosts')).toBe('web1|2026-01-01T01:00:00.000Z');
    expect(await sqlite('SELECT kind FROM events; SELECT archive_count FROM applications')).toBe('pulled\n1');
    expect((await execa('stat', ['-c', '%i', file])).stdout).toBe(inode);
    // a new one is no other
    const upgraded = await sqlite('.schema');
    rmSync(archiver.root, { recursive: true });
    archiver.setUp();
    const bare = (schema: string): string[] => schema.replaceAll(/\s+/g, '').split(';').sort();
    expect(bare(upgraded)).toEqual(bare(await sqlite('.schema')));
  });

  test('of an older garner stays as it was where it can not be brought up to date', async () => {
    mkdirSync(join(archiver.root, '.catalog'), { recursive: true });
    await sqlite(`${FIRST_SCHEMA} CREATE TABLE runs (mine TEXT);`); // in the way of the last steps
    const error = await errorOf(() => openCatalog(file));
    expect(error).toMatchObject({ code: 'catalog' });
    expect(await sqlite('PRAGMA user_version; SELECT count(*) FROM archives')).toBe('1\n1');
    expect(await sqlite("SELECT count(*) FROM sqlite_schema WHERE name = 'hosts'")).toBe('0');
  });

  test('F42 of a newer garner is refused and left alone, by rescan too', async () => {
    archiver.setUp();
    await sqlite('PRAGMA user_version = 99');
    const digest = createHash('sha256').update(readFileSync(file)).digest('hex');
    expect(await errorOf(() => openCatalog(file))).toMatchObject({ code: 'catalog-version', exitCode: 1 });
    await expect(rescanHere()).rejects.toMatchObject({ code: 'catalog-version' });
    expect((await execa('sha256sum', [file])).stdout.slice(0, 64)).toBe(digest);
  });

  test('is not made anew while a pull is still at a host', async () => {
    archiver.setUp();
    using pull = lockStore(setup());
    pull.narrow(['web1']);
    await expect(rescanHere()).rejects.toMatchObject({
      code: 'locked',
      message: expect.stringMatching(/a pull is still at web1$/),
    });
    pull.leave('web1');
    await rescanHere();
  });
});

describe("a host's history", () => {
  let history: string;
  beforeEach(() => {
    archiver.setUp();
    history = join(archiver.root, 'web1/history/mediawiki-web1.jsonl');
    mkdirSync(join(history, '..'), { recursive: true });
  });

  const read = () => archiver.inProcess(({ catalog }) => importHistories(catalog, archiver.root, 'web1'));

  test('goes into the catalog, each run once, however often it is read', async () => {
    writeFileSync(history, run(10) + run(11));
    await read();
    await read();
    appendFileSync(history, run(12, 'failed'));
    await read();
    // another copy of it from its beginning, as after a lost position
    await sqlite('DELETE FROM histories');
    await read();
    expect(
      await sqlite('SELECT host, application, started_at, result, size_bytes FROM runs ORDER BY started_at'),
    ).toBe(
      [
        'web1|mediawiki|2026-11-10T02:15:00.000Z|ok|1200000',
        'web1|mediawiki|2026-11-11T02:15:00.000Z|ok|1200000',
        'web1|mediawiki|2026-11-12T02:15:00.000Z|failed|1200000',
      ].join('\n'),
    );
    const newest = await archiver.inProcess(({ catalog }) => catalog.runs(1));
    expect(newest).toMatchObject([{ result: 'failed', next_due_at: '2026-11-13T02:15:00.000Z' }]);
  });

  test('F41 goes there though the run was killed that had copied it', async () => {
    writeFileSync(history, run(10));
    mkdirSync(join(archiver.workDir('web1'), 'history'));
    cpSync(history, join(archiver.workDir('web1'), 'history/mediawiki-web1.jsonl'));
    await using store = openFileStore(archiver.workDir('web1'));
    await archiver.inProcess((of) => copyHistory(of, store, 'web1', () => {}));
    expect(await sqlite('SELECT count(*) FROM runs')).toBe('1');
  });

  test('F39 is not changed here by its host: one that was rewritten or cut is copied beside it, and told', async () => {
    const directory = join(archiver.workDir('web1'), 'history');
    const atHost = join(directory, 'mediawiki-web1.jsonl');
    mkdirSync(directory);
    const warnings: string[] = [];
    const copy = async (): Promise<string[]> => {
      await using store = openFileStore(archiver.workDir('web1'));
      await archiver.inProcess((of) => copyHistory(of, store, 'web1', (message) => warnings.push(message)));
      return readdirSync(join(history, '..'))
        .sort()
        .map((name) => readFileSync(join(history, '..', name), 'utf8'));
    };
    const long = Array.from({ length: 9 }, (_, index) => run(index + 11)).join('');
    writeFileSync(atHost, long);
    expect(await copy()).toEqual([long]);
    appendFileSync(atHost, run(20));
    expect(await copy()).toEqual([long + run(20)]);
    expect(warnings).toEqual([]);
    // longer than it was, and another
    const other = run(21, 'failed').repeat(40);
    writeFileSync(atHost, other);
    expect(await copy()).toEqual([other, long + run(20)]);
    writeFileSync(atHost, run(22));
    expect((await copy()).toSorted()).toEqual([run(22), other, long + run(20)].toSorted());
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toMatch(
      /^its history\/mediawiki-web1.jsonl does not go on from what was copied before/,
    );
    expect(await sqlite('SELECT count(*) FROM runs')).toBe('12');
    // also where the catalog is lost
    const runs = 'SELECT started_at, result FROM runs ORDER BY started_at';
    const before = await sqlite(runs);
    rmSync(file);
    await rescanHere();
    expect(await sqlite(runs)).toBe(before);
  });

  test('F39 is copied up to a limit, with all that was put aside', async () => {
    const directory = join(archiver.workDir('web1'), 'history');
    mkdirSync(directory);
    writeFileSync(join(directory, 'mediawiki-web1.jsonl'), run(10).repeat(1000));
    const aside = `${history}.20261101T000000000Z`;
    writeFileSync(aside, '');
    truncateSync(aside, 256 << 20);
    await using store = openFileStore(archiver.workDir('web1'));
    const copied = archiver.inProcess((of) => copyHistory(of, store, 'web1', () => {}));
    await expect(copied).rejects.toMatchObject({ code: 'store-limit' });
    expect(statSync(history).size).toBe(0);
  });

  test('F51 is read as foreign text: lines that are none are counted and left out, a torn one is waited for', async () => {
    const torn = run(12);
    const odd = ['{}', '[[[[', '\0\x1b[2J', '{"__proto__": 1}', run(11).replace('"ok"', '"fine"').trim()];
    writeFileSync(history, `${odd.join('\n')}\n${run(10)}${torn.slice(0, 50)}`);
    await read();
    expect(await sqlite('SELECT damaged_count FROM histories; SELECT count(*) FROM runs')).toBe('5\n1');
    appendFileSync(history, torn.slice(50));
    await read();
    expect(await sqlite('SELECT damaged_count FROM histories; SELECT count(*) FROM runs')).toBe('5\n2');
  });

  test('of more runs than anybody looks at keeps the newest', async () => {
    const times = Array.from({ length: MAX_RUNS + 50 }, (_, i) =>
      new Date(Date.UTC(2026, 0, 1) + i * 60_000).toISOString(),
    );
    const line = (at: string): string =>
      JSON.stringify({
        name: 'x',
        startedAt: at,
        finishedAt: at,
        result: 'ok',
        exitCode: 0,
        summary: '',
        archives: [],
      });
    writeFileSync(history, times.map((at) => `${line(at)}\n`).join(''));
    await read();
    expect(await sqlite('SELECT count(*), min(started_at) FROM runs')).toBe(`${MAX_RUNS}|${times[50]}`);
  });
});

test('F42 a lost catalog is rebuilt by a scan: archives, hosts and runs as they were', async () => {
  archiver.setUp();
  for (const days of [3, 2, 1])
    await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(days) });
  mkdirSync(join(archiver.workDir('web1'), 'history'));
  writeFileSync(join(archiver.workDir('web1'), 'history/mediawiki-web1.jsonl'), run(10) + run(11));
  await archiver.inProcess((running) =>
    pullHosts(running, running.configuration.hosts, { prune: false, dryRun: false }),
  );
  const poll = 'SELECT name, result, error_code, polled_at = succeeded_at FROM hosts';
  expect(await sqlite(poll)).toBe('web1|ok||1');
  const what = `SELECT name, host, application, instance, time, time_source, size_bytes, sha256, sha1, verified, state FROM archives ORDER BY name;
    SELECT name FROM hosts; SELECT host, application, archive_count, newest_time FROM applications;
    SELECT host, started_at, finished_at, result, archives, next_due_at FROM runs ORDER BY started_at;`;
  const before = await sqlite(what);
  expect(await sqlite('SELECT count(*) FROM transfers WHERE problem IS NULL AND size_bytes > 0')).toBe('3');
  expect(before.split('\n')).toHaveLength(3 + 1 + 1 + 2);
  rmSync(file);
  await rescanHere();
  expect(await sqlite(what)).toBe(before);
});
