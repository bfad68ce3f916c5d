// Faults of runs, disks and clocks: whatever ends a run, an archive is at its host or safe here, and the next run goes on.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { type MadeArchive, makeArchive } from '../helpers/make-archive.ts';

let archiver: TestArchiver;
let work: string;
beforeEach(() => {
  archiver = testArchiver();
  archiver.setUp();
  work = archiver.workDir('web1');
});
afterEach(() => archiver.remove());

const archives = (): string[] => archiver.stored().filter((file) => file.endsWith('.tar'));
const isRoot = process.getuid?.() === 0;

/** Whether the archive's bytes are here, by sha256sum. */
async function isHere({ name }: MadeArchive): Promise<boolean> {
  const directory = join(archiver.root, 'web1/mediawiki');
  if (!existsSync(join(directory, `${name}.tar`))) return false;
  await execa('sha256sum', ['--check', '--strict', '--status', `${name}.tar.sha256`], { cwd: directory });
  return true;
}

/** @param fault what happens at the call, as `strace -e inject=` takes it; only calls with these paths count, if any */
function straceFault(call: string, fault: string, ...paths: string[]): string[] {
  const only = paths.flatMap((path) => ['-P', path]);
  return [
    'strace',
    '-f',
    '-qq',
    '-o',
    '/dev/null',
    ...only,
    '-e',
    `trace=${call}`,
    '-e',
    `inject=${call}:${fault}`,
  ];
}

describe('a run that is ended', () => {
  test('F40 between verify and delete: the next one verifies again and deletes, and fetches nothing twice', async () => {
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    const made = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    await execa('cp', ['-a', work, `${work}.copy`]);
    const killed = await archiver.run(['pull'], {
      wrap: straceFault('unlink', 'signal=KILL:when=1', made.path),
    });
    expect(killed.exitCode).toBe(137);
    expect(await isHere(made)).toBe(true);
    // the signal may come after the call
    await execa('cp', ['-a', `${work}.copy/.`, work]);
    const next = await archiver.run(['pull', '--json']);
    expect(next).toMatchObject({ exitCode: 0, json: { hosts: [{ pulled: [] }] } });
    expect(readdirSync(work)).toEqual([]);
    expect(archives()).toEqual([`web1/mediawiki/${made.name}.tar`]);
    expect(await archiver.query("SELECT count(*) FROM events WHERE kind = 'pulled'")).toBe('1');
  });

  test('F40 killed before it deleted, and gone bad since: the source stays until a good copy is here', async () => {
    archiver.configureHosts(['web1']);
    const made = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    await archiver.run(['pull']);
    const copy = join(archiver.root, `web1/mediawiki/${made.name}.tar`);
    const bytes = readFileSync(copy);
    bytes.writeUInt8(bytes.readUInt8(600) ^ 255, 600);
    writeFileSync(copy, bytes);
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    expect(
      (await archiver.run(['pull'], { wrap: straceFault('unlink', 'signal=KILL:when=1', made.path) }))
        .exitCode,
    ).toBe(137);
    expect(await isHere(made)).toBe(true);
  });

  test('F19 by SIGTERM: exit 143, nothing half here, source kept', async () => {
    archiver.configureHosts(['web1'], { host: 'remove: true' });
    const made = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    const wrap = straceFault('link', 'signal=TERM:when=1');
    const { exitCode, stderr } = await archiver.run(['pull'], { wrap });
    expect(exitCode).toBe(143);
    expect(stderr).toContain('ended by SIGTERM');
    expect(existsSync(made.path)).toBe(true);
    expect(archiver.stored().filter((file) => file.includes('.tar') && !file.includes('.part-'))).toEqual([]);
    expect((await archiver.run(['pull'])).exitCode).toBe(0);
    expect(await isHere(made)).toBe(true);
    expect(archiver.stored().filter((file) => file.includes('.part-'))).toEqual([]);
  });

  test('F46 while a pull runs, what deletes and writes says "locked"; verify reads what was there, and leaves the rest', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 1}' });
    const here = await makeArchive(work, { host: 'web1', time: daysAgo(2) });
    await archiver.run(['pull']);
    const coming = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    const part = (): string | undefined => archiver.stored().find((file) => file.includes('.part-'));
    const pull = archiver.run(['pull'], { wrap: straceFault('link', 'signal=STOP:when=1') });
    while (part() === undefined) await sleep(20);
    for (const verb of ['prune', 'rescan', 'pull']) {
      const { exitCode, stderr } = await archiver.run([verb]);
      expect(exitCode).toBe(4);
      expect(stderr).toContain('another run is under way (pid ');
    }
    const verify = await archiver.run(['verify', '--json']);
    expect(verify).toMatchObject({ exitCode: 0, json: { verified: [{ name: here.name }], failed: [] } });
    expect(part()).toBeDefined();
    const locks = join(archiver.directory, 'run');
    const holder = readdirSync(locks).find((name) => /^archiver-[0-9a-f]+\.holder$/.test(name)) as string;
    const [, pid] = /^pid (\d+)/.exec(readFileSync(join(locks, holder), 'utf8')) ?? [];
    process.kill(Number(pid), 'SIGCONT');
    expect((await pull).exitCode).toBe(0);
    expect(await isHere(coming)).toBe(true);
  });
});

