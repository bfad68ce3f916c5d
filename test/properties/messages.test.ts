// Whatever foreign text a message has, by whatever transport: it adds no header, no request and no line of SMTP, and no
// character that a terminal or a mail program obeys.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModule, moduleNames } from '../../lib/modules.ts';
import { registerSecret } from '../../lib/redact.ts';
import { LogExcerpt } from '../../notifier/log-excerpt.ts';
import { type Message, makeMessage } from '../../notifier/message.ts';
import type { Channel, Transport } from '../../notifier/transport.ts';
import { openTransport } from '../contract/transport-contract.ts';
import { type HttpServiceUnderTest, startHttpService } from '../helpers/http-service.ts';
import { parseMail } from '../helpers/mail.ts';
import { holds, printSeed } from '../helpers/properties.ts';
import { type SmtpServer, startSmtpServer } from '../helpers/smtp-server.ts';

printSeed();

const NO_LIMIT = new AbortController().signal;
const TOKEN = 'tokenOfSomeService123';
const SECRET = 'swordfish "and" chips/1';
registerSecret(SECRET);

const SETTINGS: Record<string, (url: string) => Record<string, string>> = {
  discord: (url) => ({ NOTIFY_DISCORD_URL: `${url}/api/webhooks/1/${TOKEN}` }),
  gotify: (url) => ({ NOTIFY_GOTIFY_URL: url, NOTIFY_GOTIFY_TOKEN: TOKEN }),
  healthchecks: (url) => ({ NOTIFY_HEALTHCHECKS_URL: `${url}/${TOKEN}` }),
  matrix: (url) => ({ NOTIFY_MATRIX_URL: url, NOTIFY_MATRIX_ROOM: '!a:b.test', NOTIFY_MATRIX_TOKEN: TOKEN }),
  ntfy: (url) => ({ NOTIFY_NTFY_URL: `${url}/topic`, NOTIFY_NTFY_TOKEN: TOKEN }),
  pagerduty: (url) => ({ NOTIFY_PAGERDUTY_URL: url, NOTIFY_PAGERDUTY_KEY: TOKEN }),
  pushover: (url) => ({
    NOTIFY_PUSHOVER_URL: url,
    NOTIFY_PUSHOVER_TOKEN: TOKEN,
    NOTIFY_PUSHOVER_USER: TOKEN,
  }),
  slack: (url) => ({ NOTIFY_SLACK_URL: `${url}/${TOKEN}` }),
  teams: (url) => ({ NOTIFY_TEAMS_URL: `${url}/${TOKEN}` }),
  telegram: (url) => ({
    NOTIFY_TELEGRAM_URL: url,
    NOTIFY_TELEGRAM_TOKEN: `123456789:${TOKEN}${TOKEN}`,
    NOTIFY_TELEGRAM_CHAT: '7',
  }),
  'uptime-kuma': (url) => ({ NOTIFY_UPTIME_KUMA_URL: `${url}/api/push/${TOKEN}` }),
  webhook: (url) => ({ NOTIFY_WEBHOOK_URL: url }),
};

const hostileText = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...['\r\n', '\n', '\r', '\0', '\u0085', '\u2028', '\u202e', '\u200b', '\ud83d', '\r\n.\r\n', ': '],
        ...['Bcc: evil@example.test', 'X-Evil: 1', 'Content-Length: 0', 'RCPT TO:<evil@example.test>'],
        ...['=?utf-8?q?=0D=0ABcc:?=', '%0d%0a', '\\r\\n', '<b>', '"', '{{', SECRET, JSON.stringify(SECRET)],
      ),
      fc.string({ unit: 'binary', maxLength: 20 }),
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''));

