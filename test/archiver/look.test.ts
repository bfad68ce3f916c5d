// Looking into archives over all hosts: show, find, diff.
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pullHosts } from '../../archiver/pull.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { makeLargeStore } from '../helpers/large-store.ts';
import { type ArchiveOptions, type MadeArchive, makeArchive } from '../helpers/make-archive.ts';

let archiver: TestArchiver;
beforeEach(() => {
  archiver = testArchiver();
  archiver.configureHosts(['web1', 'web2']);
  archiver.setUp();
});
afterEach(() => archiver.remove());

const make = (host: string, days: number, rest: Partial<ArchiveOptions>): Promise<MadeArchive> =>
  makeArchive(archiver.workDir(host), { host, time: daysAgo(days), ...rest });

const pull = () =>
  archiver.inProcess((run) => pullHosts(run, run.configuration.hosts, { prune: false, dryRun: false }));

async function json(args: string[], env?: Record<string, string>) {
  const { stdout } = await archiver.runHere([...args, '--json'], env);
  return JSON.parse(stdout);
}

const ROOT = '/var/lib/mediawiki';

/** A file name that would clear the screen, start a new line, and is no UTF-8. */
const HOSTILE = 'a\x1b[2J\nb\xff.txt';

describe('archiver find', () => {
  test('names the versions of a file over all hosts, the newest first, and folds those that are the same', async () => {
    const files = { 'images/logo.png': 'old', 'page.txt': 'x' };
    const [first, second] = [await make('web1', 4, { files }), await make('web1', 3, { files })];
    const third = await make('web1', 2, { files: { ...files, 'images/logo.png': 'newer' } });
    const other = await make('web2', 1, { files });
    await pull();
    const { found, searchedCount } = await json(['find', 'logo.png']);
    const path = `${ROOT}/images/logo.png`;
    const common = { group: 'mediawiki', kind: 'file', path, modifiedAt: '1970-01-01T00:00:01Z' };
    expect(found).toEqual([
      { host: 'web1', ...common, sizeBytes: 5, archives: [third.name] },
      { host: 'web1', ...common, sizeBytes: 3, archives: [second.name, first.name] },
      { host: 'web2', ...common, sizeBytes: 3, archives: [other.name] },
    ]);
    expect(searchedCount).toBe(4);
    expect((await json(['find', 'logo.png', 'web2'])).found).toHaveLength(1);
    const { stdout } = await archiver.runHere(['find', 'images/logo.png', 'web1']);
    expect(stdout.split('\n')).toEqual([
      `web1 mediawiki ${path}`,
      `        5 B  1970-01-01T00:00:01Z  in ${third.name}`,
      `        3 B  1970-01-01T00:00:01Z  in 2 archives, ${first.name} to ${second.name}`,
      '',
    ]);
  });

  test.each([
    ['page.txt', ['page.txt', 'sub/page.txt']],
    ['/var/lib/mediawiki/page.txt', ['page.txt']],
    ['sub/page.txt', ['sub/page.txt']],
    ['ub/page.txt', []],
    ['*.txt', ['page.txt', 'sub/deep/größe.txt', 'sub/page.txt']],
    ['sub/*.txt', ['sub/page.txt']],
    ['sub/**.txt', ['sub/deep/größe.txt', 'sub/page.txt']],
    ['gr??e.txt', ['sub/deep/größe.txt']],
    ['page?txt', ['page.txt', 'sub/page.txt']],
    ['page.tx', []],
    ['/**/deep/*', ['sub/deep/größe.txt']],
    ['1', []], // a time or a size is no name
  ])('finds by the pattern %s', async (pattern, expected) => {
    const latin1 = (text: string): string => Buffer.from(text).toString('latin1');
    const paths = ['page.txt', 'sub/page.txt', 'sub/deep/größe.txt'];
    await make('web1', 1, { files: Object.fromEntries(paths.map((path) => [latin1(path), '1'])) });
    await pull();
    const { found } = await json(['find', pattern]);
    expect(found.map(({ path }: { path: string }) => path.slice(ROOT.length + 1))).toEqual(expected);
  });

  test('F52 holds no more of a list than it shows, however much its host names', async () => {
    const { name, sha256 } = await make('web1', 1, { files: { a: 'x' } });
    await pull();
    // what is kept of it becomes that of an archive with half a million files
    const kept = join(archiver.root, '.catalog/listings/web1/mediawiki', `${name}.${sha256.slice(0, 12)}`);
    const list = Buffer.alloc(500_000 * 6, 'a\t1\t1\0');
    writeFileSync(join(kept, 'files.list.zst'), zstdCompressSync(list));
    const manifest = JSON.parse(zstdDecompressSync(readFileSync(join(kept, 'manifest.json.zst'))).toString());
    for (const member of manifest.members)
      if (member.kind === 'list') member.uncompressedSizeBytes = list.length;
    writeFileSync(join(kept, 'manifest.json.zst'), zstdCompressSync(JSON.stringify(manifest)));
    const { found, leftOutCount } = await json(['find', 'a']);
    expect(found).toMatchObject([{ host: 'web1', sizeBytes: 1 }]);
    expect(leftOutCount).toBe(400_000);
  });

  test('finds tables with their rows, by name or with the database before it', async () => {
    const [first, second] = [
      await make('web1', 3, { tables: { page: 12 } }),
      await make('web1', 2, { tables: { page: 12 } }),
    ];
    const third = await make('web1', 1, { tables: { page: 15, user: 3 } });
    await pull();
    const table = { host: 'web1', group: 'mediawiki', kind: 'table', path: 'wiki.page' };
    const expected = [
      { ...table, rowCount: 15, archives: [third.name] },
      { ...table, rowCount: 12, archives: [second.name, first.name] },
    ];
    expect((await json(['find', 'page'])).found).toEqual(expected);
    expect((await json(['find', 'wiki.p*'])).found).toEqual(expected);
  });

  test('F48 escapes what a host has named: nothing of it reaches a terminal, and JSON has it exactly', async () => {
    await make('web1', 1, { files: { [HOSTILE]: 'x', '\u00c2\u009b31m.txt': 'y' } });
    await pull();
    const { stdout } = await archiver.runHere(['find', '*.txt']);
    expect(stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
    expect(stdout).toContain(`${ROOT}/a\\x1b[2J\\nb\\xff.txt`);
    const { stdout: text } = await archiver.runHere(['find', '*.txt', '--json']);
    expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
    const { stdout: base64 } = await execa('jq', ['-r', '.found[] | .pathBase64 // empty'], { input: text });
    expect(Buffer.from(base64, 'base64')).toEqual(Buffer.from(`${ROOT}/${HOSTILE}`, 'latin1'));
    const { stdout: exact } = await execa('jq', ['-j', '.found[] | select(.pathBase64 == null) | .path'], {
      input: text,
    });
    expect(exact).toBe(`${ROOT}/\u009b31m.txt`);
  });

  test('says of encrypted archives that their files are not searched; their tables are', async () => {
    const key = join(archiver.directory, 'key');
    await execa('age-keygen', ['-o', key]);
    const recipient = (await execa('age-keygen', ['-y', key])).stdout;
    const { name } = await make('web1', 1, { recipient, tables: { page: 3 } });
    await pull();
    const { result, found, notSearched } = await json(['find', 'page*']);
    expect([result, found.map(({ path }: { path: string }) => path)]).toEqual(['ok', ['wiki.page']]);
    expect(notSearched).toEqual([{ name, tree: 'files', reason: 'encrypted', isFailure: false }]);
  });

  test('makes what it keeps beside the catalog again where it is lost or damaged, and goes on without it', async () => {
    await make('web1', 1, { files: { a: '1' } });
    await pull();
    const kept = join(archiver.root, '.catalog/listings');
    const files = (): string[] =>
      readdirSync(kept, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .sort();
    const found = async () => (await json(['find', 'a'])).found.length;
    const [list, manifest] = files();
    expect([list, manifest]).toEqual([
      expect.stringMatching(/web1\/mediawiki\/.*\/files\.list\.zst$/),
      expect.stringMatching(/manifest\.json\.zst$/),
    ]);
    expect(statSync(list as string).mode & 0o777).toBe(0o600);
    const sizeBytes = statSync(list as string).size;
    truncateSync(list as string, 0); // as a power cut leaves it
    expect(await found()).toBe(1);
    expect(statSync(list as string).size).toBe(sizeBytes);
    writeFileSync(manifest as string, 'no manifest');
    expect(await found()).toBe(1);
    rmSync(kept, { recursive: true });
    expect(await found()).toBe(1);
    expect(files()).toEqual([list, manifest]);
  });

  test('keeps nothing of archives that were pruned', async () => {
    for (const days of [3, 2, 1]) await make('web1', days, { files: { a: `${days}` } });
    await pull();
    archiver.configureHosts(['web1'], { retention: '{last: 2}' });
    const kept = join(archiver.root, '.catalog/listings/web1/mediawiki');
    const before = readdirSync(kept).sort();
    expect(before).toHaveLength(3);
    await archiver.runHere(['prune']);
    expect(readdirSync(kept).sort()).toEqual(before.slice(1));
  });

  test('goes on where an archive is gone, names it, and ends with a warning', async () => {
    const { name } = await make('web1', 2, { files: { a: '1' } });
    await make('web1', 1, { files: { a: '1' } });
    await pull();
    rmSync(join(archiver.root, '.catalog/listings'), { recursive: true });
    rmSync(join(archiver.root, `web1/mediawiki/${name}.tar`));
    const { exitCode, stdout } = await archiver.runHere(['find', 'a', '--json']);
    expect(exitCode).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      result: 'warnings',
      found: [{}],
      notSearched: [{ name, isFailure: true }],
    });
  });
});

