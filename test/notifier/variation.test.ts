import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, describe, expect, it } from 'vitest';
import type { HistoryRun } from '../../archive/history.ts';
import { openArchive } from '../../archive/read.ts';
import { contentsFile } from '../../notifier/contents.ts';
import type { Verdict } from '../../notifier/judge.ts';
import { describeVariation, findVariations, judgeVariation } from '../../notifier/variation.ts';
import { type ArchiveOptions, makeArchive } from '../helpers/make-archive.ts';

const MINUTE = 60_000;
const MB = 1e6;

interface Night {
  size?: number;
  /** By database. */
  rows?: Record<string, number>;
  /** By tree. */
  files?: Record<string, number>;
  /** Of databases without tables, uncompressed. */
  sizes?: Record<string, number>;
  minutes?: number;
  result?: HistoryRun['result'];
}

function lineOf(
  night: number,
  { size, rows = {}, files = {}, sizes = {}, minutes = 5, result = 'ok' }: Night,
): HistoryRun {
  const startedAt = Date.UTC(2026, 0, 1 + night, 2, 15);
  const alike = { sizeBytes: 1, uncompressedSizeBytes: 1 };
  const others = Object.entries(sizes).map(([name, uncompressedSizeBytes]) => ({
    name: `${name}.rdb.zst`,
    kind: 'database',
    sizeBytes: 1,
    uncompressedSizeBytes,
    rowCount: 0,
  }));
  const databases = Object.entries(rows).map(([name, rowCount]) => ({
    name: `${name}.sql.zst`,
    kind: 'database',
    ...alike,
    rowCount,
  }));
  const trees = Object.entries(files).map(([name, fileCount]) => ({
    name: `${name}.tar.zst`,
    kind: 'tree',
    ...alike,
    fileCount,
  }));
  return {
    name: 'wiki',
    startedAt: new Date(startedAt).toISOString(),
    finishedAt: new Date(startedAt + minutes * MINUTE).toISOString(),
    result,
    exitCode: 0,
    summary: '',
    archives: size === undefined ? [] : ['x.tar'],
    ...(size !== undefined && { sizeBytes: size }),
    members: [...databases, ...trees, ...others],
  };
}

/** Lets nights follow each other. @returns what is told of each, as the history would make it */
function story(nights: readonly Night[]): string[] {
  const history: HistoryRun[] = [];
  return nights.map((night, index) => {
    const line = lineOf(index, night);
    const { variations, news } = findVariations(line, history);
    const isGood = line.result === 'ok';
    history.push(isGood && variations.length > 0 ? { ...line, variations } : line);
    return isGood ? news.map(describeVariation).join('; ') : line.result;
  });
}

const quiet = (count: number): string[] => Array.from({ length: count }, () => '');
const repeat = (count: number, ...nights: Night[]): Night[] =>
  Array.from({ length: count }, () => nights).flat();

