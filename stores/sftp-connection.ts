// One SFTP session with a host whose key is known. The key is checked before anything of ours is sent.
// Every request ends: with its answer, or with an error when the connection breaks, nothing moves for a while, or
// the run is ended. Closing never hangs.
import { createHash } from 'node:crypto';
import { connect as connectSocket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import ssh2, { type ServerHostKeyAlgorithm, type SFTPWrapper } from 'ssh2';
import { cannot, GarnerError } from '../lib/errors.ts';
import { formatDuration } from '../lib/text.ts';
import { type HostKey, readTarget, type SftpOptions, type Target } from './sftp-target.ts';

/** How an answer comes back from ssh2. */
export type Done<T> = (error?: Error | null, value?: T) => void;

export interface SftpConnection extends AsyncDisposable {
  /** The URL without a password. */
  readonly url: string;
  /** The URL's directory, without a slash at its end: `''` is the server's root. */
  readonly directory: string;
  /**
   * Makes one request.
   * @throws an error with the status number of SFTP as its `code`; store-connect, timeout
   */
  request<T>(start: (sftp: SFTPWrapper, done: Done<T>) => void): Promise<T>;
}

/** In the order in which they are asked for; which kind a pinned key is, its fingerprint doesn't tell. */
const HOST_KEY_ALGORITHMS: readonly ServerHostKeyAlgorithm[] = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
];
const KEEPALIVE_MS = 15_000;
const CLOSE_GRACE_MS = 1000;
/** The idle limit is counted in steps, so that a busy process of ours doesn't take its own pause for the host's. */
const IDLE_STEPS = 10;

const CLOSED = 'the connection was closed by the other side';
/** What ssh2 says to those who wait then. */
const UNANSWERED = 'No response from server';
/** Hosts that are well answer sooner, from the other end of the world too. */
const SILENCE_MS = 2000;

/** How much is received at once at most. */
const RECEIVE_BYTES = 256 << 10;
const HANDSHAKE_BYTES = 16 << 10;

// ssh2 leaves several times what it receives in buffers outside of V8's heap. By itself V8 marks all of its heap again for
// every 9 MB of them: that was half of what a pull took.
setFlagsFromString('--heap-growing-percent=200');

/**
 * Opens a session.
 * @throws host-key; store-connect; timeout; configuration, configuration-permissions
 */
export async function connectSftp(options: SftpOptions): Promise<SftpConnection> {
  const target = readTarget(options);
  const { hostKeys = [] } = options;
  let algorithms = HOST_KEY_ALGORITHMS;
  const offered: string[] = [];
  for (;;) {
    let attempt: SftpConnection | HostKey;
    try {
      attempt = await openSession(target, algorithms, options);
    } catch (error) {
      const noOtherKey = offered.length > 0 && String(error).includes('no matching host key format');
      if (!noOtherKey) throw error;
      throw refusal(target, hostKeys, offered);
    }
    if ('request' in attempt) return attempt;
    const { type, fingerprint } = attempt;
    offered.push(fingerprint);
    // the host may have the pinned key too, of another type
    algorithms = algorithms.filter(
      (name) => name !== type && !(type === 'ssh-rsa' && name.startsWith('rsa-')),
    );
    if (hostKeys.length === 0 || algorithms.length === 0) throw refusal(target, hostKeys, offered);
  }
}

function refusal({ url }: Target, expected: readonly string[], offered: readonly string[]): GarnerError {
  const known = expected.length === 0 ? 'no key of it is known' : `expected is ${expected.join(' or ')}`;
  return cannot('host-key', 'trust host', url, `it offers key ${offered.join(' and ')}, ${known}`, {
    hint:
      'compare with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the host itself; ' +
      'only if they are equal set hostKeys to it',
  });
}