const anyMessage = fc
  .record({
    result: fc.constantFrom<Message['result']>('OK', 'WARNINGS', 'FAILED', 'LOCKED', 'MISSED'),
    name: hostileText,
    summary: hostileText,
    value: hostileText,
    cell: hostileText,
    log: hostileText,
  })
  .map(({ result, name, summary, value, cell, log }) => {
    const excerpt = new LogExcerpt();
    excerpt.write(Buffer.from(log));
    return makeMessage({
      ...{ result, name, summary, host: 'web1.example.test', log: excerpt.text() },
      facts: [{ label: 'Cause', value }],
      table: { head: ['Application'], rows: [[cell]] },
    });
  });

/** Line breaks and tabs of a log are meant. */
const OBEYED =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]|\p{Cs}/u;

describe('over HTTP', () => {
  let service: HttpServiceUnderTest;
  beforeAll(async () => {
    service = await startHttpService(() => ({ status: 200, body: 'ok' }));
  });
  afterAll(() => service[Symbol.asyncDispose]());

  /** @returns the request that a message becomes; what the transport thinks of the answer is not asked here */
  async function requestOf(channel: Channel, message: Message) {
    service.requests.length = 0;
    await channel.send(message, NO_LIMIT).catch(() => {});
    expect(service.requests).toHaveLength(1);
    const { method, path, headers, body } = service.requests[0]!;
    return { method, names: Object.keys(headers).sort(), headers, path, body };
  }

  it.each(Object.keys(SETTINGS))('F57 %s', async (name) => {
    const transport = await loadModule<Transport>('notifier/transports', name);
    const channel = openTransport(transport, SETTINGS[name]!(service.url))!;
    const plain = makeMessage({
      result: 'OK',
      name: 'x',
      host: 'web1.example.test',
      summary: 'x',
      facts: [],
    });
    const usual = await requestOf(channel, plain);
    await holds(
      anyMessage,
      async (message) => {
        const { method, names, headers, path, body } = await requestOf(channel, message);
        expect([method, names]).toEqual([usual.method, usual.names]);
        expect(Object.values(headers).join()).not.toMatch(OBEYED);
        expect(`${path}${body}`).not.toContain('swordfish');
        const text = headers['content-type']?.startsWith('application/json') ? textsIn(JSON.parse(body)) : '';
        expect(`${text}${decodeURIComponent(path)}`).not.toMatch(OBEYED);
      },
      8,
    );
  });

  it('has all transports but those that are none over HTTP', () => {
    const others = ['command', 'email', 'syslog'];
    expect([...Object.keys(SETTINGS), ...others].sort()).toEqual(moduleNames('notifier/transports'));
  });
});

function textsIn(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return '';
  return Object.values(value).map(textsIn).join(' ');
}

describe('by mail', () => {
  let server: SmtpServer;
  beforeAll(async () => {
    server = await startSmtpServer();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  it('F57 to one recipient, with the headers of any mail', async () => {
    const transport = await loadModule<Transport>('notifier/transports', 'email');
    const channel = openTransport(transport, {
      NOTIFY_EMAIL_TO: 'root@example.test',
      NOTIFY_SMTP_URL: `smtp://127.0.0.1:${server.port}`,
    })!;
    const plain = makeMessage({
      result: 'OK',
      name: 'x',
      host: 'web1.example.test',
      summary: 'x',
      facts: [],
    });
    const send = async (message: Message) => {
      server.messages.length = 0;
      server.commands.length = 0;
      await channel.send(message, NO_LIMIT);
      expect(server.messages).toHaveLength(1);
      const mail = parseMail(server.messages[0] as string);
      return { ...mail, names: Object.keys(mail.headers).sort(), commands: server.commands.map(verbOf) };
    };
    const usual = await send(plain);
    await holds(
      anyMessage,
      async (message) => {
        const { names, headers, commands, text, html, raw } = await send(message);
        expect([names, commands]).toEqual([usual.names, usual.commands]);
        expect(headers.to).toBe('root@example.test');
        expect(`${headers.subject}${text}${html}`).not.toMatch(OBEYED);
        expect(`${raw}${text}${html}`).not.toContain('swordfish');
        expect(html).not.toContain('<b>');
      },
      20,
    );
  });
});

const verbOf = (command: string): string => command.split(' ', 2).join(' ');
