// What every store promises, judged by looking at the place it keeps its files in; and what those promise that have them in a
// directory, where links, modes and pipes are.
import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Store } from '../../stores/store.ts';

/** Where a store keeps its files, reached by other means than the store. */
export interface Place {
  empty(): Promise<void>;
  /** @returns the names in a directory, also of what is unfinished, sorted */
  names(directory: string): Promise<string[]>;
  write(path: string, data: Buffer | string): Promise<void>;
  /** @returns the digest of a file, by sha256sum */
  sha256(path: string): Promise<string>;
}

interface PlacedStore {
  store: Store;
  place: Place;
  close(): Promise<void>;
}

export interface StoreUnderTest extends Omit<PlacedStore, 'place'> {
  /** The store's root on this machine; emptied before each test. */
  directory: string;
}

export async function readAll(store: Store, path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of store.read(path)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export async function put(store: Store, path: string, ...chunks: (Buffer | string)[]): Promise<void> {
  const upload = await store.create(path);
  for (const chunk of chunks) await upload.write(Buffer.from(chunk));
  await upload.publish();
}

function directoryPlace(root: string): Place {
  return {
    async empty() {
      for (const name of readdirSync(root, { encoding: 'buffer' as 'utf8' })) {
        rmSync(Buffer.concat([Buffer.from(`${root}/`), name as unknown as Buffer]), { recursive: true });
      }
    },
    names: async (directory) => readdirSync(join(root, directory)).sort(),
    write: async (path, data) => writeFileSync(join(root, path), data),
    sha256: async (path) => (await execa('sha256sum', [join(root, path)])).stdout.slice(0, 64),
  };
}

/** @param open opens the store once; its place is empty */
export function describeAnyStore(kind: string, open: () => Promise<PlacedStore>): void {
  describe(`the ${kind} store`, () => {
    let under: PlacedStore;
    let store: Store;
    let place: Place;
    beforeAll(async () => {
      under = await open();
      ({ store, place } = under);
    });
    afterAll(() => under.close());
    beforeEach(() => place.empty());

    test('lists nothing where the directory does not exist', async () => {
      expect(await store.list('')).toEqual([]);
      expect(await store.list('host/application')).toEqual([]);
      expect(await store.stat('host/application')).toBeUndefined();
    });

    test.each([0, 1, 261_119, 261_120, 261_121, 6_000_000])('keeps %i bytes as they are', async (size) => {
      const data = randomBytes(size);
      const third = Math.floor(size / 3);
      await put(store, 'a/b/file', data.subarray(0, third), data.subarray(third));
      expect(await place.sha256('a/b/file')).toBe(createHash('sha256').update(data).digest('hex'));
      expect((await readAll(store, 'a/b/file')).equals(data)).toBe(true);
      expect(await store.list('a/b')).toMatchObject([{ name: 'file', kind: 'file', sizeBytes: size }]);
    });

    test('shows an unfinished file to nobody and leaves nothing of an aborted one', async () => {
      const upload = await store.create('a/file');
      await upload.write(Buffer.from('half'));
      expect(await store.list('a')).toEqual([]);
      expect(await store.stat('a/file')).toBeUndefined();
      await upload.abort();
      expect(await place.names('a')).toEqual([]);
    });

    test('never overwrites a file', async () => {
      await put(store, 'file', 'first');
      const upload = await store.create('file');
      await upload.write(Buffer.from('second'));
      await expect(upload.publish()).rejects.toMatchObject({ code: 'store-exists' });
      await upload.abort();
      expect(await place.names('')).toEqual(['file']);
      expect(String(await readAll(store, 'file'))).toBe('first');
    });

    test('does nothing when a published file is aborted', async () => {
      const upload = await store.create('file');
      await upload.write(Buffer.from('x'));
      await upload.publish();
      await upload.abort();
      expect(await place.names('')).toEqual(['file']);
    });

    test.each([
      '../x',
      'a/../../x',
      '/etc/passwd',
      'a//b',
      'a/',
      '.',
      'a/./b',
      'nul\0',
      'x'.repeat(256),
      '\ud800',
      '\ufffd',
    ])('F48 refuses path %j before it touches anything', async (path) => {
      const refused = expect.objectContaining({ code: 'usage' });
      await expect(store.list(path)).rejects.toEqual(refused);
      await expect(store.stat(path)).rejects.toEqual(refused);
      await expect(readAll(store, path)).rejects.toEqual(refused);
      await expect(store.create(path)).rejects.toEqual(refused);
      await expect(store.remove(path)).rejects.toEqual(refused);
      expect(await place.names('')).toEqual([]);
    });

    test('removes a file; one that is gone already is no error', async () => {
      await put(store, 'a/file', 'x');
      await put(store, 'a/other', 'x');
      await store.remove('a/file');
      await store.remove('a/file');
      await store.remove('nowhere/file');
      expect(await place.names('a')).toEqual(['other']);
    });

    test('says that a file to be read is not there', async () => {
      await expect(readAll(store, 'file')).rejects.toMatchObject({ code: 'store-not-found' });
      await expect(readAll(store, 'nowhere/file')).rejects.toMatchObject({ code: 'store-not-found' });
    });

    test('goes on after a reader that stopped early', async () => {
      await place.write('file', randomBytes(6_000_000));
      for await (const _ of store.read('file')) break;
      expect(await readAll(store, 'file')).toHaveLength(6_000_000);
    });
  });
}

/** @param open opens the store once; its directory exists and is empty */
export function describeStore(kind: string, open: () => Promise<StoreUnderTest>): void {
  describeAnyStore(kind, async () => {
    const { directory, ...under } = await open();
    return { ...under, place: directoryPlace(directory) };
  });
  describe(`the ${kind} store with files`, () => {
    let under: StoreUnderTest;
    let store: Store;
    let root: string;
    beforeAll(async () => {
      under = await open();
      store = under.store;
      root = under.directory;
    });
    afterAll(() => under.close());
    beforeEach(() => directoryPlace(root).empty());

    test('makes files and directories that only their owner can use', async () => {
      await put(store, 'a/b/file', 'x');
      expect(lstatSync(join(root, 'a')).mode & 0o777).toBe(0o700);
      expect(lstatSync(join(root, 'a/b')).mode & 0o777).toBe(0o700);
      expect(lstatSync(join(root, 'a/b/file')).mode & 0o777).toBe(0o600);
    });

    test('sweeps what an ended run left of the same file, and of others what was left days ago', async () => {
      const others = ['.part-file2.0123abcd', '.part-file', '.part-fil.0123abcd', '.part-file.x.0123abcd'];
      const directory = join(root, 'ended');
      mkdirSync(directory);
      chmodSync(directory, 0o777); // the account of an SFTP server is another
      for (const name of ['.part-file.0123abcd', ...others]) writeFileSync(join(directory, name), 'left');
      const hours = (ago: number): number => Date.now() / 1000 - ago * 3600;
      utimesSync(join(directory, others[0] as string), hours(71), hours(71));
      utimesSync(join(directory, others[1] as string), hours(1000), hours(1000));
      for (const name of ['.part-gone.tar.0123abcd', '.part-away.89abcdef']) {
        writeFileSync(join(directory, name), 'left');
        utimesSync(join(directory, name), hours(73), hours(73));
      }
      mkdirSync(join(directory, '.part-folder.0123abcd'));
      utimesSync(join(directory, '.part-folder.0123abcd'), hours(73), hours(73));
      others.push('.part-folder.0123abcd');
      expect(await store.list('ended')).toEqual([]);
      await put(store, 'ended/file', 'x');
      expect(readdirSync(directory).sort()).toEqual([...others, 'file'].sort());
    });

    test('tells files from what is none, and keeps hostile names apart', async () => {
      mkdirSync(join(root, 'directory'));
      symlinkSync('/etc/passwd', join(root, 'link'));
      symlinkSync('nowhere', join(root, 'dangling'));
      await execa('mkfifo', [join(root, 'fifo')]);
      const odd = ['-rf', 'new\nline', '\u001b[2J', '<img onerror=x>', 'ü', 'back\\slash', '.'.repeat(3)];
      for (const name of odd) writeFileSync(join(root, name), 'x');
      writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x66, 0xff, 0xfe])]), 'x');
      const kinds = Object.fromEntries((await store.list('')).map(({ name, kind }) => [name, kind]));
      expect(kinds).toEqual({
        directory: 'directory',
        link: 'other',
        dangling: 'other',
        fifo: 'other',
        'f\ufffd\ufffd': 'other',
        ...Object.fromEntries(odd.map((name) => [name, 'file'])),
      });
      expect(await store.stat('link')).toMatchObject({ name: 'link', kind: 'other' });
      expect(await store.stat('directory')).toMatchObject({ name: 'directory', kind: 'directory' });
      expect(await store.stat('')).toMatchObject({ kind: 'directory' });
    });

    test('tells when a file was changed', async () => {
      writeFileSync(join(root, 'file'), 'x');
      utimesSync(join(root, 'file'), 1_600_000_000, 1_700_000_000);
      expect((await store.list(''))[0]?.modifiedMs).toBe(1_700_000_000_000);
      expect((await store.stat('file'))?.modifiedMs).toBe(1_700_000_000_000);
    });

    test.each(['link', 'link-inside', 'fifo', 'directory', 'device', 'linked/file', 'file/file'])(
      'F49 refuses to read a %s and does not wait for it',
      async (path) => {
        mkdirSync(join(root, 'directory'));
        writeFileSync(join(root, 'file'), 'x');
        writeFileSync(join(root, 'directory/file'), 'x');
        symlinkSync('/etc/passwd', join(root, 'link'));
        symlinkSync('file', join(root, 'link-inside'));
        await execa('mkfifo', [join(root, 'fifo')]);
        if (process.getuid?.() === 0) await execa('mknod', [join(root, 'device'), 'c', '1', '5']);
        else await execa('mkfifo', [join(root, 'device')]);
        if (kind === 'file') symlinkSync('directory', join(root, 'linked'));
        let chunks = 0;
        const reading = async (): Promise<void> => {
          for await (const _ of store.read(path)) chunks += 1;
        };
        await expect(reading()).rejects.toMatchObject({
          code: expect.stringMatching(/^(io|store-not-found)$/),
        });
        expect(chunks).toBe(0);
      },
    );

    test('writes through no link', async () => {
      mkdirSync(join(root, 'elsewhere'));
      symlinkSync('elsewhere', join(root, 'linked'));
      await expect(store.create('linked/file')).rejects.toMatchObject({ code: 'io' });
      symlinkSync('target', join(root, 'file'));
      const upload = await store.create('file');
      await expect(upload.publish()).rejects.toMatchObject({ code: 'store-exists' });
      await upload.abort();
      expect(readdirSync(join(root, 'elsewhere'))).toEqual([]);
      expect(existsSync(join(root, 'target'))).toBe(false);
    });

    test.each([
      ['grows', (file: string) => appendFileSync(file, 'more')],
      ['shrinks', (file: string) => truncateSync(file, 1_000_000)],
      ['is removed', (file: string) => rmSync(file)],
      [
        'is replaced by one of its size',
        (file: string) => {
          writeFileSync(`${file}.new`, randomBytes(6_000_000));
          utimesSync(`${file}.new`, 1, 1);
          renameSync(`${file}.new`, file);
        },
      ],
    ])('F32 notices that a file %s while it is read', async (_, change) => {
      writeFileSync(join(root, 'file'), randomBytes(6_000_000));
      const chunks = store.read('file')[Symbol.asyncIterator]();
      await chunks.next();
      change(join(root, 'file'));
      const rest = async (): Promise<void> => {
        while (!(await chunks.next()).done);
      };
      await expect(rest()).rejects.toMatchObject({
        code: 'io',
        message: expect.stringMatching(/changed|ended/),
      });
    });
  });
}
