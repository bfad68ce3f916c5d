// PostgreSQL, through the server's own clients: one exported snapshot that is dumped and counted alike, proved whole by
// pg_dump's exit and by pg_restore, which reads the same bytes to their end and names each table's rows.
import type { Writable } from 'node:stream';
import { cannot, type GarnerError } from '../lib/errors.ts';
import { describeExit, type Ended, feed, startPipeline } from '../lib/process.ts';
import { escapeControls, plural } from '../lib/text.ts';
import { clientCommand } from './toolkit/container.ts';
import type { DumpFacts, Engine, SnapshotQuery } from './toolkit/engine.ts';
import { startChecker } from './toolkit/postgres-checker.ts';
import {
  ask,
  checkClient,
  clientError,
  describeConnection,
  findClient,
  openAccess,
  type PostgresConnection,
  type Session,
  streamRows,
  withSession,
} from './toolkit/postgres-client.ts';
import {
  HIDDEN_MAPPINGS,
  HIDDEN_SEQUENCES,
  NAMED_ROLES,
  OCCUPIED,
  shownName,
  TABLES,
  type Table,
} from './toolkit/postgres-contents.ts';
import { restoreDump } from './toolkit/postgres-restore.ts';
import { dumpRoles, serverOf } from './toolkit/postgres-roles.ts';
import { readServerUrl } from './toolkit/server-url.ts';
import { listed, quoteName } from './toolkit/sql-names.ts';

const BEGIN = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;';

/** No limit of the account's may end a session before its work is done; rows that are hidden from it are an error. */
const NO_LIMITS = `DO $$ BEGIN PERFORM set_config(name, CASE name WHEN 'row_security' THEN 'off' ELSE '0' END, false)
    FROM pg_settings WHERE name IN ('row_security', 'statement_timeout', 'lock_timeout',
      'idle_in_transaction_session_timeout', 'transaction_timeout'); END $$;`;

const DONE = 'SELECT to_jsonb(true)';

/** A snapshot that others can take. */
interface Snapshot {
  snapshot: string;
  version: string;
  major: number;
}
const EXPORT = `SELECT jsonb_build_object('snapshot', pg_export_snapshot(), 'version', current_setting('server_version'),
    'major', current_setting('server_version_num')::int / 10000)`;
/** How often a snapshot is taken anew because of tables that others made since they were listed. */
const SNAPSHOT_ATTEMPTS = 5;

async function listReadableTables(connection: PostgresConnection, session: Session): Promise<Table[]> {
  const tables = await session.ask<Table[]>(TABLES);
  const hidden = [
    ...tables.filter(({ readable }) => !readable).map(shownName),
    ...(await session.ask<string[]>(HIDDEN_SEQUENCES)),
  ];
  if (hidden.length === 0) return tables;
  throw cannot(
    'database-rights',
    'dump database',
    describeConnection(connection),
    `the account may not read ${listed(hidden)}`,
    { hint: 'GRANT pg_read_all_data TO the account, or let the owner of the tables dump them' },
  );
}

const sqlName = ({ schema, name }: Table): string => `ONLY ${quoteName(schema)}.${quoteName(name)}`;

/** What holds off TRUNCATE and ALTER TABLE, which a snapshot does not, until the transaction ends. */
function locksOf(tables: readonly Table[]): string {
  const locks: string[] = [];
  for (let at = 0; at < tables.length; at += 500)
    locks.push(
      `LOCK TABLE ${tables
        .slice(at, at + 500)
        .map(sqlName)
        .join(', ')} IN ACCESS SHARE MODE;`,
    );
  return locks.join('\n');
}

/**
 * Begins the transaction of the dump. Locks come before the snapshot: a transaction that is waited for may empty a table and
 * fill it again, and a snapshot from before its end has neither the old rows nor the new.
 */
async function takeSnapshot(
  connection: PostgresConnection,
  session: Session,
): Promise<Snapshot & { tables: Table[] }> {
  await session.ask(`${NO_LIMITS} ${DONE}`);
  let locked = await listReadableTables(connection, session);
  for (let attempt = 1; ; attempt++) {
    const snapshot = await session.ask<Snapshot>(`${BEGIN} ${locksOf(locked)} ${EXPORT}`);
    const tables = await listReadableTables(connection, session);
    const names = new Set(locked.map(sqlName));
    const late = tables.filter((table) => !names.has(sqlName(table)));
    if (late.length === 0) return { ...snapshot, tables };
    if (attempt === SNAPSHOT_ATTEMPTS) {
      await session.ask(`${locksOf(late)} ${DONE}`);
      return { ...snapshot, tables };
    }
    await session.ask(`ROLLBACK; ${DONE}`);
    locked = tables;
  }
}

async function countRows(session: Session, tables: readonly Table[]): Promise<Record<string, number>> {
  const counts: [string, number][] = [];
  for (const table of tables) {
    // rolled back: counting locks indexes too, and locks are few
    const count = `SAVEPOINT counting; SELECT to_jsonb(count(*)) FROM ${sqlName(table)}; ROLLBACK TO counting; RELEASE counting`;
    counts.push([shownName(table), await session.ask<number>(count)]);
  }
  return Object.fromEntries(counts);
}

/** Answers questions from a snapshot; one that fails says so and fails nothing else. */
async function answer(
  connection: PostgresConnection,
  snapshot: string,
  queries: readonly SnapshotQuery[],
  signal: AbortSignal,
): Promise<void> {
  const before = `${BEGIN} SET TRANSACTION SNAPSHOT '${snapshot}'; ${NO_LIMITS}`;
  for (const { sql, onRow, onFailure } of queries) {
    try {
      await streamRows(connection, { before, select: sql }, onRow, signal);
    } catch (error) {
      signal.throwIfAborted();
      onFailure(error);
    }
  }
}

