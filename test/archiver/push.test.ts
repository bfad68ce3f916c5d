import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readPushConfiguration } from '../../archiver/configuration.ts';
import { pullHosts } from '../../archiver/pull.ts';
import { type PushOptions, pushTo } from '../../archiver/push.ts';
import { acquireLock } from '../../lib/lock.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { makeChroot, removeGroup, startSshd, testGroup } from '../helpers/sshd.ts';

let archiver: TestArchiver;
beforeEach(() => {
  archiver = testArchiver();
});
afterEach(() => archiver.remove());

/** Pushes in this process, as the command would. */
async function push(options: Partial<PushOptions> = {}) {
  const configuration = readPushConfiguration(archiver.configFile, []);
  const { signal } = new AbortController();
  const all = { dryRun: false, allowLarge: false, init: false, signal, onBytes: () => {}, ...options };
  const [target] = configuration.targets;
  return pushTo(target as NonNullable<typeof target>, configuration, all);
}

/** @returns the names of the archives in a directory that `sha256sum` finds whole */
async function whole(directory: string): Promise<string[]> {
  const sums = readdirSync(directory).filter((name) => name.endsWith('.sha256'));
  await execa('sha256sum', ['-c', '--strict', ...sums], { cwd: directory });
  return sums.map((name) => name.slice(0, -'.tar.sha256'.length)).sort();
}

const tars = (directory: string) => readdirSync(directory).filter((name) => name.endsWith('.tar'));

