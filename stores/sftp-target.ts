// Where an SFTP store is and how to log in there, read from its URL and options and checked before anything is sent.
import { readFileSync, statSync } from 'node:fs';
import ssh2, { type ConnectConfig } from 'ssh2';
import { cannot, GarnerError } from '../lib/errors.ts';
import { registerUrlSecret } from '../lib/redact.ts';

export interface SftpOptions {
  /** `sftp://user@host:port/directory`; the directory is absolute as the server shows it. */
  url: string;
  /** A private key; nobody but its owner may read it. */
  identityFile?: string | undefined;
  /** Fingerprints as `ssh-keygen -l` prints them, `SHA256:…`: the host must have one of these keys. */
  hostKeys?: readonly string[] | undefined;
  /** Where no key is known yet: the host's key is accepted and its fingerprint given. */
  acceptNewHostKey?: ((fingerprint: string) => void) | undefined;
  /** Told of all keys that the host has proved to hold, where it tells: also those that it will go over to. */
  onHostKeys?: ((keys: readonly HostKey[]) => void) | undefined;
  /** For everything until the session is open; default 20 s. */
  connectTimeoutMs?: number | undefined;
  /** How long an answer, a block of a file at most, may take; default 60 s. */
  idleTimeoutMs?: number | undefined;
  /** Told when the host keeps us waiting for longer than hosts that are well do, and when it goes on. */
  onSilence?: ((silent: boolean) => void) | undefined;
  /** Waits until so many bytes more may be asked for, or sent. */
  pace?: ((count: number) => Promise<void>) | undefined;
  /** Ends the connection and all that is under way. */
  signal?: AbortSignal | undefined;
}

export interface HostKey {
  /** `ssh-ed25519` and the like. */
  type: string;
  /** `SHA256:…` */
  fingerprint: string;
}

export interface Target {
  url: string;
  host: string;
  port: number;
  directory: string;
  /** User, and key or password. */
  login: ConnectConfig;
  identityFile: string | undefined;
}

const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}$/;

/** @throws configuration, configuration-permissions */
export function readTarget({ url: text, identityFile, hostKeys = [] }: SftpOptions): Target {
  registerUrlSecret(text);
  const refuse = (cause: unknown): GarnerError =>
    cannot('configuration', 'use store', text.replace(/\/\/.*@/, '//…@'), cause, {
      hint: 'it looks like sftp://user@host:22/directory',
    });
  let url: URL;
  let user: string;
  let password: string;
  let directory: string;
  try {
    url = new URL(text);
    user = decodeURIComponent(url.username);
    password = decodeURIComponent(url.password);
    directory = decodeURIComponent(url.pathname).replace(/\/+$/, '');
  } catch (error) {
    throw refuse(error);
  }
  if (url.protocol !== 'sftp:' || url.hostname === '' || url.search !== '' || url.hash !== '') {
    throw refuse('it is no SFTP URL');
  }
  if (user === '') throw refuse('it names no user');
  if (directory.includes('\0') || directory.split('/').includes('..')) throw refuse('its directory is odd');
  if (identityFile === undefined && password === '')
    throw refuse('there is neither an identityFile nor a password');
  const malformed = hostKeys.find((key) => !FINGERPRINT.test(key));
  if (malformed !== undefined) {
    throw cannot('configuration', 'use host key', malformed, 'it is no SHA256 fingerprint', {
      hint: `ssh-keyscan ${url.hostname} | ssh-keygen -lf - prints them: SHA256:…`,
    });
  }
  url.password = '';
  return {
    url: url.href.replace(/\/+$/, ''),
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port || 22),
    directory,
    identityFile,
    login:
      identityFile === undefined
        ? { username: user, password }
        : { username: user, privateKey: readKey(identityFile) },
  };
}

function readKey(file: string): Buffer {
  let key: Buffer;
  try {
    const { mode, uid } = statSync(file);
    if (mode & 0o077 || (uid !== 0 && uid !== process.getuid?.())) {
      throw cannot(
        'configuration-permissions',
        'use private key',
        file,
        'others than its owner can read it',
        {
          hint: `chmod 600 '${file}', and run as its owner`,
        },
      );
    }
    key = readFileSync(file);
  } catch (error) {
    if (error instanceof GarnerError) throw error;
    throw cannot('configuration', 'read private key', file, error);
  }
  const parsed = ssh2.utils.parseKey(key);
  if (parsed instanceof Error) throw cannot('configuration', 'use private key', file, parsed);
  return key;
}
