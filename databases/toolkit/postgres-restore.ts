// Putting a dump back by pg_restore: in one transaction, so that a failure leaves the database as it was; or by several
// connections at once where asked, which can't be one transaction.
import { cannot, GarnerError } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { type Command, capture } from '../../lib/process.ts';
import { clientCommand, containerSuffix } from './container.ts';
import type { RestoreContext } from './engine.ts';
import {
  ask,
  type ClientAccess,
  checkClient,
  describeConnection,
  errorOf,
  findClient,
  openAccess,
  type PostgresConnection,
} from './postgres-client.ts';
import { EMPTY } from './postgres-contents.ts';
import { makeMissingRoles } from './postgres-roles.ts';

/** @see Engine.restore */
export async function restoreDump(
  connection: PostgresConnection,
  { decode, decodeToFile, aside, roles, jobs, signal }: RestoreContext,
): Promise<string | undefined> {
  if (jobs !== undefined && containerSuffix() !== '') {
    const cause = `the clients run${containerSuffix()}, which has no file of this host`;
    throw cannot('usage', 'restore with --jobs', `${jobs}`, cause, { hint: 'restore without --jobs' });
  }
  const { isSuperuser, major } = await ask<{ isSuperuser: boolean; major: number }>(
    connection,
    `SELECT jsonb_build_object('isSuperuser', rolsuper, 'major', current_setting('server_version_num')::int / 10000)
      FROM pg_roles WHERE rolname = current_user`,
    signal,
  );
  using access = openAccess(connection);
  await checkClient('pg_restore', connection, major, 'database-restore', access.env, signal);
  using file = jobs === undefined ? undefined : await decodeToFile();
  if (!isSuperuser) {
    info(
      `${describeConnection(connection)} is no superuser's: all will belong to this account; roles, owners and grants are left out`,
    );
  } else if (roles !== undefined) await makeMissingRoles(connection, roles, signal);
  const old = await aside?.dump();
  if (old !== undefined) await empty(connection, old, signal);

  const options = ['--exit-on-error', ...(isSuperuser ? [] : ['--no-owner', '--no-privileges'])];
  const before = old === undefined ? undefined : `what was in it is in ${old}`;
  if (file === undefined) {
    let stderr = '';
    const client = clientOf(access, [...options, '--single-transaction'], (line) => {
      if (stderr.length < 10_000) stderr += `${line}\n`;
    });
    try {
      await decode(client);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof GarnerError && error.code !== 'program-failed') throw error;
      const cause = stderr === '' ? error : errorOf({ command: client, code: 1, signal: null, stderr });
      throw cannot('database-restore', 'restore database', describeConnection(connection), cause, {
        hint: `${remedyOf(stderr)}${before ?? 'nothing of it was kept: the database is as before'}`,
      });
    }
  } else {
    const ended = await capture(clientOf(access, [...options, `--jobs=${jobs}`, file.path]), { signal });
    if (ended.code !== 0) {
      throw cannot('database-restore', 'restore database', describeConnection(connection), errorOf(ended), {
        hint: `${remedyOf(ended.stderr)}the database is partly filled now${before === undefined ? '; empty it before the next try' : `; ${before}`}`,
      });
    }
  }
  return old;
}

/** @returns what to do about an error, as the beginning of a hint */
function remedyOf(stderr: string): string {
  if (/max_locks_per_transaction/.test(stderr))
    return 'use --jobs 2, which is not one transaction, or raise max_locks_per_transaction of the server; ';
  if (/set default_tablespace/.test(stderr)) return 'create the tablespace, roles.sql tells which; ';
  return '';
}

function clientOf(access: ClientAccess, args: string[], onStderrLine?: (line: string) => void): Command {
  const { env, fds } = access;
  const file = findClient('pg_restore');
  return clientCommand({
    file,
    args: [...access.args, ...args],
    env,
    fds,
    ...(onStderrLine && { onStderrLine }),
  });
}

async function empty(connection: PostgresConnection, old: string, signal: AbortSignal): Promise<void> {
  try {
    await ask(connection, EMPTY, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw cannot('database-restore', 'empty database', describeConnection(connection), error, {
      hint: `nothing was changed; restore as a superuser, or drop it by hand; a dump of it is in ${old}`,
    });
  }
}