describe('the archive store', () => {
  test('F47 not mounted: nothing is fetched, removed or believed lost', async () => {
    archiver.configureHosts(['web1'], { host: 'remove: true', retention: '{last: 1}' });
    const made = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    renameSync(archiver.root, `${archiver.root}.away`);
    mkdirSync(archiver.root);
    for (const verb of ['pull', 'prune', 'verify', 'list', 'rescan']) {
      const { exitCode, stderr } = await archiver.run([verb]);
      expect(exitCode).toBe(1);
      expect(stderr).toContain('it has no .garner-archive');
    }
    expect(readdirSync(archiver.root)).toEqual([]);
    expect(existsSync(made.path)).toBe(true);
  });

  test.skipIf(!isRoot)(
    'F47 full: refused before it is fetched, source kept, the smaller ones fetched',
    async () => {
      archiver.configureHosts(['web1'], { host: 'remove: true' });
      rmSync(archiver.root, { recursive: true });
      mkdirSync(archiver.root);
      await execa('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', archiver.root]);
      try {
        await archiver.run(['init']);
        const large = await makeArchive(work, {
          host: 'web1',
          time: daysAgo(1),
          content: randomBytes(12_000_000),
        });
        const result = await archiver.run(['pull', '--json']);
        expect(result).toMatchObject({ exitCode: 1, json: { hosts: [{ error: { code: 'no-space' } }] } });
        expect(existsSync(large.path)).toBe(true);
        expect(archives()).toEqual([]);
      } finally {
        await execa('umount', [archiver.root]);
      }
    },
  );
});

describe('the catalog', () => {
  const file = (): string => join(archiver.root, '.catalog/catalog.sqlite');

  /** Two archives, pulled; retention would let one go. */
  async function fill(): Promise<MadeArchive[]> {
    archiver.configureHosts(['web1'], { retention: '{last: 1}' });
    const made = [];
    for (const days of [2, 1]) made.push(await makeArchive(work, { host: 'web1', time: daysAgo(days) }));
    expect((await archiver.run(['pull', '--no-prune'])).exitCode).toBe(0);
    return made;
  }

  test.each([
    ['garbage', () => writeFileSync(file(), 'no database at all '.repeat(1000))],
    [
      'damaged in the middle',
      () =>
        execa('dd', ['if=/dev/urandom', `of=${file()}`, 'bs=1', 'seek=4096', 'count=9000', 'conv=notrunc']),
    ],
    ['empty', () => writeFileSync(file(), '')],
    ['lost', () => rmSync(file())],
  ])('F42 %s: detected, nothing is pruned, rebuilt from the archives', async (_, harm) => {
    const made = await fill();
    const before = await archiver.run(['list', '--json']);
    await harm();
    for (const verb of ['prune', 'pull', 'list']) {
      const { exitCode, stderr } = await archiver.run([verb]);
      expect(exitCode, stderr).toBe(1);
      expect(stderr).toContain('hint: archiver rescan');
    }
    expect(archives().length).toBe(2);
    const rescan = await archiver.run(['rescan', '--json']);
    expect(rescan).toMatchObject({ exitCode: 0, json: { added: made.map(({ name }) => name) } });
    const after = await archiver.run(['list', '--json']);
    const facts = ({ name, time, sha256, verified }: Record<string, unknown>) => ({
      name,
      time,
      sha256,
      verified,
    });
    expect(after.json.archives.map(facts)).toEqual(before.json.archives.map(facts));
    expect((await archiver.run(['prune', '--json'])).json.remove.length).toBe(1);
  });

  test('F42 an older copy put back: in doubt, nothing is pruned before a rescan', async () => {
    const made = await fill();
    const older = readFileSync(file());
    made.push(await makeArchive(work, { host: 'web1', time: new Date(daysAgo(1).getTime() + 1000) }));
    await archiver.run(['pull', '--no-prune']);
    writeFileSync(file(), older);
    const refused = await archiver.run(['prune', '--json', '--allow-large']);
    expect(refused).toMatchObject({ exitCode: 1, json: { remove: [], refused: [{ code: 'catalog' }] } });
    expect(refused.stderr).toContain('1 archive on the disk not in it');
    expect(archives().length).toBe(3);
    await archiver.run(['rescan']);
    expect((await archiver.run(['prune', '--json', '--allow-large'])).json.remove.length).toBe(2);
  });

  test('F42 archives gone from the disk: in doubt, the others are not pruned before a rescan', async () => {
    const [first] = await fill();
    const group = join(archiver.root, 'web1/mediawiki');
    rmSync(join(group, `${first?.name}.tar`));
    expect((await archiver.run(['prune'])).stderr).toContain('1 archive in it not on the disk');
    expect((await archiver.run(['rescan', '--json'])).json.vanished).toEqual([first?.name]);
    expect((await archiver.run(['prune'])).exitCode).toBe(0);
  });
});

