import { randomBytes } from 'node:crypto';
import {
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
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { removeTransferred, transfer, verifyDigests } from '../../archive/transfer.ts';
import { cannot } from '../../lib/errors.ts';
import { openFileStore } from '../../stores/file.ts';
import { openStore } from '../../stores/open.ts';
import type { Store } from '../../stores/store.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { type Sshd, startSshd } from '../helpers/sshd.ts';
import { makeTransferable } from '../helpers/transferable.ts';

const NAME = 'wiki.blue-web1-20260731T021500Z';
const FILE = `${NAME}.tar`;
const signal = new AbortController().signal;
let directory: string;
let sshd: Sshd;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'garner-transfer-'));
  sshd = await startSshd();
});
afterAll(async () => {
  await sshd.stop();
  rmSync(directory, { recursive: true });
});

const overSftp = (path: string): Promise<Store> =>
  openStore(sshd.url(path), { identityFile: sshd.identityFile, hostKeys: [sshd.hostKeys.ed25519 as string] });
const fromFile = async (path: string): Promise<Store> => openFileStore(path);

describe.each([
  ['file to file', fromFile, fromFile],
  ['SFTP to file (pull)', overSftp, fromFile],
  ['file to SFTP (push)', fromFile, overSftp],
  ['SFTP to SFTP', overSftp, overSftp],
])('%s', (_, openFrom, openTo) => {
  let source: string;
  let target: string;
  let from: Store;
  let to: Store;
  const toPath = `web1/wiki.blue/${FILE}`;
  beforeEach(async () => {
    source = mkdtempSync(join(directory, 'source-'));
    target = mkdtempSync(join(directory, 'target-'));
    [from, to] = await Promise.all([openFrom(source), openTo(target)]);
    return async () => {
      await from[Symbol.asyncDispose]();
      await to[Symbol.asyncDispose]();
    };
  });
  const run = (): ReturnType<typeof transfer> => transfer({ from, fromPath: FILE, to, toPath, signal });
  const check = (): Promise<{ stdout: string }> =>
    execa('sh', ['-c', `sha256sum -c ${FILE}.sha256 && sha1sum -c ${FILE}.sha1`], {
      cwd: join(target, 'web1/wiki.blue'),
    });

  test('copies an archive whole, with its checksum files, and says what it copied', async () => {
    const { sha256, sha1 } = await makeTransferable(source, NAME, 3_000_000);
    let counted = 0;
    const result = await transfer({
      from,
      fromPath: FILE,
      to,
      toPath,
      signal,
      onBytes: (count) => {
        counted += count;
      },
    });
    expect(result).toEqual({
      name: NAME,
      sizeBytes: 3_000_000,
      digests: { sha256, sha1 },
      existed: false,
      resumedBytes: 0,
      readBack: true,
    });
    expect(counted).toBe(3_000_000);
    await check();
    expect(readdirSync(join(target, 'web1/wiki.blue')).sort()).toEqual([
      FILE,
      `${FILE}.sha1`,
      `${FILE}.sha256`,
    ]);
    expect(readdirSync(source)).toHaveLength(3);
  });

  test('F40 finds an archive that is there already, reads it and copies nothing', async () => {
    await makeTransferable(source, NAME, 100_000);
    await run();
    const before = readFileSync(join(target, toPath));
    expect(await run()).toMatchObject({ existed: true, sizeBytes: 100_000 });
    expect(readFileSync(join(target, toPath)).equals(before)).toBe(true);
  });

  test('F40 does not take a damaged archive for one that is there', async () => {
    await makeTransferable(source, NAME, 100_000);
    await run();
    const damaged = readFileSync(join(target, toPath));
    damaged[50_000]! ^= 1;
    writeFileSync(join(target, toPath), damaged);
    await expect(run()).rejects.toMatchObject({
      code: 'checksum-mismatch',
      message: expect.stringContaining(`${to.url}/${toPath}`),
    });
    expect(readFileSync(join(target, toPath)).equals(damaged)).toBe(true);
  });

  test('replaces no archive by another of its name', async () => {
    await makeTransferable(source, NAME, 100_000);
    await run();
    const before = readFileSync(join(target, toPath));
    rmSync(source, { recursive: true });
    mkdirSync(source);
    await makeTransferable(source, NAME, 100_000);
    await expect(run()).rejects.toMatchObject({ code: 'store-exists' });
    expect(readFileSync(join(target, toPath)).equals(before)).toBe(true);
  });

  test('goes on where a run ended between a checksum file and the archive', async () => {
    const { sha256 } = await makeTransferable(source, NAME, 100_000);
    mkdirSync(join(target, 'web1/wiki.blue'), { recursive: true });
    writeFileSync(join(target, `${toPath}.sha256`), `${sha256}  ${FILE}\n`);
    writeFileSync(join(target, `${toPath}.sha1`), `${'0'.repeat(40)}  ${FILE}\n`);
    expect(await run()).toMatchObject({ existed: false });
    await check();
  });

  test('keeps no checksum file that the source does not vouch for', async () => {
    await makeTransferable(source, NAME, 100_000);
    rmSync(join(source, `${FILE}.sha1`));
    mkdirSync(join(target, 'web1/wiki.blue'), { recursive: true });
    writeFileSync(join(target, `${toPath}.sha1`), `${'0'.repeat(40)}  ${FILE}\n`);
    await run();
    expect(existsSync(join(target, `${toPath}.sha1`))).toBe(false);
  });

  test('copies an archive of no bytes', async () => {
    await makeTransferable(source, NAME, 0);
    expect(await run()).toMatchObject({ sizeBytes: 0 });
    await check();
  });

  test('leaves nothing when it is aborted on its way', async () => {
    await makeTransferable(source, NAME, 3_000_000);
    const run = new AbortController();
    const reason = new Error('ended');
    const copying = transfer({
      from,
      fromPath: FILE,
      to,
      toPath,
      signal: run.signal,
      onBytes: () => run.abort(reason),
    });
    await expect(copying).rejects.toBe(reason);
    expect(readdirSync(join(target, 'web1/wiki.blue'))).toEqual([]);
  });

  test('removes the archive before its checksum files', async () => {
    await makeTransferable(source, NAME, 1000);
    const removed: string[] = [];
    const remove = (path: string): Promise<void> => {
      removed.push(path);
      return from.remove(path);
    };
    const store: Store = { ...from, remove };
    await removeTransferred(store, FILE);
    expect(removed[0]).toBe(FILE);
    expect(readdirSync(source)).toEqual([]);
    await removeTransferred(store, FILE);
  });

  test('verifies an archive where it lies', async () => {
    const { sha256 } = await makeTransferable(source, NAME, 500_000);
    expect(await verifyDigests(from, FILE, signal)).toMatchObject({
      sizeBytes: 500_000,
      digests: { sha256 },
    });
    await execa('sh', ['-c', `printf X | dd of=${FILE} bs=1 seek=1000 conv=notrunc`], { cwd: source });
    await expect(verifyDigests(from, FILE, signal)).rejects.toMatchObject({ code: 'checksum-mismatch' });
  });
});