describe('archiver list', () => {
  test('gives all of many archives by host and time, as a table and as JSON that is read as it comes', async () => {
    const directory = join(archiver.directory, 'large');
    mkdirSync(directory);
    makeLargeStore(directory, { hosts: 3, archives: 120, files: 0 });
    const config = ['--config', join(directory, 'archiver.yaml')];
    const { stdout } = await archiver.runHere(['list', 'host0', 'host2', '--json'], {}, config);
    const { stdout: names } = await execa('jq', ['-r', '.archives[] | select(.onDisk) | .name'], {
      input: stdout,
    });
    const expected = (host: string): string[] =>
      readdirSync(join(directory, `store/${host}/mediawiki`))
        .map((file) => file.replace(/\.tar$/, ''))
        .sort();
    expect(names.split('\n')).toEqual([...expected('host0'), ...expected('host2')]);
    const table = (await archiver.runHere(['list'], {}, config)).stdout.trimEnd().split('\n');
    expect(table).toHaveLength(1 + 360);
    expect(
      new Set(table.map((line) => line.indexOf(line.startsWith('host ') ? 'verified' : 'content'))).size,
    ).toBe(1);
    const empty = await archiver.runHere(['list', '--json']);
    expect(JSON.parse(empty.stdout)).toEqual({ result: 'ok', archives: [] });
  });
});

