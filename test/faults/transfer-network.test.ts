// Transfers over a network that breaks and to hosts that are not what they should be.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { transfer } from '../../archive/transfer.ts';
import { openFileStore } from '../../stores/file.ts';
import { openStore, type StoreOptions } from '../../stores/open.ts';
import type { Store } from '../../stores/store.ts';
import { freePort } from '../helpers/mariadb.ts';
import { type Sshd, startSshd } from '../helpers/sshd.ts';
import { startTcpProxy, type TcpProxy } from '../helpers/tcp-proxy.ts';
import { makeTransferable } from '../helpers/transferable.ts';

const NAME = 'wiki-web1-20260731T021500Z';
const FILE = `${NAME}.tar`;
const SIZE = 2_000_000;
const signal = new AbortController().signal;
let directory: string;
let sshd: Sshd;
let proxy: TcpProxy;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'garner-network-'));
  sshd = await startSshd();
  mkdirSync(join(directory, 'source'));
  await makeTransferable(join(directory, 'source'), NAME, SIZE);
});
afterAll(async () => {
  await sshd.stop();
  rmSync(directory, { recursive: true });
});

const options = (): StoreOptions => ({
  identityFile: sshd.identityFile,
  hostKeys: [sshd.hostKeys.ed25519 as string],
});

describe('over a connection that is cut', () => {
  beforeEach(async () => {
    proxy = await startTcpProxy(sshd.port);
  });
  afterEach(() => proxy[Symbol.asyncDispose]());

  /** Copies over the proxy: from the host, or to it. */
  async function copy(target: string, push: boolean): Promise<unknown> {
    const host = await openStore(sshd.url(push ? target : join(directory, 'source'), proxy.port), options());
    const here = openFileStore(push ? join(directory, 'source') : target);
    const [from, to] = push ? [here, host] : [host, here];
    try {
      return await transfer({ from, fromPath: FILE, to, toPath: FILE, signal });
    } finally {
      await host[Symbol.asyncDispose]();
    }
  }

  test.each([
    ['pull', false],
    ['push', true],
  ])('F30 a %s that is cut leaves nothing under a final name, and the next one succeeds', async (_, push) => {
    const bulk = push ? 'toServer' : 'toClient';
    for (const bytes of [0, 10, 1500, 3000, 5000, 100_000, 777_777, SIZE, SIZE + 3000]) {
      const target = mkdtempSync(join(directory, 'target-'));
      proxy.cutAfter(bytes, bulk);
      const failure = await copy(target, push).catch((error) => error);
      expect(failure, `cut after ${bytes}`).toMatchObject({ code: 'store-connect' });
      const left = readdirSync(target).filter((name) => !name.startsWith('.part-'));
      expect(left, `cut after ${bytes}`).not.toContain(FILE);
      // a push may be cut between its last write and the archive's name; then the checksum files are there, as they must
      if (bytes < SIZE) expect(left, `cut after ${bytes}`).toEqual([]);
      proxy.cutAfter(undefined);
      expect(await copy(target, push)).toMatchObject({ existed: false, sizeBytes: SIZE });
      await execa('sha256sum', ['-c', `${FILE}.sha256`], { cwd: target });
      expect(readdirSync(target).sort(), `cut after ${bytes}`).toEqual([
        FILE,
        `${FILE}.sha1`,
        `${FILE}.sha256`,
      ]);
    }
  });

  test('F34 a host that falls silent in the middle is given up', async () => {
    const url = sshd.url(join(directory, 'source'), proxy.port);
    await using from = await openStore(url, { ...options(), idleTimeoutMs: 300 });
    const target = mkdtempSync(join(directory, 'target-'));
    const copying = transfer({
      from,
      fromPath: FILE,
      to: openFileStore(target),
      toPath: FILE,
      signal,
      onBytes: () => proxy.blackhole(),
    });
    await expect(copying).rejects.toMatchObject({ code: 'timeout', message: expect.stringContaining(url) });
    expect(readdirSync(target)).toEqual([]);
  });

  test('F34 closing the connection to a silent host does not hang', async () => {
    const store = await openStore(sshd.url('/', proxy.port), options());
    proxy.blackhole();
    const listing = expect(store.list('')).rejects.toMatchObject({ code: 'store-connect' });
    await store[Symbol.asyncDispose]();
    await listing;
  });
});

test('F34 an sshd that is stopped is given up, and another host goes on', async () => {
  const other = await startSshd();
  try {
    await using hanging = await openStore(sshd.url(join(directory, 'source')), {
      ...options(),
      idleTimeoutMs: 300,
    });
    await using good = await openStore(other.url(join(directory, 'source')), {
      identityFile: other.identityFile,
      hostKeys: [other.hostKeys.ed25519 as string],
    });
    const resume = await sshd.pause();
    const target = mkdtempSync(join(directory, 'target-'));
    const copy = (from: Store, path: string): Promise<unknown> =>
      transfer({ from, fromPath: FILE, to: openFileStore(join(target, path)), toPath: FILE, signal });
    const [one, two] = await Promise.allSettled([copy(hanging, 'hanging'), copy(good, 'good')]);
    resume();
    expect(one).toMatchObject({ status: 'rejected', reason: { code: 'timeout' } });
    expect(two).toMatchObject({ status: 'fulfilled', value: { sizeBytes: SIZE } });
  } finally {
    await other.stop();
  }
});

test.each([
  ['accepts and never speaks', () => {}],
  ['sends one byte a while', (socket: Socket) => setInterval(() => socket.write('S'), 50).unref()],
  ['greets and never goes on', (socket: Socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n')],
])('F34 a host that %s is given up', async (_, greet) => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    greet(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as { port: number };
    const opening = openStore(sshd.url('/', port), { ...options(), connectTimeoutMs: 400 });
    await expect(opening).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(/cannot connect to ".*": the host has not answered for 0.4 s/),
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

test('says that nothing listens, or that what listens is no SSH', async () => {
  const port = await freePort();
  await expect(openStore(sshd.url('/', port), options())).rejects.toMatchObject({
    code: 'store-connect',
    message: `cannot connect to "${sshd.url('', port)}": connection refused`,
  });
  const server = createServer((socket) =>
    socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const other = (server.address() as { port: number }).port;
  await expect(openStore(sshd.url('/', other), options())).rejects.toMatchObject({ code: 'store-connect' });
  server.close();
});

test('F33 refuses a host whose key has changed before it logs in, naming both keys', async () => {
  const host = await startSshd({ config: 'LogLevel DEBUG1' });
  try {
    const known = host.hostKeys.ed25519 as string;
    const open = (hostKeys: string[]): Promise<Store> =>
      openStore(host.url('/'), { identityFile: host.identityFile, hostKeys });
    await (await open([known]))[Symbol.asyncDispose]();
    await host.restart(['ed25519', 'ecdsa']);
    const changed = host.hostKeys.ed25519 as string;
    const logins = (): number => host.log().match(/userauth-request/g)?.length ?? 0;
    const before = logins();
    for (const expected of [[known], []]) {
      const refused = await open(expected).catch((error) => error);
      expect(refused).toMatchObject({ code: 'host-key', hint: expect.stringContaining('ssh-keygen -lf') });
      for (const key of [changed, ...expected]) expect(refused.message).toContain(key);
    }
    expect(logins()).toBe(before);
    await (await open([known, changed]))[Symbol.asyncDispose]();
    expect(logins()).toBeGreaterThan(before);
  } finally {
    await host.stop();
  }
});
