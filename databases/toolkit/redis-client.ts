// Running redis-cli: the password on stdin, where neither other users nor a look into the environment can see it.
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { cannot, type ErrorCode, type GarnerError } from '../../lib/errors.ts';
import { type Command, capture, describeExit, type Ended, startPipeline } from '../../lib/process.ts';
import { registerSecret } from '../../lib/redact.ts';
import { escapeControls } from '../../lib/text.ts';
import { clientCommand, containerSuffix, findClientProgram, serverAddress } from './container.ts';

/** What isn't set is the client's own default: 127.0.0.1:6379, no account. */
export interface RedisConnection {
  host?: string | undefined;
  port?: number | undefined;
  socket?: string | undefined;
  /** An account of Redis' ACL; undefined: the default one. */
  user?: string | undefined;
  password?: string | undefined;
  /** Undefined: no TLS. */
  tls?: { cacert?: string | undefined; cert?: string | undefined; key?: string | undefined } | undefined;
}

/** @returns `user@host:port`, as far as it is set */
export function describeConnection({
  host = 'localhost',
  port = 6379,
  socket,
  user,
}: RedisConnection): string {
  return `${user === undefined ? '' : `${user}@`}${socket ?? `${host}:${port}`}${containerSuffix()}`;
}

/** @param options e.g. `--rdb -`, or a command of Redis */
export function redisClient({ user, tls, ...address }: RedisConnection, options: readonly string[]): Command {
  const { host, port, socket } = serverAddress(address);
  const named = { '-h': host, '-p': port?.toString(), '-s': socket, '--user': user };
  const certificates = { '--cacert': tls?.cacert, '--cert': tls?.cert, '--key': tls?.key };
  const secure = tls === undefined ? [] : ['--tls', ...(host === undefined ? [] : ['--sni', host])];
  const args = Object.entries({ ...named, ...certificates }).flatMap(([name, value]) =>
    value === undefined ? [] : [name, value],
  );
  return clientCommand({
    file: findClientProgram(['redis-cli', 'valkey-cli'], 'redis-tools'),
    args: [...secure, ...args, ...options],
  });
}

/** @returns the option that makes the client read the password from stdin, and the line to put there */
export function passwordInput({ password }: RedisConnection): { options: string[]; input: string } {
  if (password === undefined) return { options: [], input: '' };
  registerSecret(password);
  if (/[\r\n]/.test(password)) {
    throw cannot('configuration', 'use', "Redis' password", 'redis-cli takes none with a line break');
  }
  return { options: ['--askpass'], input: `${password}\n` };
}

/** Not let in, or not reached; the client goes on without an account where its password was wrong. */
const CONNECT_ERRORS = /.*(?:AUTH failed|\b(?:NOAUTH|WRONGPASS|LOADING|MASTERDOWN)\b|Could not connect).*/;
/** What the client tells of its progress, on stderr too. */
const PROGRESS = /^(?:sending REPLCONF|SYNC sent to master|Transfer finished).*\n?/gm;
const RIGHTS_ERRORS = /.*\bNOPERM\b.*/m;

/** Turns what the client said into the error that tells what it means. */
export function clientError(
  code: ErrorCode,
  doWhat: string,
  connection: RedisConnection,
  ended: Pick<Ended, 'command' | 'code' | 'signal' | 'stderr'>,
): GarnerError {
  const where = describeConnection(connection);
  const connecting = CONNECT_ERRORS.exec(ended.stderr)?.[0];
  if (connecting !== undefined) return cannot('database-connect', doWhat, where, escapeControls(connecting));
  const denied = RIGHTS_ERRORS.exec(ended.stderr)?.[0];
  if (denied === undefined) {
    const stderr = ended.stderr.replace(PROGRESS, '');
    return cannot(code, doWhat, where, describeExit({ ...ended, stderr }));
  }
  return cannot('database-rights', doWhat, where, escapeControls(denied), {
    hint: 'ACL SETUSER gives the right; docs/databases.md has the statements',
  });
}

/** @returns whether it failed, which its exit code alone does not tell */
export const hasFailed = ({ code, stderr }: Ended): boolean => code !== 0 || /^AUTH failed/m.test(stderr);

/** Runs one command of Redis. @returns its answer as text */
export async function ask(
  connection: RedisConnection,
  command: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const { options, input } = passwordInput(connection);
  const client = redisClient(connection, [...options, '-e', ...command]);
  const result = await capture(client, { signal, input, maxBytes: 256 << 20 });
  if (hasFailed(result)) throw clientError('database-connect', 'use database', connection, result);
  return result.stdout;
}

/** @returns one command in Redis' protocol */
export function protocolOf(words: readonly (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = Buffer.from(word as string);
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

/** How long the server may take for one command, after all were sent: a value of gigabytes is one. */
const ANSWER_SECONDS = '600';

/** Sends many commands without waiting for each answer. */
export function startSending(
  connection: RedisConnection,
  signal: AbortSignal,
): {
  send(words: readonly (string | Buffer)[]): Promise<void>;
  /** @throws where one of them failed, with the server's first words on it */
  end(): Promise<void>;
} {
  const pipeline = startPipeline([redisClient(connection, ['--pipe', '--pipe-timeout', ANSWER_SECONDS])], {
    stdin: 'pipe',
    signal,
  });
  const stdin = pipeline.stdin as Writable;
  let said = '';
  pipeline.stdout.setEncoding('utf8').on('data', (text: string) => {
    said = `${said}${text}`.slice(-1000);
  });
  const closed = new Promise<void>((resolve) => stdin.once('close', resolve));
  let sent = 0;
  const send = async (words: readonly (string | Buffer)[]): Promise<void> => {
    if (stdin.destroyed) return; // its exit tells why
    sent += 1;
    if (!stdin.write(protocolOf(words))) await Promise.race([once(stdin, 'drain').catch(() => {}), closed]);
  };
  const { user = 'default', password } = connection;
  if (password !== undefined) {
    registerSecret(password);
    send(['AUTH', user, password]); // the first: what it says is seen with the rest
  }
  return {
    send,
    async end() {
      stdin.end();
      const [ended] = (await pipeline.ended) as [Ended];
      const answers = /errors: (\d+), replies: (\d+)/.exec(said);
      if (ended.code === 0 && answers?.[1] === '0' && Number(answers[2]) === sent) return;
      const cause = answers === null || answers[1] !== '0' ? '' : `${answers[2]} answers to ${sent} commands`;
      throw clientError('database-restore', 'restore database', connection, {
        ...ended,
        stderr: ended.stderr.split('\n').filter(Boolean)[0] ?? cause,
      });
    },
  };
}
