import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
/** Of the agents one: they have one command line, and each goes through the contract of agents. */
const COMMANDS = ['garner', 'notify', 'archiver', 'hamster', 'agent-directories', 'agent-command'];

let directory: string;
let env: Record<string, string>;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-cli-'));
  for (const name of ['etc', 'tree']) mkdirSync(join(directory, name));
  writeFileSync(join(directory, 'tree', 'page.txt'), 'one page\n');
  env = {
    GARNER_CONFIG_DIR: join(directory, 'etc'),
    GARNER_WORK_DIR: join(directory, 'work'),
    GARNER_STATE_DIR: join(directory, 'state'),
    GARNER_RUN_DIR: join(directory, 'run'),
    GARNER_HOST: 'web1',
    DIRECTORIES: join(directory, 'tree'),
  };
});
afterAll(() => rmSync(directory, { recursive: true }));

const run = (command: string, ...args: string[]) =>
  execa(process.execPath, [join(ROOT, 'cli/main.ts'), command, ...args], { env, reject: false });

describe.each(COMMANDS)('%s', (command) => {
  test('has --help with an example, and --version', async () => {
    const [help, version] = await Promise.all([run(command, '--help'), run(command, '--version')]);
    expect(help).toMatchObject({ exitCode: 0, stderr: '' });
    expect(help.stdout).toMatch(new RegExp(`^Usage: ${command} [^]*\nExample:\n  ${command}`));
    const expected = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version;
    expect(version).toMatchObject({ exitCode: 0, stdout: expected, stderr: '' });
  });

  test('says in one line that an option is unknown', async () => {
    const { exitCode, stdout, stderr } = await run(command, '--hlep');
    expect({ exitCode, stdout }).toEqual({ exitCode: command === 'notify' ? 125 : 2, stdout: '' });
    const [line, hint, ...rest] = stderr.split('\n');
    expect(line).toMatch(new RegExp(`^${command}: .*unknown option '--hlep'`));
    expect(hint).toMatch(/^hint: /);
    expect(rest).toEqual([]);
  });
});

test.each([
  'agent-directories backup',
  'agent-directories describe',
  'agent-directories restore',
  'archiver pull',
  'garner agents',
  'garner archive',
  'garner archive extract',
  'garner archive list',
  'garner archive show',
  'garner archive verify',
  'garner doctor',
  'garner init',
  'garner config check',
])('%s --help has an example', async (command) => {
  const [program = '', ...args] = command.split(' ');
  const { exitCode, stdout } = await run(program, ...args, '--help');
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(new RegExp(`^Usage: ${command} [^]*\nExample:\n  ${command}\\b`));
});

describe('garner', () => {
  test('without a command, or with one that there is not, says so', async () => {
    expect(await run('garner')).toMatchObject({
      exitCode: 2,
      stderr: 'garner: cannot run "garner": a command is missing\nhint: see garner --help',
    });
    const nosuch = await run('garner', 'nosuch');
    expect(nosuch.exitCode).toBe(2);
    expect(nosuch.stderr).toContain("unknown command 'nosuch'");
    expect(await run('agent-nosuch')).toMatchObject({ exitCode: 2 });
  });

  test('agents lists each file of agents/, as text and as JSON', async () => {
    const files = readdirSync(join(ROOT, 'agents')).filter((name) => name.endsWith('.ts'));
    const names = files.map((name) => `agent-${basename(name, '.ts')}`).sort();
    const { stdout } = await run('garner', 'agents');
    expect(stdout.split('\n').map((line) => line.split(' ')[0])).toEqual(names);
    const { agents } = JSON.parse((await run('garner', 'agents', '--json')).stdout);
    expect(agents.map(({ command }: { command: string }) => command)).toEqual(names);
    expect(agents).toContainEqual({
      application: 'directories',
      title: 'Directories',
      command: 'agent-directories',
      settings: ['DIRECTORIES'],
    });
  });

  test('a reader that goes away is no failure; output that can not be written is', async () => {
    const garner = `"${process.execPath}" "${join(ROOT, 'cli/main.ts')}" garner agents --json`;
    const pipe = await execa('bash', ['-c', `set -o pipefail; ${garner} | head -c1`], { env });
    expect(pipe).toMatchObject({ stdout: '{', stderr: '' });
    const closed = await execa('bash', ['-c', `${garner} | true; exit "\${PIPESTATUS[0]}"`], { env });
    expect(closed).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await execa('sh', ['-c', `${garner} > /dev/full`], { env, reject: false })).toMatchObject({
      exitCode: 1,
      stderr: 'garner: cannot write to "standard output": no space left on the disk',
    });
  });
});

