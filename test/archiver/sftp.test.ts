import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LAST_PULL_FILE, readLastPull } from '../../archive/last-pull.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { makeChroot, removeGroup, type Sshd, startSshd, testGroup } from '../helpers/sshd.ts';

let archiver: TestArchiver;
let sshd: Sshd;
/** sshd has it too, and offers the other. */
let nextKey: string;
let chroot: { path: string; workDir: string };
const group = `${testGroup()}-a`;

beforeAll(async () => {
  archiver = testArchiver();
  chroot = await makeChroot(group);
  nextKey = join(dirname(archiver.configFile), 'next_key');
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', nextKey]);
  sshd = await startSshd({ chroot: chroot.path, group, config: `HostKey ${nextKey}` });
  configure();
  await archiver.run(['init', '--accept-new']);
});

/** Writes a configuration that has no host key yet. */
function configure(): void {
  archiver.configure(`# the shop\nhosts:\n  web1:\n    url: ${sshd.url('/work')} # chrooted
    identityFile: ${sshd.identityFile}\n    remove: true\n`);
}
afterAll(async () => {
  await sshd.stop();
  await removeGroup(group);
  await execa('rm', ['-r', chroot.path]);
  archiver.remove();
});

/** Puts an archive where the agent of that host would, for the group to read. */
async function deliver(days: number) {
  const made = await makeArchive(chroot.workDir, { host: 'web1', time: daysAgo(days) });
  await execa('sh', ['-c', 'chgrp "$2" "$1"/*.tar*; chmod 640 "$1"/*.tar*', 'sh', chroot.workDir, group]);
  return made;
}

describe('archiver with a host that can do SFTP and nothing else', () => {
  test('names the key of a host that it does not know, and records it only where told to', async () => {
    configure();
    const fingerprint = sshd.hostKeys.ed25519 as string;
    const asked = await archiver.run(['init']);
    expect(asked.exitCode).toBe(3);
    expect(asked.stderr).toContain(fingerprint);
    expect(readFileSync(archiver.configFile, 'utf8')).not.toContain(fingerprint);
    expect(await archiver.run(['pull'])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining(fingerprint),
    });

    const accepted = await archiver.run(['init', '--accept-new', '--json']);
    expect(accepted).toMatchObject({
      exitCode: 0,
      json: { hosts: [{ host: 'web1', hostKey: 'recorded', fingerprint }] },
    });
    const content = readFileSync(archiver.configFile, 'utf8');
    expect(content).toContain(fingerprint);
    expect(content).toContain('# the shop');
    expect(content).toContain('# chrooted');
  });

  test('pulls, verifies and removes', async () => {
    const made = await deliver(2);
    const result = await archiver.run(['pull', '--json']);
    expect(result).toMatchObject({ exitCode: 0, json: { hosts: [{ pulled: [{ sha256: made.sha256 }] }] } });
    expect(readdirSync(chroot.workDir)).toEqual([]);
    // where runs are written down, it says that it was here; nobody but this group may write there
    await execa('install', ['-d', '-g', group, '-m', '2750', join(chroot.workDir, 'history')]);
    for (const _ of [1, 2]) expect((await archiver.run(['pull'])).exitCode).toBe(0);
    expect(readdirSync(chroot.workDir).sort()).toEqual([LAST_PULL_FILE, 'history']);
    expect(readLastPull(chroot.workDir)).toMatchObject({ result: 'ok', pulledCount: 0 });
    await execa('rm', ['-r', join(chroot.workDir, 'history'), join(chroot.workDir, LAST_PULL_FILE)]);
    await execa('sha256sum', ['--check', `${made.name}.tar.sha256`], {
      cwd: join(archiver.root, 'web1/mediawiki'),
    });
  });

  test('learns which key a host will go over to, until it is recorded beside the old one', async () => {
    const { stdout: listed } = await execa('ssh-keygen', ['-lf', nextKey]);
    const next = listed.split(' ')[1] as string;
    const toldOf = async (): Promise<string[]> => {
      expect((await archiver.run(['pull'])).exitCode).toBe(0);
      const { json } = await archiver.run(['check', '--json']);
      const { findings } = json as { findings: { check: string; reason: string; detail: string }[] };
      return findings
        .filter(({ check }) => check === 'host-key')
        .map((one) => `${one.reason}: ${one.detail}`);
    };
    expect(await toldOf()).toEqual([expect.stringContaining(`about to change: it has ${next} too`)]);
    const content = readFileSync(archiver.configFile, 'utf8');
    const recorded = sshd.hostKeys.ed25519 as string;
    writeFileSync(archiver.configFile, content.replace(recorded, `${recorded}, ${next}`));
    expect(await toldOf()).toEqual([]);
    writeFileSync(archiver.configFile, content);
  });

  test('F36 keeps, tries again and pulls once where it may not remove', async () => {
    const made = await deliver(1);
    await execa('chmod', ['2750', chroot.workDir]);
    for (const _ of [1, 2]) {
      const { exitCode, stderr } = await archiver.run(['pull']);
      expect(exitCode).toBe(3);
      expect(stderr).toContain(`${made.name}.tar is safe here but could not be removed at its host`);
      expect(readdirSync(chroot.workDir)).toContain(`${made.name}.tar`);
    }
    await execa('chmod', ['2770', chroot.workDir]);
    expect((await archiver.run(['pull'])).exitCode).toBe(0);
    expect(readdirSync(chroot.workDir)).toEqual([]);
    expect(await archiver.query(`SELECT kind FROM events WHERE subject = '${made.name}' ORDER BY id`)).toBe(
      'pulled\nsource-removed',
    );
  });

  test('F33 refuses a host whose key has changed, naming both, and fetches nothing', async () => {
    const known = sshd.hostKeys.ed25519 as string;
    await deliver(0);
    const before = archiver.stored();
    await sshd.restart(['ed25519']);
    const { exitCode, stderr } = await archiver.run(['pull']);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(known);
    expect(stderr).toContain(sshd.hostKeys.ed25519);
    expect(archiver.stored()).toEqual(before);
    await archiver.run(['init', '--accept-new']);
    expect(readFileSync(archiver.configFile, 'utf8')).toContain(known);
  });
});