/** @returns what `ssh-keygen -l` prints */
const fingerprintOf = (key: Buffer): string =>
  `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;

/** @returns the session, or the host's key where it isn't one of those expected */
async function openSession(
  target: Target,
  algorithms: readonly ServerHostKeyAlgorithm[],
  options: SftpOptions,
): Promise<SftpConnection | HostKey> {
  const { hostKeys = [], acceptNewHostKey, onHostKeys, onSilence, signal } = options;
  const { connectTimeoutMs = 20_000, idleTimeoutMs = 60_000 } = options;
  signal?.throwIfAborted();
  let sftp: SFTPWrapper | undefined;
  let received: Buffer | undefined;
  const socket = connectSocket({
    host: target.host,
    port: target.port,
    noDelay: true,
    onread: {
      // what is decrypted is a copy; what comes in the clear before, ssh2 may keep
      buffer: () => {
        if (sftp === undefined) return Buffer.allocUnsafeSlow(HANDSHAKE_BYTES);
        received ??= Buffer.allocUnsafeSlow(RECEIVE_BYTES);
        return received;
      },
      callback: (count, buffer) => {
        withoutStacks(() => socket.emit('data', (buffer as Buffer).subarray(0, count)));
        return true;
      },
    },
  });
  const client = new ssh2.Client();
  const pending = new Set<(error: unknown) => void>();
  let refused: HostKey | undefined;
  let accepted: string | undefined;
  let ended: unknown;
  let idleSteps = 0;
  let silent = false;

  const broken = (cause: unknown): GarnerError => {
    const { message, code } = cause as NodeJS.ErrnoException;
    const isClosed = message === UNANSWERED || code === 'EPIPE';
    const doWhat = sftp === undefined ? 'connect to' : 'go on with';
    return cannot('store-connect', doWhat, target.url, isClosed ? CLOSED : cause);
  };
  const timedOut = (limitMs: number): GarnerError =>
    cannot(
      'timeout',
      sftp === undefined ? 'connect to' : 'go on with',
      target.url,
      `the host has not answered for ${formatDuration(limitMs)}`,
    );
  const setSilent = (now: boolean): void => {
    if (silent === now) return;
    silent = now;
    onSilence?.(now);
  };
  // ssh2 may call nobody back then: whoever waits is told here
  const end = (reason: unknown): void => {
    if (ended !== undefined) return;
    ended = reason;
    clearTimeout(connectTimer);
    clearInterval(idleTimer);
    clearTimeout(silenceTimer);
    setSilent(false);
    signal?.removeEventListener('abort', abort);
    for (const reject of pending) reject(reason);
    pending.clear();
    socket.destroy();
  };
  const abort = (): void => end(signal?.reason);
  const guard = <T>(start: (done: Done<T>) => void): Promise<T> =>
    new Promise((resolve, reject) => {
      if (ended !== undefined) return reject(ended);
      if (pending.size === 0) {
        idleSteps = 0;
        silenceTimer.refresh();
      }
      pending.add(reject);
      const done: Done<T> = (error, value) => {
        pending.delete(reject);
        idleSteps = 0;
        silenceTimer.refresh();
        setSilent(false);
        if (!error) resolve(value as T);
        else
          reject(
            error instanceof GarnerError || typeof (error as { code?: unknown }).code === 'number'
              ? error
              : broken(error),
          );
      };
      try {
        withoutStacks(() => start(done));
      } catch (error) {
        done(error as Error);
      }
    });

  const connectTimer = setTimeout(() => end(timedOut(connectTimeoutMs)), connectTimeoutMs);
  const idleTimer = setInterval(() => {
    if (sftp === undefined || pending.size === 0) return;
    idleSteps += 1;
    if (idleSteps > IDLE_STEPS) end(timedOut(idleTimeoutMs));
  }, idleTimeoutMs / IDLE_STEPS);
  const silenceTimer = setTimeout(() => setSilent(pending.size > 0), SILENCE_MS);
  signal?.addEventListener('abort', abort, { once: true });
  client.on('error', (error) => {
    const { level } = error as { level?: string };
    end(level === 'client-authentication' ? loginRefused(target) : broken(error));
  });
  client.on('close', () => end(broken(CLOSED)));
  // after the exchange has proved that the host holds the key
  client.once('handshake', () => {
    if (accepted !== undefined) acceptNewHostKey?.(accepted);
  });
  // before the session is open: sshd answers in turn
  client.once('hostkeys', (keys) => {
    onHostKeys?.(keys.map((key) => ({ type: key.type, fingerprint: fingerprintOf(key.getPublicSSH()) })));
  });

  try {
    sftp = await guard<SFTPWrapper>((done) => {
      client.once('ready', () => client.sftp(done));
      client.connect({
        ...target.login,
        sock: socket,
        readyTimeout: 0,
        keepaliveInterval: KEEPALIVE_MS,
        algorithms: { serverHostKey: [...algorithms] },
        authHandler: target.identityFile === undefined ? ['password'] : ['publickey'],
        hostVerifier: (key: Buffer) => {
          const fingerprint = fingerprintOf(key);
          if (hostKeys.includes(fingerprint) || fingerprint === accepted) return true;
          if (hostKeys.length === 0 && accepted === undefined && acceptNewHostKey !== undefined) {
            accepted = fingerprint;
            return true;
          }
          refused = { fingerprint, type: key.toString('latin1', 4, 4 + key.readUInt32BE(0)) };
          return false;
        },
      });
    });
  } catch (error) {
    end(error);
    if (refused !== undefined) return refused;
    throw error;
  }
  clearTimeout(connectTimer);
  const session = sftp;
  session.on('error', (error: Error) => end(broken(error)));
  session.on('end', () => end(broken('the host ended the session')));

  return {
    url: target.url,
    directory: target.directory,
    request: (start) => guard((done) => start(session, done)),
    async [Symbol.asyncDispose]() {
      if (ended !== undefined) return;
      const closed = new Promise((resolve) => socket.once('close', resolve));
      client.end();
      const timer = setTimeout(() => socket.destroy(), CLOSE_GRACE_MS);
      await closed;
      clearTimeout(timer);
      end(broken('it has been closed'));
    },
  };
}

/** ssh2 gives the key of each packet in a form for which Node throws two errors and catches them: their stacks cost most. */
function withoutStacks(run: () => void): void {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    run();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function loginRefused({ url, login, identityFile }: Target): GarnerError {
  if (identityFile === undefined)
    return cannot('store-connect', 'log in to', url, 'permission denied (password)');
  return cannot('store-connect', 'log in to', url, 'permission denied (publickey)', {
    hint: `the line that ssh-keygen -yf '${identityFile}' prints must be in the authorized_keys of ${login.username}`,
  });
}