describe('garner archive', () => {
  let archive: string;
  beforeAll(async () => {
    const direct = await run('agent-directories');
    expect(direct).toMatchObject({ exitCode: 0 });
    archive = direct.stdout;
  });

  test('an agent does the same by way of garner', async () => {
    const { exitCode, stdout } = await run('garner', 'agent-directories');
    expect(exitCode).toBe(0);
    expect(stdout).not.toBe(archive);
    for (const path of [archive, stdout]) {
      const { dir, base } = { dir: join(path, '..'), base: basename(path) };
      expect(base).toMatch(/^directories-web1-\d{8}T\d{6}Z\.tar$/);
      await execa('sha256sum', ['--check', '--strict', `${base}.sha256`], { cwd: dir });
    }
  });

  test('list and show name what tar sees', async () => {
    const members = (await execa('tar', ['-tf', archive])).stdout.split('\n');
    expect(members.at(-1)).toBe('manifest.json');
    const list = JSON.parse((await run('garner', 'archive', 'list', archive, '--json')).stdout);
    expect(list.members.map(({ name }: { name: string }) => name)).toEqual(members.slice(0, -1));
    for (const name of members.slice(0, -1)) {
      expect((await run('garner', 'archive', 'list', archive)).stdout).toContain(` ${name} `);
    }
    const shown = await run('garner', 'archive', 'show', archive, '--json');
    const manifest = (await execa('tar', ['-xOf', archive, 'manifest.json'])).stdout;
    expect(JSON.parse(shown.stdout)).toEqual(JSON.parse(manifest));
    expect((await run('garner', 'archive', 'show', archive)).stdout).toMatch(/^directories .* of web1\n/);
  });

  test('extract gives what tar and zstd give, and replaces nothing', async () => {
    const to = join(directory, 'out');
    const extracted = await run('garner', 'archive', 'extract', archive, '--to', to);
    expect(extracted.exitCode).toBe(0);
    const tree = readdirSync(to).find((name) => name.endsWith('.tar'))!;
    expect(extracted.stdout.split('\n')).toContain(join(to, tree));
    const witness = await execa('sh', [
      '-c',
      'tar -xOf "$1" "$2.zst" | zstd -dc | cmp - "$3"',
      'sh',
      archive,
      tree,
      join(to, tree),
    ]);
    expect(witness.exitCode).toBe(0);
    expect((await execa('tar', ['-xOf', join(to, tree), '--wildcards', '*page.txt'])).stdout).toBe(
      'one page',
    );
    const again = await run('garner', 'archive', 'extract', archive, 'VERSION', '--to', to);
    expect(again.exitCode).toBe(1);
    expect(again.stderr).toContain('there is a file already');
    const unknown = await run('garner', 'archive', 'extract', archive, 'nosuch', '--to', to);
    expect(unknown.exitCode).toBe(2);
    expect(unknown.stderr).toContain('cannot extract member "nosuch": the archive has no such member');
    expect(readdirSync(to).filter((name) => name.startsWith('.part-'))).toEqual([]);
  });

  test('verify says good, and exits with 5 for a flipped bit and for a missing checksum file', async () => {
    const good = await run('garner', 'archive', 'verify', archive);
    expect(good.exitCode).toBe(0);
    const { stdout } = await execa('sha256sum', [archive]);
    expect(good.stdout).toContain(`sha256 ${stdout.slice(0, 64)}`);
    const copy = join(directory, basename(archive));
    await execa('cp', [archive, `${archive}.sha256`, directory]);
    const bytes = readFileSync(copy);
    bytes[700] = bytes[700]! ^ 1;
    writeFileSync(copy, bytes);
    const flipped = await run('garner', 'archive', 'verify', copy);
    expect(flipped.exitCode).toBe(5);
    expect(flipped.stderr).toContain(copy);
    rmSync(`${copy}.sha256`);
    expect(await run('garner', 'archive', 'verify', copy)).toMatchObject({ exitCode: 5 });
    await execa('mkfifo', [`${copy}.sha256`]); // it is not waited for
    expect(await run('garner', 'archive', 'verify', copy)).toMatchObject({ exitCode: 5 });
  });
});