describe('a transfer that was cut', () => {
  let source: string;
  let target: string;
  let to: Store;
  beforeEach(async () => {
    source = mkdtempSync(join(directory, 'source-'));
    target = mkdtempSync(join(directory, 'target-'));
    to = openFileStore(target);
    await makeTransferable(source, NAME, 5_000_000);
  });
  const parts = (): string[] => readdirSync(target).filter((name) => name.startsWith('.part-'));

  /** @returns how many bytes were read at the source, and what the transfer said */
  async function copy(
    cutAfterBytes = Number.POSITIVE_INFINITY,
    modifiedMs = 1,
  ): Promise<{ readBytes: number; resumedBytes?: number; error?: unknown }> {
    const store = openFileStore(source);
    let readBytes = 0;
    async function* read(path: string, fromBytes?: number): AsyncGenerator<Buffer> {
      for await (const chunk of store.read(path, fromBytes)) {
        if (readBytes > cutAfterBytes) throw cannot('store-connect', 'go on with', 'web1', 'it is cut');
        if (path === FILE) readBytes += chunk.length;
        yield chunk;
      }
    }
    const options = { fromPath: FILE, toPath: FILE, signal, source: { sizeBytes: 5_000_000, modifiedMs } };
    try {
      const { resumedBytes } = await transfer({ ...options, from: { ...store, read }, to });
      await execa('sha256sum', ['--check', '--status', `${FILE}.sha256`], { cwd: target });
      expect(parts()).toEqual([]);
      return { readBytes, resumedBytes };
    } catch (error) {
      return { readBytes, error };
    }
  }

  test('F30 goes on from what it has left, and reads only the rest at the source', async () => {
    const cut = await copy(2_000_000);
    expect(cut.error).toMatchObject({ code: 'store-connect' });
    expect(readdirSync(target)).toEqual(parts());
    expect(parts()).toHaveLength(1);
    expect(await copy()).toEqual({ readBytes: 5_000_000 - cut.readBytes, resumedBytes: cut.readBytes });
  });

  test('F31 begins again where what was left is wrong by a bit', async () => {
    const { readBytes } = await copy(2_000_000);
    const part = join(target, parts()[0] as string);
    const bytes = readFileSync(part);
    bytes[1_000_000]! ^= 1;
    writeFileSync(part, bytes);
    expect(await copy()).toEqual({ readBytes: 5_000_000 - readBytes + 5_000_000, resumedBytes: 0 });
  });

  test('F31 begins again where what was left is longer than the source', async () => {
    await copy(2_000_000);
    writeFileSync(join(target, parts()[0] as string), Buffer.alloc(5_000_001));
    expect(await copy()).toEqual({ readBytes: 5_000_000, resumedBytes: 0 });
  });

  test.each([
    ['has changed', () => {}, 2],
    [
      'has other checksums',
      async () => {
        rmSync(join(source, FILE));
        await makeTransferable(source, NAME, 5_000_000);
      },
      1,
    ],
  ])('F31 begins again where the source %s', async (_, change, modifiedMs) => {
    await copy(2_000_000);
    await change();
    expect(await copy(undefined, modifiedMs)).toEqual({ readBytes: 5_000_000, resumedBytes: 0 });
  });

  test('leaves nothing where it was not cut, but wrong', async () => {
    writeFileSync(join(source, `${FILE}.sha256`), `${'0'.repeat(64)}  ${FILE}\n`);
    expect((await copy()).error).toMatchObject({ code: 'checksum-mismatch' });
    expect(readdirSync(target)).toEqual([]);
  });
});

