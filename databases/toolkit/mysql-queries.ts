// Questions to a database that is being dumped: each is answered in a session of its own, from a snapshot that is taken just
// before the dump's. Rows stream, memory stays flat.
import type { Readable } from 'node:stream';
import { startPipeline } from '../../lib/process.ts';
import type { SnapshotQuery } from './engine.ts';
import { clientError, type MysqlConnection, openAccess, readRow, sqlClient } from './mysql-client.ts';

async function* rowsOf(stream: Readable): AsyncGenerator<string[]> {
  let rest = '';
  for await (const text of stream.setEncoding('utf8') as AsyncIterable<string>) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() as string;
    for (const line of lines) yield readRow(line);
  }
}

async function answer(
  connection: MysqlConnection,
  { sql, onRow }: SnapshotQuery,
  onSnapshot: () => void,
  signal: AbortSignal,
): Promise<void> {
  using access = openAccess(connection);
  // unbuffered: the row that tells of the snapshot comes at once
  const client = startPipeline([sqlClient(connection, access, ['--quick', '--unbuffered'])], {
    stdin: 'pipe',
    signal,
  });
  client.stdin?.end(`START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY;\nSELECT 'snapshot';\n${sql};\n`);
  const rows = rowsOf(client.stdout);
  await rows.next();
  onSnapshot();
  for await (const values of rows) onRow(values);
  const [ended] = await client.ended;
  if (ended !== undefined && ended.code !== 0) throw clientError(ended, 'query database', connection);
}

/**
 * Starts sessions that answer.
 * @returns when each has its snapshot; `answered` settles when all are answered, and never rejects: failures go to
 *   the query that failed
 */
export async function startQueries(
  connection: MysqlConnection,
  queries: readonly SnapshotQuery[],
  signal: AbortSignal,
): Promise<{ answered: Promise<unknown> }> {
  const running = queries.map((query) => {
    const { promise: snapshot, resolve } = Promise.withResolvers<void>();
    const answered = answer(connection, query, resolve, signal).catch(query.onFailure).finally(resolve);
    return { snapshot, answered };
  });
  await Promise.all(running.map(({ snapshot }) => snapshot));
  return { answered: Promise.all(running.map(({ answered }) => answered)) };
}