describe('from a work directory', () => {
  test('archives and histories go to a host that can do SFTP only; they are removed once they are proven there', async () => {
    const group = `${testGroup()}-p`;
    const chroot = await makeChroot(group);
    const sshd = await startSshd({ chroot: chroot.path, group });
    try {
      const work = archiver.workDir('web1');
      const made = [];
      for (const days of [2, 1]) made.push(await makeArchive(work, { host: 'web1', time: daysAgo(days) }));
      mkdirSync(join(work, 'history'));
      const history = join(work, 'history/wiki-web1.jsonl');
      writeFileSync(history, '{"one":1}\n');
      writeFileSync(join(work, 'history/.hidden'), 'x');
      writeFileSync(
        archiver.configFile,
        `push: {backup: {to: "${sshd.url('/work')}", identityFile: ${sshd.identityFile}, hostKeys: ["${sshd.hostKeys.ed25519}"], from: ${work}, remove: true}}\n`,
        { mode: 0o600 },
      );
      const dry = await archiver.run(['push', '--dry-run', '--json']);
      expect(dry.json.targets[0].pushed).toHaveLength(2);
      expect(tars(chroot.workDir)).toEqual([]);
      const done = await archiver.run(['push', '--json']);
      const names = made.map(({ name }) => name);
      expect(done).toMatchObject({ exitCode: 0, json: { result: 'ok', targets: [{ removed: names }] } });
      expect(await whole(chroot.workDir)).toEqual(names.toSorted());
      expect(readdirSync(work)).toEqual(['history']);

      appendFileSync(history, '{"two":2}\n');
      expect(await push()).toMatchObject({ result: 'ok', pushed: [] });
      expect(readFileSync(join(chroot.workDir, 'history/wiki-web1.jsonl'), 'utf8')).toBe(
        '{"one":1}\n{"two":2}\n',
      );
      expect(readdirSync(join(chroot.workDir, 'history'))).toEqual(['wiki-web1.jsonl']);
    } finally {
      await sshd.stop();
      await removeGroup(group);
      await execa('rm', ['-r', chroot.path]);
    }
  });

  test('what was pushed is pulled by an archiver from the directory where it arrived', async () => {
    const [work, inbox] = [archiver.workDir('web1'), archiver.workDir('inbox')];
    const { name } = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    archiver.configure(
      `hosts: {web1: {url: "file://${inbox}"}}\npush: {inbox: {to: "file://${inbox}", from: ${work}, remove: true}}\n`,
    );
    archiver.setUp();
    await push();
    expect((await archiver.run(['pull', '--json'])).json.hosts[0].pulled[0].name).toBe(name);
  });

  test('nothing is removed where the target has another archive of that name, or a damaged one', async () => {
    const [work, inbox] = [archiver.workDir('web1'), archiver.workDir('inbox')];
    const { name } = await makeArchive(work, { host: 'web1', time: daysAgo(1) });
    writeFileSync(
      archiver.configFile,
      `push: {inbox: {to: "file://${inbox}", from: ${work}, remove: true}}\n`,
    );
    await execa('cp', ['-r', `${work}/.`, inbox]);
    // a flipped bit, by the size and the checksum file the same
    const bytes = readFileSync(join(inbox, `${name}.tar`));
    bytes[100] = (bytes[100] as number) ^ 1;
    writeFileSync(join(inbox, `${name}.tar`), bytes);
    expect(await push()).toMatchObject({
      result: 'failed',
      error: { code: 'checksum-mismatch' },
      removed: [],
    });
    writeFileSync(join(inbox, `${name}.tar`), 'another');
    expect(await push()).toMatchObject({ result: 'failed', error: { code: 'store-exists' }, removed: [] });
    expect(await whole(work)).toEqual([name]);
  });

  test('a target to which another run pushes holds up no other, and is a failure', async () => {
    const [work, first, second] = ['web1', 'first', 'second'].map((name) => archiver.workDir(name));
    const { name } = await makeArchive(work as string, { host: 'web1', time: daysAgo(1) });
    const targets = [first, second].map((to, i) => `  t${i}: {to: "file://${to}", from: ${work}}\n`);
    writeFileSync(archiver.configFile, `push:\n${targets.join('')}`, { mode: 0o600 });
    using _lock = acquireLock(join(archiver.directory, 'run'), 'archiver-push-t0');
    await expect(archiver.runHere(['push'])).rejects.toMatchObject({
      code: 'hosts-failed',
      message: expect.stringMatching(/^cannot push to "t0": .*another run is under way/),
    });
    expect([tars(first as string), await whole(second as string)]).toEqual([[], [name]]);
    await expect(archiver.runHere(['push', 't0'])).rejects.toMatchObject({ code: 'locked' });
  });

  test('what retention would not keep at the target goes from here as it is, once what it keeps is proven there', async () => {
    const [work, inbox] = [archiver.workDir('web1'), archiver.workDir('inbox')];
    const names: string[] = [];
    for (const days of [4, 3, 2, 1])
      names.push((await makeArchive(work, { host: 'web1', time: daysAgo(days) })).name);
    writeFileSync(
      archiver.configFile,
      `push: {inbox: {to: "file://${inbox}", from: ${work}, remove: true, retention: {last: 2}}}\n`,
    );
    // much at once needs a flag here too; a failure keeps all
    expect(await push()).toMatchObject({ error: { code: 'prune-refused' }, removed: names.slice(2) });
    expect(await whole(inbox)).toEqual(names.slice(2));
    expect(await whole(work)).toEqual(names.slice(0, 2));
    expect(await push({ dryRun: true, allowLarge: true })).toMatchObject({ removed: names.slice(0, 2) });
    expect(await push({ allowLarge: true })).toMatchObject({ result: 'ok', removed: names.slice(0, 2) });
    expect(readdirSync(work)).toEqual([]);
    expect(await whole(inbox)).toEqual(names.slice(2));
  });

  test('a full target leaves nothing under a final name there, and everything here', async () => {
    const [work, inbox] = [archiver.workDir('web1'), archiver.workDir('inbox')];
    const { name } = await makeArchive(work, {
      host: 'web1',
      time: daysAgo(1),
      content: Buffer.from(Array.from({ length: 3 << 20 }, () => Math.floor(Math.random() * 256))),
    });
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'garner', inbox]);
    const history = 'history/mediawiki-web1.jsonl';
    for (const [directory, sizeBytes] of [
      [work, 1 << 20], // one piece: that it didn't fit is told after it
      [inbox, 1000],
    ] as const) {
      mkdirSync(join(directory, 'history'));
      writeFileSync(join(directory, history), Buffer.alloc(sizeBytes, 'x'));
    }
    try {
      writeFileSync(
        archiver.configFile,
        `push: {inbox: {to: "file://${inbox}", from: ${work}, remove: true}}\n`,
      );
      expect(await push()).toMatchObject({ result: 'failed', error: { code: 'no-space' }, removed: [] });
      expect(readdirSync(inbox)).toEqual(['history']);
      expect(await whole(work)).toEqual([name]);
      // a history that has no room leaves the one that is there
      rmSync(join(work, `${name}.tar`));
      expect(await push()).toMatchObject({ result: 'failed', error: { code: 'no-space' } });
      expect(readdirSync(join(inbox, 'history'))).toEqual(['mediawiki-web1.jsonl']);
    } finally {
      await execa('umount', [inbox]);
    }
  });
});