describe('the clock', () => {
  test.each([
    ['an hour back', '-1h', 'later than now'],
    ['to 1970', '1970-01-02 00:00:00', 'later than now'],
    ['ten years forward', '+3650d', 'nothing was received since'],
  ])('F26 %s: nothing is pruned, nothing overwritten', async (_, shift, message) => {
    archiver.configureHosts(['web1'], { retention: '{within: 30d}' });
    const made = [];
    for (const days of [2, 1]) made.push(await makeArchive(work, { host: 'web1', time: daysAgo(days) }));
    await archiver.run(['pull']);
    const wrap = ['faketime', '-f', shift];
    const prune = await archiver.run(['prune', '--allow-large'], { wrap });
    expect(prune.exitCode).toBe(1);
    expect(prune.stderr).toContain(message);
    const pull = await archiver.run(['pull'], { wrap });
    expect(pull.exitCode).toBe(3);
    expect(archives().length).toBe(2);
    for (const archive of made) expect(await isHere(archive)).toBe(true);
  });

  test('F26 what was verified by a clock that ran ahead is verified again, and does not count until then', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 1}' });
    const good = await makeArchive(work, { host: 'web1', time: daysAgo(2) });
    const newest = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    await archiver.run(['pull', '--no-prune']);
    await archiver.run(['verify'], { wrap: ['faketime', '-f', '+2d'] });
    const path = join(archiver.root, `web1/mediawiki/${newest.name}.tar`);
    const bytes = readFileSync(path);
    bytes.writeUInt8(bytes.readUInt8(700) ^ 1, 700);
    writeFileSync(path, bytes);
    expect((await archiver.run(['prune', '--allow-large', '--json'])).json.remove).toEqual([]);
    expect(await isHere(good)).toBe(true);
    expect(archives()).toContain(`.quarantine/web1/${newest.name}.tar`);
    writeFileSync(join(archiver.root, `web1/mediawiki/${good.name}.tar`), bytes);
    await archiver.query("UPDATE archives SET verified_at = '2099-01-01T00:00:00.000Z'");
    expect((await archiver.run(['verify', '--older-than', '7d'])).exitCode).toBe(5);
  });

  test('F26 archives received at a wrong time hold retention up until a rescan', async () => {
    archiver.configureHosts(['web1'], { retention: '{last: 1}' });
    await makeArchive(work, { host: 'web1', time: daysAgo(2) });
    await archiver.run(['pull'], { wrap: ['faketime', '-f', '+3650d'] });
    await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    expect((await archiver.run(['pull'])).stderr).toContain('not pruned: cannot prune at');
    expect((await archiver.run(['rescan'])).exitCode).toBe(0);
    expect((await archiver.run(['prune', '--json'])).exitCode).toBe(0);
  });
});
