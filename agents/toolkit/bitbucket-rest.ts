// The HTTP interface of Bitbucket and Stash, as far as a backup needs it. Credentials go to the one address that the settings
// name: no redirect is followed, and plain HTTP is for this host alone unless a setting allows it. Every request ends.
import tls from 'node:tls';
import { cannot, causeText, type GarnerError } from '../../lib/errors.ts';
import { boolean, type Setting, text } from '../../lib/settings.ts';

const REQUEST_LIMIT_MS = 30_000;
const MAX_ANSWER_BYTES = 1 << 20;

/** The settings by which it is reached; only the names differ. */
export interface RestSettings {
  url: string | undefined;
  user: string | undefined;
  password: string | undefined;
  token?: string | undefined;
  allowHttp: boolean;
}

export interface RestAccess {
  /** Without a slash at its end. */
  url: string;
  /** The header's value. */
  authorization: string;
}

export interface Answer {
  status: number;
  body: Record<string, unknown>;
}

/** What each of the agents calls its settings. */
export const REST_SETTINGS = {
  url: {
    parse: text,
    describe: 'where it answers, for the maintenance lock and the version: `https://git.example.org`',
  },
  user: { parse: text, describe: 'a system administrator, for the maintenance lock' },
  password: { parse: text, secret: true, describe: 'the password of that account' },
  allowHttp: {
    parse: boolean,
    default: 'false',
    describe: 'true: the credentials may be sent over plain HTTP to another host',
  },
} as const satisfies Record<string, Setting>;

/** Node trusts the authorities that it comes with; a company's own is in the host's store, where curl looks too. */
let trustHostsAuthorities = (): void => {
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), ...tls.getCACertificates('system')]);
  trustHostsAuthorities = () => {};
};

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);

/** What the agent calls those settings, for messages. */
export type RestNames = Record<'url' | 'user' | 'password' | 'allowHttp', string>;

/**
 * @returns undefined where the settings name no address
 * @throws configuration where they are not whole, or would give the credentials away
 */
export function restAccess(settings: RestSettings, names: RestNames): RestAccess | undefined {
  const { url, user, password, token, allowHttp } = settings;
  const refuse = (name: string, cause: string, hint?: string): GarnerError =>
    cannot('configuration', 'use setting', name, cause, { hint });
  const account = `${names.user} and ${names.password}_FILE`;
  if (url === undefined) {
    if (user === undefined && password === undefined && token === undefined) return undefined;
    throw refuse(names.url, 'it is not set, and there is an account for it');
  }
  if (!URL.canParse(url)) throw refuse(names.url, 'it is no URL');
  const { protocol, username, host, hostname, pathname, search, hash } = new URL(url);
  if (!/^https?:$/.test(protocol) || search + hash !== '') {
    throw refuse(names.url, 'it is no plain http or https URL');
  }
  if (username !== '') throw refuse(names.url, 'it has an account in it', `that is for ${account}`);
  if (protocol === 'http:' && !isLoopback(hostname) && !allowHttp) {
    const hint = `https://, or http://127.0.0.1:7990 on the host itself, or ${names.allowHttp}=true`;
    throw refuse(names.url, `the password would go to ${host} in the clear`, hint);
  }
  if (token === undefined && (user === undefined || password === undefined)) {
    throw refuse(names.url, 'it needs an account', `set ${account}`);
  }
  const basic = Buffer.from(`${user}:${password}`).toString('base64');
  return {
    url: `${protocol}//${host}${pathname.replace(/\/+$/, '')}`,
    authorization: token === undefined ? `Basic ${basic}` : `Bearer ${token}`,
  };
}

/**
 * @param path below the address; its query is in no message
 * @returns the status and what it answered; no object where that was no JSON object
 * @throws application-request where there was no answer
 */
export async function request(
  { url, authorization }: RestAccess,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  signal: AbortSignal,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const shown = `${url}${path.replace(/\?.*/, '')}`;
  if (url.startsWith('https:')) trustHostsAuthorities();
  try {
    const response = await fetch(`${url}${path}`, {
      method,
      redirect: 'manual',

      signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_LIMIT_MS)]),
      headers: { authorization, accept: 'application/json', 'content-type': 'application/json', ...headers },
    });
    return { status: response.status, body: await bodyOf(response) };
  } catch (error) {
    signal.throwIfAborted();
    // fetch says no more than "fetch failed"; its cause does
    const cause = (error as Error).cause ?? error;
    const isUntrusted = /CERT|SIGNATURE/.test((cause as NodeJS.ErrnoException).code ?? '');
    throw cannot('application-request', `ask (${method})`, shown, cause, {
      hint: isUntrusted ? 'update-ca-certificates makes an authority known to this host' : undefined,
    });
  }
}

async function bodyOf(response: Response): Promise<Record<string, unknown>> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of response.body ?? []) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_ANSWER_BYTES) throw new Error('its answer has no end');
    chunks.push(chunk);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {}; // a page for people
  }
}

const REFUSALS: Record<number, string> = {
  401: 'it does not know the account, or its password is another',
  403: 'the account may not: it has to be a system administrator',
  404: 'there is nothing: is the address right?',
  409: 'it is locked for maintenance by somebody else',
};

/** @returns the error for an answer that is no success */
export function refusal({ url }: RestAccess, doWhat: string, { status, body }: Answer): GarnerError {
  const redirect =
    status >= 300 && status < 400 ? 'it redirects to elsewhere; set the address that it answers at' : '';
  const [first] = Array.isArray(body.errors) ? body.errors : [];
  const said = typeof first?.message === 'string' ? `: ${causeText(first.message)}` : '';
  const cause = redirect || REFUSALS[status] || `it answers with status ${status}`;
  return cannot('application-request', doWhat, url, `${cause}${said}`);
}

/** @throws application-request where it does not tell its version */
export async function askVersion(access: RestAccess, signal: AbortSignal): Promise<string> {
  const answer = await request(access, 'GET', '/rest/api/1.0/application-properties', signal);
  const { version } = answer.body;
  if (answer.status === 200 && typeof version === 'string') return version;
  throw refusal(access, 'ask the version of', answer);
}