describe('archiver show', () => {
  test('tells all that is known of an archive: members, tables, warnings, where it is, how it came here', async () => {
    const made = await make('web1', 1, {
      tables: { page: 12 },
      manifest: {
        warnings: [{ code: 'file-grew', message: 'a file\x1b[2J grew' }],
        withheld: [{ what: 'the key', remedy: 'keep it elsewhere' }],
      },
    });
    await pull();
    const path = join(archiver.root, `web1/mediawiki/${made.name}.tar`);
    const { archive } = await json(['show', made.name]);
    expect(archive).toMatchObject({
      ...{ name: made.name, host: 'web1', sizeBytes: made.sizeBytes, sha256: made.sha256 },
      ...{ path, onDisk: true, verified: 'content', state: 'present', problem: null },
      transfers: [{ sizeBytes: made.sizeBytes, problem: null }],
      events: [{ kind: 'pulled' }],
    });
    const { stdout } = await execa('tar', ['-xOf', path, 'manifest.json']);
    expect(archive.manifest).toEqual(JSON.parse(stdout));
    const shown = await archiver.runHere(['show', path]);
    for (const text of [
      'page: 12 rows',
      'warning: a file\\x1b[2J grew',
      'left out  the key',
      `where     ${path}\n`,
    ])
      expect(shown.stdout).toContain(text);
  });

  test('of an archive that went bad says so, and where it is now', async () => {
    const { name, path } = await make('web1', 1, {});
    writeFileSync(`${path}.sha256`, `${'0'.repeat(64)}  ${name}.tar\n`);
    await pull();
    await expect(archiver.runHere(['show', name])).rejects.toMatchObject({ code: 'usage' });
    rmSync(`${path}.sha256`);
    await execa('sh', ['-c', `sha256sum ${name}.tar > ${name}.tar.sha256`], {
      cwd: archiver.workDir('web1'),
    });
    await pull();
    await archiver.query(`UPDATE archives SET sha256 = '${'0'.repeat(64)}'`);
    await archiver.runHere(['verify']);
    const { archive } = await json(['show', name]);
    expect(archive).toMatchObject({
      state: 'quarantined',
      problem: 'checksum-mismatch',
      verified: null,
      manifest: null,
    });
    expect(statSync(archive.path).size).toBeGreaterThan(0);
    expect(archive.path).toContain('/.quarantine/web1/');
  });
});

