import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeHost } from '../helpers/notify.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { type Certificates, makeCertificates, startSmtpServer } from '../helpers/smtp-server.ts';

let certificates: Certificates;
let postfix: Postfix;
let taken = 0;

beforeAll(async () => {
  certificates = await makeCertificates();
  postfix = await startPostfix(certificates);
});
afterAll(async () => {
  await postfix[Symbol.asyncDispose]();
});

it('arrives over SMTP with STARTTLS and the CA that is set, as text and as HTML', async () => {
  using host = makeHost({
    NOTIFY_SMTP_URL: `smtp://localhost:${postfix.port}`,
    NOTIFY_SMTP_CA_FILE: certificates.caFile,
    NOTIFY_EMAIL_FROM: 'Bäckup <garner@example.test>',
  });
  const { exitCode, stderr } = await host.notify([
    '--name',
    'wïki',
    '--',
    'sh',
    '-c',
    'echo "grüße <b>"; exit 7',
  ]);
  expect([exitCode, stderr]).toEqual([7, '']);
  taken += 1;
  const mail = (await postfix.mails(taken)).at(-1)!;
  expect(mail.headers.subject).toBe('[garner] FAILED wïki on web1.example.test: exit code 7');
  expect(mail.headers.from).toBe('Bäckup <garner@example.test>');
  expect(mail.headers['return-path']).toBe('<garner@example.test>');
  expect(mail.headers.received).toContain('using TLSv1.3');
  expect(mail.headers['auto-submitted']).toBe('auto-generated');
  expect(mail.text).toContain('\ngrüße <b>\n');
  expect(mail.html).toContain('grüße &lt;b&gt;');
});

it('arrives by sendmail, with the envelope that is set', async () => {
  using host = makeHost({
    NOTIFY_SENDMAIL: postfix.sendmail,
    NOTIFY_EMAIL_FROM: 'garner@example.test',
    NOTIFY_EMAIL_TO: 'jane@example.test,joe@example.test',
  });
  const { exitCode, stderr } = await host.notify(['--', 'sh', '-c', 'printf "one\\n.\\n..two\\nFrom me\\n"']);
  expect([exitCode, stderr]).toEqual([0, '']);
  taken += 2;
  const mails = (await postfix.mails(taken)).slice(-2);
  expect(mails.map((mail) => mail.headers['delivered-to']).sort()).toEqual([
    'jane@example.test',
    'joe@example.test',
  ]);
  expect(mails[0]?.headers['return-path']).toBe('<garner@example.test>');
  expect(mails[0]?.text).toContain('\none\n.\n..two\nFrom me\n');
});

it('carries lines longer than mail allows, and binary output, unharmed in text', async () => {
  using host = makeHost({ NOTIFY_SMTP_URL: `smtp://127.0.0.1:${postfix.port}` });
  await host.notify([
    '--',
    'sh',
    '-c',
    'head -c 5000 /dev/zero | tr "\\0" x; echo; printf "\\0\\377\\033[1m"',
  ]);
  taken += 1;
  const mail = (await postfix.mails(taken)).at(-1)!;
  expect(mail.text).toContain(`\n${'x'.repeat(5000)}\n\\x00\ufffd\\x1b[1m\n`);
  expect(Math.max(...mail.raw.split('\n').map((line) => line.length))).toBeLessThan(999);
});

it('logs in over TLS only, and sends to each recipient', async () => {
  await using server = await startSmtpServer({ tls: certificates });
  using host = makeHost({
    NOTIFY_SMTP_URL: `smtp://backup%40example.test@localhost:${server.port}`,
    NOTIFY_SMTP_PASSWORD: 'a secret: passphrase',
    NOTIFY_SMTP_CA_FILE: certificates.caFile,
    NOTIFY_EMAIL_TO: 'a@example.test, b@example.test',
  });
  const { stderr } = await host.notify(['--', 'true']);
  expect(stderr).toBe('');
  const login = Buffer.from('\0backup@example.test\0a secret: passphrase').toString('base64');
  expect(server.commands.slice(0, 8)).toEqual([
    'EHLO web1.example.test',
    'STARTTLS',
    'tls EHLO web1.example.test',
    `tls AUTH PLAIN ${login}`,
    'tls MAIL FROM:<garner@web1.example.test>',
    'tls RCPT TO:<a@example.test>',
    'tls RCPT TO:<b@example.test>',
    'tls DATA',
  ]);
  expect(server.messages[0]).not.toContain('passphrase');
});

it('says which of several recipients was refused, and does not repeat the message to the others', async () => {
  await using server = await startSmtpServer({
    answers: { 'RCPT TO:<gone@example.test>': '550 5.1.1 no such user' },
  });
  using host = makeHost({
    NOTIFY_SMTP_URL: `smtp://127.0.0.1:${server.port}`,
    NOTIFY_EMAIL_TO: 'gone@example.test,here@example.test',
  });
  const { exitCode, stderr } = await host.notify(['--', 'true']);
  expect([exitCode, host.queue()]).toEqual([0, []]);
  expect(stderr).toContain('warning: 127.0.0.1 refused the recipient gone@example.test');
  expect(server.messages).toHaveLength(1);
});

it('looks at no certificate on the way to this host itself, where nothing is secret', async () => {
  const other = await makeCertificates('DNS:elsewhere.example.test');
  await using server = await startSmtpServer({ tls: other });
  using host = makeHost({ NOTIFY_SMTP_URL: `smtp://localhost:${server.port}` });
  await host.notify(['--', 'true']);
  expect(server.messages).toHaveLength(1);
});
