// PostgreSQL, through the server's own clients: one exported snapshot that is dumped and counted alike, proved whole by
// pg_dump's exit and by pg_restore, which reads the same bytes to their end and names each table's rows.
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { cannot, GarnerError } from '../lib/errors.ts';
import { info } from '../lib/log.ts';
import { type Command, captureOk, describeExit, type Ended, feed, startPipeline } from '../lib/process.ts';
import type { Engine, SnapshotQuery } from './toolkit/engine.ts';
import {
  ask,
  clientError,
  describeConnection,
  errorOf,
  findClient,
  openAccess,
  type PostgresConnection,
  quoteName,
  type Session,
  streamRows,
  withSession,
} from './toolkit/postgres-client.ts';

/** Schemas that are not the server's own. */
const USER_SCHEMA = "nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'";

const notOfExtension = (catalog: string, alias: string): string =>
  `NOT EXISTS (SELECT FROM pg_depend WHERE classid = '${catalog}'::regclass AND objid = ${alias}.oid AND deptype = 'e')`;

interface Table {
  schema: string;
  name: string;
  readable: boolean;
}

/** Tables that have rows of their own: partitions, not what they are partitions of; none that an extension makes anew. */
const TABLES = `SELECT coalesce(jsonb_agg(jsonb_build_object('schema', nspname, 'name', relname, 'readable',
    has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')) ORDER BY nspname, relname), '[]')
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE relkind = 'r' AND relpersistence <> 't' AND ${USER_SCHEMA} AND ${notOfExtension('pg_class', 'c')}`;

const BEGIN = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;';

/** No limit of the account's may end a session before its work is done; rows that are hidden from it are an error. */
const NO_LIMITS = `DO $$ BEGIN PERFORM set_config(name, CASE name WHEN 'row_security' THEN 'off' ELSE '0' END, true)
    FROM pg_settings WHERE name IN ('row_security', 'statement_timeout', 'lock_timeout',
      'idle_in_transaction_session_timeout', 'transaction_timeout'); END $$;`;

/** A snapshot that others can take. */
const EXPORT = `${BEGIN} ${NO_LIMITS}
  SELECT jsonb_build_object('snapshot', pg_export_snapshot(), 'version', current_setting('server_version'),
    'major', current_setting('server_version_num')::int / 10000)`;

/** What a restore would meet: all kinds that applications make. */
const OCCUPIED = `SELECT jsonb_build_object(
  'tables', (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relpersistence <> 't' AND ${USER_SCHEMA} AND ${notOfExtension('pg_class', 'c')}),
  'others', (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind = 'S' AND ${USER_SCHEMA})
    + (SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
    WHERE ${USER_SCHEMA} AND ${notOfExtension('pg_proc', 'p')})
    + (SELECT count(*) FROM pg_namespace n WHERE ${USER_SCHEMA} AND nspname <> 'public' AND ${notOfExtension('pg_namespace', 'n')})
    + (SELECT count(*) FROM pg_largeobject_metadata))`;

/** Drops all that is in a database, by what its owner may do, and makes the schema public as the server makes it. */
const EMPTY = `DO $$ DECLARE x text; BEGIN
  FOR x IN SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' LOOP
    EXECUTE format('DROP EXTENSION IF EXISTS %I CASCADE', x); END LOOP;
  FOR x IN SELECT nspname FROM pg_namespace WHERE ${USER_SCHEMA} LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', x); END LOOP;
  PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
  CREATE SCHEMA public;
  COMMENT ON SCHEMA public IS 'standard public schema';
  IF current_setting('server_version_num')::int < 150000 THEN GRANT ALL ON SCHEMA public TO PUBLIC;
  ELSE ALTER SCHEMA public OWNER TO pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC; END IF;
END $$; SELECT to_jsonb(true)`;

const shownName = ({ schema, name }: Table): string => (schema === 'public' ? name : `${schema}.${name}`);

/** @throws database-dump where pg_dump is older than the server: it would refuse, or leave out what it doesn't know */
async function checkClient(
  connection: PostgresConnection,
  serverMajor: number,
  env: Record<string, string>,
  signal: AbortSignal,
): Promise<void> {
  const text = await captureOk({ file: findClient('pg_dump'), args: ['--version'], env }, { signal });
  const major = Number(/(\d+)/.exec(text)?.[1]);
  if (major >= serverMajor) return;
  throw cannot(
    'database-dump',
    'dump database',
    describeConnection(connection),
    `pg_dump ${major} is older than the server, which is PostgreSQL ${serverMajor}`,
    { hint: `apt-get install postgresql-client-${serverMajor}` },
  );
}

async function listReadableTables(connection: PostgresConnection, session: Session): Promise<Table[]> {
  const tables = await session.ask<Table[]>(TABLES);
  const hidden = tables.filter(({ readable }) => !readable).map(shownName);
  if (hidden.length === 0) return tables;
  throw cannot(
    'database-rights',
    'dump database',
    describeConnection(connection),
    `the account may not read ${hidden.slice(0, 20).join(', ')}${hidden.length > 20 ? ' …' : ''}`,
    { hint: 'GRANT pg_read_all_data TO the account, or let the owner of the tables dump them' },
  );
}

