// The roles of a PostgreSQL server, which are in no database's dump: all of them as SQL by pg_dumpall, and those that a
// restored database names and a server lacks made from that. A role that exists is never changed, a tablespace never made.
import { cannot } from '../../lib/errors.ts';
import { info, warn } from '../../lib/log.ts';
import { capture } from '../../lib/process.ts';
import { clientCommand } from './container.ts';
import type { ArchivedRoles } from './engine.ts';
import {
  ask,
  clientError,
  describeConnection,
  findClient,
  openAccess,
  type PostgresConnection,
} from './postgres-client.ts';
import { quoteName } from './sql-names.ts';

/** @returns what is the same for all databases of one server that an account comes to */
export const serverOf = ({ host, port, user }: PostgresConnection): string =>
  JSON.stringify([host, port, user]);

/**
 * @returns SQL that makes all roles of the server, with the hashes of their passwords where the account may read those
 * @throws database-dump where it can't be had whole
 */
export async function dumpRoles(connection: PostgresConnection, signal: AbortSignal): Promise<string> {
  const seesHashes = await ask<boolean>(
    connection,
    "SELECT to_jsonb(has_table_privilege('pg_authid', 'SELECT'))",
    signal,
  );
  using access = openAccess(connection);
  const ended = await capture(
    clientCommand({
      file: findClient('pg_dumpall'),
      args: [
        ...['--globals-only', `--database=${connection.database}`, ...access.args],
        ...(seesHashes ? [] : ['--no-role-passwords']),
      ],
      env: access.env,
      fds: access.fds,
    }),
    { signal },
  );
  if (ended.code !== 0) throw clientError('database-dump', 'dump the roles of', connection, ended);
  if (!/^-- PostgreSQL database cluster dump complete$/m.test(ended.stdout.slice(-500))) {
    throw cannot('database-dump', 'dump the roles of', describeConnection(connection), 'the dump is cut off');
  }
  info(
    `roles of ${describeConnection(connection)}: ${seesHashes ? 'with' : 'without'} the hashes of their passwords`,
  );
  return ended.stdout;
}

const NAME = '("(?:[^"]|"")*"|[a-z_][a-z0-9_$]*)';
const OF_ROLE = new RegExp(`^(?:CREATE ROLE|ALTER ROLE|COMMENT ON ROLE) ${NAME}(?=$| (?:WITH|SET|IS) )`);
const MEMBERSHIP = new RegExp(`^GRANT ${NAME} TO ${NAME}( WITH [A-Z ,]+?)?(?: GRANTED BY ${NAME})?$`);

/** @returns the statements of pg_dumpall's SQL, without comments and psql's own commands */
function statementsOf(sql: string): string[] {
  const tokens = sql.matchAll(/"(?:[^"]|"")*"|'(?:[^']|'')*'|--[^\n]*|\\[^\n]*|;|[^"'\\;-]+|-/g);
  const statements = [''];
  for (const [token] of tokens) {
    if (token === ';') statements.push('');
    else if (!/^(--|\\)/.test(token)) statements.push(statements.pop() + token);
  }
  return statements.map((statement) => statement.trim());
}

const unquote = (name: string): string =>
  name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;

/** @returns the statements that make roles, and what they are members of, of those that are there then */
export function statementsFor(
  wanted: ReadonlySet<string>,
  there: ReadonlySet<string>,
  sql: string,
): string[] {
  const chosen: string[] = [];
  for (const statement of statementsOf(sql)) {
    const name = OF_ROLE.exec(statement)?.[1];
    if (name !== undefined && wanted.has(unquote(name))) chosen.push(statement);
    const [, group, member, option = ''] = MEMBERSHIP.exec(statement) ?? [];
    if (group === undefined || member === undefined || !wanted.has(unquote(member))) continue;
    // the grantor may be none of this server's
    if (wanted.has(unquote(group)) || there.has(unquote(group)))
      chosen.push(`GRANT ${group} TO ${member}${option}`);
  }
  return chosen;
}

/**
 * Makes the roles that a database names and that the server lacks, all or none.
 * @throws database-restore where the server refuses one
 */
export async function makeMissingRoles(
  connection: PostgresConnection,
  { names, readSql }: ArchivedRoles,
  signal: AbortSignal,
): Promise<void> {
  const there = new Set(await ask<string[]>(connection, 'SELECT jsonb_agg(rolname) FROM pg_roles', signal));
  const missing = new Set(names.filter((name) => !there.has(name)));
  if (missing.size === 0) return;
  const statements = statementsFor(missing, there, await readSql());
  const known = new Set(
    statements.flatMap((text) => OF_ROLE.exec(text)?.[1] ?? []).map((name) => unquote(name)),
  );
  const unknown = [...missing].filter((name) => !known.has(name));
  statements.push(...unknown.map((name) => `CREATE ROLE ${quoteName(name)}`));
  // as data: psql must find no command of its own in what an archive says
  const sent = Buffer.from(statements.map((text) => `${text};`).join('\n')).toString('hex');
  const make = `DO $$ BEGIN EXECUTE convert_from(decode('${sent}', 'hex'), 'UTF8'); END $$; SELECT to_jsonb(true)`;
  try {
    await ask(connection, make, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw cannot('database-restore', 'make the roles of', describeConnection(connection), error, {
      hint: 'nothing was changed; make them by hand, then restore again',
    });
  }
  for (const name of known) info(`role ${name} was missing: made, as it was where the archive is from`);
  for (const name of unknown)
    warn(`role ${name} was missing, and the archive has no more than its name: made`);
}
