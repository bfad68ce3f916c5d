// The parts of a pull that run beside each other: how many archives at once, in which order they are written down, and
// what a person reads at the end.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Catalog, createCatalog, openCatalog } from '../../archiver/catalog/catalog.ts';
import { unverifiedRow } from '../../archiver/catalog/schema.ts';
import { inParallel } from '../../archiver/in-parallel.ts';
import { type Place, startLedger } from '../../archiver/ledger.ts';
import { emptyReport, type HostReport } from '../../archiver/pull-host.ts';
import { formatPull } from '../../archiver/pull-summary.ts';

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('archives of a host', () => {
  /** Works on items that end when they are told to. */
  function start(count: number, limit: number, places: { total: number; taken: number }) {
    const begun: number[] = [];
    const end: (() => void)[] = [];
    const items = Array.from({ length: count }, (_, index) => index);
    const done = inParallel(items, { limit, places }, (item) => {
      begun.push(item);
      return new Promise<void>((resolve) => {
        end[item] = resolve;
      });
    });
    return { begun, end, done };
  }

  it('are fetched in their order, so many at once', async () => {
    const { begun, end, done } = start(5, 2, { total: 9, taken: 0 });
    expect(begun).toEqual([0, 1]);
    end[1]?.();
    await tick();
    expect(begun).toEqual([0, 1, 2]);
    for (let item = 0; item < 5; item += 1) {
      end[item]?.();
      await tick();
    }
    await done;
  });

  it('are more at once where they take a part of a place, and one at least', async () => {
    const begun: number[] = [];
    const places = { total: 2.5, taken: 0 };
    const work = (share: number): Promise<void> => {
      begun.push(share);
      return new Promise(() => {});
    };
    const share = (part: number): number => part;
    inParallel([1, 0.25, 0.25, 0.25, 0.25, 0.25], { limit: 2, places, share }, work);
    expect(begun).toEqual([1, 0.25, 0.25, 0.25, 0.25]);
    expect(places.taken).toBe(2);
    inParallel([0.25, 0.25, 0.25], { limit: 2, places, share }, work);
    expect(begun).toHaveLength(7);
  });

  it('share the places of all hosts, of which each host has one always', async () => {
    const places = { total: 3, taken: 0 };
    const hosts = [start(4, 4, places), start(4, 4, places), start(4, 4, places)];
    expect(hosts.map(({ begun }) => begun.length)).toEqual([3, 1, 1]);
    for (const end of hosts[0]?.end ?? []) end();
    await tick();
    expect(places.taken).toBeGreaterThanOrEqual(3);
    for (const { end, done } of hosts) {
      for (let item = 0; item < 4; item += 1) {
        end[item]?.();
        await tick();
      }
      await done;
    }
    expect(places.taken).toBe(0);
  });

  it('end together where one breaks the run, and no other is begun', async () => {
    const begun: number[] = [];
    const places = { total: 9, taken: 0 };
    const failing = inParallel([1, 2, 3], { limit: 2, places }, async (item) => {
      begun.push(item);
      if (item === 1) throw new Error('ended');
    });
    await expect(failing).rejects.toThrow('ended');
    expect(begun).toEqual([1, 2]);
    expect(places.taken).toBe(0);
  });
});

describe('the ledger', () => {
  let directory: string;
  let catalog: Catalog;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'garner-ledger-'));
    createCatalog(join(directory, 'catalog.sqlite'));
    catalog = openCatalog(join(directory, 'catalog.sqlite'));
  });
  afterEach(async () => {
    await catalog[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  const query = async (sql: string): Promise<string[]> =>
    (await execa('sqlite3', [join(directory, 'catalog.sqlite'), sql])).stdout.split('\n');
  const record = (place: Place, day: number): Promise<void> => {
    const made = new Date(Date.UTC(2026, 0, day));
    const name = `wiki-web1-2026010${day}T000000Z`;
    const row = unverifiedRow(
      name,
      { application: 'wiki', instance: undefined, host: 'web1', time: made },
      '2026-02-01T00:00:00.000Z',
      1,
    );
    return place.record(row, made, { kind: 'pulled', subject: name });
  };

  it('has them in the order in which they were offered, whichever comes first', async () => {
    const enter = startLedger({ catalog }).open();
    const places = [enter(), enter(), enter(), enter()] as [Place, Place, Place, Place];
    const last = record(places[3], 4);
    const third = record(places[2], 3);
    await tick();
    expect(await query('SELECT count(*) FROM archives')).toEqual(['0']);
    places[1].leave(); // it failed
    await record(places[0], 1);
    await Promise.all([third, last]);
    expect(await query('SELECT name || time_source FROM archives ORDER BY rowid')).toEqual(
      [1, 3, 4].map((day) => `wiki-web1-2026010${day}T000000Zmanifest`),
    );
  });

  it('checks a time against one that is about to be written', async () => {
    const enter = startLedger({ catalog }).open();
    const [first, second] = [enter(), enter()];
    await Promise.all([record(first, 5), record(second, 4)]);
    expect(await query('SELECT time_source FROM archives ORDER BY name')).toEqual(['received', 'manifest']);
  });

  it('tells each of them where it can not be written', async () => {
    const enter = startLedger({ catalog }).open();
    await execa('sqlite3', [join(directory, 'catalog.sqlite'), 'DROP TABLE events']);
    const all = await Promise.allSettled([record(enter(), 1), record(enter(), 2)]);
    expect(all.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await query('SELECT count(*) FROM archives')).toEqual(['0']);
  });
});

describe('the summary', () => {
  const report = (host: string, fields: Partial<HostReport> = {}): HostReport => ({
    ...emptyReport(host),
    ...fields,
  });
  const failed = (host: string, message: string): HostReport =>
    report(host, { result: 'failed', failureCount: 1, error: { code: 'store-connect', message } });
  const pulled = [{ name: 'a', sizeBytes: 2e9, sha256: '' }];

  it('has a line for each host with news, and one for those without', () => {
    const text = formatPull(
      [
        failed('web9', 'cannot connect to "sftp://web9": connection refused'),
        report('web1', { pulled, sizeBytes: 2e9, durationMs: 10_000, pruned: ['x'] }),
        report('web2', { result: 'warnings', warnings: ['one'], durationMs: 1000 }),
        report('web3'),
        report('web4'),
      ],
      false,
    );
    expect(text.split('\n')).toEqual([
      'host  result    archives  size    time   rate',
      'web1  ok        1         2.0 GB  10 s   200.0 MB/s  1 pruned',
      'web2  warnings  0         0 B     1.0 s              1 warning',
      'web9  failed    0         0 B     0.0 s              cannot connect to "sftp://web9": connection refused',
      '2 hosts: nothing new',
      '',
    ]);
  });

  it('F35 has one line for all hosts that failed for one reason', () => {
    const refused = Array.from({ length: 50 }, (_, at) =>
      failed(`web${at}`, `cannot connect to "sftp://web${at}": connection refused`),
    );
    const text = formatPull([...refused, failed('db', 'cannot log in to "x": permission denied')], false);
    expect(text.split('\n')).toHaveLength(4);
    expect(text).toContain('50 hosts failed: connection refused: web0, web1, web2,');
    expect(text).toContain('web9 and 40 more\n');
    expect(text).toMatch(/^db +failed .*permission denied$/m);
  });
});
