// agent-command and hamster: the contract, and what operations may be told, do and leave behind.
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { beforeEach, describe, expect, it } from 'vitest';
import agent from '../../agents/command.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';
import {
  type Operation,
  operationInstance,
  readOperations,
  selectOperations,
} from '../../agents/toolkit/operations.ts';
import { backUpOperation } from '../../agents/toolkit/operations-run.ts';
import { CORE_SETTINGS, loadSettings } from '../../lib/settings.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { parseMail } from '../helpers/mail.ts';
import { type Bench, makeBench, ranOf } from '../helpers/run.ts';

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8);

agentContract('command', 'one operation', async (directory) => {
  const [source, to, file] = ['source', 'to', 'config.json'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(join(source, 'empty'), { recursive: true });
  mkdirSync(to);
  writeFileSync(join(source, 'räksmörgås.txt'), 'a sandwich');
  symlinkSync('räksmörgås.txt', join(source, 'link'));
  await execa('cp', ['-a', source, join(to, 'Daily-Copy')]);
  const Command = `: --password='canary &"; $ #'; echo secret: canary-2; cp -a ${source}/. $Name/`;
  const Operations = [{ Name: 'Daily-Copy', Command, RemoteFileName: '$Name-$Date.tar' }];
  writeFileSync(file, JSON.stringify({ AccessKey: 'a', SecretKey: 'canary-2', Operations }), { mode: 0o600 });
  return {
    settings: { COMMAND_OPERATIONS: file },
    places: [join(to, 'Daily-Copy')],
    members: ['Daily-Copy.tar', 'Daily-Copy.list'],
    version: /^1$/,
    secrets: ['canary &"; $ #', 'canary-2'],
    treeFind: { 'Daily-Copy': [source, '.'] },
    dumpDatabases: async () => '',
    wipe: async () => rmSync(join(to, 'Daily-Copy'), { recursive: true }),
    instanceOf: (given) =>
      given === undefined
        ? `daily_copy_${digestOf('Daily-Copy')}`
        : `${given}_daily_copy_${digestOf(`${given}/Daily-Copy`)}`,
    restoresTo: to,
    broken: { settings: { COMMAND_OPERATIONS: join(directory, 'absent') }, error: /cannot read ".*absent"/ },
    remove: async () => {},
  };
});

describe('an operation', () => {
  let bench: Bench;
  beforeEach(() => {
    bench = makeBench();
    return () => bench.remove();
  });

  /** Runs one as agent-command does. @returns the path of what it made */
  const run = async (
    operation: Partial<Operation> & { command: string },
    {
      env = {},
      signal = new AbortController().signal,
    }: { env?: Record<string, string>; signal?: AbortSignal } = {},
  ): Promise<string> => {
    const { directory, workDir } = bench;
    const dirs = {
      GARNER_WORK_DIR: workDir,
      GARNER_RUN_DIR: join(directory, 'run'),
      GARNER_STATE_DIR: join(directory, 'state'),
    };
    const table = { ...CORE_SETTINGS, ...agent.settings };
    const settings = loadSettings(table, { known: table, env: { ...dirs, GARNER_HOST: 'web1', ...env } });
    const whole = { name: 'Op', fileName: undefined, persianDate: false, ...operation };
    const { archive } = await backUpOperation(agent, whole, 'op', { settings, view: hostView(), signal });
    return archive.path;
  };
  const read = async (archive: string, member: string): Promise<string> =>
    (
      await execa('sh', [
        '-c',
        'tar -xOf "$1" Op.tar.zst | zstd -dc | tar -xOf - "$2"',
        'sh',
        archive,
        member,
      ])
    ).stdout;

  it('runs in the parent of a fresh folder of its name, private, and leaves only the archive', async () => {
    const archive = await run({
      command:
        'umask; pwd > Op/pwd; ls -A > Op/ls; stat -c %a . Op > Op/mode; ls -A Op > Op/content; mkdir beside',
    });
    expect(dirname(await read(archive, 'pwd'))).toBe(bench.workDir);
    expect(await read(archive, 'ls')).toBe('Op');
    expect(await read(archive, 'mode')).toBe('700\n700');
    expect((await read(archive, 'content')).split('\n')).toEqual(['content', 'ls', 'mode', 'pwd']);
    expect(
      bench.workFiles().filter((name) => !/^command\.op-web1-\d{8}T\d{6}Z\.tar(\.sha(256|1))?$/.test(name)),
    ).toEqual([]);
  });

  it('sweeps what a run that was killed has left of it, and nothing of another', async () => {
    for (const name of ['.part-command.op-xyz/Op', '.part-command.other-xyz/Op', '.part-command.op-zip.123'])
      mkdirSync(join(bench.workDir, name), { recursive: true, mode: 0o700 });
    await run({ command: 'echo a > Op/a', fileName: 'a.zip' });
    const names = ['.part-command.other-xyz', 'a.zip', 'a.zip.sha1', 'a.zip.sha256'];
    expect(bench.workFiles()).toEqual(names);
  });

  it('gets its command with $Name and $Date as text; all else is the shell’s', async () => {
    const command = `cid=of-the-shell; set -- 1 2 3 4th; printf '%s\\n' $Name "$Date" $cid $4 $Names '$cid' > $Name/out`;
    const lines = (await read(await run({ command, persianDate: true }), 'out')).split('\n');
    expect(lines).toEqual([
      'Op',
      expect.stringMatching(/^14\d\d\.\d\d\.\d\d-\d\d\.\d\d\.\d\d$/),
      'of-the-shell',
      '4th',
      'Ops',
      '$cid',
    ]);
  });

  it('keeps the language and the environment of its caller, without garner’s settings', async () => {
    const archive = await run({ command: 'echo "$LC_ALL,$GARNER_WORK_DIR,$PATH" > Op/env' });
    expect(await read(archive, 'env')).toBe(`${process.env.LC_ALL ?? ''},,${process.env.PATH}`);
  });

  it.each([
    [
      'fails',
      'echo a > Op/a; echo "canary: no such table" >&2; exit 7',
      /cannot run operation "Op": canary: no such table \(exit code 7\)/,
    ],
    ['makes nothing', 'mkdir Op/empty', /"Op": its command made no file/],
    ['makes empty files only', 'true > Op/dump.sql', /"Op": its command made empty files only/],
    ['removes its folder', 'rm -r Op', /"Op": its command removed its folder/],
    ['is killed', 'kill -9 $$', /"Op": ended by SIGKILL/],
  ])('that %s is a failure, and leaves nothing', async (_, command, cause) => {
    await expect(run({ command })).rejects.toThrow(cause);
    await expect(run({ command, fileName: 'a.zip' })).rejects.toThrow(cause);
    expect(bench.workFiles()).toEqual([]);
  });

  it('is ended with all that it has started, and leaves nothing', async () => {
    const controller = new AbortController();
    const ran = run(
      { command: `sleep 987654 & echo $! > ${bench.directory}/pid; wait`, fileName: 'a.zip' },
      controller,
    );
    while (!existsSync(join(bench.directory, 'pid'))) await sleep(10);
    controller.abort(new Error('enough'));
    await expect(ran).rejects.toThrow('enough');
    const pid = readFileSync(join(bench.directory, 'pid'), 'utf8').trim();
    const { stdout } = await execa('ps', ['-o', 'stat=', '-p', pid], { reject: false });
    expect(stdout).toMatch(/^(Z.*)?$/); // a zombie of nobody's at most
    expect(bench.workFiles()).toEqual([]);
  });

  describe('whose file name ends in .zip', () => {
    it('gives a zip of what is in the folder, with its checksum files, that others read', async () => {
      const command = `cd Op; mkdir -p d/empty; printf data > 'd/räks mörgås.txt'; printf x > -rf; : > zero
        ln -s /etc/passwd link; chmod 640 -- -rf; touch -d '2001-02-03 04:05:06' zero; seq 100000 > numbers`;
      const zip = await run({ command, fileName: 'a/$Name-$Date.ZIP' });
      expect(zip).toMatch(new RegExp(`^${bench.workDir}/a_Op-\\d{4}(\\.\\d\\d){2}-(\\d\\d\\.){3}ZIP$`));
      await execa('sh', [
        '-c',
        'cd "$1"; sha256sum -c *.sha256; sha1sum -c *.sha1; unzip -tq *.ZIP',
        'sh',
        bench.workDir,
      ]);
      const script = `import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nfor i in sorted(z.infolist(),key=lambda i:i.filename): print(i.filename,oct(i.external_attr>>16),i.file_size)\nprint(z.read('link').decode(), z.testzip())`;
      const { stdout } = await execa('python3', ['-c', script, zip], { env: { PYTHONIOENCODING: 'utf8' } });
      expect(stdout.split('\n')).toEqual([
        '-rf 0o100640 1',
        'd/ 0o40755 0',
        'd/empty/ 0o40755 0',
        'd/räks mörgås.txt 0o100644 4',
        'link 0o120777 11',
        'numbers 0o100644 588895',
        'zero 0o100644 0',
        '/etc/passwd None',
      ]);
      const out = join(bench.directory, 'out');
      await execa('unzip', ['-q', zip, '-d', out], { env: { LC_ALL: 'C.UTF-8' } });
      expect(
        (
          await execa('sh', [
            '-c',
            'seq 100000 | cmp - "$1/numbers"; stat -c %y "$1/zero"; readlink "$1/link"',
            'sh',
            out,
          ])
        ).stdout,
      ).toMatch(/^2001-02-03 04:05:06.*\n\/etc\/passwd$/);
      expect((await execa('stat', ['-c', '%a', zip])).stdout).toBe('600');
    });

    it.each([
      ['a name that is no UTF-8', `printf x > "$(printf 'Op/\\377')"`],
      ['a backslash in a name', `printf x > 'Op/a\\b'`],
      ['a pipe', 'printf x > Op/x; mkfifo Op/pipe'],
    ])('fails for %s, which no zip holds, and an archive does', async (_, command) => {
      await expect(run({ command, fileName: 'a.zip' })).rejects.toThrow(/cannot put into a zip/);
      expect(bench.workFiles()).toEqual([]);
      expect(await run({ command })).toMatch(/\.tar$/);
    });

    it('never takes the place of an earlier one, and says so before the command is run', async () => {
      const command = `echo x >> ${bench.directory}/runs; echo a > Op/a`;
      const zip = await run({ command, fileName: 'a.zip' });
      const before = readFileSync(zip);
      await expect(run({ command, fileName: 'a.zip' })).rejects.toMatchObject({
        code: 'store-exists',
        hint: expect.stringContaining('$Date'),
      });
      expect(readFileSync(zip)).toEqual(before);
      expect(readFileSync(join(bench.directory, 'runs'), 'utf8')).toBe('x\n');
    });

    it.each(['.zip', '-x.zip', '../x.zip', `${'x'.repeat(300)}.zip`])(
      'refuses the name %s',
      async (fileName) => {
        await expect(run({ command: 'echo a > Op/a', fileName })).rejects.toMatchObject({
          code: 'configuration',
        });
        expect(bench.workFiles()).toEqual([]);
      },
    );

    it('is refused where archives are to be encrypted: a zip is not', async () => {
      const env = { GARNER_AGE_RECIPIENTS: 'age1qqqq' };
      await expect(run({ command: 'true', fileName: 'a.zip' }, { env })).rejects.toThrow(
        'a zip is not encrypted',
      );
    });
  });

  it('finds its operations by name, beside the command, in the configuration, or where it is told', async () => {
    const beside = join(bench.directory, 'beside');
    mkdirSync(beside);
    chmodSync(beside, 0o777); // nothing is in it, so there is nothing to trust
    const yaml = (name: string): string => `operations:\n  ${name}:\n    command: echo hi > $Name/x\n`;
    const env = process.env.GARNER_CONFIG_DIR;
    process.env.GARNER_CONFIG_DIR = bench.configDir;
    try {
      const names = (given?: string): string[] =>
        readOperations(given, [beside]).operations.map(({ name }) => name);
      expect(() => names()).toThrow(/there is none in .*beside, .*config/);
      bench.configure('operations.yaml', yaml('etc'));
      expect(names()).toEqual(['etc']);
      writeFileSync(join(beside, 'operations.json'), '{}');
      expect(() => names()).toThrow(expect.objectContaining({ code: 'configuration-permissions' }));
      rmSync(join(beside, 'operations.json'));
      chmodSync(beside, 0o700);
      writeFileSync(join(beside, 'config.json'), '{"Operations": [{"Name": "Beside", "Command": "x"}]}', {
        mode: 0o600,
      });
      expect(names()).toEqual(['Beside']);
      writeFileSync(
        join(bench.directory, 'other.yml'),
        `${yaml('a')}  A:\n    command: x\n  b-C:\n    command: x\n`,
      );
      const other = readOperations(join(bench.directory, 'other.yml'), [beside]);
      const select = (...wanted: string[]): string[] =>
        selectOperations(other, wanted).map(({ name }) => name);
      expect([select('A', 'a'), select('B-c', 'b-C')]).toEqual([['A', 'a'], ['b-C']]);
      expect(() => select()).toThrow(/none is named/);
      expect(() => select('d')).toThrow(
        expect.objectContaining({ code: 'usage', hint: 'other.yml has a, A, b-C' }),
      );
    } finally {
      if (env === undefined) delete process.env.GARNER_CONFIG_DIR;
      else process.env.GARNER_CONFIG_DIR = env;
    }
  });

  it('is written as docs/operations.md shows', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8');
    const file = join(bench.directory, 'operations.yaml');
    writeFileSync(file, /```yaml\n(.*?)```/s.exec(page)?.[1] ?? '');
    const { operations } = readOperations(file, []);
    expect(operations.map(({ name, persianDate }) => [name, persianDate])).toEqual([
      ['shop-database', false],
      ['wiki-export', true],
    ]);
    expect(page).toContain(operationInstance(operations[0] as Operation, undefined));
  });

  const hamster = (operation: object, rest = {}): string =>
    JSON.stringify({ ...rest, Operations: [{ Name: 'a', Command: 'x', ...operation }] });
  it.each([
    ['another’s key', 'a.json', hamster({ BackupDir: '/' }), /line 1: Operations\.0\.BackupDir: unknown key/],
    ['a name with a slash', 'a.json', hamster({ Name: '../x' }), /Operations\.0\.Name: a name has 1 to 100/],
    [
      'a name like an option',
      'a.json',
      hamster({ Name: '-rf' }),
      /Operations\.0\.Name: a name does not begin/,
    ],
    ['no command', 'a.json', hamster({ Command: ' ' }), /Operations\.0\.Command: it is empty/],
    [
      'a name twice',
      'a.json',
      '{"Operations": [{"Name":"a","Command":"x"},\n{"Name":"a","Command":"y"}]}',
      /operation a is there twice/,
    ],
    ['none', 'a.json', '{"Operations": []}', /it has no operation/],
    [
      'a server and no bucket',
      'a.json',
      hamster({}, { EndpointURL: 'https://s3.example.org/' }),
      /Bucket: it is missing, and EndpointURL has no path that names one/,
    ],
    ['a bucket that is no URL', 'a.yaml', 'bucket: x\noperations: {a: {command: x}}\n', /use store "x"/],
    [
      'a bracket that is missing',
      'a.json',
      '{"SecretKey": "canary",\n"Operations": [\n{"Name":"a","Command":"x"}\n}',
      /line 4: it is no JSON/,
    ],
    [
      'a wrong kind',
      'a.yaml',
      'operations:\n  a:\n    command: x\n    persianDate: "yes"\n',
      /line 4: operations\.a\.persianDate: it must be boolean/,
    ],
  ])('refuses a file with %s', (_, name, text, cause) => {
    writeFileSync(join(bench.directory, name), text, { mode: 0o600 });
    expect(() => readOperations(join(bench.directory, name), [])).toThrow(cause);
  });

  it.each([
    ['others can change', 'x', 0o666],
    ['others can read, with a key in it', 'x', 0o644],
    ['others can read, with a password in a command', 'mysqldump -ppassword x', 0o644],
  ])('refuses a file that %s', (what, command, mode) => {
    const file = join(bench.directory, 'a.json');
    writeFileSync(file, hamster({ Command: command }, what.includes('key') ? { SecretKey: 'secret' } : {}));
    chmodSync(file, mode);
    expect(() => readOperations(file, [])).toThrow(
      expect.objectContaining({ code: 'configuration-permissions' }),
    );
    chmodSync(file, 0o600);
    expect(readOperations(file, []).operations).toHaveLength(1);
  });
});

