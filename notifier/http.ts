// One request to a service over HTTP: certificates are checked, redirects are not followed, only the start of an answer
// is read, and what fails is told by the service's host and its own words, never by an address that may be a secret. It
// tries once: repeating is the queue's.
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { cannot, causeText, type GarnerError } from '../lib/errors.ts';
import { redact, registerSecret, registerUrlSecret } from '../lib/redact.ts';
import { boolean, path, type SettingTable, type SettingValues } from '../lib/settings.ts';
import { escapeControls } from '../lib/text.ts';
import { explainUntrusted } from './untrusted.ts';

/** No service says more to one message: what does is not that service. */
const LONGEST_ANSWER_BYTES = 64 << 10;
/** Of a service's own words in an error. */
const LONGEST_WORDS = 300;
/** What is shorter protects nothing. */
const SHORTEST_TOKEN = 10;
/** What is a token in a path, and no word that logs need: `notifications` is none. */
const TOKEN = /[0-9A-Z]|^.{20}/;

/** What all transports over HTTP share: part of each one's settings. */
export const HTTP_SETTINGS = {
  NOTIFY_HTTP_CA_FILE: {
    parse: path,
    describe: 'a CA (PEM) to trust beside the usual ones, for all transports over HTTPS',
  },
  NOTIFY_ALLOW_PLAIN_HTTP: {
    parse: boolean,
    default: 'false',
    describe: 'true: http:// to other hosts is allowed; whoever is on the way reads messages and tokens',
  },
} as const satisfies SettingTable;

/** Parses a setting: the address of a service. */
export const httpUrl = (value: string): URL => {
  registerUrlSecret(value);
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw 'it is not https://host[:port]/…';
  if (url.hash !== '') throw 'it has a #';
  return url;
};

/** Parses a secret setting: an address that whoever knows it can send to. Its parts are never shown. */
export const secretUrl = (value: string): URL => {
  registerSecret(value);
  const url = httpUrl(value);
  const words = [url.pathname + url.search, ...url.pathname.split('/')];
  const tokens = words.filter((word) => TOKEN.test(word));
  for (const part of [url.href, url.username, ...url.searchParams.values(), ...tokens]) {
    if (part.length >= SHORTEST_TOKEN) registerSecret(part);
  }
  return url;
};

/** Parses a secret setting: a token that goes into a header or an address. */
export const token = (value: string): string => {
  if (!/^[\x21-\x7e]+$/.test(value)) throw 'it has blanks or letters that no token has';
  return value;
};

export interface HttpBody {
  type: string;
  content: string;
}

export const json = (value: unknown): HttpBody => ({
  type: 'application/json',
  content: JSON.stringify(value),
});
export const form = (values: Record<string, string>): HttpBody => ({
  type: 'application/x-www-form-urlencoded',
  content: new URLSearchParams(values).toString(),
});
export const plain = (content: string): HttpBody => ({ type: 'text/plain; charset=utf-8', content });

export interface HttpRequest {
  /** POST where there is a body, else GET. */
  method?: 'GET' | 'POST' | 'PUT';
  /** Where it goes, if not to the service's own address. */
  url?: URL;
  headers?: Record<string, string>;
  body?: HttpBody;
}

export interface HttpService {
  /** `hooks.slack.com`, with the port where it is not the usual one. */
  host: string;
  /**
   * Sends one request.
   * @param signal ends the attempt
   * @returns the text of the answer, which is one of success (2xx); foreign
   * @throws delivery, for any other answer and for none
   */
  send(request: HttpRequest, signal: AbortSignal): Promise<string>;
  /** @returns the error for an answer of success whose text says otherwise; the words are foreign */
  refused(words: string): GarnerError;
}

/**
 * Makes what sends requests to one service; connects to nothing yet.
 * @param name what people call the service
 * @param setting the setting that has the address, and what else errors should send people to
 * @throws configuration, for http:// to another host
 */
