import email from '../../../notifier/transports/email.ts';
import { describeTransport, type Fault, type Receiver } from '../../contract/transport-contract.ts';
import { parseMail } from '../../helpers/mail.ts';
import { type Certificates, makeCertificates, startSmtpServer } from '../../helpers/smtp-server.ts';

const PASSWORD = 'a secret: passphrase';
let certificates: Certificates | undefined;

/** A server that wants a login, and so TLS: RFC 5321, RFC 3207, RFC 4954. */
async function start(): Promise<Receiver> {
  certificates ??= await makeCertificates();
  const server = await startSmtpServer({ tls: certificates });
  const mails = () => server.messages.map((message) => parseMail(message));
  const answering = (says: RegExp, answers: Record<string, string>): Fault => ({
    says,
    begin: () => {
      server.behaviour = { ...server.behaviour, answers };
    },
  });
  return {
    settings: {
      NOTIFY_EMAIL_TO: 'root@example.test',
      NOTIFY_SMTP_URL: `smtp://backup@localhost:${server.port}`,
      NOTIFY_SMTP_PASSWORD: PASSWORD,
      NOTIFY_SMTP_CA_FILE: certificates.caFile,
    },
    get taken() {
      return mails().map(({ headers, text }) => `${headers.subject}\n${text}`);
    },
    get ids() {
      return mails().map(({ headers }) => headers['message-id'] ?? '');
    },
    get problems() {
      // RFC 5322: 998 characters a line; nothing of a message's is a header
      const heads = server.messages.map((message) => message.slice(0, message.indexOf('\r\n\r\n')));
      const long = server.messages.some((message) => message.split('\r\n').some((line) => line.length > 998));
      return [...(long ? ['a long line'] : []), ...heads.filter((head) => /^(bcc|x-evil):/im.test(head))];
    },
    faults: {
      'a wrong password': answering(/localhost:\d+": .*535 5\.7\.8/, { AUTH: '535 5.7.8 bad credentials' }),
      'a refused recipient': answering(/550 5\.1\.1 no such user/, { RCPT: '550 5.1.1 no such user' }),
      'a full disk': answering(/452 4\.3\.1/, { MESSAGE: '452 4.3.1 insufficient storage' }),
      'a cut connection': answering(/cannot send mail by "localhost:\d+"/, { MESSAGE: 'drop' }),
      'STARTTLS refused': answering(/cannot send mail by "localhost:\d+"/, {
        STARTTLS: '454 4.7.0 no TLS now',
      }),
      'nobody there': { says: /ECONNREFUSED|refused/, begin: () => server[Symbol.asyncDispose]() },
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

describeTransport({
  name: 'email',
  transport: email,
  start,
  secrets: [PASSWORD, Buffer.from(`\0backup\0${PASSWORD}`).toString('base64')],
  needs: { NOTIFY_SMTP_PASSWORD: 'NOTIFY_SMTP_URL' },
});
