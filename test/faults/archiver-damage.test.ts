// Faults of bytes and names: what a disk, a host or somebody between them may do to archives.
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { type MadeArchive, makeArchive } from '../helpers/make-archive.ts';
import { randomFrom, SEED, THOROUGH } from '../helpers/random.ts';

let archiver: TestArchiver;
let work: string;
beforeEach(() => {
  archiver = testArchiver();
  archiver.setUp();
  work = archiver.workDir('web1');
});
afterEach(() => archiver.remove());

const archives = (): string[] => archiver.stored().filter((file) => file.endsWith('.tar'));

/** Changes one byte in place; size and times stay. */
function flip(path: string, at: number): void {
  const { atime, mtime } = statSync(path);
  const bytes = readFileSync(path);
  bytes.writeUInt8((bytes.at(at) as number) ^ 1, at < 0 ? bytes.length + at : at);
  writeFileSync(path, bytes);
  utimesSync(path, atime, mtime);
}

const here = ({ name }: MadeArchive): string => join(archiver.root, `web1/mediawiki/${name}.tar`);

describe('damaged bytes', () => {
  test('F37 a bit flipped before the pull: refused, source kept, nothing under the final name', async () => {
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    const bad = await makeArchive(work, { host: 'web1', time: daysAgo(2) });
    const good = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    flip(bad.path, 700);
    const result = await archiver.run(['pull', '--json']);
    expect(result.exitCode).toBe(1);
    expect(result.json.hosts[0]).toMatchObject({
      error: { code: 'checksum-mismatch' },
      pulled: [{ name: good.name }],
    });
    expect(result.stderr).toContain(bad.name);
    expect(existsSync(bad.path)).toBe(true);
    expect(existsSync(`${bad.path}.sha256`)).toBe(true);
    expect(archives()).toEqual([`web1/mediawiki/${good.name}.tar`]);
  });

  test.each([
    ['a header', 3],
    ['a member', 700],
    ['the end', -3],
  ])(
    'F37 a bit of %s flipped at rest: found by verify, moved to quarantine, fetched again',
    async (_, at) => {
      archiver.configureHosts(['web1']);
      const made = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
      await archiver.run(['pull']);
      flip(here(made), at);
      const scrub = await archiver.run(['verify', '--json']);
      expect(scrub).toMatchObject({
        exitCode: 5,
        json: { result: 'failed', failed: [{ name: made.name, code: 'checksum-mismatch' }] },
      });
      expect(archives()).toEqual([`.quarantine/web1/${made.name}.tar`]);
      expect(await archiver.query('SELECT state, problem FROM archives')).toBe(
        'quarantined|checksum-mismatch',
      );
      expect((await archiver.run(['pull', '--json'])).json.hosts[0].pulled[0].sha256).toBe(made.sha256);
      await execa('sha256sum', ['--check', `${made.name}.tar.sha256`], {
        cwd: join(archiver.root, 'web1/mediawiki'),
      });
      expect((await archiver.run(['verify'])).exitCode).toBe(0);
    },
  );

  test('F43 damage that retention comes upon after a pull is told, and no "ok"', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 1, minimum: 1}' });
    const made = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    await archiver.run(['pull']);
    flip(here(made), 700);
    const result = await archiver.run(['pull', '--json']);
    expect(result).toMatchObject({ exitCode: 3, json: { result: 'warnings' } });
    expect(result.json.hosts[0].warnings.join()).toContain(made.name);
    expect((await archiver.run(['pull', '--json'])).json.hosts[0].pulled[0].sha256).toBe(made.sha256);
  });

  test('F42 what rescan finds gone is fetched again: it was not pruned', async () => {
    archiver.configureHosts(['web1']);
    const made = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    await archiver.run(['pull']);
    rmSync(here(made));
    const rescanned = await archiver.run(['rescan', '--json']);
    expect([rescanned.exitCode, rescanned.json.vanished]).toEqual([3, [made.name]]);
    const result = await archiver.run(['pull', '--json']);
    expect(result).toMatchObject({ exitCode: 0, json: { hosts: [{ pulled: [{ sha256: made.sha256 }] }] } });
  });

  test(`F37 a bit flipped anywhere, before the pull, after it or at rest, is found each time (seed ${SEED})`, {
    timeout: 170_000,
  }, async () => {
    const random = randomFrom(SEED);
    for (let round = THOROUGH ? 10 : 1; round > 0; round -= 1) {
      for (const moment of ['before the pull', 'at rest', 'before the source was removed']) {
        archiver.configureHosts(['web1']);
        const made = await makeArchive(work, { host: 'web1', time: new Date(daysAgo(1).getTime() + round) });
        const at = Math.floor(random() * made.sizeBytes);
        const context = `${moment}, byte ${at}`;
        const pull = async (exitCode: number): Promise<void> => {
          const result = await archiver.run(['pull']);
          expect(result.exitCode, `${context}\n${result.stderr}`).toBe(exitCode);
          if (exitCode > 0) expect(result.stderr, context).toMatch(new RegExp(`: web1: .*${made.name}`));
        };
        if (moment === 'before the pull') {
          flip(made.path, at);
          await pull(1);
          expect(existsSync(here(made)), context).toBe(false);
          expect(existsSync(made.path), context).toBe(true);
          flip(made.path, at);
        } else {
          await pull(0);
          flip(here(made), at);
          if (moment === 'at rest') expect((await archiver.run(['verify'])).exitCode, context).toBe(5);
        }
        archiver.configureHosts(['web1'], { host: 'remove: true' });
        await pull(moment === 'before the source was removed' ? 3 : 0);
        expect(existsSync(made.path), context).toBe(false);
        const { stdout } = await execa('sha256sum', [here(made)]);
        expect(stdout.slice(0, 64), context).toBe(made.sha256);
        archiver.remove();
        archiver = testArchiver();
        archiver.setUp();
        work = archiver.workDir('web1');
      }
    }
  });

  test('F37 a bit flipped here before the source was removed: source kept, fetched again, removed then', async () => {
    archiver.configureHosts(['web1']);
    const made = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    await archiver.run(['pull']);
    flip(here(made), 700);
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    const result = await archiver.run(['pull', '--json']);
    expect(result).toMatchObject({ exitCode: 3, json: { hosts: [{ pulled: [{ sha256: made.sha256 }] }] } });
    expect(existsSync(made.path)).toBe(false);
    expect(archives()).toEqual([`.quarantine/web1/${made.name}.tar`, `web1/mediawiki/${made.name}.tar`]);
  });

  test('F43 the newest archive damaged at rest does not count: the good one before it stays', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 1}' });
    const good = await makeArchive(work, { host: 'web1', time: daysAgo(2) });
    const newest = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    await archiver.run(['pull', '--no-prune']);
    await execa('truncate', ['--size=1000', here(newest)]);
    const pruned = await archiver.run(['prune', '--json', '--allow-large']);
    expect(pruned.json).toMatchObject({ remove: [], keep: [{ name: newest.name }, { name: good.name }] });
    expect((await archiver.run(['verify'])).exitCode).toBe(5);
    rmSync(newest.path);
    expect((await archiver.run(['prune', '--json', '--allow-large'])).json.remove).toEqual([]);
    expect(archives()).toContain(`web1/mediawiki/${good.name}.tar`);
  });

  test('F43 the newest archive with a flipped bit, not scrubbed yet, is verified before anything goes', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 1}' });
    const good = await makeArchive(work, { host: 'web1', time: daysAgo(2) });
    const newest = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    await archiver.run(['pull', '--no-prune']);
    flip(here(newest), 700);
    const looked = await archiver.run(['prune', '--dry-run', '--json', '--allow-large']);
    expect(looked.json).toMatchObject({ remove: [], keep: [{ name: newest.name }, { name: good.name }] });
    const pruned = await archiver.run(['prune', '--json', '--allow-large']);
    expect(pruned.json).toMatchObject({ remove: [], keep: [{ name: good.name }] });
    expect(archives()).toEqual([`.quarantine/web1/${newest.name}.tar`, `web1/mediawiki/${good.name}.tar`]);
  });

  test('F43 a newer archive that fails its pull takes no slot', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 1}' });
    const good = await makeArchive(work, { host: 'web1', time: daysAgo(2) });
    await archiver.run(['pull']);
    flip((await makeArchive(work, { host: 'web1', time: daysAgo(1) })).path, 700);
    expect((await archiver.run(['pull', '--json'])).json.hosts[0]).toMatchObject({
      result: 'failed',
      pruned: [],
    });
    expect(archives()).toEqual([`web1/mediawiki/${good.name}.tar`]);
  });
});