/** What pg_dump left out, though it exited with 0: subscriptions without a superuser, for one. */
function warningsOf({ stderr }: Ended): DumpFacts['warnings'] {
  const said = stderr.matchAll(/^pg_dump: warning: (.*)$/gm);
  return [...said].map(([, message = '']) => ({
    code: 'dump-warning',
    message: `pg_dump: ${escapeControls(message)}`,
  }));
}

/** pg_dump writes them without their options, and not a word of it. */
function warnOfMappings(mappings: readonly string[]): DumpFacts['warnings'] {
  if (mappings.length === 0) return [];
  const message = `user mappings may be in the dump without their options, which no superuser dumps: ${listed(mappings)}`;
  return [{ code: 'database-rights', message }];
}

const engine: Engine<PostgresConnection> = {
  name: 'postgres',
  schemes: ['postgres', 'postgresql'],
  dumpSuffix: 'dump',
  fileSuffix: 'dump',

  connectionFromUrl(url) {
    const named = readServerUrl(url, 'postgresql:');
    const known = ['host', 'sslmode', 'sslrootcert'];
    const unknown = [...url.searchParams.keys()].find((name) => !known.includes(name));
    if (unknown !== undefined) {
      throw cannot('configuration', 'use database URL', 'postgresql:', `"${unknown}" is not supported`, {
        hint: `there are ${known.join(', ')}`,
      });
    }
    const parameter = (name: string): string | undefined => url.searchParams.get(name) || undefined;
    return {
      ...named,
      host: parameter('host') ?? named.host,
      sslmode: parameter('sslmode'),
      sslrootcert: parameter('sslrootcert'),
    };
  },

  describe: describeConnection,
  databaseName: ({ database }) => database,

  inspect(connection, signal) {
    return withSession(connection, signal, async (session) => ({
      serverVersion: await session.ask<string>("SELECT to_jsonb(current_setting('server_version'))"),
      sizeBytes: await session.ask<number>('SELECT to_jsonb(pg_database_size(current_database()))'),
      tables: (await session.ask<Table[]>(TABLES)).map(shownName),
    }));
  },

  dump(connection, { encode, signal, queries }) {
    const refuse = (cause: string): GarnerError =>
      cannot('database-dump', 'dump database', describeConnection(connection), cause);
    return withSession(connection, signal, async (session) => {
      const { snapshot, version, major, tables } = await takeSnapshot(connection, session);
      using access = openAccess(connection);
      for (const client of ['pg_dump', 'pg_restore'] as const)
        await checkClient(client, connection, major, 'database-dump', access.env, signal);
      const roles = await session.ask<string[]>(NAMED_ROLES);
      const mappings = await session.ask<string[]>(HIDDEN_MAPPINGS);

      const client = clientCommand({
        file: findClient('pg_dump'),
        args: ['--format=custom', '--compress=0', `--snapshot=${snapshot}`, ...access.args],
        env: access.env,
        fds: access.fds,
      });
      const dumping = startPipeline([client], { signal });
      const checker = startChecker(signal);
      const storing = encode([], 'pipe');
      const counting = countRows(session, tables);
      const answering = answer(connection, snapshot, queries, signal);
      answering.catch(() => {});
      let countError: unknown;
      counting.catch((error) => {
        countError = error;
      });
      let sizeBytes = 0;
      async function* checked(): AsyncGenerator<Buffer> {
        for await (const chunk of dumping.stdout as AsyncIterable<Buffer>) {
          sizeBytes += chunk.length;
          await checker.write(chunk);
          yield chunk;
        }
      }
      // a failure of one side must not leave the other waiting
      const fed = feed(storing.stdin as Writable, checked()).catch(() =>
        (storing.stdin as Writable).destroy(),
      );
      const [ended] = (await dumping.ended) as [Ended];
      await fed;
      await storing.ended;
      const check = await checker.end();

      if (ended.code !== 0) {
        // a snapshot that is gone is no cause
        throw countError ?? clientError('database-dump', 'dump database', connection, ended);
      }
      if (sizeBytes === 0) throw refuse('the client wrote nothing');
      if (check.ended.code !== 0) {
        throw refuse(`the dump is cut off or damaged: ${check.error || describeExit(check.ended)}`);
      }
      // a line break in a name would be one in pg_restore's message
      const missing = tables.filter(
        ({ schema, name, bytes }) =>
          !/[\r\n]/.test(schema + name) && !check.tables.has(Buffer.from(bytes, 'hex').toString('latin1')),
      );
      if (missing.length > 0) {
        throw refuse(`tables are missing from the dump: ${missing.slice(0, 20).map(shownName).join(', ')}`);
      }
      const counts = await counting;
      await answering;
      await session.ask(`COMMIT; ${DONE}`); // the snapshot lived to the end
      return {
        serverVersion: version,
        tables: counts,
        roles,
        uncompressedSizeBytes: sizeBytes,
        warnings: [...warningsOf(ended), ...warnOfMappings(mappings)],
      };
    });
  },

  async occupied(connection, signal) {
    const { tables, others } = await ask<{ tables: number; others: number }>(connection, OCCUPIED, signal);
    if (tables > 0) return plural(tables, 'table');
    return others > 0 ? plural(others, 'object') : undefined;
  },

  restore: restoreDump,
  restoresInParallel: true,
  runsInContainer: true,

  roles: { serverOf, dump: dumpRoles },
};

export default engine;
