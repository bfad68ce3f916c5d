import { createServer, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeAll, expect, it, vi } from 'vitest';
import { redact } from '../../lib/redact.ts';
import { form, HTTP_SETTINGS, type HttpService, httpUrl, openHttp, secretUrl } from '../../notifier/http.ts';
import { NO_LIMIT } from '../contract/transport-contract.ts';
import { startHttpService } from '../helpers/http-service.ts';
import { type Certificates, makeCertificates } from '../helpers/smtp-server.ts';

let certificates: Certificates;
beforeAll(async () => {
  certificates = await makeCertificates('DNS:chat.example.test,IP:127.0.0.1');
});
afterEach(() => vi.unstubAllEnvs());

const open = (url: string, caFile?: string, plain = false): HttpService =>
  openHttp('Chat', httpUrl(url), 'NOTIFY_CHAT_URL', {
    NOTIFY_HTTP_CA_FILE: caFile,
    NOTIFY_ALLOW_PLAIN_HTTP: plain,
  });

it('F54 sends nothing to a server whose certificate can not be checked', async () => {
  await using service = await startHttpService(() => ({ status: 200 }), certificates);
  await expect(open(service.url).send({}, NO_LIMIT)).rejects.toThrow(
    /^cannot send a message to "Chat at 127\.0\.0\.1:\d+": .*certificate; NOTIFY_HTTP_CA_FILE names a CA to trust$/,
  );
  expect(service.requests).toEqual([]);
});

it('F54 sends nothing to a server whose certificate is for another name', async () => {
  await using service = await startHttpService(() => ({ status: 200 }), certificates);
  const other = open(`https://localhost:${service.port}`, certificates.caFile);
  await expect(other.send({}, NO_LIMIT)).rejects.toThrow(/does not match certificate's altnames/);
  expect(service.requests).toEqual([]);
});

it('trusts the CA that is set', async () => {
  await using service = await startHttpService(() => ({ status: 200, body: 'taken' }), certificates);
  const chat = open(`${service.url}/a`, certificates.caFile);
  expect(await chat.send({ body: form({ a: 'ü&=', b: '' }), headers: { 'X-Key': 'k' } }, NO_LIMIT)).toBe(
    'taken',
  );
  expect(service.requests).toMatchObject([
    {
      method: 'POST',
      path: '/a',
      body: 'a=%C3%BC%26%3D&b=',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'content-length': '17',
        'x-key': 'k',
        'user-agent': 'garner',
      },
    },
  ]);
});

it('says that the CA that is set can not be read', async () => {
  await expect(open('https://127.0.0.1:1', '/nowhere/ca.pem').send({}, NO_LIMIT)).rejects.toMatchObject({
    code: 'delivery',
    message: expect.stringContaining('NOTIFY_HTTP_CA_FILE "/nowhere/ca.pem" can\'t be read: no such file'),
  });
});

it('F54 goes to other hosts without TLS only where that is allowed', () => {
  expect(() => open('http://chat.example.test/')).toThrow(
    expect.objectContaining({
      code: 'configuration',
      message: expect.stringContaining('cannot use setting "NOTIFY_CHAT_URL"'),
    }),
  );
  expect(() => open('http://127.0.0.1.example.test/')).toThrow('cannot use setting');
  expect(() => open('http://localhost.example.test/')).toThrow('cannot use setting');
  expect(open('http://chat.example.test/', undefined, true).host).toBe('chat.example.test');
  for (const own of ['http://localhost:1', 'http://127.9.9.9:1', 'http://[::1]:1'])
    expect(open(own).host).toBe(own.slice('http://'.length));
  expect(HTTP_SETTINGS.NOTIFY_ALLOW_PLAIN_HTTP.default).toBe('false');
});

it('goes by the proxy that the environment names, through which nobody sees', async () => {
  await using service = await startHttpService(() => ({ status: 200 }), certificates);
  const asked: (string | undefined)[] = [];
  const proxy = createServer();
  proxy.on('connect', (request: IncomingMessage, socket: Socket) => {
    asked.push(request.url, request.headers['proxy-authorization']);
    const onward = connect(service.port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    for (const end of [socket, onward]) end.on('error', () => {});
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address() as { port: number };
  vi.stubEnv('HTTPS_PROXY', `http://me:proxypassword@127.0.0.1:${port}`);
  vi.stubEnv('NO_PROXY', '');
  try {
    await open('https://chat.example.test/x', certificates.caFile).send({}, NO_LIMIT);
    expect(asked).toEqual([
      'chat.example.test:443',
      `Basic ${Buffer.from('me:proxypassword').toString('base64')}`,
    ]);
    expect(service.requests).toMatchObject([{ method: 'GET', path: '/x' }]);
    expect(redact('by http://me:proxypassword@proxy')).not.toContain('proxypassword');
    // this host itself is reached without one
    await expect(open('https://127.0.0.1:1/').send({}, NO_LIMIT)).rejects.toThrow('connection refused');
    expect(asked).toHaveLength(2);
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});

it('knows the parts of a secret address wherever they turn up, and leaves words alone', () => {
  secretUrl('https://hooks.example.test/backups/notifications');
  const path = 'cannot write /srv/backups/notifications';
  expect(redact(path)).toBe(path.replace('/backups/notifications', '[redacted]'));
  expect(redact('notifications of backups')).toBe('notifications of backups');
  secretUrl('https://hooks.example.test/services/T0000001/XyZw0123456789?sig=abcdefghij%2Fk');
  const shown = redact(
    'T0000001/XyZw0123456789 and /services/T0000001/XyZw0123456789?sig=… abcdefghij/k abcdefghij%2Fk',
  );
  expect(shown).not.toMatch(/XyZw0123456789|abcdefghij/);
  expect(() => secretUrl('hooks.example.test/ZZsecret9876543')).toThrow('it is not https://');
  expect(redact('hooks.example.test/ZZsecret9876543')).toBe('[redacted]');
});
