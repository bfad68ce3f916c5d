// The directories agent: the contract, and names and kinds of files that break careless tools.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { beforeEach, describe, expect, it } from 'vitest';
import { agentContract } from '../contract/agent-contract.ts';
import { fakeClients } from '../helpers/fake-clients.ts';
import { type Bench, makeBench, snapshot } from '../helpers/run.ts';

/** Makes, in the current directory, all that a tree may hold and a restore may bring. */
const HAZARDS = `
  printf 'a' > plain.txt
  printf 'b' > "$(printf 'line\\nbreak')"
  printf 'c' > -rf
  printf 'd' > "$(printf 'not-utf8-\\377\\376.txt')"
  printf 'e' > "$(printf 'escape-\\033[31m')"
  printf 'f' > 'back\\slash "quote'"' *?"
  printf 'g' > ' space '
  : > empty-file
  mkdir -p empty-directory deep
  long=$(printf 'n%.0s' $(seq 250))
  mkdir -p "deep/$long/$long/$long"
  printf 'h' > "deep/$long/$long/$long/$long"
  truncate -s 50M sparse; printf 'i' | dd of=sparse bs=1 seek=30000000 conv=notrunc status=none
  ln plain.txt hard-link
  ln -s plain.txt link; ln -s ../plain.txt deep/link-up; ln -s deep link-to-directory; ln -s missing dangling
  mkfifo fifo
  printf 'j' > mode-640; chmod 640 mode-640
  printf 'k' > mode-000; chmod 000 mode-000
  mkdir closed; printf 'l' > closed/inside; chmod 500 closed
  mkdir sticky; chmod 1777 sticky
  mkdir setgid; chmod 2775 setgid
  printf 'm' > owned; chown 1234:5678 owned
  touch -d '2001-02-03 04:05:06.123456789' old; touch -h -d '2002-02-03 04:05:06.987654321' link
  touch -d '1999-01-01 00:00:00.5' empty-directory`;

const inDirectory = (cwd: string, script: string) => execa('bash', ['-euc', script], { cwd });

agentContract('directories', 'a tree of hazards and a small one', async (directory) => {
  const roots = ['hazards', 'small'].map((name) => join(directory, 'srv', name)) as [string, string];
  for (const root of roots) mkdirSync(root, { recursive: true });
  await inDirectory(roots[0], HAZARDS);
  writeFileSync(join(roots[1], 'only.txt'), 'one\n');
  const names = roots.map((root) =>
    root
      .slice(1)
      .replaceAll('/', '_')
      .replace(/[^\w-]/g, '_')
      .slice(0, 60),
  );
  return {
    settings: { DIRECTORIES: roots.join(':') },
    places: roots,
    members: names.flatMap((name) => [`${name}.tar`, `${name}.list`]),
    version: /^1$/,
    secrets: [],
    treeFind: Object.fromEntries(names.map((name, index) => [name, [roots[index] as string, '.']])),
    dumpDatabases: async () => '',
    async wipe() {
      for (const root of roots) await rm(root, { recursive: true });
    },
    broken: {
      settings: { DIRECTORIES: join(directory, 'absent') },
      error: /cannot read directory ".*absent"/,
    },
    remove: async () => {},
  };
});

