import { describe, expect, it } from 'vitest';
import { type Host, makeHost } from '../helpers/notify.ts';
import { makeCertificates, type SmtpBehaviour, startSmtpServer } from '../helpers/smtp-server.ts';

const COMMAND = ['--', 'sh', '-c', 'echo working; exit 6'];

/** The message is said to be undelivered and queued; the command's exit code stands. */
async function expectQueued(host: Host, cause: RegExp): Promise<void> {
  const { exitCode, stderr, stdout } = await host.notify(COMMAND);
  expect([exitCode, stdout]).toEqual([6, 'working']);
  expect(stderr).toMatch(
    /error: not delivered by email: \[garner\] FAILED sh on web1\.example\.test: exit code 6: /,
  );
  expect(stderr).toMatch(cause);
  expect(stderr).toContain(`the message waits in ${host.root}/state/queue`);
  expect(stderr).not.toContain('earlier runs');
  expect(host.queue()).toHaveLength(1);
}

async function expectSentLater(answers: Record<string, string>, cause: RegExp): Promise<void> {
  await using server = await startSmtpServer({ answers });
  using host = makeHost({ NOTIFY_SMTP_URL: `smtp://127.0.0.1:${server.port}` });
  await expectQueued(host, cause);
  const before = server.messages.length;

  server.behaviour = {};
  const { exitCode, stderr } = await host.notify(['--name', 'next', '--', 'true']);
  expect(exitCode).toBe(0);
  expect(stderr).toContain('sent 1 message of earlier runs');
  expect(host.queue()).toEqual([]);
  const [next, queued] = server.messages.slice(before);
  expect(next).toContain('Subject: [garner] OK next on web1');
  expect(queued).toContain('Subject: [garner] FAILED sh on web1');
  if (before > 0) {
    // the server may have taken it although it never said so: the same id tells
    const id = /^Message-ID: .*$/m;
    expect(id.exec(queued as string)?.[0]).toBe(id.exec(server.messages[0] as string)?.[0]);
  }
}

describe('F53 a mail server that fails: queued, sent by the next run, the exit code unchanged', () => {
  const faults: [string, SmtpBehaviour['answers'], RegExp][] = [
    ['says 421 at once', { greeting: '421 4.3.2 too busy' }, /421 4\.3\.2 too busy/],
    ['says 450 to the recipient', { RCPT: '450 4.2.0 greylisted' }, /450 4\.2\.0 greylisted/],
    ['says 550 to the recipient', { RCPT: '550 5.1.1 no such user' }, /550 5\.1\.1 no such user/],
    ['says 452 after the data', { message: '452 4.3.1 disk full' }, /452 4\.3\.1 disk full/],
    ['says 554 after the data', { message: '554 5.7.1 spam' }, /554 5\.7\.1 spam/],
    ['drops before the greeting', { greeting: 'drop' }, /closed/],
    ['drops at DATA', { DATA: 'drop' }, /closed/],
    ['drops after the data', { message: 'drop' }, /closed/],
  ];
  it.each(faults)('%s', async (_, answers = {}, cause) => expectSentLater(answers, cause));

  it.concurrent.each([
    ['hangs before the greeting', { greeting: 'hang' }, /Greeting never received/],
    ['hangs after the data', { message: 'hang' }, /Timeout/],
  ])('%s', async (_, answers: SmtpBehaviour['answers'] = {}, cause) => expectSentLater(answers, cause));

  it('is down', async () => {
    const server = await startSmtpServer();
    await server[Symbol.asyncDispose]();
    using host = makeHost({ NOTIFY_SMTP_URL: `smtp://127.0.0.1:${server.port}` });
    await expectQueued(host, /ECONNREFUSED/);
  });

  it('has no name that is known', async () => {
    using host = makeHost({ NOTIFY_SMTP_URL: 'smtp://mx.invalid' });
    await expectQueued(host, /mx\.invalid/);
  });

  it('is a sendmail that fails, or is not there', async () => {
    using host = makeHost();
    host.script('sendmail', '#!/bin/sh\necho queue full >&2\nexit 75\n');
    await expectQueued(host, /queue full \(exit code 75\)/);
    using other = makeHost({ NOTIFY_SENDMAIL: '/nonexistent/sendmail' });
    await expectQueued(other, /cannot run program/);
  });
});

describe('F54 no credentials in the clear, loudly', () => {
  const account = (port: number, caFile: string) => ({
    NOTIFY_SMTP_URL: `smtp://me@localhost:${port}`,
    NOTIFY_SMTP_PASSWORD: 'hunter2hunter2',
    NOTIFY_SMTP_CA_FILE: caFile,
  });
  const clear = (commands: string[]): string[] => commands.filter((line) => !line.startsWith('tls '));

  it('where STARTTLS is stripped from the offer', async () => {
    const { caFile } = await makeCertificates();
    await using server = await startSmtpServer();
    using host = makeHost(account(server.port, caFile));
    await expectQueued(host, /STARTTLS/);
    expect(server.commands.join('\n')).not.toMatch(/AUTH|MAIL/);
  });

  it('where STARTTLS is refused', async () => {
    const certificates = await makeCertificates();
    await using server = await startSmtpServer({
      tls: certificates,
      answers: { STARTTLS: '454 4.7.0 not now' },
    });
    using host = makeHost(account(server.port, certificates.caFile));
    await expectQueued(host, /454 4\.7\.0 not now/);
    expect(server.commands.join('\n')).not.toMatch(/AUTH|MAIL/);
  });

  it('where the certificate is by nobody who is trusted', async () => {
    await using server = await startSmtpServer({ tls: await makeCertificates() });
    using host = makeHost(account(server.port, (await makeCertificates()).caFile));
    await expectQueued(host, /certificate; NOTIFY_SMTP_CA_FILE names a CA to trust$/m);
    expect(server.commands).toEqual(['EHLO web1.example.test', 'STARTTLS']);
  });

  it('where the certificate is for another name', async () => {
    const certificates = await makeCertificates('DNS:elsewhere.example.test');
    await using server = await startSmtpServer({ tls: certificates });
    using host = makeHost(account(server.port, certificates.caFile));
    await expectQueued(host, /does not match certificate/);
    expect(clear(server.commands)).toEqual(server.commands);
  });

  it('where the server speaks no TLS on the port of smtps', async () => {
    const { caFile } = await makeCertificates();
    await using server = await startSmtpServer();
    using host = makeHost({
      ...account(server.port, caFile),
      NOTIFY_SMTP_URL: `smtps://me@localhost:${server.port}`,
    });
    await expectQueued(host, /TLS|SSL/i);
    expect(server.commands.join('\n')).not.toMatch(/AUTH|MAIL/);
  });

  it('nor is mail sent without TLS where a CA is set and there are no credentials', async () => {
    const { caFile } = await makeCertificates();
    await using server = await startSmtpServer();
    using host = makeHost({
      NOTIFY_SMTP_URL: `smtp://localhost:${server.port}`,
      NOTIFY_SMTP_CA_FILE: caFile,
    });
    await expectQueued(host, /STARTTLS/);
    expect(server.messages).toEqual([]);
  });
});