describe('F38 the checksum file', () => {
  test('missing: waited for, then an alarm', async () => {
    archiver.configureHosts(['web1']);
    const made = await makeArchive(work, { host: 'web1', time: new Date() });
    rmSync(`${made.path}.sha256`);
    const waiting = await archiver.run(['pull', '--json']);
    expect(waiting).toMatchObject({
      exitCode: 3,
      json: { hosts: [{ skipped: [{ name: made.name, reason: 'it has no checksum file yet' }] }] },
    });
    utimesSync(made.path, daysAgo(1), daysAgo(1));
    const alarm = await archiver.run(['pull', '--json']);
    expect(alarm).toMatchObject({ exitCode: 1, json: { hosts: [{ error: { code: 'checksum-missing' } }] } });
    expect(archives()).toEqual([]);
  });

  test.each([
    ['empty', () => ''],
    ['of another name', (line: string) => line.replace('mediawiki', 'mediawikj')],
    ['of two lines', (line: string) => line + line],
    ['a megabyte long', (line: string) => line.repeat(10_000)],
    ['without line end', (line: string) => line.trimEnd()],
  ])('%s: refused', async (_, change) => {
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    const made = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    writeFileSync(`${made.path}.sha256`, change(readFileSync(`${made.path}.sha256`, 'utf8')));
    const result = await archiver.run(['pull', '--json']);
    expect(result).toMatchObject({ exitCode: 1, json: { hosts: [{ error: { code: 'checksum-missing' } }] } });
    expect(archives()).toEqual([]);
    expect(existsSync(made.path)).toBe(true);
  });
});