describe('an archive whose members are to be verified', () => {
  const badPath = '.bad/it.tar';
  async function copy(host: string, manifest = {}): Promise<[string, ReturnType<typeof transfer>]> {
    const [source, target] = ['source-', 'target-'].map((name) => mkdtempSync(join(directory, name)));
    // large enough for a thread to follow
    const content = randomBytes(40 << 20);
    const made = await makeArchive(source as string, { host, time: new Date(0), content, manifest });
    const [from, to] = [openFileStore(source as string), openFileStore(target as string)];
    const path = `${made.name}.tar`;
    const running = transfer({ from, fromPath: path, to, toPath: path, signal, content: { badPath } });
    return [target as string, running];
  }

  test('is found good before it is published', async () => {
    const [target, running] = await copy('web1');
    expect(await running).toMatchObject({ verified: { level: 'content', manifest: { host: 'web1' } } });
    await execa('sh', ['-c', 'sha256sum --check --status *.sha256'], { cwd: target });
  });

  test('never gets its name where they are not what its manifest says, and is put aside with its checksums', async () => {
    const [target, running] = await copy('web1', { host: 'web2' });
    await expect(running).rejects.toMatchObject({ code: 'not-an-archive' });
    expect(readdirSync(target)).toEqual(['.bad']);
    expect(readdirSync(join(target, '.bad')).sort()).toEqual(['it.tar', 'it.tar.sha1', 'it.tar.sha256']);
    await execa('sha256sum', ['--check', '--status', 'it.tar.sha256'], { cwd: join(target, '.bad') });
  });
});

test('publishes checksum files before the archive, each synced before it gets its name', async () => {
  const source = mkdtempSync(join(directory, 'source-'));
  const target = mkdtempSync(join(directory, 'target-'));
  await makeTransferable(source, NAME, 300_000);
  const script = join(directory, 'run.ts');
  const at = (path: string): string => JSON.stringify(join(import.meta.dirname, '../..', path));
  writeFileSync(
    script,
    `import { transfer } from ${at('archive/transfer.ts')};
    import { openFileStore } from ${at('stores/file.ts')};
    const signal = new AbortController().signal;
    const [from, to] = [${JSON.stringify(source)}, ${JSON.stringify(target)}].map(openFileStore);
    await transfer({ from, fromPath: '${FILE}', to, toPath: '${FILE}', signal });`,
  );
  const trace = join(directory, 'trace');
  await execa('strace', [
    '-f',
    '-y',
    '-o',
    trace,
    '-e',
    'trace=fsync,link,linkat,rename',
    process.execPath,
    script,
  ]);
  const calls = readFileSync(trace, 'utf8')
    .split('\n')
    .filter((line) => line.includes(target))
    .map((line) => {
      if (!line.includes('fsync(')) return `link ${/([^/"]+)"(?:, \d+)?\)/.exec(line)?.[1]}`;
      return `sync ${/<([^>]*)>/
        .exec(line)?.[1]
        ?.replace(`${target}/.part-`, '')
        .replace(/\.[0-9a-f]{8}$/, '')}`;
    });
  const published = (name: string): string[] => [`sync ${name}`, `link ${name}`, `sync ${target}`];
  const sidecars = [...published(`${FILE}.sha256`), ...published(`${FILE}.sha1`)];
  // the archive's bytes are durable first of all: they are read back before anything is published
  const [synced, ...named] = published(FILE);
  expect(calls).toEqual([synced, ...sidecars, ...named]);
});

test('F39 takes no more of an archive than it was listed with, and keeps nothing of it', async () => {
  const [source, target] = ['source-', 'target-'].map((name) => mkdtempSync(join(directory, name)));
  await makeTransferable(source as string, NAME, 3_000_000);
  await using from = openFileStore(source as string);
  await using to = openFileStore(target as string);
  let takenBytes = 0;
  const listed = { sizeBytes: 1_000_000, modifiedMs: 0 };
  const onBytes = (count: number): void => {
    takenBytes += count;
  };
  await expect(
    transfer({ from, fromPath: FILE, to, toPath: FILE, signal, onBytes, source: listed }),
  ).rejects.toThrow('it is larger than it was listed');
  expect(takenBytes).toBeLessThanOrEqual(1_000_000);
  expect(readdirSync(target as string)).toEqual([]);
});

test('asks for the name of an archive at both ends', async () => {
  const store = openFileStore(directory);
  for (const [fromPath, toPath] of [
    ['a.tgz', 'a.tgz'],
    ['a.tar', 'b.tar'],
  ] as const) {
    await expect(transfer({ from: store, fromPath, to: store, toPath, signal })).rejects.toMatchObject({
      code: 'usage',
    });
  }
});
