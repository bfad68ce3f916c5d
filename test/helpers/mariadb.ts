// A private MariaDB for tests: loopback and a socket of its own, in a directory of its own, gone with the test file.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { onceInRun } from './of-run.ts';

const START_LIMIT_MS = 60_000;

export interface MariaDb extends AsyncDisposable {
  readonly port: number;
  readonly socket: string;
  readonly pid: number;
  /** Runs SQL as root. @returns rows as lines, columns separated by tabs, without a heading */
  query(sql: string, database?: string): Promise<string>;
  /**
   * Makes an empty database and an account for it, which may come by the port or by the socket.
   * @param rights what the account may do in it
   * @returns its URL: mysql://user:password@127.0.0.1:port/name
   */
  createDatabase(name: string, user: string, password: string, rights?: string): Promise<string>;
  /** Ends the server as a crash would. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** @returns a TCP port of 127.0.0.1 that nothing listens on */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** @returns a directory to be copied: making one takes ten times as long */
async function emptyDataDirectory(): Promise<string> {
  const directory = await onceInRun('mariadb', async (making) => {
    const options = ['--no-defaults', `--datadir=${join(making, 'data')}`, `--user=${userInfo().username}`];
    // a server that starts sweeps its tmpdir, and /tmp is that of all
    const install = [
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
      '--innodb-log-file-size=8M',
    ];
    await execa('mariadb-install-db', [...options, ...install], { env: { TMPDIR: making } });
  });
  return join(directory, 'data');
}

/**
 * Starts a server.
 * @param options more options of mariadbd, e.g. `--max-allowed-packet=16M`
 * @param wrap a command that runs it: `['nsenter', …]`
 */
export async function startMariadb(options: string[] = [], wrap: string[] = []): Promise<MariaDb> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-mariadb-'));
  const datadir = join(directory, 'data');
  const socket = join(directory, 'socket');
  const log = join(directory, 'log');
  const port = await freePort();
  const common = ['--no-defaults', `--datadir=${datadir}`, `--user=${userInfo().username}`];
  await execa('cp', ['-a', await emptyDataDirectory(), datadir]);
  // setpriv: the server ends with the test process, however that ends
  const server = execa(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', ...wrap, '/usr/sbin/mariadbd', ...common],
      ...[`--port=${port}`, '--bind-address=127.0.0.1', `--socket=${socket}`],
      ...[`--pid-file=${join(directory, 'pid')}`, `--log-error=${log}`, '--skip-name-resolve'],
      `--tmpdir=${datadir}`,
      '--innodb-log-file-size=8M',
      ...['--innodb-buffer-pool-size=64M', '--innodb-flush-log-at-trx-commit=0', ...options],
    ],
    { stdio: 'ignore', reject: false },
  );
  let ended = false;
  server.finally(() => {
    ended = true;
  });
  const root = ['--no-defaults', '--user=root', `--socket=${socket}`, '--batch', '--skip-column-names'];
  const query: MariaDb['query'] = async (sql, database = '') => {
    const client = ['--default-character-set=utf8mb4', `--database=${database}`];
    return (await execa('mariadb', [...root, ...client], { input: sql })).stdout;
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    server.kill(signal);
    await server;
  };
  const stop = async (): Promise<void> => {
    await end('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };

  const deadline = Date.now() + START_LIMIT_MS;
  let last: unknown;
  for (let up = false; !up; ) {
    if (ended || Date.now() > deadline) {
      await end('SIGKILL');
      throw new Error(`mariadbd did not start: ${readFileSync(log, 'utf8')}`, { cause: last });
    }
    try {
      // accounts without a name win over 'user'@'%' on the socket
      await query("DELETE FROM mysql.global_priv WHERE User = ''; FLUSH PRIVILEGES;");
      up = true;
    } catch (error) {
      last = error;
      await sleep(50);
    }
  }
  return {
    port,
    socket,
    pid: server.pid as number,
    query,
    async createDatabase(name, user, password, rights = 'ALL PRIVILEGES') {
      const literal = password.replace(/['\\]/g, '\\$&');
      await query(
        `CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4;
         CREATE USER IF NOT EXISTS '${user}'@'%' IDENTIFIED BY '${literal}';
         GRANT ${rights} ON \`${name}\`.* TO '${user}'@'%';`,
      );
      return `mysql://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}/${name}`;
    },
    kill: () => end('SIGKILL'),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