export function openHttp(
  name: string,
  url: URL,
  setting: string,
  values: SettingValues<typeof HTTP_SETTINGS>,
): HttpService {
  if (url.protocol === 'http:' && !isLoopback(url) && !values.NOTIFY_ALLOW_PLAIN_HTTP) {
    throw cannot(
      'configuration',
      'use setting',
      setting,
      'http:// would show messages and tokens on the way',
      {
        hint: 'use https://, or NOTIFY_ALLOW_PLAIN_HTTP=true',
      },
    );
  }
  const failure = (cause: unknown): GarnerError =>
    cannot('delivery', 'send a message to', `${name} at ${url.host}`, cause);
  return {
    host: url.host,
    async send(request, signal) {
      let answer: Answer;
      try {
        answer = await exchange({ ...request, url: request.url ?? url }, values.NOTIFY_HTTP_CA_FILE, signal);
      } catch (error) {
        throw failure(
          signal.aborted
            ? causeText(signal.reason)
            : redact(explainUntrusted(causeText(error), 'NOTIFY_HTTP_CA_FILE')),
        );
      }
      const problem = problemOf(answer, setting);
      if (problem !== undefined) throw failure(problem);
      return answer.text;
    },
    refused: (words) => failure(`it answered: ${ownWords(words)}`),
  };
}

function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

interface Answer {
  status: number;
  /** What the status is called. */
  reason: string;
  headers: IncomingMessage['headers'];
  text: string;
  tooLong: boolean;
}

async function exchange(
  { url, method, headers = {}, body }: HttpRequest & { url: URL },
  caFile: string | undefined,
  signal: AbortSignal,
): Promise<Answer> {
  // the usual variables for proxies; what goes to this host itself takes no way round
  const proxyEnv = isLoopback(url) ? {} : process.env;
  for (const name of ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy']) {
    registerUrlSecret(proxyEnv[name]);
  }
  // loaded here, since they cost more than Node's own start, and a run that succeeds seldom sends anything
  const { STATUS_CODES } = await import('node:http');
  const { Agent, request } = await import(url.protocol === 'https:' ? 'node:https' : 'node:http');
  const agent = new Agent({
    proxyEnv,
    ...(url.protocol === 'https:' && { ca: await certificates(caFile), minVersion: 'TLSv1.2' }),
  });
  const content = Buffer.from(body?.content ?? '');
  try {
    const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request(url, {
        agent,
        signal,
        method: method ?? (body === undefined ? 'GET' : 'POST'),
        headers: {
          'User-Agent': 'garner',
          ...(body !== undefined && { 'Content-Type': body.type, 'Content-Length': content.length }),
          ...headers,
        },
      });
      outgoing.on('response', resolve).on('error', reject).end(content);
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    // leaving the loop ends the connection
    for await (const chunk of incoming) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > LONGEST_ANSWER_BYTES) break;
    }
    const text = Buffer.concat(chunks).toString();
    return {
      status: incoming.statusCode ?? 0,
      reason: STATUS_CODES[incoming.statusCode ?? 0] ?? '',
      headers: incoming.headers,
      text,
      tooLong: bytes > LONGEST_ANSWER_BYTES,
    };
  } finally {
    agent.destroy();
  }
}

async function certificates(caFile: string | undefined): Promise<string[]> {
  const { getCACertificates } = await import('node:tls');
  const ca = [...getCACertificates('default'), ...getCACertificates('system')];
  if (caFile === undefined) return ca;
  try {
    return [...ca, readFileSync(caFile, 'utf8')];
  } catch (error) {
    throw `NOTIFY_HTTP_CA_FILE "${caFile}" can't be read: ${causeText(error)}`;
  }
}

/** @returns why an answer is none of success */
function problemOf({ status, reason, headers, text, tooLong }: Answer, setting: string): string | undefined {
  if (status >= 200 && status < 300) {
    return tooLong
      ? `it answered with more than ${LONGEST_ANSWER_BYTES >> 10} KiB: not that service`
      : undefined;
  }
  const parts = [`it answered ${status} ${reason}`.trimEnd()];
  if (status >= 300 && status < 400) {
    parts.push(` and sends to ${hostOf(headers.location)}, which is not followed`);
  }
  const wait = headers['retry-after'];
  if (wait !== undefined && /^\d{1,6}$/.test(wait)) parts.push(`, to be tried again after ${wait} s`);
  // a page for a browser tells nobody anything in one line
  const words = /html/i.test(headers['content-type'] ?? '') ? '' : ownWords(text);
  if (words !== '') parts.push(`: ${words}`);
  if ([401, 403, 404, 410].includes(status)) parts.push(` (is ${setting} right?)`);
  return parts.join('');
}

function hostOf(location: string | undefined): string {
  return location !== undefined && URL.canParse(location) ? new URL(location).host : 'another address';
}

/** @returns foreign text in one short line; redacted before it is cut: half a secret is not found by its value */
function ownWords(text: string): string {
  const line = escapeControls(redact(text.trim()).replace(/\s+/g, ' '));
  return line.length > LONGEST_WORDS ? `${line.slice(0, LONGEST_WORDS)}…`.toWellFormed() : line;
}