describe('agent-directories', () => {
  let bench: Bench;
  let root: string;
  beforeEach(() => {
    bench = makeBench();
    root = join(bench.directory, 'srv');
    mkdirSync(root);
    return () => bench.remove();
  });

  it('F13 brings back every name, kind, owner, mode and time, by diff and by find', async () => {
    await inDirectory(root, HAZARDS);
    const archive = await bench.backup('agent-directories', { env: { DIRECTORIES: root } });
    const other = join(bench.directory, 'other');
    await execa('cp', ['-a', '--sparse=always', root, other]);
    await rm(root, { recursive: true });
    const restored = await bench.run('agent-directories', ['restore', archive], {
      env: { DIRECTORIES: root },
    });
    expect(restored).toMatchObject({ exitCode: 0 });
    await execa('diff', ['-r', '--no-dereference', '-x', 'fifo', root, other]);
    const print = ['-printf', '%P %y %m %U %G %s %T@ %n %l\\0'];
    const [here, there] = await Promise.all(
      [root, other].map(async (path) => {
        const { stdout } = await execa('find', [path, ...print]);
        return stdout.split('\0').sort();
      }),
    );
    expect(here).toEqual(there);
    const { stdout: blocks } = await execa('stat', ['-c', '%b', join(root, 'sparse')]);
    expect(Number(blocks) * 512).toBeLessThan(5_000_000);
  });

  it('takes no file for one that was removed meanwhile and whose inode it has got', async () => {
    for (const path of [join(root, 'a'), join(root, 'b')]) mkdirSync(path);
    writeFileSync(join(root, 'a/old'), 'old');
    writeFileSync(join(root, 'b/new'), 'new');
    // by the time that tar looks, both have one inode
    const link = `case " $* " in *' --create '*) ln -f '${root}/a/old' '${root}/b/new';; esac`;
    const tar = `sleep 0.3; ${link}; exec "$REAL" "$@"`;
    const env = { DIRECTORIES: root, PATH: fakeClients(bench.directory, { tar }) };
    const archive = await bench.backup('agent-directories', { env });
    const list = ['-euc', 'tar -xOf "$0" "$(tar -tf "$0" | grep "tar.zst$")" | zstd -dc | tar -tv', archive];
    const { stdout } = await execa('bash', list);
    expect(stdout.split('\n').filter((line) => /old|new/.test(line))).toEqual([
      expect.stringMatching(/^-.* 3 .*a\/old$/),
      expect.stringMatching(/^-.* 3 .*b\/new$/),
    ]);
  });

  it('leaves sockets out, and does not hang on them or on a fifo', async () => {
    await inDirectory(root, 'mkfifo fifo; printf a > file');
    await execa(
      'python3',
      ['-c', 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])', 'socket'],
      {
        cwd: root,
      },
    );
    const archive = await bench.backup('agent-directories', { env: { DIRECTORIES: root } });
    const target = join(bench.directory, 'to');
    await bench.run('agent-directories', ['restore', archive, '--to', target]);
    expect((await execa('sh', ['-c', 'ls "$1"/*', 'sh', target])).stdout).toBe('fifo\nfile');
  });

  it('F52 leaves out links that lead outward, devices and setuid bits, says so and exits with 3', async () => {
    await inDirectory(
      root,
      `printf a > file; printf b > setuid; chmod 4755 setuid; printf c > setgid; chmod 2755 setgid
       ln -s /etc/passwd absolute; ln -s ../../.. up; mkdir d; ln -s ../file d/in; ln -s . self
       ln -s self/self/../../x hidden-way; ln -s "$PWD/file" own-absolute; ln -s /usr/share stands`,
    );
    const archive = await bench.backup('agent-directories', { env: { DIRECTORIES: root } });
    await execa('mv', [root, `${root}.old`]);
    mkdirSync(root);
    const args = ['restore', archive];
    const restored = await bench.run('agent-directories', args, { env: { DIRECTORIES: root } });
    expect(restored.exitCode).toBe(3);
    for (const name of ['setuid', 'setgid', 'absolute', 'up', 'hidden-way', 'stands']) {
      expect(restored.stderr).toContain(`bring it: ${name}`);
    }
    const { stdout } = await execa('find', ['.', '-printf', '%P %m %l\n'], { cwd: root });
    expect(stdout.split('\n').sort()).toEqual([
      ' 755 ',
      'd 755 ',
      'd/in 777 ../file',
      'file 644 ',
      `own-absolute 777 ${root}/file`,
      'self 777 .',
      'setgid 755 ',
      'setuid 755 ',
    ]);
  });

  it('keeps a link outward where the host has the same link', async () => {
    await inDirectory(root, 'printf a > file; ln -s /usr/share stands');
    const before = await snapshot(root);
    const archive = await bench.backup('agent-directories', { env: { DIRECTORIES: root } });
    const env = { DIRECTORIES: root };
    expect(await bench.run('agent-directories', ['restore', '--force', archive], { env })).toMatchObject({
      exitCode: 0,
    });
    expect(await snapshot(root)).toBe(before);
  });

  it('never archives its own work directory, also by another name of it', async () => {
    await inDirectory(root, 'mkdir -p real/work; chmod 700 real/work; printf a > file');
    await execa('ln', ['-s', join(root, 'real'), join(bench.directory, 'alias')]);
    const args = ['--work-dir', join(bench.directory, 'alias/work')];
    const env = { DIRECTORIES: root };
    await bench.backup('agent-directories', { args, env });
    const archive = await bench.backup('agent-directories', { args, env });
    const { stdout } = await execa('sh', [
      '-c',
      'tar -xOf "$1" --wildcards "*.list.zst" | zstd -dc | cut -f1 -z | tr "\\0" "\\n"',
      'sh',
      archive,
    ]);
    expect(stdout.trim()).toBe('file');
  });

  it('encrypts every member with files in it for GARNER_AGE_RECIPIENTS, and restores with the identity alone', async () => {
    await inDirectory(root, 'printf "canary text" > file-with-a-telling-name');
    const before = await snapshot(root);
    const identity = join(bench.directory, 'identity');
    await execa('age-keygen', ['-o', identity]);
    const { stdout: recipient } = await execa('age-keygen', ['-y', identity]);
    const env = { DIRECTORIES: root, GARNER_AGE_RECIPIENTS: recipient };
    const archive = await bench.backup('agent-directories', { env });
    const { stdout: members } = await execa('tar', ['-tf', archive]);
    expect(members.split('\n').filter((name) => name.endsWith('.zst.age'))).toHaveLength(2);
    const { stdout: manifest } = await execa('tar', ['-xOf', archive, 'manifest.json']);
    expect(JSON.parse(manifest).recipients).toEqual([recipient]);
    expect((await execa('grep', ['-caF', 'telling', archive], { reject: false })).stdout).toBe('0');
    await rm(root, { recursive: true });
    const without = await bench.run('agent-directories', ['restore', archive], { env });
    expect(without).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('GARNER_AGE_IDENTITY_FILE'),
    });
    const looked = join(bench.directory, 'looked');
    await bench.run('agent-directories', ['restore', archive, '--to', looked], { env });
    expect(existsSync(looked)).toBe(false);
    const own = { ...env, GARNER_AGE_IDENTITY_FILE: identity };
    await execa('chmod', ['644', identity]);
    expect(await bench.run('agent-directories', ['restore', archive], { env: own })).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining(`chmod 600 '${identity}'`),
    });
    await execa('chmod', ['600', identity]);
    expect(await bench.run('agent-directories', ['restore', archive], { env: own })).toMatchObject({
      exitCode: 0,
    });
    expect(await snapshot(root)).toBe(before);
  });

  it('takes what a hostile manifest includes from no place outside the tree', async () => {
    await inDirectory(root, 'printf a > file');
    const archive = await bench.backup('agent-directories', { env: { DIRECTORIES: root } });
    const forged = join(bench.directory, 'forged.tar');
    await execa('node', ['-e', FORGE, archive, forged]);
    const env = { DIRECTORIES: join(bench.directory, 'absent') };
    const { exitCode, stderr } = await bench.run('agent-directories', ['restore', forged], { env });
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('plain') });
  });
});

/** Writes an archive again with another manifest: its tree now includes `../escaped`. */
const FORGE = `
  const fs = require('fs'); const { execFileSync } = require('child_process');
  const [, archive, forged] = process.argv;
  const dir = fs.mkdtempSync(forged);
  execFileSync('tar', ['-xf', archive, '-C', dir]);
  const manifest = JSON.parse(fs.readFileSync(dir + '/manifest.json'));
  for (const member of manifest.members) if (member.tree) member.tree.includes = ['../escaped'];
  fs.writeFileSync(dir + '/manifest.json', JSON.stringify(manifest));
  const names = [...manifest.members.map((member) => member.name), 'manifest.json'];
  execFileSync('tar', ['--format=ustar', '--blocking-factor=1', '-cf', forged, '-C', dir, ...names]);
`;
