import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { pullHosts } from '../../archiver/pull.ts';
import { pickArchive, restoreTo } from '../../archiver/restore.ts';
import { daysAgo, type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { type ArchiveOptions, type MadeArchive, makeArchive } from '../helpers/make-archive.ts';
import { type Sshd, startSshd } from '../helpers/sshd.ts';

let archiver: TestArchiver;
let to: string;
beforeEach(() => {
  archiver = testArchiver();
  archiver.configureHosts(['web1']);
  archiver.setUp();
  to = join(archiver.directory, 'to');
});
afterEach(() => archiver.remove());

const make = (days: number, rest: Partial<ArchiveOptions> = {}): Promise<MadeArchive> =>
  makeArchive(archiver.workDir('web1'), { host: 'web1', time: daysAgo(days), ...rest });

const pull = () =>
  archiver.inProcess((run) => pullHosts(run, run.configuration.hosts, { prune: false, dryRun: false }));

const restore = (...args: string[]) => archiver.runHere(['restore', 'web1', 'mediawiki', ...args]);

/** @returns what tar makes of an archive's tree, in a directory */
async function unpacked({ path }: MadeArchive): Promise<string> {
  const directory = join(archiver.directory, 'by-tar');
  mkdirSync(directory);
  await execa('bash', ['-c', `tar -xOf ${path} files.tar.zst | zstd -dc | tar -xf - -C ${directory}`]);
  return directory;
}

describe('archiver restore', () => {
  test('takes the newest good archive: its trees as directories, its dumps as files', async () => {
    await make(3, { content: 'old' });
    const made = await make(2, { files: { a: '1', 'sub/b': '2' }, tables: { page: 1 } });
    const newest = await make(1);
    await pull();
    await archiver.query(`UPDATE archives SET verified = NULL WHERE name = '${newest.name}'`);
    const { exitCode, stdout } = await restore('--to', to);
    expect([exitCode, stdout]).toEqual([0, `${to}/wiki.sql\n${to}/files\n`]);
    await execa('diff', ['-r', await unpacked(made), join(to, 'files')]);
    expect(readFileSync(join(to, 'wiki.sql'), 'utf8')).toBe('SELECT 1;\n');
    expect(readdirSync(to).sort()).toEqual(['files', 'wiki.sql']);
    expect(statSync(to).mode & 0o777).toBe(0o700);
  });

  test('takes the one of a day, the whole of it, or of a moment', async () => {
    const day = '2026-07-31';
    for (const hour of ['02', '14'])
      await makeArchive(archiver.workDir('web1'), {
        host: 'web1',
        time: new Date(`${day}T${hour}:15:00Z`),
        content: hour,
      });
    await pull();
    const at = async (date: string) => {
      const { stdout } = await restore('--at', date, '--to', to, '--dry-run', '--json');
      return JSON.parse(stdout).archive.slice(-7, -5);
    };
    expect([await at(day), await at(`${day}T14:14`), await at(`${day}T16:15+02:00`)]).toEqual([
      '14',
      '02',
      '14',
    ]);
    expect(existsSync(to)).toBe(false);
    await expect(restore('--at', '2026-07-30', '--to', to)).rejects.toMatchObject({
      code: 'store-not-found',
    });
    await expect(restore('--at', 'yesterday', '--to', to)).rejects.toMatchObject({ code: 'usage' });
  });

  test('takes only the files, directories and patterns that are named, and names the one that is not there', async () => {
    const files = {
      'a.txt': '1',
      'images/x/1.png': '2',
      'images/2.png': '3',
      'b\xff\n.cfg': '4',
      'c\\x': '5',
    };
    await make(1, { files, tables: { page: 1 } });
    await pull();
    const { stdout } = await restore(
      '--file',
      'images',
      '--file',
      '/var/lib/mediawiki/a.txt',
      '--file',
      'b*.cfg',
      '--file',
      'c\\x',
      '--to',
      to,
    );
    expect(stdout).toBe(`${to}/files\n`);
    const found = await execa('find', [to, '-type', 'f', '-printf', '%P\\0'], { encoding: 'latin1' });
    expect(found.stdout.split('\0').sort()).toEqual(
      ['', ...Object.keys(files).map((path) => `files/${path}`)].sort(),
    );
    const other = join(archiver.directory, 'other');
    await restore('--file', '*.png', '--to', other);
    expect(readFileSync(join(other, 'files/images/x/1.png'), 'utf8')).toBe('2');
    expect(existsSync(join(other, 'files/a.txt'))).toBe(false);
    const none = join(archiver.directory, 'none');
    await expect(restore('--file', 'a.txt', '--file', 'z', '--to', none)).rejects.toMatchObject({
      code: 'store-not-found',
      message: expect.stringContaining('"z"'),
    });
    expect(existsSync(none)).toBe(false);
  });

  test('F52 lets an archive bring no setuid, no links outward, and nothing outside the directory', async () => {
    const tree = join(archiver.directory, 'tree');
    mkdirSync(tree);
    writeFileSync(join(tree, 'page.txt'), 'x');
    writeFileSync(join(tree, 'shell'), '#!/bin/sh\n');
    chmodSync(join(tree, 'shell'), 0o4755);
    symlinkSync('/etc/passwd', join(tree, 'passwd'));
    symlinkSync('page.txt', join(tree, 'inside'));
    const member = join(archiver.directory, 'tree.tar.zst');
    const size = async (transform: string) => {
      await execa('bash', [
        '-c',
        `tar -C ${tree} ${transform} -cf - . | tee >(wc -c > ${member}.size) | zstd -qfo ${member}`,
      ]);
      return Number((await execa('bash', ['-c', `sleep 0.1; cat ${member}.size`])).stdout);
    };
    const bytes = await size('--format=gnu');
    await make(2, { tree: { path: member, uncompressedSizeBytes: bytes } });
    await pull();
    const { exitCode, stdout } = await restore('--to', to, '--json');
    expect(exitCode).toBe(3);
    expect(JSON.parse(stdout).leftOut.sort()).toEqual([
      'passwd -> /etc/passwd',
      'shell (only its setuid or setgid bit)',
    ]);
    expect(statSync(join(to, 'files/shell')).mode & 0o7777).toBe(0o755);
    expect(readdirSync(join(to, 'files')).sort()).toEqual(['inside', 'page.txt', 'shell']);
    // names that climb out
    const climbing = await size('-P --transform s,./page.txt,../../../escaped,');
    await make(1, { tree: { path: member, uncompressedSizeBytes: climbing } });
    await pull();
    const other = join(archiver.directory, 'a/b/c');
    await expect(restore('--to', other)).rejects.toMatchObject({ code: 'program-failed' });
    expect((await execa('find', [archiver.directory, '-name', 'escaped'])).stdout).toBe('');
    expect(readdirSync(other)).toEqual([]);
  });

  test('F37 gives nothing of an archive that went bad at rest', async () => {
    const { name } = await make(1);
    await pull();
    const stored = join(archiver.root, `web1/mediawiki/${name}.tar`);
    const bytes = readFileSync(stored);
    bytes[700] = (bytes[700] as number) ^ 1;
    writeFileSync(stored, bytes);
    await expect(restore('--to', to)).rejects.toMatchObject({ code: 'checksum-mismatch', exitCode: 5 });
    expect(existsSync(to)).toBe(false);
  });

  test('F46 reads its archive to the end though a prune removes it meanwhile', async () => {
    const made = await make(1, { files: { a: '1' } });
    await pull();
    const expected = await unpacked(made);
    const picked = await archiver.inProcess(({ configuration }) =>
      pickArchive({ configuration }, 'web1', 'mediawiki', undefined),
    );
    let removed = false;
    const options = {
      signal: new AbortController().signal,
      // asked for when the archive has just been opened
      get identityFile(): undefined {
        if (!removed) rmSync(picked.path);
        removed = true;
        return undefined;
      },
    };
    await restoreTo(picked, { to, files: [], dryRun: false }, options);
    expect([removed, existsSync(picked.path)]).toEqual([true, false]);
    await execa('diff', ['-r', expected, join(to, 'files')]);
  });

  test('replaces nothing that is there', async () => {
    await make(1, { tables: { page: 1 } });
    await pull();
    mkdirSync(to);
    writeFileSync(join(to, 'wiki.sql'), 'mine');
    await expect(restore('--to', to)).rejects.toMatchObject({ code: 'restore-refused' });
    expect(readdirSync(to)).toEqual(['wiki.sql']);
    expect(readFileSync(join(to, 'wiki.sql'), 'utf8')).toBe('mine');
  });

  test('of an encrypted archive needs the identity, for single files too', async () => {
    const key = join(archiver.directory, 'key');
    await execa('age-keygen', ['-o', key]);
    const recipient = (await execa('age-keygen', ['-y', key])).stdout;
    await make(1, { recipient, files: { a: '1', b: '2' }, tables: { page: 1 } });
    await pull();
    await expect(restore('--to', to)).rejects.toMatchObject({ code: 'configuration' });
    expect(existsSync(to)).toBe(false);
    const env = { GARNER_AGE_IDENTITY_FILE: key };
    await archiver.runHere(['restore', 'web1', 'mediawiki', '--file', 'b', '--to', to], env);
    expect(readdirSync(join(to, 'files'))).toEqual(['b']);
    const whole = join(archiver.directory, 'whole');
    await archiver.runHere(['restore', 'web1', 'mediawiki', '--to', whole], env);
    expect(readFileSync(join(whole, 'wiki.sql'), 'utf8')).toBe('SELECT 1;\n');
    expect(readdirSync(join(whole, 'files')).sort()).toEqual(['a', 'b']);
  });

  test.each([
    [['--to', '']],
    [[]],
    [['--to', '/x', '--force']],
    [['--via', 'ssh://h', '--file', 'a']],
    [['--via', 'http://h']],
    [['--via', 'ssh://u:secret@h']],
    [['--via', 'ssh://-oProxyCommand=x']],
    [['--via', 'ssh://u%20-oProxyCommand=x@h']],
    [['--via', 'ssh://h/path']],
  ])('refuses %j before anything is done', async (args) => {
    const error = await restore(...args).catch((caught) => caught);
    expect(error).toMatchObject({ code: 'usage', exitCode: 2 });
    expect(error.message).not.toContain('secret');
  });
});

describe('archiver restore --via', () => {
  let sshd: Sshd;
  beforeAll(async () => {
    const path = `${join(import.meta.dirname, '../../bin')}:${process.env.PATH}`;
    sshd = await startSshd({ config: `ForceCommand none\nSetEnv PATH=${path}` });
  });
  afterAll(() => sshd?.stop());

  /** The operator's own ssh: its configuration would be in the home directory, which is not the test's to write in. */
  async function operator(knows: boolean): Promise<Record<string, string>> {
    const directory = join(archiver.directory, 'operator');
    mkdirSync(directory, { recursive: true });
    const known = join(directory, 'known_hosts');
    const keys = await execa('ssh-keyscan', ['-p', `${sshd.port}`, '127.0.0.1'], { stderr: 'ignore' });
    writeFileSync(known, knows ? `${keys.stdout}\n` : '');
    const config = join(directory, 'config');
    const lines = [
      `IdentityFile ${sshd.identityFile}`,
      `UserKnownHostsFile ${known}`,
      'GlobalKnownHostsFile none',
      'StrictHostKeyChecking no',
    ];
    writeFileSync(config, `Host *\n${lines.join('\n')}\n`);
    for (const program of ['ssh', 'sftp']) {
      writeFileSync(join(directory, program), `#!/bin/sh\nexec /usr/bin/${program} -F ${config} "$@"\n`, {
        mode: 0o755,
      });
    }
    return { PATH: `${directory}:${process.env.PATH}` };
  }

  const left = (): string[] => readdirSync('/var/tmp').filter((name) => name.startsWith('garner-restore-'));

  test("carries the archive there, runs the host's own restore, and ends as that does", async () => {
    const made = await make(1, { application: 'directories', files: { a: '1', 'sub/b': '2' } });
    await pull();
    const env = await operator(true);
    const before = left();
    const via = ['--via', `ssh://${sshd.user}@127.0.0.1:${sshd.port}`, '--to', `${to} there`];
    const args = ['restore', 'web1', 'directories', ...via];
    expect((await archiver.runHere(args, env)).exitCode).toBe(0);
    await execa('diff', ['-r', await unpacked(made), `${to} there/files`]);
    // there is something now: the agent refuses
    const again = await archiver.runHere([...args, '--json'], env);
    expect(again.exitCode).toBe(1);
    expect(JSON.parse(again.stdout)).toMatchObject({
      result: 'failed',
      exitCode: 1,
      agent: { error: { code: 'restore-refused' } },
    });
    expect(left()).toEqual(before);
  });

  test('F33 sends nothing to a host whose key OpenSSH does not know', async () => {
    await make(1, { application: 'directories' });
    await pull();
    const env = await operator(false);
    const via = `ssh://${sshd.user}@127.0.0.1:${sshd.port}`;
    const before = (sshd.log().match(/Accepted publickey/g) ?? []).length;
    await expect(
      archiver.runHere(['restore', 'web1', 'directories', '--via', via, '--to', to], env),
    ).rejects.toMatchObject({ message: expect.stringContaining('Host key verification failed') });
    expect((sshd.log().match(/Accepted publickey/g) ?? []).length).toBe(before);
  });
});