describe('what is unlike the runs before', () => {
  it('is told once at each crossing, until the new level is the usual one', () => {
    const full = { size: 300 * MB };
    const empty = { size: 1.2 * MB };
    expect(story([...repeat(7, full), ...repeat(20, empty), full, full])).toEqual([
      ...quiet(7),
      '1.2 MB, usually 300.0 MB',
      ...quiet(19),
      '300.0 MB, usually 1.2 MB',
      '',
    ]);
    expect(story([full, full, empty, full, empty])).toEqual([
      ...quiet(2),
      '1.2 MB, usually 300.0 MB',
      '',
      '1.2 MB, usually 300.0 MB',
    ]);
  });

  it('is told once however it goes on falling, and again when nearly nothing is left', () => {
    const sizes = [300, 100, 100, 5, 100].map((mb) => ({ size: mb * MB }));
    expect(story([...repeat(7, { size: 300 * MB }), ...sizes])).toEqual([
      ...quiet(8),
      '100.0 MB, usually 300.0 MB',
      '',
      '5.0 MB, usually 300.0 MB',
      '',
    ]);
  });

  it('is no news when something has come back', () => {
    const sizes = [5, 100].map((mb) => ({ size: mb * MB }));
    expect(story([...repeat(7, { size: 300 * MB }), ...sizes]).slice(7)).toEqual([
      '5.0 MB, usually 300.0 MB',
      '',
    ]);
  });

  it('begins with what has nearly vanished', () => {
    const usual = { size: 300 * MB, rows: { wiki: 90_000 } };
    expect(story([...repeat(6, usual), { size: 150 * MB, rows: { wiki: 1 } }]).at(-1)).toBe(
      '1 row in wiki, usually 90,000; 150.0 MB, usually 300.0 MB',
    );
  });

  it('is one emptied database of several, and one that is no longer there, though the whole is hardly smaller', () => {
    const both = { size: 900 * MB, rows: { wiki: 90_000, shop: 2_000_000 } };
    const told = story([
      both,
      both,
      { ...both, rows: { wiki: 12, shop: 2_000_000 } },
      both,
      { ...both, rows: { shop: 2_000_000 } },
      both,
    ]);
    expect(told).toEqual([
      '',
      '',
      '12 rows in wiki, usually 90,000',
      '',
      '0 rows in wiki, usually 90,000',
      '',
    ]);
  });

  it('is an emptied database without tables, unless the archive as a whole says so', () => {
    const usual = { size: 900 * MB, sizes: { cache: 40 * MB, wiki: 2000 * MB } };
    const emptied = { ...usual, sizes: { ...usual.sizes, cache: 90 } };
    expect(story([usual, emptied]).at(-1)).toBe('90 B in cache, usually 40.0 MB');
    expect(story([usual, { ...usual, sizes: { wiki: 2000 * MB } }]).at(-1)).toBe(
      '0 B in cache, usually 40.0 MB',
    );
    expect(story([usual, { size: MB, sizes: { cache: 90, wiki: 90 } }]).at(-1)).toBe(
      '1.0 MB, usually 900.0 MB',
    );
  });

  it('is nothing where it is not known what is in the archive', () => {
    const { members, ...unknown } = lineOf(1, { size: MB });
    expect(members).toEqual([]);
    expect(findVariations(unknown, [lineOf(0, { size: MB, rows: { wiki: 9000 } })]).news).toEqual([]);
  });

  it('is a tree that has lost its files, and a run that takes much longer', () => {
    const usual = { size: 50 * MB, files: { images: 8000 }, minutes: 12 };
    expect(story([...repeat(5, usual), { ...usual, files: { images: 90 }, minutes: 95 }]).at(-1)).toBe(
      '90 files in images, usually 8,000; it took 1 h 35 min, usually 12 min 0 s',
    );
  });

  it('is not judged by failed runs, nor by those of another kind', () => {
    const failed: Night = { result: 'failed', minutes: 0 };
    const full = { size: 300 * MB };
    expect(story([full, failed, failed, failed, full, full])).toEqual([
      '',
      'failed',
      'failed',
      'failed',
      '',
      '',
    ]);
    expect(story([...repeat(6, failed), ...repeat(2, { minutes: 60 })]).slice(6)).toEqual(['', '']);
    expect(story([{ minutes: 60 }, { minutes: 60 }, { size: 5, minutes: 0.1 }])).toEqual(quiet(3));
  });

  it('is the duration where there is no archive', () => {
    expect(story([...repeat(6, { minutes: 60 }), { minutes: 0.05 }]).at(-1)).toBe(
      'it took 3.0 s, usually 1 h 0 min',
    );
  });

  it('knows a member again that is encrypted by now', () => {
    const night = lineOf(1, { size: MB, rows: { wiki: 5000 } });
    const sealed = {
      ...night,
      members: night.members!.map((member) => ({ ...member, name: `${member.name}.age` })),
    };
    expect(findVariations(sealed, [lineOf(0, { size: MB, rows: { wiki: 5000 } })]).variations).toEqual([]);
  });
});

