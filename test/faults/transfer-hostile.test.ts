// Hosts that lie: listings without an end, absurd names and sizes, answers that never come.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { transfer, verifyDigests } from '../../archive/transfer.ts';
import { openFileStore } from '../../stores/file.ts';
import { openStore } from '../../stores/open.ts';
import type { Store } from '../../stores/store.ts';
import { readAll } from '../contract/store-contract.ts';
import { type Behaviour, startHostileSftp } from '../helpers/hostile-sftp.ts';

/** Runs a test with a store on a server that behaves so. */
async function withHost(
  behaviour: Behaviour,
  run: (store: Store) => Promise<void>,
  idleTimeoutMs = 500,
): Promise<void> {
  await using server = await startHostileSftp(behaviour);
  await using store = await openStore(server.url, { hostKeys: server.hostKeys, idleTimeoutMs });
  await run(store);
}

test('F50 a listing without an end is given up', async () => {
  const batch = Array.from({ length: 1000 }, (_, index) => `file${index}`);
  const list = async (store: Store): Promise<void> => {
    await expect(store.list('')).rejects.toMatchObject({
      code: 'store-limit',
      message: `cannot list "${store.url}/": there are more than 100000 entries`,
    });
  };
  await withHost({ names: () => batch }, list, 30_000);
});

test('F50 a listing of empty batches without an end is given up', async () => {
  await withHost({ names: () => [] }, async (store) => {
    await expect(store.list('')).rejects.toMatchObject({ code: 'timeout' });
  });
});

test('F50 names longer than any file system has are refused', async () => {
  await withHost({ names: () => ['x'.repeat(300)] }, async (store) => {
    await expect(store.list('')).rejects.toMatchObject({ code: 'store-limit' });
  });
});

test('F50 a size that no file has is refused', async () => {
  const behaviour: Behaviour = {
    names: (batch) => (batch === 0 ? ['a'] : undefined),
    attributes: { size: 2 ** 60 },
  };
  await withHost(behaviour, async (store) => {
    await expect(store.list('')).rejects.toMatchObject({ code: 'store-limit' });
    await expect(store.stat('a')).rejects.toMatchObject({ code: 'store-limit' });
    await expect(readAll(store, 'a')).rejects.toMatchObject({ code: 'store-limit' });
  });
});

test('F48 names that are paths are shown as what they are, and never opened', async () => {
  const names = ['../../etc/passwd', '/etc/passwd', 'a/b', 'nul\0', '.', '..', '\u001b[2J', 'new\nline'];
  await withHost({ names: (batch) => (batch === 0 ? names : undefined) }, async (store) => {
    const entries = await store.list('');
    const files = entries.filter(({ kind }) => kind === 'file').map(({ name }) => name);
    expect(files).toEqual(['\u001b[2J', 'new\nline']);
    for (const name of ['../../etc/passwd', '/etc/passwd', 'nul\0']) {
      await expect(readAll(store, name)).rejects.toMatchObject({ code: 'usage' });
    }
    const error = await readAll(store, '\u001b[2J').catch((e) => e);
    expect(error.message).toContain('\\x1b[2J');
    expect(error.message).not.toContain('\u001b');
  });
});

test('a file that ends before the size it is said to have is no file', async () => {
  await withHost({ attributes: { size: 10_000_000 } }, async (store) => {
    await expect(readAll(store, 'a')).rejects.toMatchObject({
      code: 'io',
      message: expect.stringContaining('ended'),
    });
  });
});

test('a server may answer with less than it was asked for', async () => {
  const content = randomBytes(1_000_000);
  const read: Behaviour['read'] = (sftp, id, offset, length) =>
    sftp.data(id, content.subarray(offset, offset + Math.min(length, 100_000)));
  await withHost({ attributes: { size: content.length }, read }, async (store) => {
    expect((await readAll(store, 'a')).equals(content)).toBe(true);
  });
});

test('F50 a checksum file of a terabyte is refused after its first blocks', async () => {
  let answers = 0;
  const read: Behaviour['read'] = (sftp, id, _offset, length) => {
    answers += 1;
    sftp.data(id, Buffer.alloc(Math.min(length, 32_000)));
  };
  const behaviour = { attributes: { size: 2 ** 40 }, read };
  await withHost(
    behaviour,
    async (from) => {
      const { signal } = new AbortController();
      await expect(verifyDigests(from, 'a.tar', signal)).rejects.toMatchObject({ code: 'checksum-missing' });
    },
    30_000,
  );
  expect(answers).toBeLessThan(1000);
});

test('F34 a host that gives one byte an answer is given up', async () => {
  const read: Behaviour['read'] = (sftp, id) => {
    setTimeout(() => sftp.data(id, Buffer.from('x')), 20);
  };
  await withHost({ attributes: { size: 1_000_000 }, read }, async (store) => {
    await expect(readAll(store, 'a')).rejects.toMatchObject({ code: 'timeout' });
  });
});

test.each(['LSTAT', 'OPEN', 'FSTAT', 'READ', 'OPENDIR', 'READDIR'])(
  'F34 an answer to %s that never comes is given up',
  async (request) => {
    await withHost({ ignores: (name) => name === request }, async (store) => {
      const asking = request.endsWith('DIR') ? store.list('') : readAll(store, 'a');
      await expect(asking).rejects.toMatchObject({
        code: 'timeout',
        message: expect.stringContaining(store.url),
      });
    });
  },
);

test('an answer to a close that never comes is not waited for', async () => {
  const read: Behaviour['read'] = (sftp, id) => sftp.data(id, Buffer.alloc(1000));
  await withHost({ ignores: (name) => name === 'CLOSE', read }, async (store) => {
    expect(await readAll(store, 'a')).toHaveLength(1000);
    expect(await store.list('')).toEqual([]);
  });
});

test('a session that the host ends in the middle is an error, at once', async () => {
  await withHost({ read: (sftp) => sftp.end() }, async (store) => {
    await expect(readAll(store, 'a')).rejects.toMatchObject({ code: 'store-connect' });
    await expect(store.stat('a')).rejects.toMatchObject({ code: 'store-connect' });
  });
});

test('nothing of a file that lies about itself is published', async () => {
  const target = mkdtempSync(join(tmpdir(), 'garner-hostile-'));
  const file = 'wiki-web1-20260731T021500Z.tar';
  const content = `${'0'.repeat(64)}  ${file}\n`;
  const read: Behaviour['read'] = (sftp, id) => sftp.data(id, Buffer.from(content));
  await withHost({ attributes: { size: content.length }, read }, async (from) => {
    const copying = transfer({
      from,
      fromPath: file,
      to: openFileStore(target),
      toPath: file,
      signal: new AbortController().signal,
    });
    await expect(copying).rejects.toMatchObject({ code: 'checksum-missing' }); // its sha1 is as long as its sha256
  });
  expect(readdirSync(target)).toEqual([]);
  rmSync(target, { recursive: true });
});
