import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, expect, test } from 'vitest';
import { openFileStore } from '../../stores/file.ts';
import { describeStore, put, readAll } from '../contract/store-contract.ts';

const directory = mkdtempSync(join(tmpdir(), 'garner-file-store-'));
afterAll(() => rmSync(directory, { recursive: true }));

describeStore('file', async () => {
  const root = join(directory, 'root');
  mkdirSync(root, { recursive: true });
  return { store: openFileStore(root), directory: root, async close() {} };
});

test('makes its root with the first file, and lists nothing before', async () => {
  const root = join(directory, 'new/root');
  const store = openFileStore(root);
  expect(await store.list('')).toEqual([]);
  await put(store, 'file', 'x');
  expect(readFileSync(join(root, 'file'), 'utf8')).toBe('x');
});

test('has a root that may be a link', async () => {
  mkdirSync(join(directory, 'disk'));
  symlinkSync('disk', join(directory, 'mounted'));
  const store = openFileStore(join(directory, 'mounted'));
  await put(store, 'file', 'x');
  expect(String(await readAll(store, 'file'))).toBe('x');
  expect(await store.list('')).toHaveLength(1);
});

test('follows no link among the directories below its root', async () => {
  const store = openFileStore(directory);
  mkdirSync(join(directory, 'real'));
  await put(store, 'real/file', 'x');
  symlinkSync('real', join(directory, 'linked'));
  await expect(readAll(store, 'linked/file')).rejects.toMatchObject({ code: 'io' });
  await expect(store.stat('linked/file')).rejects.toMatchObject({ code: 'io' });
  await expect(store.list('linked')).rejects.toMatchObject({ code: 'io' });
  await expect(store.remove('linked/file')).rejects.toMatchObject({ code: 'io' });
  expect(String(await readAll(store, 'real/file'))).toBe('x');
});

test('says that the disk is full, and leaves nothing of the file', async () => {
  const mount = join(directory, 'small');
  mkdirSync(mount);
  const { exitCode } = await execa('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', mount], {
    reject: false,
  });
  if (process.getuid?.() !== 0) return expect(exitCode).not.toBe(0); // only root may mount
  try {
    const store = openFileStore(mount);
    const upload = await store.create('file');
    const write = async (): Promise<void> => {
      for (let i = 0; i < 4; i += 1) await upload.write(Buffer.alloc(512 << 10));
      await upload.publish();
    };
    await expect(write()).rejects.toMatchObject({ code: 'no-space' });
    await upload.abort();
    expect((await execa('ls', ['-A', mount])).stdout).toBe('');
    await put(store, 'file', 'x');
  } finally {
    await execa('umount', [mount]);
  }
});