async function countRows(session: Session, tables: readonly Table[]): Promise<Record<string, number>> {
  const counts: [string, number][] = [];
  for (const table of tables) {
    const name = `${quoteName(table.schema)}.${quoteName(table.name)}`;
    counts.push([shownName(table), await session.ask<number>(`SELECT to_jsonb(count(*)) FROM ONLY ${name}`)]);
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

interface Checker {
  /** Takes a part of the dump; waits while there is too much of it. */
  write(chunk: Buffer): Promise<void>;
  /** @returns how it ended, and the tables whose rows it has read, as `schema.name` */
  end(): Promise<{ ended: Ended; tables: Set<string>; error: string }>;
}

/** Lets pg_restore read a dump as a restore would, to its end, into nothing: one that is cut off fails. */
function startChecker(signal: AbortSignal): Checker {
  const tables = new Set<string>();
  let error = '';
  const command: Command = {
    file: findClient('pg_restore'),
    args: ['--verbose', '--file=/dev/null'],
    onStderrLine(line) {
      const table = /^pg_restore: processing data for table "(.*)"$/.exec(line)?.[1];
      if (table !== undefined) tables.add(table);
      else error ||= /^pg_restore: (?:error|fatal): (.*)$/.exec(line)?.[1] ?? '';
    },
  };
  const { stdin, stdout, ended } = startPipeline([command], { stdin: 'pipe', signal });
  const input = stdin as Writable;
  stdout.resume();
  const closed = once(input, 'close').catch(() => {});
  return {
    async write(chunk) {
      if (input.destroyed || input.write(chunk)) return;
      const waiting = new AbortController();
      await Promise.race([once(input, 'drain', { signal: waiting.signal }).catch(() => {}), closed]);
      waiting.abort();
    },
    async end() {
      input.end();
      const [exit] = await ended;
      return { ended: exit as Ended, tables, error };
    },
  };
}

const engine: Engine<PostgresConnection> = {
  name: 'postgres',
  schemes: ['postgres', 'postgresql'],
  dumpSuffix: 'dump',
  fileSuffix: 'dump',

  connectionFromUrl(url) {
    const database = decodeURIComponent(url.pathname.slice(1));
    if (database === '') {
      throw cannot('configuration', 'use database URL', 'postgresql:', 'it names no database');
    }
    const known = ['host', 'sslmode', 'sslrootcert'];
    const unknown = [...url.searchParams.keys()].find((name) => !known.includes(name));
    if (unknown !== undefined) {
      throw cannot('configuration', 'use database URL', 'postgresql:', `"${unknown}" is not supported`, {
        hint: `there are ${known.join(', ')}`,
      });
    }
    const decoded = (part: string): string | undefined => decodeURIComponent(part) || undefined;
    const parameter = (name: string): string | undefined => url.searchParams.get(name) || undefined;
    return {
      host: parameter('host') ?? decoded(url.hostname.replace(/^\[(.*)\]$/, '$1')),
      port: url.port === '' ? undefined : Number(url.port),
      user: decoded(url.username),
      password: decoded(url.password),
      database,
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
      const { snapshot, version, major } = await session.ask<{
        snapshot: string;
        version: string;
        major: number;
      }>(EXPORT);
      using access = openAccess(connection);
      await checkClient(connection, major, access.env, signal);
      const tables = await listReadableTables(connection, session);

      const client: Command = {
        file: findClient('pg_dump'),
        args: ['--format=custom', '--compress=0', `--snapshot=${snapshot}`, ...access.args],
        env: access.env,
        fds: access.fds,
      };
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
        ({ schema, name }) => !/[\r\n]/.test(schema + name) && !check.tables.has(`${schema}.${name}`),
      );
      if (missing.length > 0) {
        throw refuse(`tables are missing from the dump: ${missing.slice(0, 20).map(shownName).join(', ')}`);
      }
      const counts = await counting;
      await answering;
      await session.ask('COMMIT; SELECT to_jsonb(true)'); // the snapshot lived to the end
      return {
        serverVersion: version,
        tables: counts,
        uncompressedSizeBytes: sizeBytes,
        warnings: [],
      };
    });
  },

  async occupied(connection, signal) {
    const { tables, others } = await ask<{ tables: number; others: number }>(connection, OCCUPIED, signal);
    if (tables > 0) return `${tables} tables`;
    return others > 0 ? `${others} objects` : undefined;
  },

  async restore(connection, { decode, aside, signal }) {
    const isSuperuser = await ask<boolean>(
      connection,
      'SELECT to_jsonb(rolsuper) FROM pg_roles WHERE rolname = current_user',
      signal,
    );
    if (!isSuperuser) {
      info(
        `${describeConnection(connection)} is no superuser's: all will belong to this account, grants are left out`,
      );
    }
    const old = await aside?.dump();
    if (old !== undefined) await ask(connection, EMPTY, signal);
    using access = openAccess(connection);
    let stderr = '';
    const client: Command = {
      file: findClient('pg_restore'),
      args: [
        ...['--exit-on-error', '--single-transaction', ...access.args],
        ...(isSuperuser ? [] : ['--no-owner', '--no-privileges']),
      ],
      env: access.env,
      fds: access.fds,
      onStderrLine: (line) => {
        if (stderr.length < 10_000) stderr += `${line}\n`;
      },
    };
    try {
      await decode(client);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof GarnerError && error.code !== 'program-failed') throw error;
      const cause = stderr === '' ? error : errorOf({ command: client, code: 1, signal: null, stderr });
      throw cannot('database-restore', 'restore database', describeConnection(connection), cause, {
        hint:
          old === undefined
            ? 'nothing of it was kept: the database is as before'
            : `what was in it is in ${old}`,
      });
    }
    return old;
  },
};

export default engine;