describe('hamster', () => {
  let bench: Bench;
  beforeEach(() => {
    bench = makeBench();
    return () => bench.remove();
  });

  const OPERATIONS = [
    { Name: 'First', Command: 'printf a > $Name/a', RemoteFileName: '$Name.zip' },
    { Name: 'Second', Command: 'mysqldump -pcanary-1 2>/dev/null; echo canary-1 canary-2; exit 5' },
    { Name: 'third', Command: 'printf c > $Name/c' },
  ];
  const configure = (Operations: object[]): void =>
    bench.configure('config.json', JSON.stringify({ EndpointURL: '', SecretKey: 'canary-2', Operations }));

  it('runs all that it is told, in order, though one fails; tells no secret', async () => {
    configure(OPERATIONS);
    const { exitCode, stdout, stderr } = await bench.run('hamster', ['--all']);
    expect(exitCode).toBe(1);
    const [zip, archive, ...more] = stdout.split('\n') as [string, string];
    expect([zip, more]).toEqual([join(bench.workDir, 'First.zip'), []]);
    expect(archive).toMatch(/\/command\.third-web1\.example\.org-\d{8}T\d{6}Z\.tar$/);
    expect(stderr).toMatch(/^hamster: cannot run operation "Second": .*\(exit code 5\)$/m);
    expect(stderr).toMatch(/^hamster: cannot run operations "Second": 1 of 3 failed/m);
    expect(stderr).toContain('Second: [redacted] [redacted]');
    expect(stderr).toMatch(/warning: operation Second: ps shows .* the password in its command/);
    expect(stderr).not.toMatch(/canary/);
    expect(bench.workFiles()).toHaveLength(6);
    expect(await bench.run('agent-command', ['restore', archive])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('hint: agent-command restore ARCHIVE --to DIR'),
    });
  });

  it('is believed by notify only where each archive and zip is there', async () => {
    configure([
      OPERATIONS[2] as object,
      { Name: 'zip', Command: 'printf x > zip/x', RemoteFileName: 'a.zip' },
    ]);
    const env = { NOTIFY_EMAIL_TO: 'root@example.test', NOTIFY_SENDMAIL: join(bench.directory, 'mail') };
    writeFileSync(env.NOTIFY_SENDMAIL, `#!/bin/sh\ncat > ${bench.directory}/sent\n`, { mode: 0o700 });
    const hamster = join(import.meta.dirname, '../../bin/hamster');
    const subject = (): string | undefined =>
      parseMail(readFileSync(join(bench.directory, 'sent'), 'utf8')).headers.subject;
    const good = await bench.run('notify', ['--', hamster, '--all'], { env });
    expect([good.exitCode, subject()]).toEqual([
      0,
      expect.stringMatching(/^\[garner\] OK command on web1\S*: .* kB in 2 archives$/),
    ]);
    const liar = join(bench.directory, 'hamster');
    const archive = good.stdout.split('\n')[0] as string;
    rmSync(`${good.stdout.split('\n')[1]}`);
    writeFileSync(liar, `#!/bin/sh\necho '${join(bench.workDir, 'a.zip')}'; echo '${archive}'\n`, {
      mode: 0o700,
    });
    await bench.run('notify', ['--', liar, 'third'], { env });
    expect(subject()).toMatch(/^\[garner\] FAILED command\.third on web1\S*: cannot find archive .*a\.zip/);
  });

  it('ends with what it has started at SIGTERM, runs no other, and leaves nothing', async () => {
    configure([
      { Name: 'long', Command: `echo started; sleep 98765 & sleep 98765` },
      OPERATIONS[0] as object,
    ]);
    const running = bench.start('hamster', ['--all', '--json']);
    while (!existsSync(bench.workDir) || !bench.workFiles().some((name) => name.startsWith('.part-')))
      await sleep(20);
    await sleep(100);
    running.kill('SIGTERM');
    const { exitCode, stdout } = ranOf(await running);
    expect(exitCode).toBe(143);
    expect(JSON.parse(stdout)).toMatchObject({
      result: 'failed',
      operations: [{ operation: 'long', error: { code: 'interrupted' } }],
      error: { code: 'interrupted' },
    });
    expect(bench.workFiles()).toEqual([]);
  });
});
