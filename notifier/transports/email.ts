// Mail: over SMTP with certificates checked, or handed to the host's own sendmail. Credentials never travel without TLS.
import { readFileSync } from 'node:fs';
import { cannot, causeText, GarnerError } from '../../lib/errors.ts';
import { capture, describeExit } from '../../lib/process.ts';
import { registerUrlSecret } from '../../lib/redact.ts';
import { list, path, type SettingTable, text } from '../../lib/settings.ts';
import { escapeControls } from '../../lib/text.ts';
import { htmlOf } from '../html.ts';
import { type Message, subjectOf, textOf } from '../message.ts';
import { defineTransport } from '../transport.ts';
import { explainUntrusted } from '../untrusted.ts';

/** A server that is silent for longer ends the attempt. */
const SILENCE_MS = 30_000;

interface Address {
  name: string;
  address: string;
}

interface SmtpServer {
  host: string;
  port: number;
  /** TLS from the first byte (smtps). */
  secure: boolean;
  user: string;
}

/** `root`, `a@example.org`, `Backup <a@example.org>`; nothing that could be an option or another header. */
const address = (value: string): Address => {
  const [, name = '', bare = ''] = /^(?:([^<>"\r\n]*?)\s*<)?([^\s<>]+?)>?$/.exec(value) ?? [];
  if (!/^[^\s<>()[\]\\,;:"@-][^\s<>()[\]\\,;:"@]*(@[a-z0-9][a-z0-9.-]*)?$/i.test(bare)) {
    throw `"${value}" is no mail address`;
  }
  return { name, address: bare };
};
const addresses = (value: string): Address[] => list(value).map(address);

const smtpUrl = (value: string): SmtpServer => {
  registerUrlSecret(value);
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const scheme = url?.protocol;
  if (url === undefined || (scheme !== 'smtp:' && scheme !== 'smtps:') || url.hostname === '') {
    throw 'it is not smtp://[user@]host[:port] or smtps://…';
  }
  if (url.password !== '') throw 'a password belongs into NOTIFY_SMTP_PASSWORD or NOTIFY_SMTP_PASSWORD_FILE';
  if (!['', '/'].includes(url.pathname) || url.search !== '' || url.hash !== '') {
    throw 'nothing may follow the port';
  }
  const secure = scheme === 'smtps:';
  const user = decodeURIComponent(url.username);
  const usual = secure ? 465 : user === '' ? 25 : 587;
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) || usual, secure, user };
};

const SETTINGS = {
  NOTIFY_EMAIL_TO: {
    parse: addresses,
    describe: 'who gets mail, separated by commas; unset: no mail is sent',
  },
  NOTIFY_EMAIL_FROM: {
    parse: address,
    describe: 'the sender, a@example.org or `Backup <a@example.org>`; unset: garner@<host>',
  },
  NOTIFY_SMTP_URL: {
    parse: smtpUrl,
    describe:
      'smtp://user@host:587, smtps://user@host, smtp://host; ports unless given: 587 with a user, 25 without, 465 for smtps; unset: mail is given to sendmail',
  },
  NOTIFY_SMTP_PASSWORD: {
    parse: text,
    secret: true,
    describe: 'the password of the user in NOTIFY_SMTP_URL; never in the URL',
  },
  NOTIFY_SMTP_CA_FILE: {
    parse: path,
    describe: 'a CA (PEM) to trust beside the usual ones; set: mail is sent with TLS or not at all',
  },
  NOTIFY_SENDMAIL: {
    parse: path,
    default: '/usr/sbin/sendmail',
    describe:
      'a program that takes a mail on stdin, called with -i -f FROM -- TO…, where there is no NOTIFY_SMTP_URL',
  },
} as const satisfies SettingTable;

interface Mail {
  from: Address;
  to: Address[];
  subject: string;
  date: Date;
  messageId: string;
  text: string;
  html: string;
  headers: Record<string, string>;
  envelope: { from: string; to: string[] };
  disableFileAccess: true;
  disableUrlAccess: true;
}

function composeMail(message: Message, from: Address, to: Address[]): Mail {
  return {
    from,
    to,
    subject: subjectOf(message),
    date: new Date(message.time),
    messageId: `<${message.id}@${message.host}>`,
    text: textOf(message),
    html: htmlOf(message),
    headers: { 'Auto-Submitted': 'auto-generated', 'X-Garner-Result': message.result },
    envelope: { from: from.address, to: to.map((one) => one.address) },
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}

async function sendBySendmail(mail: Mail, sendmail: string, signal: AbortSignal): Promise<string[]> {
  const { createTransport } = await import('nodemailer');
  const composer = createTransport({ streamTransport: true, buffer: true, newline: 'unix' });
  const { message } = await composer.sendMail(mail);
  const args = ['-i', '-f', mail.envelope.from, '--', ...mail.envelope.to];
  const ended = await capture({ file: sendmail, args }, { input: message.toString(), signal });
  if (ended.code !== 0) throw cannot('delivery', 'send mail by', sendmail, describeExit(ended));
  return [];
}

function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw cannot('delivery', 'read NOTIFY_SMTP_CA_FILE', file, error);
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

async function sendBySmtp(
  mail: Mail,
  server: SmtpServer,
  { password, caFile }: { password: string | undefined; caFile: string | undefined },
  signal: AbortSignal,
): Promise<string[]> {
  const { createTransport } = await import('nodemailer');
  const { getCACertificates } = await import('node:tls');
  const { host, port, secure, user } = server;
  const requireTLS = user !== '' || caFile !== undefined;
  const ca = [...getCACertificates('default'), ...getCACertificates('system')];
  if (caFile !== undefined) ca.push(readCa(caFile));
  const transport = createTransport({
    host,
    port,
    secure,
    name: mail.messageId.slice(mail.messageId.indexOf('@') + 1, -1),
    requireTLS,
    // nobody listens on the way to this host itself, and its certificate is seldom one that could be checked
    ignoreTLS: !requireTLS && isLoopback(host),
    tls: { ca, minVersion: 'TLSv1.2' },
    ...(user !== '' && { auth: { user, pass: password ?? '' }, forceAuth: true }),
    dnsTimeout: SILENCE_MS,
    connectionTimeout: SILENCE_MS,
    greetingTimeout: SILENCE_MS,
    socketTimeout: SILENCE_MS,
  });
  const { rejected } = await transport.sendMail({ ...mail, signal });
  return rejected.map((recipient) => `${host} refused the recipient ${recipient}`);
}

export default defineTransport({
  settings: SETTINGS,
  open(values, host) {
    const to = values.NOTIFY_EMAIL_TO;
    if (to === undefined || to.length === 0) return undefined;
    const from = values.NOTIFY_EMAIL_FROM ?? { name: '', address: `garner@${host}` };
    const server = values.NOTIFY_SMTP_URL;
    const password = values.NOTIFY_SMTP_PASSWORD;
    const caFile = values.NOTIFY_SMTP_CA_FILE;
    if (server !== undefined && (server.user === '') !== (password === undefined)) {
      const problem =
        server.user === '' ? 'has no user for NOTIFY_SMTP_PASSWORD' : 'has a user, but no password is set';
      throw cannot('configuration', 'use setting', 'NOTIFY_SMTP_URL', `it ${problem}`, {
        hint: 'NOTIFY_SMTP_URL=smtp://user@host:587 and NOTIFY_SMTP_PASSWORD or NOTIFY_SMTP_PASSWORD_FILE',
      });
    }
    const by = server === undefined ? values.NOTIFY_SENDMAIL : `${server.host}:${server.port}`;
    return {
      to: `${to.map((one) => one.address).join(', ')} by ${by}`,
      async send(message, signal) {
        const mail = composeMail(message, from, to);
        try {
          return server === undefined
            ? await sendBySendmail(mail, values.NOTIFY_SENDMAIL, signal)
            : await sendBySmtp(mail, server, { password, caFile }, signal);
        } catch (error) {
          if (error instanceof GarnerError) throw error;
          // its own words tell a timeout of the greeting from one of the connection
          const said = signal.aborted
            ? causeText(signal.reason)
            : explainUntrusted(escapeControls((error as Error).message), 'NOTIFY_SMTP_CA_FILE');
          throw new GarnerError('delivery', `cannot send mail by "${by}": ${said}`, { cause: error });
        }
      },
    };
  },
});
