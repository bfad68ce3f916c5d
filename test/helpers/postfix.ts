// A private postfix for tests (as root): a port of its own on loopback, directories of its own, STARTTLS, and a Maildir
// for everybody at example.test. It sends nothing anywhere.
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { type ParsedMail, parseMail } from './mail.ts';
import { freePort } from './mariadb.ts';
import type { Certificates } from './smtp-server.ts';

const NOBODY = 65_534;
const WAIT_MS = 20_000;

export interface Postfix extends AsyncDisposable {
  port: number;
  /** A program that is this postfix's own `sendmail`. */
  sendmail: string;
  /** Waits until so many mails are in the Maildir. @returns all of them, oldest first */
  mails(count: number): Promise<ParsedMail[]>;
  /** What it has logged. */
  log(): string;
}

/** Starts a postfix that offers STARTTLS with the certificate. */
export async function startPostfix({ keyFile, certFile }: Certificates): Promise<Postfix> {
  const root = mkdtempSync(join(tmpdir(), 'garner-postfix-'));
  chmodSync(root, 0o711); // postfix's own users pass through
  const at = (name: string): string => join(root, name);
  for (const name of ['etc', 'queue', 'data', 'mail']) mkdirSync(at(name), { mode: 0o755 });
  const uid = Number((await execa('id', ['-u', 'postfix'])).stdout);
  chownSync(at('data'), uid, -1);
  chownSync(at('mail'), NOBODY, NOBODY);
  const port = await freePort();
  writeFileSync(at('etc/main.cf'), mainCf(root, keyFile, certFile));
  writeFileSync(at('etc/master.cf'), masterCf(port));
  writeFileSync(at('sendmail'), `#!/bin/sh\nexec /usr/sbin/sendmail -C ${at('etc')} "$@"\n`, { mode: 0o755 });

  // setpriv: it ends with the test process, however that ends
  const server = execa('setpriv', ['--pdeathsig', 'KILL', 'postfix', '-c', at('etc'), 'start-fg'], {
    stdio: 'ignore',
    reject: false,
  });
  const log = (): string => (existsSync(at('log')) ? readFileSync(at('log'), 'utf8') : '');
  await until(() => log().includes('daemon started'), log);
  const inbox = at('mail/inbox/new');
  return {
    port,
    sendmail: at('sendmail'),
    log,
    async mails(count) {
      const names = (): string[] =>
        existsSync(inbox) ? readdirSync(inbox).sort((a, b) => deliveredAt(a) - deliveredAt(b)) : [];
      await until(() => names().length >= count, log);
      return names().map((name) => parseMail(readFileSync(join(inbox, name), 'utf8')));
    },
    async [Symbol.asyncDispose]() {
      await execa('postfix', ['-c', at('etc'), 'stop'], { reject: false });
      server.kill('SIGTERM');
      await server;
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** Maildir names are `<seconds>.V<device>I<inode>M<microseconds>.<host>`: in their own order only from second to second. */
function deliveredAt(name: string): number {
  const [, seconds, microseconds] = /^(\d+)\..*M(\d+)\./.exec(name) ?? [];
  return Number(seconds) * 1e6 + Number(microseconds);
}

async function until(done: () => boolean, explain: () => string): Promise<void> {
  for (const end = Date.now() + WAIT_MS; !done(); await sleep(50)) {
    if (Date.now() > end) throw new Error(`postfix did not get there:\n${explain()}`);
  }
}

const mainCf = (root: string, keyFile: string, certFile: string): string => `
compatibility_level = 3.6
queue_directory = ${root}/queue
data_directory = ${root}/data
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_key_file = ${keyFile}
smtpd_tls_cert_file = ${certFile}
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
virtual_mailbox_domains = example.test
virtual_mailbox_base = ${root}/mail
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:${NOBODY}
virtual_gid_maps = static:${NOBODY}
virtual_minimum_uid = 100
default_transport = error:this server sends nothing
alias_maps =
alias_database =
maillog_file = ${root}/log
maillog_file_prefixes = ${root}
`;

const masterCf = (port: number): string => `
127.0.0.1:${port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
pickup  unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr    unix n - n 300 1 qmgr
tlsmgr  unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce  unix - - n - 0 bounce
defer   unix - - n - 0 bounce
trace   unix - - n - 0 bounce
verify  unix - - n - 1 verify
flush   unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error   unix - - n - - error
virtual unix - n n - - virtual
anvil   unix - - n - 1 anvil
showq   unix n - n - - showq
`;
