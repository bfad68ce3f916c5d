// Transfers of what is not as it should be at the source: damaged, without its checksum files, no file at all.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { transfer } from '../../archive/transfer.ts';
import { openFileStore } from '../../stores/file.ts';
import { openStore } from '../../stores/open.ts';
import type { Store } from '../../stores/store.ts';
import { type Sshd, startSshd } from '../helpers/sshd.ts';
import { makeTransferable } from '../helpers/transferable.ts';

const NAME = 'wiki-web1-20260731T021500Z';
const FILE = `${NAME}.tar`;
let directory: string;
let source: string;
let target: string;
let sshd: Sshd;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'garner-transfer-files-'));
  sshd = await startSshd();
});
afterAll(async () => {
  await sshd.stop();
  rmSync(directory, { recursive: true });
});
beforeEach(() => {
  source = mkdtempSync(join(directory, 'source-'));
  target = mkdtempSync(join(directory, 'target-'));
});

const kinds: [string, (path: string) => Promise<Store>][] = [
  ['a directory', async (path) => openFileStore(path)],
  [
    'a host',
    (path) =>
      openStore(sshd.url(path), {
        identityFile: sshd.identityFile,
        hostKeys: [sshd.hostKeys.ed25519 as string],
      }),
  ],
];

describe.each(kinds)('from %s', (_, open) => {
  async function pull(): Promise<unknown> {
    await using from = await open(source);
    const to = openFileStore(target);
    return await transfer({ from, fromPath: FILE, to, toPath: FILE, signal: new AbortController().signal });
  }

  async function expectRefusal(code: unknown): Promise<void> {
    const before = readdirSync(source).sort();
    await expect(pull()).rejects.toMatchObject({ code });
    expect(readdirSync(target)).toEqual([]);
    expect(readdirSync(source).sort()).toEqual(before);
  }

  test.each([0, 600_000, 999_999])(
    'F37 a bit that was flipped before the pull is found (byte %i)',
    async (byte) => {
      await makeTransferable(source, NAME, 1_000_000);
      const data = readFileSync(join(source, FILE));
      data[byte]! ^= 0x10;
      writeFileSync(join(source, FILE), data);
      await expectRefusal('checksum-mismatch');
    },
  );

  test('F37 every checksum file counts, not the first alone', async () => {
    await makeTransferable(source, NAME, 1000);
    writeFileSync(join(source, `${FILE}.sha1`), `${'0'.repeat(40)}  ${FILE}\n`);
    await expectRefusal('checksum-mismatch');
  });

  test('F37 a byte too few or too many is found', async () => {
    await makeTransferable(source, NAME, 1000);
    const data = readFileSync(join(source, FILE));
    writeFileSync(join(source, FILE), data.subarray(0, 999));
    await expectRefusal('checksum-mismatch');
    writeFileSync(join(source, FILE), Buffer.concat([data, Buffer.alloc(1)]));
    await expectRefusal('checksum-mismatch');
  });

  const line = (digest: string, name = FILE): string => `${digest}  ${name}\n`;
  const malformed: [string, (digest: string) => string][] = [
    ['empty', () => ''],
    ['of another name', (digest) => line(digest, 'other.tar')],
    ['of two lines', (digest) => line(digest) + line(digest)],
    ['without its line break', (digest) => line(digest).trimEnd()],
    ['with a path', (digest) => line(digest, `/work/${FILE}`)],
    ['in upper case', (digest) => line(digest.toUpperCase())],
    ['with too short a digest', (digest) => line(digest.slice(1))],
    ['of other characters', (digest) => line(digest.replace(/^./, 'g'))],
    ['in binary mode', (digest) => `${digest} *${FILE}\n`],
    ['with a NUL', (digest) => `${line(digest)}\0`],
    ['of a megabyte', (digest) => line(digest) + 'x'.repeat(1 << 20)],
  ];
  test.each(malformed)('F38 a checksum file %s is refused, whichever it is', async (_title, content) => {
    for (const checksum of ['sha256', 'sha1'] as const) {
      const digests = await makeTransferable(source, NAME, 1000);
      writeFileSync(join(source, `${FILE}.${checksum}`), content(digests[checksum]));
      await expectRefusal('checksum-missing');
    }
  });

  test('F38 an archive without its sha256 file is not taken', async () => {
    await makeTransferable(source, NAME, 1000);
    rmSync(join(source, `${FILE}.sha256`));
    await expectRefusal('checksum-missing');
    rmSync(join(source, `${FILE}.sha1`));
    await expectRefusal('checksum-missing');
  });

  test.each([
    ['symbolic link', (path: string) => symlinkSync('real', path)],
    ['directory', (path: string) => mkdirSync(path)],
    ['fifo', (path: string) => execa('mkfifo', [path])],
    [
      'socket',
      (path: string) =>
        execa('python3', ['-c', 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])', path]),
    ],
    [
      'device',
      (path: string) =>
        process.getuid?.() === 0 ? execa('mknod', [path, 'c', '1', '5']) : execa('mkfifo', [path]),
    ],
  ])('F49 a %s is not taken for an archive or a checksum file', async (_title, make) => {
    for (const name of [FILE, `${FILE}.sha256`]) {
      rmSync(source, { recursive: true });
      mkdirSync(source);
      await makeTransferable(source, NAME, 1000);
      renameSync(join(source, name), join(source, 'real'));
      await make(join(source, name));
      await expectRefusal('io');
    }
  });

  test('F40 a pull that was killed after it published finds its copy and verifies it', async () => {
    await makeTransferable(source, NAME, 2_000_000);
    expect(await pull()).toMatchObject({ existed: false });
    const before = readdirSync(target).sort();
    expect(await pull()).toMatchObject({ existed: true, sizeBytes: 2_000_000 });
    expect(readdirSync(target).sort()).toEqual(before);
    await execa('sha256sum', ['-c', `${FILE}.sha256`], { cwd: target });
  });
});

test('F18 a pull killed at any system call that writes leaves nothing wrong, and the next one succeeds', async () => {
  await makeTransferable(source, NAME, 300_000);
  const script = join(directory, 'pull.ts');
  const at = (path: string): string => JSON.stringify(join(import.meta.dirname, '../..', path));
  writeFileSync(
    script,
    `import { transfer } from ${at('archive/transfer.ts')};
    import { openFileStore } from ${at('stores/file.ts')};
    const [from, to] = process.argv.slice(2).map(openFileStore);
    await transfer({ from, fromPath: '${FILE}', to, toPath: '${FILE}', signal: new AbortController().signal });`,
  );
  const check = 'test ! -e "$1" || sha256sum -c "$1.sha256"';
  for (const call of ['fsync', 'link', 'unlink']) {
    for (let nth = 1; ; nth += 1) {
      rmSync(target, { recursive: true });
      mkdirSync(target);
      const inject = [
        '-f',
        '-qq',
        '-o',
        '/dev/null',
        '-e',
        `trace=${call}`,
        '-e',
        `inject=${call}:signal=KILL:when=${nth}`,
      ];
      const { exitCode } = await execa('strace', [...inject, process.execPath, script, source, target], {
        reject: false,
      });
      await execa('sh', ['-c', check, 'sh', FILE], { cwd: target });
      if (exitCode === 0) break;
      await execa(process.execPath, [script, source, target]);
      await execa('sha256sum', ['-c', `${FILE}.sha256`], { cwd: target });
      expect(readdirSync(target).sort(), `killed at ${call} ${nth}`).toEqual([
        FILE,
        `${FILE}.sha1`,
        `${FILE}.sha256`,
      ]);
    }
  }
});
