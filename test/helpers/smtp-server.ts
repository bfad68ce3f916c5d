// An SMTP server that does what a test tells it to: refuses, hangs, drops, offers TLS or not; and certificates for it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { execa } from 'execa';

export interface SmtpBehaviour {
  /** Key and certificate (PEM): STARTTLS is offered. */
  tls?: { key: string; cert: string };
  /**
   * What it says to a command, by verb or whole line, in place of the usual; `greeting` and `message` (after the data) count as
   * verbs. `hang` says nothing, `drop` cuts the connection.
   */
  answers?: Record<string, string>;
}

export interface SmtpServer extends AsyncDisposable {
  port: number;
  /** What clients sent, in order; `tls ` stands before what came encrypted. Data is left out. */
  commands: string[];
  /** Messages as they came, whether or not they were then taken. */
  messages: string[];
  /** May be changed between two connections. */
  behaviour: SmtpBehaviour;
}

const USUAL: Record<string, string> = {
  GREETING: '220 test.example ESMTP',
  HELO: '250 test.example',
  AUTH: '235 2.7.0 welcome',
  MAIL: '250 2.1.0 ok',
  RCPT: '250 2.1.5 ok',
  DATA: '354 go on',
  MESSAGE: '250 2.0.0 taken',
  RSET: '250 2.0.0 ok',
  QUIT: '221 2.0.0 bye',
};

/** Starts a server on a free port of 127.0.0.1. */
export async function startSmtpServer(behaviour: SmtpBehaviour = {}): Promise<SmtpServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    serve(socket, state, false);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const state: SmtpServer = {
    port: (server.address() as { port: number }).port,
    commands: [],
    messages: [],
    behaviour,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await close(server);
    },
  };
  return state;
}

const close = (server: Server): Promise<unknown> => new Promise((resolve) => server.close(resolve));

function serve(socket: Socket, state: SmtpServer, encrypted: boolean): void {
  const { tls, answers = {} } = state.behaviour;
  let data: string[] | undefined;
  let rest = '';
  const answer = (verb: string, line = verb): void => {
    const custom = Object.entries(answers).find(([name]) => [verb, line].includes(name.toUpperCase()))?.[1];
    const extensions = ['250-test.example', ...(tls && !encrypted ? ['250-STARTTLS'] : []), '250 AUTH PLAIN'];
    const text = custom ?? (verb === 'EHLO' ? extensions.join('\r\n') : USUAL[verb]) ?? '502 5.5.1 what?';
    if (text === 'drop') socket.destroy();
    else if (text !== 'hang') socket.write(`${text}\r\n`);
  };
  const startTls = (): void => {
    socket.removeAllListeners('data');
    socket.write('220 2.0.0 go ahead\r\n');
    const secure = new TLSSocket(socket, { isServer: true, ...tls });
    serve(secure, state, true);
  };
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    rest += chunk.toString('latin1');
    const lines = rest.split('\r\n');
    rest = lines.pop() as string;
    for (const line of lines) {
      if (data !== undefined) {
        if (line !== '.') {
          data.push(line.replace(/^\./, ''));
          continue;
        }
        state.messages.push(Buffer.from(data.join('\r\n'), 'latin1').toString());
        data = undefined;
        answer('MESSAGE');
        continue;
      }
      state.commands.push(encrypted ? `tls ${line}` : line);
      const verb = (line.split(' ')[0] as string).toUpperCase();
      if (verb === 'STARTTLS' && tls !== undefined && answers.STARTTLS === undefined) return startTls();
      if (verb === 'DATA' && answers.DATA === undefined) data = [];
      answer(verb, line.toUpperCase());
      if (verb === 'QUIT') socket.end();
    }
  });
  if (!encrypted) answer('GREETING');
}

export interface Certificates {
  /** The CA's certificate. */
  caFile: string;
  keyFile: string;
  certFile: string;
  key: string;
  cert: string;
}

/** Makes a CA, and a certificate by it for `localhost` and 127.0.0.1, or for other names. */
export async function makeCertificates(names = 'DNS:localhost,IP:127.0.0.1'): Promise<Certificates> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-tls-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  const at = (name: string): string => join(directory, name);
  const openssl = (...args: string[]) => execa('openssl', args);
  const fresh = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  await openssl(
    ...fresh,
    '-x509',
    '-days',
    '2',
    '-subj',
    '/CN=Test CA',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
  );
  await openssl(...fresh, '-subj', '/CN=test', '-keyout', at('key.pem'), '-out', at('request.pem'));
  writeFileSync(at('names'), `subjectAltName=${names}\n`);
  await openssl(
    ...['x509', '-req', '-days', '2', '-in', at('request.pem'), '-CA', at('ca.pem'), '-CAkey', at('ca.key')],
    ...['-CAcreateserial', '-extfile', at('names'), '-out', at('cert.pem')],
  );
  const [key, cert] = [readFileSync(at('key.pem'), 'utf8'), readFileSync(at('cert.pem'), 'utf8')];
  return { caFile: at('ca.pem'), keyFile: at('key.pem'), certFile: at('cert.pem'), key, cert };
}