describe('hostile hosts', () => {
  test('F48 names are never followed, never printed raw, and keep nothing good from being fetched', async () => {
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    const good = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    const names = [
      '-rf.tar',
      'a\nb.tar',
      '\u001b[2J.tar',
      `${'a'.repeat(251)}.tar`,
      '<img src=x onerror=alert(1)>.tar',
      '..%2f..%2fetc.tar',
      'mediawiki-web1-20261399T000000Z.tar',
      'mediawiki-..-20260101T000000Z.tar',
      '$(touch pwned).tar',
    ];
    for (const name of names) writeFileSync(join(work, name), 'x');
    const result = await archiver.run(['pull', '--json']);
    expect(result.exitCode).toBe(3);
    expect(result.json.hosts[0].pulled.map(({ name }: { name: string }) => name)).toEqual([good.name]);
    expect(result.stderr + result.stdout).not.toContain('\u001b');
    expect(result.stderr).toContain('\\x1b[2J.tar is left out');
    expect(archives()).toEqual([`web1/mediawiki/${good.name}.tar`]);
    for (const name of names) expect(existsSync(join(work, name))).toBe(true);
  });

  test('F49 a link, a fifo, a device and a directory under the name of an archive are left out', async () => {
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    const elsewhere = await makeArchive(archiver.workDir('elsewhere'), { host: 'web1', time: daysAgo(5) });
    const names = [5, 4, 3, 2].map(
      (days) => `mediawiki-web1-${daysAgo(days).toISOString().slice(0, 10).replaceAll('-', '')}T120000Z.tar`,
    );
    const [link, fifo, device, directory] = names.map((name) => join(work, name)) as [
      string,
      string,
      string,
      string,
    ];
    symlinkSync(elsewhere.path, link);
    await execa('mkfifo', [fifo]);
    if (process.getuid?.() === 0) await execa('mknod', [device, 'c', '1', '5']);
    mkdirSync(directory);
    for (const name of names) writeFileSync(join(work, `${name}.sha256`), `${'0'.repeat(64)}  ${name}\n`);
    const result = await archiver.run(['pull', '--json']);
    expect(result).toMatchObject({ exitCode: 3, json: { hosts: [{ pulled: [], error: null }] } });
    for (const { reason } of result.json.hosts[0].skipped) expect(reason).toBe('it is no regular file');
    expect(archives()).toEqual([]);
    expect(existsSync(elsewhere.path)).toBe(true);
  });

  test.each([
    ['another host', { host: 'web2' }],
    ['another application', { application: 'jira' }],
    ['another instance', { instance: 'blue' }],
    ['a member that is not what it says', { members: [] }],
    ['a prototype', JSON.parse('{"__proto__": {"host": "web1"}, "host": 1}')],
  ])('F51 a manifest of %s: quarantine, source kept, not fetched again and again', async (_, manifest) => {
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    const made = await makeArchive(work, { host: 'web1', time: daysAgo(1), manifest });
    const result = await archiver.run(['pull', '--json']);
    expect(result).toMatchObject({ exitCode: 1, json: { hosts: [{ result: 'failed', pulled: [] }] } });
    expect(archives()).toEqual([`.quarantine/web1/${made.name}.tar`]);
    expect(existsSync(made.path)).toBe(true);
    const again = await archiver.run(['pull']);
    expect(again.exitCode).toBe(1);
    expect(again.stderr).toContain('is in quarantine');
    expect(archives()).toEqual([`.quarantine/web1/${made.name}.tar`]);
  });

  test('F51 a manifest of deep nesting is refused', async () => {
    archiver.configureHosts(['web1']);
    const manifest = `{"format":1,"warnings":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`;
    await makeArchive(work, { host: 'web1', time: daysAgo(1), manifest });
    expect((await archiver.run(['pull', '--json'])).json.hosts[0].error.code).toBe('not-an-archive');
  });
});
