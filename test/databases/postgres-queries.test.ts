// Questions of an agent, answered by the PostgreSQL engine in the dump's own snapshot.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startEncoding } from '../../archive/encode.ts';
import engine from '../../databases/postgres.ts';
import type { SnapshotQuery } from '../../databases/toolkit/engine.ts';
import type { PostgresConnection } from '../../databases/toolkit/postgres-client.ts';
import { type Postgres, startPostgres } from '../helpers/postgres.ts';

const { signal } = new AbortController();
let server: Postgres;
let connection: PostgresConnection;

beforeAll(async () => {
  server = await startPostgres();
  await server.query('CREATE DATABASE asked');
  connection = { host: server.socketDir, port: server.port, user: 'root', database: 'asked' };
});
afterAll(() => server?.stop());

/** Dumps into nothing. @returns the counts, the rows of each question, and what failed */
async function dump(sqls: string[], onRow?: (values: string[]) => void) {
  const rows: string[][][] = sqls.map(() => []);
  const failures: unknown[] = [];
  const queries: SnapshotQuery[] = sqls.map((sql, index) => ({
    sql,
    onRow: onRow ?? ((values) => rows[index]?.push(values)),
    onFailure: (error) => failures.push(error),
  }));
  const { tables } = await engine.dump(connection, {
    encode: (commands, stdin) =>
      startEncoding(commands, () => {}, { stdin, encoding: { recipients: [] }, signal }),
    signal,
    scratchPath: (name) => name,
    expectedTables: [],
    derivedTables: [],
    withoutRoutines: false,
    clientOptions: [],
    queries,
  });
  return { tables, rows, failures };
}

it('gives columns in their order and values as they are, whatever characters they have', async () => {
  await server.query('CREATE TABLE hard(n int, t text)', 'asked');
  const texts = ['', '\\', '\\N', '\\.', 'a\tb\nc\rd\be\ff\vg', "it's", '{"a,b"}', '🦔\u2028', 'ends in \\'];
  for (const [index, text] of texts.entries()) {
    await server.query(`INSERT INTO hard VALUES (${index}, $text$${text}$text$)`, 'asked');
  }
  const { rows, failures } = await dump(['SELECT t, n AS "1", t FROM hard ORDER BY n -- a comment']);
  expect(failures).toEqual([]);
  expect(rows[0]).toEqual(texts.map((text, index) => [text, `${index}`, text]));
});

it('tells of a question that fails, answers the others, and dumps all the same', async () => {
  const { tables, rows, failures } = await dump(['SELECT x FROM absent', 'SELECT 1/0', 'SELECT 1, true']);
  expect(failures.map((error) => (error as Error).message)).toEqual([
    expect.stringContaining('relation "absent" does not exist'),
    expect.stringContaining('division by zero'),
  ]);
  expect(rows).toEqual([[], [], [['1', 't']]]);
  expect(tables.hard).toBe(9);
});

it('answers from the moment of the dump, while others write', async () => {
  await server.query('CREATE TABLE busy AS SELECT generate_series(1, 1000) i', 'asked');
  let writing = true;
  const writer = (async () => {
    while (writing) await server.query('INSERT INTO busy SELECT generate_series(1, 100)', 'asked');
  })();
  const { tables, rows } = await dump([
    'SELECT count(*) FROM busy, pg_sleep(0.3)',
    'SELECT count(*) FROM busy',
  ]);
  writing = false;
  await writer;
  expect(rows).toEqual([[[`${tables.busy}`]], [[`${tables.busy}`]]]);
  expect(Number(await server.query('SELECT count(*) FROM busy', 'asked'))).toBeGreaterThan(
    tables.busy as number,
  );
});

it('streams a million rows in flat memory', async () => {
  let count = 0;
  let most = 0;
  const before = process.memoryUsage().rss;
  const { failures } = await dump(
    ["SELECT i, repeat('name of a file ', 10) FROM generate_series(1, 1000000) i"],
    () => {
      count += 1;
      if (count % 10_000 === 0) most = Math.max(most, process.memoryUsage().rss);
    },
  );
  expect({ count, failures }).toEqual({ count: 1_000_000, failures: [] });
  expect(most - before).toBeLessThan(120 << 20); // it is 165 MB of text
});