describe('from the archive store', () => {
  test('a further place keeps what its own retention keeps, and only where it is one', async () => {
    const copies = join(archiver.directory, 'copies');
    archiver.configureHosts(['web1'], {
      top: `push: {usb: {to: "file://${copies}", retention: {last: 2}}}\n`,
    });
    archiver.setUp();
    const names: string[] = [];
    const deliver = async (days: number): Promise<void> => {
      names.push((await makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(days) })).name);
      expect(await archiver.run(['pull'])).toMatchObject({ exitCode: 0 });
    };
    for (const days of [4, 3, 2]) await deliver(days);
    expect(await push()).toMatchObject({ result: 'failed', error: { code: 'archive-store' } });
    expect(existsSync(copies)).toBe(false);
    expect(await push({ init: true })).toMatchObject({ pushed: [{ name: names[1] }, { name: names[2] }] });
    await deliver(1);
    expect(await push({ dryRun: true })).toMatchObject({ pushed: [{ name: names[3] }], pruned: [names[1]] });
    expect(await push()).toMatchObject({ pushed: [{ name: names[3] }], pruned: [names[1]] });
    const [group = ''] = readdirSync(join(copies, 'web1'));
    expect(await whole(join(copies, 'web1', group))).toEqual(names.slice(2));
    expect(archiver.stored().filter((file) => file.endsWith('.tar'))).toHaveLength(4);
    expect(await push()).toMatchObject({ result: 'ok', pushed: [], pruned: [] });
  });
});

describe('a host that was broken into', () => {
  const copies = () =>
    tars(join(archiver.directory, 'copies/web1/mediawiki')).map((name) => name.slice(0, -4));
  const deliver = async (time: Date): Promise<string> => {
    const { name } = await makeArchive(archiver.workDir('web1'), { host: 'web1', time });
    await archiver.inProcess((run) =>
      pullHosts(run, run.configuration.hosts, { prune: false, dryRun: false }),
    );
    return name;
  };
  beforeEach(() => {
    archiver.configureHosts(['web1'], {
      top: `push: {usb: {to: "file://${archiver.directory}/copies", retention: {last: 3}}}\n`,
    });
    archiver.setUp();
  });

  test('F39 does not push out at a further place what came after an archive with a time of its own', async () => {
    const lying = [await deliver(new Date('2026-01-01')), await deliver(new Date('2099-01-01T00:00:00Z'))][1];
    expect(await push({ init: true })).toMatchObject({ result: 'ok' });
    // pruned here since: there its name alone would make it the newest for ever
    await archiver.query(`UPDATE archives SET state = 'removed' WHERE name = '${lying}'`);
    rmSync(join(archiver.root, 'web1/mediawiki', `${lying}.tar`));
    rmSync(join(archiver.workDir('web1'), `${lying}.tar`));
    const names = [];
    for (const seconds of [3, 2, 1]) names.push(await deliver(new Date(Date.now() - seconds * 1000)));
    await push({ allowLarge: true });
    expect(copies().sort()).toEqual(names.sort());
  });

  test('F39 pushes nothing out at a further place while what comes of it is odd', async () => {
    for (const days of [9, 8, 7, 6, 5, 4, 3]) await deliver(daysAgo(days));
    await archiver.query('UPDATE archives SET received_at = time, verified_at = time');
    expect(await push({ init: true })).toMatchObject({ result: 'ok' });
    const had = copies();
    expect(had).toHaveLength(3);
    for (let minute = 9; minute > 0; minute -= 1) await deliver(new Date(Date.now() - minute * 60_000));
    const pushed = await push({ allowLarge: true });
    expect(pushed).toMatchObject({
      result: 'warnings',
      pruned: [],
      held: [{ subject: 'web1/mediawiki', reason: 'more archives came than usual' }],
    });
    expect(copies()).toEqual(expect.arrayContaining(had));
  });
});

test.each([
  ['push: {a: {to: "file:///x"}}', /push\.a\.from: it is missing, and there is no archive store/],
  ['push: {a: {to: "http://x", from: /w}}', /only sftp:\/\/, s3:\/\/ and file:\/\/ URLs are stores/],
  ['archive: /a\npush: {a: {to: "file:///x", remove: true}}', /push\.a\.remove: .* say `from` too/],
  ['push: {a: {to: "file:///x", from: /w, kep: 1}}', /push\.a\.kep: unknown key/],
  ['archive: /a\nhosts: {}', /push: it is missing/],
])('a wrong configuration is refused with its key: %s', (content, message) => {
  writeFileSync(archiver.configFile, content, { mode: 0o600 });
  expect(() => readPushConfiguration(archiver.configFile, [])).toThrow(message);
});
