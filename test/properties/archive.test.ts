// Archives that somebody else made, or broke: each reader gives what is true, or says that it is no archive.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { parseManifest } from '../../archive/manifest.ts';
import { formatName, formatSidecar, parseName } from '../../archive/name.ts';
import { openArchive, readSidecar } from '../../archive/read.ts';
import { verifyArchive } from '../../archive/verify.ts';
import { damagedBytes, lyingArchive, type Parts } from '../helpers/foreign-archive.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { holds, oddText, printSeed, readOrRefuse, SCRATCH } from '../helpers/properties.ts';
import { makeBench, snapshot } from '../helpers/run.ts';

printSeed();

const NAME = 'mediawiki-web1-20260731T021500Z';
const REFUSED = ['not-an-archive'] as const;
/** How many archives that were taken are shown to `tar`, which takes its time to start. */
const SHOWN_TO_TAR = 40;
const { signal } = new AbortController();

let directory: string;
let path: string;
let whole: Buffer;
let honest: Parts;

beforeAll(async () => {
  directory = mkdtempSync(join(SCRATCH, 'garner-properties-'));
  path = join(directory, `${NAME}.tar`);
  const made = await makeArchive(directory, { host: 'web1', time: new Date('2026-07-31T02:15:00Z') });
  whole = readFileSync(made.path);
  const body = (name: string): Buffer => execFileSync('tar', ['-xOf', made.path, name]);
  const names = execFileSync('tar', ['-tf', made.path], { encoding: 'utf8' }).trim().split('\n').slice(0, -1);
  honest = {
    entries: names.map((name) => ({ name, body: body(name) })),
    manifest: JSON.parse(`${body('manifest.json')}`),
  };
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const lying = lyingArchive(() => honest);
const foreign = fc.oneof(
  { arbitrary: lying, weight: 6 },
  { arbitrary: damagedBytes(() => whole), weight: 3 },
  { arbitrary: fc.uint8Array({ maxLength: 4096 }).map((bytes) => Buffer.from(bytes)), weight: 1 },
);

it('opens an archive in which tar sees the same members, or says that it is none', async () => {
  let opened = 0;
  await holds(
    foreign,
    async (bytes) => {
      writeFileSync(path, bytes);
      const manifest = await readOrRefuse(REFUSED, () => {
        using archive = openArchive(path);
        return archive.manifest;
      });
      if (manifest === undefined) return;
      expect(Number.isNaN(Date.parse(manifest.startedAt) + Date.parse(manifest.finishedAt))).toBe(false);
      opened += 1;
      if (opened > SHOWN_TO_TAR) return;
      const listed = execFileSync('tar', ['-tf', path], { encoding: 'utf8' });
      expect(listed.trim().split('\n')).toEqual([
        ...manifest.members.map(({ name }) => name),
        'manifest.json',
      ]);
    },
    1500,
  );
  expect(opened).toBeGreaterThan(0);
});

it('finds an archive good only where every member is what the manifest says', async () => {
  let found = 0;
  await holds(
    lying,
    async (bytes) => {
      writeFileSync(path, bytes);
      const verified = await readOrRefuse(['not-an-archive', 'content-mismatch'], () =>
        verifyArchive(path, { expectedSha256: undefined, signal }),
      );
      if (verified === undefined) return;
      found += 1;
      for (const member of verified.manifest.members) {
        const { offsetBytes, sizeBytes, sha256, uncompressedSizeBytes, encoding } = member;
        const stored = bytes.subarray(offsetBytes, offsetBytes + sizeBytes);
        expect(createHash('sha256').update(stored).digest('hex')).toBe(sha256);
        if (encoding.includes('age')) continue; // nobody can look into it
        const original = encoding.includes('zst') ? zstdDecompressSync(stored) : stored;
        expect(original).toHaveLength(uncompressedSizeBytes);
      }
    },
    100,
  );
  expect(found).toBeGreaterThan(0);
});

it('extracts below the directory that is named, and nothing else', async () => {
  const bench = makeBench();
  onTestFinished(() => bench.remove());
  const file = join(bench.directory, `${NAME}.tar`);
  const to = join(bench.directory, 'to');
  const outside = join(bench.directory, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'file'), 'as it was');
  await holds(
    lying,
    async (bytes) => {
      writeFileSync(file, bytes);
      rmSync(to, { recursive: true, force: true });
      const before = await snapshot(outside, file, bench.home);
      const { exitCode, stdout, stderr } = await bench.run('garner', [
        'archive',
        'extract',
        file,
        '--to',
        to,
      ]);
      expect(await snapshot(outside, file, bench.home)).toBe(before);
      const own = ['config', 'home', 'outside', 'run', 'state', 'to', `${NAME}.tar`];
      expect(readdirSync(bench.directory).filter((name) => !own.includes(name))).toEqual([]);
      const extracted = existsSync(to) ? readdirSync(to).map((name) => join(to, name)) : [];
      expect(stdout.split('\n').filter(Boolean).sort()).toEqual(extracted.sort());
      // 5: it is none, or damaged; 1: two members would be one file; 2: it is encrypted, and there is no key
      expect([0, 1, 2, 5], stderr).toContain(exitCode);
      expect(stderr).not.toMatch(/--debug|TypeError|RangeError|file:\/\//);
    },
    12,
  );
});

it('reads a manifest as it was written, or refuses it', async () => {
  await holds(
    fc.tuple(fc.dictionary(oddText, fc.nat()), oddText, oddText),
    async ([tables, version, message]) => {
      const database = { engine: 'x', serverVersion: '', name: '', tables };
      const members = [{ ...honest.manifest.members[0], database }];
      const warnings = [{ code: 'x', message }];
      const written = JSON.stringify({ ...honest.manifest, members, version, warnings });
      const manifest = await readOrRefuse(REFUSED, () => parseManifest(written, 'a file'));
      if (manifest !== undefined) expect(JSON.stringify(manifest)).toBe(written);
    },
    1000,
  );
  const text = fc.oneof(fc.json(), fc.string({ unit: 'binary' }));
  await holds(text, (json) => readOrRefuse(REFUSED, () => parseManifest(json, 'a file')), 500);
});

it('reads a name that formatName would write, and no other', async () => {
  const part = fc.oneof(fc.stringMatching(/^[a-z0-9._-]{0,12}$/), oddText);
  const time = fc.stringMatching(/^[0-9]{8}T[0-9]{6}Z$/);
  const name = fc.oneof(
    fc.tuple(part, part, time).map((parts) => parts.join('-')),
    fc
      .tuple(part, part, part, time)
      .map(([application, instance, ...rest]) => `${application}.${[instance, ...rest].join('-')}`),
    oddText,
  );
  await holds(
    name,
    (text) => {
      const parsed = parseName(text);
      if (parsed !== undefined) expect(formatName(parsed)).toBe(text);
    },
    5000,
  );
});

it('takes a checksum file of one line of this archive, and no other', async () => {
  writeFileSync(path, 'content');
  const sidecar = `${path}.sha256`;
  const digest = createHash('sha256').update('content').digest('hex');
  const line = formatSidecar(digest, `${NAME}.tar`);
  const changed = fc
    .tuple(fc.nat({ max: line.length }), fc.nat({ max: 3 }), oddText)
    .map(([from, length, text]) => Buffer.from(line.slice(0, from) + text + line.slice(from + length)));
  const flipped = fc
    .tuple(fc.nat({ max: 63 }), fc.constantFrom(...'0123456789abcdefABCDEF \n'))
    .map(([from, char]) => Buffer.from(line.slice(0, from) + char + line.slice(from + 1)));
  const any = fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes));
  let shown = 0;
  await holds(
    fc.oneof(changed, flipped, any),
    async (bytes) => {
      writeFileSync(sidecar, bytes);
      const read = await readOrRefuse(['checksum-missing'], () => readSidecar(path, 'sha256'));
      if (read === undefined) return;
      expect(bytes.toString('latin1')).toBe(formatSidecar(read, `${NAME}.tar`));
      shown += 1;
      if (shown > SHOWN_TO_TAR) return;
      const { status } = spawnSync('sha256sum', ['--check', '--status', '--strict', sidecar], {
        cwd: directory,
      });
      expect(status).toBe(read === digest ? 0 : 1);
    },
    1000,
  );
  expect(shown).toBeGreaterThan(0);
});