describe('why it is so', () => {
  const root = mkdtempSync(join(tmpdir(), 'garner-variation-'));
  const file = contentsFile(join(root, 'state'), 'mediawiki');
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  const { signal } = new AbortController();
  let night = 0;

  type Content = Pick<ArchiveOptions, 'tables' | 'files' | 'recipient'>;

  /** Judges an archive after a usual one. @returns its verdict */
  async function judge(
    content: Content,
    before: Content | undefined,
    made: Night,
    usual: Night,
  ): Promise<Verdict> {
    rmSync(file, { force: true });
    const verdictOf = async (one: Content): Promise<Verdict> => {
      night += 1;
      const { path, sha256, sizeBytes } = await makeArchive(root, {
        host: 'web1',
        time: new Date(Date.UTC(2026, 0, night)),
        ...one,
      });
      using archive = openArchive(path);
      return {
        result: 'OK',
        summary: 'fine',
        causes: [],
        archives: [{ path, sha256, sizeBytes, manifest: archive.manifest }],
      };
    };
    const earlier = [lineOf(0, usual)];
    if (before !== undefined)
      await judgeVariation(await verdictOf(before), lineOf(1, usual), earlier, { file, signal });
    const { verdict } = await judgeVariation(await verdictOf(content), lineOf(2, made), earlier, {
      file,
      signal,
    });
    return verdict;
  }

  it('names the table that lost most, in the summary', async () => {
    const full = { user: 40, page: 100_000, revision: 700 };
    const verdict = await judge(
      { tables: { ...full, page: 2000, revision: 690 } },
      { tables: full },
      { size: 1.2 * MB, rows: { wiki: 2730 } },
      { size: 300 * MB, rows: { wiki: 100_740 } },
    );
    expect(verdict).toMatchObject({
      result: 'WARNINGS',
      summary: '1.2 MB, usually 300.0 MB: table page lost 98,000 of 100,000 rows',
      causes: [
        '1.2 MB, usually 300.0 MB',
        '2,730 rows in wiki, usually 100,740',
        'table page lost 98,000 of 100,000 rows',
      ],
    });
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('names the directory that has changed most, as deep as it explains the change', async () => {
    const some = (path: string, count: number): Record<string, string> =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`${path}/${index}`, 'x'.repeat(1000)]));
    const rest = { ...some('lib', 5), ...some('images/b/c', 20) };
    const told = await judge(
      { files: { ...rest, ...some('images/a/a', 1) } },
      { files: { ...rest, ...some('images/a/a', 60), 'top.txt': '' } },
      { size: 1 * MB, files: { files: 26 } },
      { size: 30 * MB, files: { files: 5000 } },
    );
    expect(told.causes.slice(2)).toEqual([
      'directory images/a lost 59.0 kB of 60.0 kB',
      'directory images/a lost 59 of 60 files',
    ]);
    const spread = await judge(
      { files: rest },
      { files: { ...rest, ...some('images/a', 40), ...some('images/d', 40) } },
      { size: 30 * MB, files: { files: 25 } },
      { size: 30 * MB, files: { files: 5000 } },
    );
    expect(spread.summary).toBe('25 files in files, usually 5,000: directory images lost 80 of 100 files');
  });

  it('says that it does not know directories where lists are encrypted', async () => {
    const { stdout, stderr } = await execa('age-keygen');
    const recipient = /age1[a-z0-9]+/.exec(stdout + stderr)?.[0] as string;
    const files = { 'images/a': 'x' };
    const { summary } = await judge(
      { files, recipient },
      { files, recipient },
      { size: 1 * MB },
      { size: 30 * MB },
    );
    expect(summary).toMatch(/which directory of files has changed is not known: its list is encrypted/);
  });

  it('escapes foreign names, and holds no table for a property of all objects', async () => {
    const evil = 'a\n\u001b[2J <b>" lost 5';
    const before = JSON.parse(`{"__proto__": 5000, ${JSON.stringify(evil)}: 90000}`);
    const told = await judge(
      { tables: { [evil]: 3 } },
      { tables: before },
      { size: 1 * MB },
      { size: 30 * MB },
    );
    expect(told.causes.slice(1)).toEqual(['table "a\\n\\x1b[2J <b>\\" lost 5" lost 89,997 of 90,000 rows']);
    const path = '\u001b[31m\xff \xc3\xa9/x';
    const tree = await judge(
      { files: { y: '' } },
      { files: { [path]: 'xxx' } },
      { size: 1 * MB },
      { size: 30 * MB },
    );
    expect(tree.causes.slice(1)).toEqual(['directory "\\x1b[31m\\xff é" lost all 3 B']);
  });

  it('tells what is unusual though nothing was kept, or what was kept is damaged', async () => {
    const night = { size: 1 * MB };
    const told = await judge({}, undefined, night, { size: 30 * MB });
    expect(told.summary).toBe('1.0 MB, usually 30.0 MB');
    await judge({}, {}, night, night);
    writeFileSync(file, 'garbage');
    const { archives } = told;
    const verdict: Verdict = { result: 'OK', summary: '', causes: [], archives };
    const again = await judgeVariation(verdict, lineOf(1, night), [lineOf(0, { size: 30 * MB })], {
      file,
      signal,
    });
    expect(again.verdict.summary).toBe('1.0 MB, usually 30.0 MB');
  });
});
