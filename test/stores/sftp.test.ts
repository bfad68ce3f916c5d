import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openStore } from '../../stores/open.ts';
import type { Store } from '../../stores/store.ts';
import { describeStore, put, readAll } from '../contract/store-contract.ts';
import { makeChroot, removeGroup, type Sshd, startSshd, testGroup } from '../helpers/sshd.ts';

const group = testGroup();
let chroot: { path: string; workDir: string };
let sshd: Sshd;

beforeAll(async () => {
  chroot = await makeChroot(group);
  sshd = await startSshd({ chroot: chroot.path, group, hostKeyTypes: ['ed25519', 'ecdsa', 'rsa'] });
});
afterAll(async () => {
  await sshd.stop();
  rmSync(chroot.path, { recursive: true });
  await removeGroup(group);
});

const open = (directory = '/work', options = {}): Promise<Store> =>
  openStore(sshd.url(directory), {
    identityFile: sshd.identityFile,
    hostKeys: [sshd.hostKeys.ed25519 as string],
    ...options,
  });

describeStore('sftp', async () => {
  const store = await open();
  return { store, directory: chroot.workDir, close: async () => store[Symbol.asyncDispose]() };
});

test('reads and removes what root made for its group, and nothing else', async () => {
  const file = join(chroot.workDir, 'archive');
  writeFileSync(file, 'x');
  await execa('chgrp', [group, file]);
  chmodSync(file, 0o640);
  writeFileSync(join(chroot.workDir, 'private'), 'x', { mode: 0o600 });
  await using store = await open();
  expect(String(await readAll(store, 'archive'))).toBe('x');
  await store.remove('archive');
  expect(await store.stat('archive')).toBeUndefined();
  await expect(readAll(store, 'private')).rejects.toMatchObject({
    code: 'io',
    message: `cannot read "${store.url}/private": permission denied`,
  });
  await using top = await open('/');
  await expect(put(top, 'file', 'x')).rejects.toMatchObject({ code: 'io' });
});

test('lends the same memory again and again, and each block until the next but one is asked for', async () => {
  const file = join(chroot.workDir, 'large');
  writeFileSync(file, randomBytes(41 * (255 << 10) + 7));
  await execa('chmod', ['0644', file]);
  await using store = await open();
  const hash = createHash('sha256');
  const memory = new Set<ArrayBufferLike>();
  let before: Buffer = Buffer.alloc(0);
  for await (const block of store.read('large', 0, true)) {
    await sleep(2); // others arrive meanwhile
    hash.update(before);
    memory.add(block.buffer);
    before = block;
  }
  hash.update(before);
  const { stdout } = await execa('sha256sum', [file]);
  expect(hash.digest('hex')).toBe(stdout.slice(0, 64));
  expect(memory.size).toBeLessThan(20);
  // who collects blocks, and doesn't say so, gets each in its own
  expect(
    createHash('sha256')
      .update(await readAll(store, 'large'))
      .digest('hex'),
  ).toBe(stdout.slice(0, 64));
});

test('says that the directory of its URL is not on the host', async () => {
  await using store = await open('/nowhere');
  expect(await store.list('')).toEqual([]);
  await expect(store.create('file')).rejects.toMatchObject({ code: 'store-not-found' });
});

test.each(['ed25519', 'ecdsa', 'rsa'] as const)('knows a host by its %s key alone', async (type) => {
  await using store = await open('/work', { hostKeys: [sshd.hostKeys[type]] });
  expect(await store.stat('')).toMatchObject({ kind: 'directory' });
});

test('accepts a new key only where told to, and gives its fingerprint as ssh-keygen has it', async () => {
  await expect(open('/work', { hostKeys: [] })).rejects.toMatchObject({
    code: 'host-key',
    message: expect.stringContaining(sshd.hostKeys.ed25519 as string),
  });
  const accepted: string[] = [];
  await using _ = await open('/work', {
    hostKeys: [],
    acceptNewHostKey: (key: string) => accepted.push(key),
  });
  expect(accepted).toEqual([sshd.hostKeys.ed25519]);
});

test('refuses a private key that others can read, and one that is none', async () => {
  const identityFile = join(chroot.path, 'key');
  copyFileSync(sshd.identityFile, identityFile);
  chmodSync(identityFile, 0o640);
  await expect(open('/work', { identityFile })).rejects.toMatchObject({ code: 'configuration-permissions' });
  chmodSync(identityFile, 0o600);
  await using _ = await open('/work', { identityFile });
  writeFileSync(identityFile, 'no key');
  await expect(open('/work', { identityFile })).rejects.toMatchObject({ code: 'configuration' });
  await expect(open('/work', { identityFile: '/nowhere' })).rejects.toMatchObject({ code: 'configuration' });
  await expect(open('/work', { hostKeys: ['SHA256:short'] })).rejects.toMatchObject({
    code: 'configuration',
  });
});

test('says what a refused login needs', async () => {
  const identityFile = join(chroot.path, 'foreign');
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', identityFile]);
  await expect(open('/work', { identityFile })).rejects.toMatchObject({
    code: 'store-connect',
    message: `cannot log in to "${sshd.url('/work')}": permission denied (publickey)`,
    hint: expect.stringContaining('authorized_keys'),
  });
});

test('ends with the run: what is under way is rejected with its reason', async () => {
  const run = new AbortController();
  mkdirSync(join(chroot.workDir, 'run'), { mode: 0o755 });
  writeFileSync(join(chroot.workDir, 'run/file'), Buffer.alloc(20_000_000));
  await using store = await open('/work', { signal: run.signal });
  const reason = new Error('the run was ended');
  const reading = async (): Promise<void> => {
    for await (const _ of store.read('run/file')) run.abort(reason);
  };
  await expect(reading()).rejects.toThrow('the run was ended');
  await expect(store.list('')).rejects.toThrow('the run was ended');
  await expect(open('/work', { signal: run.signal })).rejects.toBe(reason);
});

test('rejects what is under way when the connection breaks', async () => {
  writeFileSync(join(chroot.workDir, 'large'), Buffer.alloc(50_000_000));
  await using store = await open();
  const chunks = store.read('large')[Symbol.asyncIterator]();
  await chunks.next();
  await sshd.restart();
  const rest = async (): Promise<void> => {
    while (!(await chunks.next()).done);
  };
  await expect(rest()).rejects.toMatchObject({ code: 'store-connect' });
  await expect(store.stat('')).rejects.toMatchObject({ code: 'store-connect' });
});
