// What a MySQL dump is asked on the side: answered from one snapshot, streamed, and no reason to have no dump.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startEncoding } from '../../archive/encode.ts';
import engine from '../../databases/mysql.ts';
import type { DumpFacts, SnapshotQuery } from '../../databases/toolkit/engine.ts';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';

let server: MariaDb;
let url: string;

beforeAll(async () => {
  server = await startMariadb();
  url = await server.createDatabase('shop', 'shop', 'secret');
  await server.query('CREATE TABLE t (i INT, t TEXT) ENGINE=InnoDB; INSERT INTO t VALUES (1, "a")', 'shop');
});
afterAll(() => server?.stop());

interface Answer {
  query: SnapshotQuery;
  rows: string[][];
  failures: unknown[];
}

function ask(sql: string): Answer {
  const answer: Answer = {
    rows: [],
    failures: [],
    query: {
      sql,
      onRow: (values) => answer.rows.push(values),
      onFailure: (error) => answer.failures.push(error),
    },
  };
  return answer;
}

const { signal } = new AbortController();

const dump = (queries: SnapshotQuery[], clientOptions: string[] = []): Promise<DumpFacts> =>
  engine.dump(engine.connectionFromUrl(new URL(url)), {
    encode: (commands, stdin) =>
      startEncoding(commands, () => {}, { stdin, encoding: { recipients: [] }, signal }),
    signal,
    scratchPath: (name) => name,
    expectedTables: [],
    derivedTables: [],
    withoutRoutines: false,
    clientOptions,
    queries,
  });

it('gives the values as they are', async () => {
  const text = 'tab\there\nline\\n \0 😀 NULL';
  const one = ask(`SELECT 1, CONVERT(0x${Buffer.from(text).toString('hex')} USING utf8mb4), ''`);
  const none = ask('SELECT i FROM t WHERE i < 0');
  await dump([one.query, none.query]);
  expect(one).toMatchObject({ rows: [['1', text, '']], failures: [] });
  expect(none).toMatchObject({ rows: [], failures: [] });
});

it('answers from a snapshot, whatever is written meanwhile', async () => {
  const late = ask('SELECT SLEEP(1) UNION ALL SELECT COUNT(*) FROM t');
  const state = ask('SELECT @@in_transaction, @@tx_isolation');
  const dumped = dump([late.query, state.query]);
  while (
    (await server.query(
      "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(1)%'",
    )) === '0'
  );
  await server.query('INSERT INTO t VALUES (2, "b")', 'shop');
  await dumped;
  expect(state.rows).toEqual([['1', 'REPEATABLE-READ']]);
  expect(late.rows).toEqual([['0'], ['1']]);
});

it('tells that a query failed, at its start or half-way, and dumps all the same', async () => {
  const wrong = ask('SELECT nothing FROM nowhere');
  const half = ask('SELECT IF(i = 1, 1, (SELECT 1 UNION SELECT 2)) FROM t ORDER BY i');
  const right = ask('SELECT 7');
  const facts = await dump([wrong.query, half.query, right.query]);
  expect(facts.tables).toEqual({ t: 2 });
  expect(String(wrong.failures)).toContain("Table 'shop.nowhere' doesn't exist");
  expect(String(half.failures)).toContain('Subquery returns more than 1 row');
  expect(right).toMatchObject({ rows: [['7']], failures: [] });
});

it('ends the sessions where the dump fails', async () => {
  const endless = ask('SELECT SLEEP(600)');
  await expect(dump([endless.query], ['--no-such-option'])).rejects.toThrow(/no-such-option/);
  const left = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(600)%'";
  await expect.poll(() => server.query(left), { timeout: 10_000 }).toBe('0');
});

it('streams a million rows', async () => {
  let count = 0;
  let peak = 0;
  const before = process.memoryUsage().rss;
  const failures: unknown[] = [];
  const onRow = (): void => {
    count += 1;
    if (count % 1000 === 0) peak = Math.max(peak, process.memoryUsage().rss);
  };
  const sql = "SELECT seq, REPEAT('x', 200) FROM seq_1_to_1000000";
  await dump([{ sql, onRow, onFailure: (error) => failures.push(error) }]);
  expect({ count, failures }).toEqual({ count: 1_000_000, failures: [] });
  expect(peak - before).toBeLessThan(120_000_000); // of 200 MB
});