describe('archiver diff', () => {
  test('counts and names what changed: files, top directories, rows of tables, members', async () => {
    const files = { 'same.txt': '1', 'images/a/1': 'aa', 'images/a/2': 'bb', 'gone/x': 'xxx' };
    const before = await make('web1', 2, { files, tables: { page: 10, old: 1, same: 7 } });
    const { 'gone/x': _, ...kept } = files;
    const after = await make('web1', 1, {
      files: { ...kept, 'images/a/2': 'bbbb', 'images/b/3': '12345', [HOSTILE]: 'h' },
      tables: { page: 12, fresh: 3, same: 7 },
    });
    await pull();
    const diff = await json(['diff', before.name, after.name]);
    expect(diff.tables).toEqual([
      { database: 'wiki', table: 'page', before: 10, after: 12 },
      { database: 'wiki', table: 'old', before: 1 },
      { database: 'wiki', table: 'fresh', after: 3 },
    ]);
    expect(diff.members.map(({ name }: { name: string }) => name)).toContain('files.list.zst');
    const [tree] = diff.trees;
    expect(tree).toMatchObject({
      root: ROOT,
      added: { fileCount: 2, sizeBytes: 6 },
      removed: { fileCount: 1, sizeBytes: 3 },
      changed: { fileCount: 1, sizeBytes: 4 },
      directories: [
        { path: 'images/b', fileCount: 1, sizeBytes: 5 },
        { path: 'images/a', fileCount: 1, sizeBytes: 4 },
        { path: 'gone', fileCount: 1, sizeBytes: 3 },
        { path: '.', fileCount: 1, sizeBytes: 1 },
      ],
    });
    // another tool's answer
    const list = ({ path }: MadeArchive): string =>
      `<(tar -xOf ${path} files.tar.zst | zstd -dc | tar -t --quoting-style=escape | grep -v '/$' | sort)`;
    const { stdout: byTar } = await execa('bash', ['-c', `comm -3 ${list(before)} ${list(after)}`]);
    expect(byTar.split('\n')).toEqual(['\ta\\033[2J\\nb\\377.txt', 'gone/x', '\timages/b/3']);
    expect(tree.files.map(({ path }: { path: string }) => path)).toEqual([
      'a\\x1b[2J\\nb\\xff.txt',
      'gone/x',
      'images/a/2',
      'images/b/3',
    ]);
    const { stdout } = await archiver.runHere(['diff', before.name, after.name, '--files', '3']);
    expect(stdout.slice(stdout.indexOf('table')).split('\n')).toEqual([
      'table   wiki.page: 10 -> 12',
      'table   wiki.old: gone, had 1',
      'table   wiki.fresh: new, 3',
      `files   ${ROOT}: added 2 files, 6 B; removed 1 file, 3 B; changed 1 file, 4 B`,
      '  in images/b: 1 file, 5 B',
      '  in images/a: 1 file, 4 B',
      '  in gone: 1 file, 3 B',
      '  in .: 1 file, 1 B',
      '  + a\\x1b[2J\\nb\\xff.txt  1 B',
      '  - gone/x  3 B',
      '  ~ images/a/2  2 B -> 4 B',
      '  and 1 more',
      '',
    ]);
  });

  test('says that nothing changed where nothing did', async () => {
    const files = { a: '1' };
    const [before, after] = [await make('web1', 2, { files }), await make('web2', 1, { files })];
    await pull();
    const { stdout } = await archiver.runHere(['diff', before.name, after.name]);
    expect(stdout).toContain('nothing that their manifests and lists tell has changed');
  });
});
