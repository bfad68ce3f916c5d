// A private Redis for tests: loopback and a socket of its own, in a directory of its own, gone with the test file.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { freePort } from './mariadb.ts';

export interface Redis extends AsyncDisposable {
  readonly directory: string;
  readonly port: number;
  readonly socket: string;
  readonly config: string;
  /** Runs one command as the administrator. */
  run(...command: string[]): Promise<string>;
  /** Runs many, one in a line, in redis-cli's quoting: `"\x00"`. */
  runLines(lines: string): Promise<void>;
  /** @returns what tells every difference between two servers: Redis' own digest of each database, keys and functions */
  state(): Promise<string>;
  stop(): Promise<void>;
}

/**
 * Starts a server.
 * @param password of the account `default`
 * @param settings more lines for its configuration
 * @param wrap a command that runs it
 */
export async function startRedis(
  password: string,
  settings: string[] = [],
  wrap: string[] = [],
): Promise<Redis> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-redis-'));
  const [socket, config] = [join(directory, 'socket'), join(directory, 'redis.conf')];
  const port = await freePort();
  const quoted = `"${password.replace(/[\\"]/g, '\\$&')}"`;
  const lines = [
    `port ${port}`,
    ...[
      'bind 127.0.0.1',
      `unixsocket ${socket}`,
      `dir ${directory}`,
      'save ""',
      'enable-debug-command local',
      'repl-diskless-sync-delay 0', // it waits five seconds for more replicas
    ],
    ...[`logfile ${join(directory, 'log')}`, '# requirepass old', `requirepass ${quoted}`, ...settings],
  ];
  writeFileSync(config, `${lines.join('\r\n')}\r\n`, { mode: 0o600 });
  // setpriv: the server ends with the test process, however that ends
  const [program = '', ...args] = [...wrap, 'setpriv', '--pdeathsig', 'KILL', 'redis-server', config];
  const server = execa(program, args, { stdio: 'ignore', reject: false });
  const client = (args: string[], input?: string) =>
    execa('redis-cli', ['-s', socket, '-e', ...args], {
      env: { REDISCLI_AUTH: password },
      ...(input !== undefined && { input }),
    });
  const run = async (...command: string[]): Promise<string> => (await client(command)).stdout;
  const stop = async (): Promise<void> => {
    server.kill('SIGKILL');
    await server;
    rmSync(directory, { recursive: true, force: true });
  };
  for (let tries = 0; ; tries++) {
    try {
      await run('PING');
      break;
    } catch (error) {
      if (tries === 400) throw error;
      await sleep(50);
    }
  }
  return {
    directory,
    port,
    socket,
    config,
    run,
    async runLines(text) {
      const { stdout } = await client([], text);
      const wrong = stdout.split('\n').find((line) => /^(ERR|WRONGTYPE|NOAUTH)\b/.test(line));
      if (wrong !== undefined) throw new Error(wrong);
    },
    async state() {
      const parts = [await run('DEBUG', 'DIGEST'), await run('FUNCTION', 'LIST', 'WITHCODE')];
      for (const database of ['0', '3', '15']) parts.push(await run('-n', database, 'EVAL', STATE, '0'));
      return parts.join('\n');
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Each key with its kind and expiry; streams with their groups. */
const STATE = `local out = {}
  for _, key in ipairs(redis.call('KEYS', '*')) do
    local type = redis.call('TYPE', key)['ok']
    local line = type .. ' ' .. key .. ' ' .. redis.call('PEXPIRETIME', key)
    if type == 'stream' then line = line .. ' ' .. cjson.encode(redis.call('XINFO', 'GROUPS', key)) end
    out[#out + 1] = line
  end
  table.sort(out)
  return out`;
