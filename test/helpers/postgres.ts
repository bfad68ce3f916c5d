// A private PostgreSQL for tests: loopback and a socket of its own, in a directory of its own, gone with the test file.
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { freePort } from './mariadb.ts';
import { onceInRun } from './of-run.ts';

const START_LIMIT_MS = 60_000;
const PROGRAMS = '/usr/lib/postgresql';

export interface Postgres extends AsyncDisposable {
  readonly port: number;
  /** The directory of its socket; there everybody may come as the superuser `root`. */
  readonly socketDir: string;
  /** Runs SQL as the superuser. @returns rows as lines, columns separated by `|`, without a heading */
  query(sql: string, database?: string): Promise<string>;
  /**
   * Makes an empty database and an account that owns it and that comes by the port with its password.
   * @returns its URL: postgresql://user:password@127.0.0.1:port/name
   */
  createDatabase(name: string, user: string, password: string): Promise<string>;
  /** @returns the whole database as SQL, by its own client, without what differs from run to run */
  dump(database: string): Promise<string>;
  /** Ends the server as a crash would. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** PostgreSQL refuses to run as root. */
async function unprivilegedUser(): Promise<{ uid: number; gid: number } | undefined> {
  if (userInfo().uid !== 0) return undefined;
  const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => execa('id', [flag, 'postgres'])));
  return { uid: Number(uid?.stdout), gid: Number(gid?.stdout) };
}

/** @returns a directory to be copied: making one takes ten times as long */
async function emptyDataDirectory(
  bin: string,
  user: { uid: number; gid: number } | undefined,
): Promise<string> {
  const directory = await onceInRun('postgres', async (making) => {
    if (user !== undefined) chownSync(making, user.uid, user.gid);
    await execa(
      join(bin, 'initdb'),
      [
        ...['-D', join(making, 'data'), '-U', 'root', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'],
        ...['--auth-local=trust', '--auth-host=scram-sha-256'],
      ],
      { ...user, cwd: making, env: { LC_ALL: 'C.UTF-8' } },
    );
  });
  return join(directory, 'data');
}

/**
 * @param options more options of the server, e.g. `-c max_connections=5`
 * @param wrap a command that runs it: `['nsenter', …]`; its port is then the usual one
 */
export async function startPostgres(options: string[] = [], wrap: string[] = []): Promise<Postgres> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-postgres-'));
  const home = join(directory, 'server');
  mkdirSync(home);
  const user = await unprivilegedUser();
  if (user !== undefined) chownSync(home, user.uid, user.gid);
  chmodSync(directory, 0o755);
  // setpriv: the server ends with the test process, however that ends
  const asUser = user === undefined ? [] : [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'];
  const bin = join(PROGRAMS, readdirSync(PROGRAMS).sort().at(-1) as string, 'bin');
  const data = join(home, 'data');
  const port = wrap.length > 0 ? 5432 : await freePort();
  const run = (program: string, args: string[], signals: string[] = []) => {
    const [file = '', ...before] = [...wrap, 'setpriv'];
    return execa(file, [...before, ...asUser, ...signals, join(bin, program), ...args], {
      cwd: home,
      reject: false,
      all: true,
      env: { LC_ALL: 'C.UTF-8' },
    });
  };
  await execa('cp', ['-a', await emptyDataDirectory(bin, user), data]);
  const server = run(
    'postgres',
    [
      ...['-D', data, '-k', home, '-p', `${port}`, '-c', 'listen_addresses=127.0.0.1'],
      ...['-c', 'fsync=off', '-c', 'full_page_writes=off', '-c', 'synchronous_commit=off', ...options],
    ],
    ['--pdeathsig', 'INT'],
  );
  let ended = false;
  server.finally(() => {
    ended = true;
  });
  const local = ['-h', home, '-p', `${port}`, '-U', 'root'];
  const client = { env: { LC_ALL: 'C.UTF-8' } };
  const query: Postgres['query'] = async (sql, database = 'postgres') =>
    (
      await execa('psql', ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', ...local, '-d', database], {
        ...client,
        input: sql,
      })
    ).stdout;
  const kill = async (): Promise<void> => {
    server.kill('SIGQUIT'); // immediate shutdown: no checkpoint, clients cut off, and no child is left
    await server;
  };
  const stop = async (): Promise<void> => {
    await kill();
    rmSync(directory, { recursive: true, force: true });
  };

  const deadline = Date.now() + START_LIMIT_MS;
  for (let up = false, last: unknown; !up; ) {
    if (ended || Date.now() > deadline) {
      server.kill('SIGQUIT');
      throw new Error(`postgres did not start: ${(await server).all}`, { cause: last });
    }
    try {
      await query('SELECT 1');
      up = true;
    } catch (error) {
      last = error;
      await sleep(50);
    }
  }
  return {
    port,
    socketDir: home,
    query,
    async createDatabase(name, owner, password) {
      const literal = `'${password.replaceAll("'", "''")}'`;
      const exists = await query(`SELECT 1 FROM pg_roles WHERE rolname = '${owner}'`);
      if (exists === '')
        await query(
          `SET password_encryption = 'scram-sha-256'; CREATE ROLE "${owner}" LOGIN PASSWORD ${literal}`,
        );
      await query(`CREATE DATABASE "${name}" OWNER "${owner}"`);
      return `postgresql://${owner}:${encodeURIComponent(password)}@127.0.0.1:${port}/${name}`;
    },
    async dump(database) {
      const { stdout } = await execa('pg_dump', [...local, '-d', database], client);
      return stdout.replace(/^\\(un)?restrict .*\n/gm, '');
    },
    kill,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
