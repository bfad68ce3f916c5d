// The text of restoration points: what was written is read, however it is cut into pieces; what is damaged or foreign is refused.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  type PointSummary,
  type PointVersion,
  readPointText,
  writePointText,
} from '../../bucket/point-text.ts';
import { writePoint } from '../../bucket/points.ts';
import { cannot } from '../../lib/errors.ts';
import { holds, oddText, oddValue, printSeed } from '../helpers/properties.ts';

printSeed();

const version: fc.Arbitrary<PointVersion> = fc.record({
  key: fc
    .oneof(oddText, fc.constantFrom('"Contents":[', '{"Key":"x"}', '\\', '"', ']}', '}{'))
    .filter((key) => key !== '' && key.isWellFormed()),
  versionId: fc
    .oneof(fc.constant('null'), fc.string({ unit: 'grapheme', minLength: 1 }))
    .filter((id) => id.isWellFormed()),
  sizeBytes: fc.maxSafeNat(),
  modified: fc.constant('2026-11-21T02:15:00.000Z'),
});

const HEAD = { file: '/points/x', time: new Date('2026-11-21T02:15:00Z'), bucket: 'replica' };

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

async function textOf(versions: PointVersion[]): Promise<string> {
  let text = '';
  for await (const piece of writePointText(HEAD, each(versions))) text += piece;
  return text;
}

/** @param cuts where the text is cut, as shares of it */
async function read(text: string, cuts: number[] = []): Promise<PointSummary & { versions: PointVersion[] }> {
  const ends = [...cuts.map((cut) => Math.floor(cut * text.length)), text.length].sort((a, b) => a - b);
  const pieces = ends.map((end, index) => text.slice(ends[index - 1] ?? 0, end));
  const reading = readPointText(each(pieces));
  const versions: PointVersion[] = [];
  for (;;) {
    const { done, value } = await reading.next();
    if (done === true) return { ...value, versions };
    versions.push(...value.versions);
  }
}

it('reads what was written, in whatever pieces it comes', async () => {
  const input = fc.tuple(
    fc.array(version, { maxLength: 20 }),
    fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 }),
  );
  await holds(
    input,
    async ([versions, cuts]) => {
      const text = await textOf(versions);
      const found = await read(text, cuts);
      expect(found.versions).toEqual(versions);
      expect(found).toMatchObject({
        time: HEAD.time,
        bucket: 'replica',
        count: versions.length,
        hasDigest: true,
      });
    },
    200,
  );
});

it('reads the layout of the original, and refuses what only looks like it', async () => {
  const item = fc.record(
    {
      Key: fc.constant('k'),
      LastModified: fc.constant('2015-06-04T01:19:56-05:00'),
      Size: oddValue,
      VersionId: fc.string(),
    },
    { requiredKeys: [] },
  );
  const point = fc.record(
    {
      File: oddText,
      Timestamp: fc.oneof(fc.constant('2015-06-05T15:21:58-05:00'), oddText),
      Contents: fc.oneof(fc.array(item), oddValue),
      More: oddValue,
    },
    { requiredKeys: [] },
  );
  await holds(
    fc.tuple(
      point,
      fc.constantFrom(undefined, 1, 4),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 5 }),
    ),
    async ([value, indent, cuts]) => {
      const text = JSON.stringify(value, null, indent);
      const found = await read(text, cuts).catch((problem) => {
        expect(problem).toEqual(expect.any(String));
      });
      if (found === undefined) return;
      const { Contents, Timestamp } = JSON.parse(text);
      expect(found.versions).toEqual(
        (Contents ?? []).map(({ Key, VersionId, Size, LastModified }: Record<string, unknown>) => ({
          key: Key,
          versionId: VersionId,
          sizeBytes: Size,
          modified: LastModified,
        })),
      );
      expect(found.time).toEqual(new Date(Timestamp));
    },
    300,
  );
});

it('refuses a point of which any piece is missing or another', async () => {
  const text = await textOf([
    { key: 'a', versionId: '1', sizeBytes: 1, modified: 'x' },
    { key: 'b', versionId: '2', sizeBytes: 2, modified: 'x' },
  ]);
  for (let end = 0; end < text.length; end += 1)
    await expect(read(text.slice(0, end)), `${end}`).rejects.toEqual(expect.any(String));
  for (let at = 0; at < text.length; at += 1) {
    const other = text[at] === '1' ? '2' : '1';
    await expect(read(`${text.slice(0, at)}${other}${text.slice(at + 1)}`), `${at}`).rejects.toEqual(
      expect.any(String),
    );
  }
  const [first, a, b, last] = text.split(/(?<=\n)/) as [string, string, string, string];
  for (const lines of [
    [first, b, last],
    [first, a, a, b, last],
    [first, b.replace('\n', ',\n'), a.replace(',', ''), last],
    [first, a, b, last, last],
  ])
    await expect(read(lines.join(''))).rejects.toEqual(expect.any(String));
});

it('hands versions on while the rest of a point has not come yet', async () => {
  const text = await textOf(
    Array.from({ length: 100 }, (_, index) => ({
      key: `k${index}`,
      versionId: 'v',
      sizeBytes: 1,
      modified: 'x',
    })),
  );
  let given = 0;
  const slowly = async function* () {
    for (; given < text.length; given += 100) yield text.slice(given, given + 100);
  };
  const { value } = await readPointText(slowly()).next();
  expect(value).toMatchObject({ versions: [{ key: 'k0' }] });
  expect(given).toBeLessThan(1000);
});

it('writes JSON that jq reads as it was meant', async () => {
  const versions = [
    { key: 'a"\n\\/ü😀\u2028', versionId: '1', sizeBytes: 1, modified: '2026-11-21T02:15:00.000Z' },
  ];
  const text = await textOf(versions);
  const read = execFileSync('jq', ['-c', '[.Bucket, .Timestamp, .Count, .Contents[0].Key]'], {
    input: text,
    encoding: 'utf8',
  });
  expect(JSON.parse(read)).toEqual(['replica', '2026-11-21T02:15:00.000Z', 1, versions[0]?.key]);
});

it.each([true, false])(
  'leaves no point where the listing breaks off, and says why (packed: %s)',
  async (compress) => {
    const directory = mkdtempSync(join(tmpdir(), 'garner-points-'));
    const versions = async function* (): AsyncGenerator<PointVersion> {
      for (let index = 0; index < 5000; index += 1)
        yield { key: `k${index}`, versionId: 'v', sizeBytes: 1, modified: '2026-11-21T02:15:00.000Z' };
      throw cannot('store-connect', 'list', 's3://x', 'it broke off');
    };
    const point = { ...HEAD, name: 'p', compress };
    try {
      await expect(
        writePoint(directory, point, versions(), new AbortController().signal),
      ).rejects.toMatchObject({
        code: 'store-connect',
        message: 'cannot list "s3://x": it broke off',
      });
      expect(readdirSync(directory)).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
);
