// The forms that garner is installed in, built twice and used as on a host: every one has to back up what the checkout does.
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commandNames } from '../../cli/commands.ts';
import own from '../../package.json' with { type: 'json' };
import { startSshd } from '../helpers/sshd.ts';

const ROOT = join(import.meta.dirname, '../..');
const BUILD = join(ROOT, 'scripts/build.ts');
const NODE_DIRECTORY = dirname(realpathSync(process.execPath));
/** Somebody may commit between two builds. */
const TIME = { SOURCE_DATE_EPOCH: '1790000000' };
const NPM = `garner-${own.version}.tgz`;
const EXECUTABLE = `garner-${own.version}-linux-${process.arch}`;

const directory = mkdtempSync(join(tmpdir(), 'garner-packaging-'));
const at = (...path: string[]): string => join(directory, ...path);
const dist = at('dist');
const again = at('somewhere else');
const debian = (): string => join(dist, readdirSync(dist).find((name) => name.endsWith('.deb')) as string);

beforeAll(async () => {
  const elsewhere = ['-c', 'umask 077 && exec node "$0" --to "$1"', BUILD, again];
  await Promise.all([
    execa('node', [BUILD, '--to', dist], { env: TIME }),
    execa('sh', elsewhere, { cwd: '/', env: { ...TIME, TZ: 'Asia/Tokyo', LC_ALL: 'C', HOME: at('home') } }),
  ]);
  // what is backed up: more than a thread is started for, and a database that a process of its own copies
  mkdirSync(at('data/sub'), { recursive: true });
  writeFileSync(at('data/large'), randomBytes(33 << 20));
  writeFileSync(at('data/sub/small'), 'small\n');
  await execa('sqlite3', [at('shop.db'), 'CREATE TABLE goods (name); INSERT INTO goods VALUES (1), (2)']);
  chmodSync(directory, 0o755); // mkdtemp's is of its owner alone
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Backs up with the commands of one form, and reads back by the system's own programs. */
async function backUp(form: string, run: (command: string, args: string[], env: object) => Promise<string>) {
  const own = (name: string): string => at(form, name);
  mkdirSync(own('config'), { recursive: true });
  const env = {
    GARNER_WORK_DIR: own('work'),
    GARNER_STATE_DIR: own('state'),
    GARNER_RUN_DIR: own('run'),
    GARNER_CONFIG_DIR: own('config'),
    GARNER_HOST: 'web1.example.org',
    HOME: directory,
  };
  const files = await run('notify', ['--', 'agent-directories'], { ...env, DIRECTORIES: at('data') });
  const database = await run('agent-sqlite', [], { ...env, SQLITE_FILES: at('shop.db') });
  const verified = await run('garner', ['archive', 'verify', files], env);
  expect(verified).toMatch(/: good \(content\)/);
  const script = `member() { tar -xOf "$1" --wildcards "$2" | zstd -dc; }
    member ${files} '*_data.tar.zst' | tar -x --to-command='echo "$(sha256sum) $TAR_FILENAME"' | sort
    member ${database} '*.dump.zst' >${at('copy.db')} && sqlite3 ${at('copy.db')} .dump
    tar -tf ${files}; tar -tf ${database}`;
  return (await execa('sh', ['-c', script])).stdout;
}

let expected = '';
it('of the checkout, what is in the archives', async () => {
  expected = await backUp('checkout', async (command, args, env) => {
    const PATH = `${join(ROOT, 'bin')}:${process.env.PATH}`;
    return (await execa(join(ROOT, 'bin', command), args, { env: { ...env, PATH } })).stdout;
  });
  const sum = createHash('sha256')
    .update(readFileSync(at('data/large')))
    .digest('hex');
  expect(expected).toContain(sum);
});

it('are the same bytes, whoever builds them and where', async () => {
  const { stdout } = await execa('sha256sum', ['--check', 'SHA256SUMS'], { cwd: dist });
  expect(stdout.split('\n')).toHaveLength(5);
  await execa('cmp', [join(dist, 'SHA256SUMS'), join(again, 'SHA256SUMS')]);
  await execa('sha256sum', ['--check', join(dist, 'SHA256SUMS')], { cwd: again });
});

describe('the npm package', () => {
  const bin = at('npm/bin');
  const env = { PATH: `${bin}:${NODE_DIRECTORY}:${process.env.PATH}` };

  it('is installed without a network, with every command', async () => {
    await execa('npm', ['install', '--global', '--offline', '--prefix', at('npm'), join(dist, NPM)], {
      env: { HOME: at('home') },
    });
    expect(readdirSync(bin).sort()).toEqual(commandNames().sort());
    const script = 'for command in "$0"/*; do "$command" --version; done';
    const { stdout, stderr } = await execa('sh', ['-c', script, bin], { env });
    expect(new Set(stdout.split('\n'))).toEqual(new Set([own.version]));
    expect(stderr).toBe('');
    const { stdout: packed } = await execa('tar', ['-xOf', join(dist, NPM), 'package/package.json']);
    const { private: isPrivate, dependencies } = JSON.parse(packed);
    expect({ isPrivate, dependencies }).toEqual({ isPrivate: undefined, dependencies: undefined });
  });

  it('backs up what the checkout does', async () => {
    const made = await backUp('by-npm', async (command, args, own) => {
      return (await execa(join(bin, command), args, { env: { ...own, ...env } })).stdout;
    });
    expect(made).toBe(expected);
  });

  it('says in one line that Node is too old', async () => {
    const older = `Object.defineProperty(process, 'versions', { value: { node: '22.9.0' } });
      require(process.argv[1]);`;
    const file = join(at('npm'), 'lib/node_modules/garner/garner.js');
    const { exitCode, stderr } = await execa('node', ['--eval', older, file], { reject: false });
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: 'garner: cannot run: Node 22.9.0 is too old: it needs 24 or newer',
    });
  });
});

describe('the single executable', () => {
  // its commands beside programs that an agent runs, and no Node
  const bin = at('executable');
  const run = (command: string, args: string[], env: object = {}) =>
    execa(join(bin, command), args, { extendEnv: false, env: { ...env, PATH: bin } });
  beforeAll(async () => {
    mkdirSync(bin);
    copyFileSync(join(dist, EXECUTABLE), join(bin, 'garner'));
    for (const command of ['notify', 'agent-directories', 'agent-sqlite'])
      symlinkSync('garner', join(bin, command));
    for (const program of ['tar', 'zstd', 'hostname']) {
      symlinkSync((await execa('which', [program])).stdout, join(bin, program));
    }
  });

  it('backs up what the checkout does, without Node on the host', async () => {
    const made = await backUp('by-executable', async (command, args, env) => {
      return (await run(command, args, env)).stdout;
    });
    expect(made).toBe(expected);
  });

  it('pulls over SFTP what it has backed up', async () => {
    const sshd = await startSshd();
    try {
      writeFileSync(
        at('by-executable/config/archiver.yaml'),
        `archive: ${at('store')}\ncatalog: ${at('store/catalog.sqlite')}\nhosts:\n  web1.example.org:
    url: ${sshd.url(at('by-executable/work'))}\n    identityFile: ${sshd.identityFile}\n`,
      );
      const env = { GARNER_CONFIG_DIR: at('by-executable/config'), GARNER_RUN_DIR: at('by-executable/run') };
      await run('garner', ['archiver', 'init', '--accept-new'], env);
      const { stdout } = await run('garner', ['archiver', 'pull', '--json'], env);
      const pulled: { name: string; sha256: string }[] = JSON.parse(stdout).hosts[0].pulled;
      expect(pulled).toHaveLength(2);
      for (const { name, sha256 } of pulled) {
        const { stdout: sum } = await execa('sha256sum', [at(`by-executable/work/${name}.tar`)]);
        expect(sum.split(' ')[0]).toBe(sha256);
      }
    } finally {
      await sshd.stop();
    }
  });

  it('runs any command by its name, and is silent about its making', async () => {
    const { stdout, stderr } = await run('garner', ['archiver', '--version'], {
      NODE_OPTIONS: '--no-such-option',
    });
    expect({ stdout, stderr }).toEqual({ stdout: own.version, stderr: '' });
    const { stdout: agents } = await run('garner', ['agents', '--json']);
    expect(JSON.parse(agents).agents).toHaveLength(
      commandNames().filter((name) => /^agent-/.test(name)).length,
    );
  });
});

describe('the Debian package', () => {
  // a host that has a shell, what an agent runs, and nothing else
  const host = at('host');
  const inside = (command: string) => {
    const script = 'mount -t proc proc "$0/proc" && exec chroot "$0" /bin/sh -c "$1"';
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' };
    return execa('unshare', ['--mount', 'sh', '-c', script, host, command], { extendEnv: false, env });
  };
  const dpkg = (...args: string[]) =>
    execa('dpkg', [`--root=${host}`, '--force-depends', '--log=/dev/null', ...args]);
  beforeAll(async () => {
    mkdirSync(join(host, 'var/lib/dpkg/updates'), { recursive: true });
    mkdirSync(join(host, 'var/lib/dpkg/info'), { recursive: true });
    for (const name of ['dev', 'proc']) mkdirSync(join(host, name));
    writeFileSync(join(host, 'var/lib/dpkg/status'), '');
    const { stdout: programs } = await execa('which', ['sh', 'rm', 'tar', 'zstd', 'hostname', 'systemctl']);
    const needs = programs.split('\n').map((file) => realpathSync(file));
    const { stdout } = await execa('ldd', [...needs, process.execPath]);
    const libraries = [...stdout.matchAll(/(?:=> |^\t)(\/\S+)/gm)].map(([, file]) => file as string);
    mkdirSync(join(host, 'bin'));
    for (const file of new Set(libraries)) {
      mkdirSync(join(host, dirname(file)), { recursive: true });
      copyFileSync(file, join(host, file));
    }
    for (const [index, file] of needs.entries()) {
      copyFileSync(file, join(host, 'bin', basename(programs.split('\n')[index] as string)));
    }
    writeFileSync(join(host, 'dev/null'), '');
    // as a host has it that was set up with the version before
    const before = at('before');
    await execa('dpkg-deb', ['--raw-extract', debian(), before]);
    const control = join(before, 'DEBIAN/control');
    writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, 'Version: 0.0.1'));
    await execa('dpkg-deb', ['--build', '-Znone', before, `${before}.deb`]);
    await dpkg('--install', `${before}.deb`);
    mkdirSync(join(host, 'var/lib/garner/work'), { recursive: true });
    writeFileSync(join(host, 'var/lib/garner/work/kept.tar'), 'archive');
    writeFileSync(join(host, 'etc/garner/garner.env'), 'GARNER_HOST=web1.example.org\n');
    await dpkg('--install', debian());
  });

  it('takes the place of the version before, settings and archives stay', async () => {
    const status = readFileSync(join(host, 'var/lib/dpkg/status'), 'utf8');
    expect(status.match(/^Version: .*$/gm)).toEqual([`Version: ${own.version}`]);
    expect(readFileSync(join(host, 'etc/garner/garner.env'), 'utf8')).toBe('GARNER_HOST=web1.example.org\n');
    expect(readFileSync(join(host, 'var/lib/garner/work/kept.tar'), 'utf8')).toBe('archive');
  });

  it('backs up what the checkout does, on a host that has nothing else', async () => {
    mkdirSync(join(host, 'srv/data'), { recursive: true });
    writeFileSync(join(host, 'srv/data/file'), 'content');
    writeFileSync(join(host, 'etc/garner/agent-directories.env'), 'DIRECTORIES=/srv/data\n');
    const { stdout: archive } = await inside('notify -- agent-directories');
    const script = `tar -xOf "$0" --wildcards '*data.tar.zst' | zstd -dc | tar -xO --wildcards '*file'`;
    const { stdout } = await execa('sh', ['-c', script, join(host, archive)]);
    expect(stdout).toBe('content');
  });

  it('has every command, a page of the manual and completion for each, and no rights for others in /etc/garner', async () => {
    for (const name of commandNames().filter((name) => name !== 'garner')) {
      expect(readlinkSync(join(host, 'usr/bin', name))).toBe('garner');
      expect(existsSync(join(host, `usr/share/man/man1/${name}.1.gz`))).toBe(true);
      expect(existsSync(join(host, `usr/share/bash-completion/completions/${name}`))).toBe(true);
    }
    const { stdout } = await execa('dpkg-deb', ['--contents', debian()]);
    expect(stdout).toMatch(/^drwxr-x--- root\/root .* \.\/etc\/garner\/$/m);
    expect(stdout).toMatch(/^drwxr-xr-x root\/root .* \.\/usr\/bin\/$/m);
    const pages = ['archiver', 'notify', 'agent-command'].map((name) =>
      join(host, `usr/share/man/man1/${name}.1.gz`),
    );
    const { stderr } = await execa('man', ['--warnings', '-Tutf8', '-l', ...pages], {
      env: { LC_ALL: 'C.UTF-8' },
    });
    expect(stderr).toBe('');
  });

  it('completes subcommands and options in bash', async () => {
    const script = `. "$0"
      complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _garner; echo "\${COMPREPLY[*]}"; }
      complete_words archiver pu
      complete_words /usr/bin/agent-jira restore --o
      complete_words garner archiver pull --ac
      complete_words garner archive sh
      complete_words notify --name agent- --quie
      complete_words notify -- agent-jira rest`;
    const file = join(host, 'usr/share/bash-completion/completions/garner');
    const { stdout } = await execa('bash', ['-c', script, file]);
    expect(stdout.split('\n')).toEqual(['pull push', '--only', '', 'show', '--quiet-ok', '']);
  });

  it('has units that systemd takes', async () => {
    const units = join(host, 'lib/systemd/system');
    const verified = readdirSync(units).map((unit) => join(units, unit.replace('@.', '@mediawiki.')));
    for (const unit of readdirSync(units).filter((name) => name.includes('@.')))
      copyFileSync(join(units, unit), join(units, unit.replace('@.', '@mediawiki.')));
    for (const unit of readdirSync(units))
      writeFileSync(
        join(units, unit),
        readFileSync(join(units, unit), 'utf8').replaceAll('/usr/bin/notify', '/bin/true'),
      );
    const { stderr } = await execa('systemd-analyze', ['verify', '--man=no', ...verified], { reject: false });
    const ours = stderr.split('\n').filter((line) => line.includes('garner'));
    expect(ours).toEqual([]);
  });

  it('leaves archives and the settings of the administrator, whatever is purged', async () => {
    await dpkg('--remove', 'garner');
    await dpkg('--purge', 'garner');
    expect(existsSync(join(host, 'usr/bin/garner'))).toBe(false);
    expect(readFileSync(join(host, 'var/lib/garner/work/kept.tar'), 'utf8')).toBe('archive');
    expect(readFileSync(join(host, 'etc/garner/garner.env'), 'utf8')).toBe('GARNER_HOST=web1.example.org\n');
    expect(existsSync(join(host, 'etc/garner/agent-directories.env'))).toBe(true);
  });
});

it('are told of what they contain, as the lock file has it, with licenses', async () => {
  const bill = join(dist, `garner-${own.version}.cdx.json`);
  const { stdout } = await execa('jq', [
    '-r',
    '.components[] | [.name, .version, .hashes[0].content] | @tsv',
    bill,
  ]);
  const lines = stdout.split('\n').map((line) => line.split('\t') as [string, string, string]);
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  const notices = readFileSync(join(dist, 'THIRD-PARTY-NOTICES'), 'utf8');
  const names = lines.map(([name]) => name);
  expect(names).toEqual(expect.arrayContaining(['node', ...Object.keys(own.dependencies)]));
  for (const [name, version, sha512] of lines) {
    expect(notices).toContain(`${name} ${version} (`);
    if (name === 'node') continue;
    const { version: locked, integrity } = packages[`node_modules/${name}`];
    expect({ version, integrity: `sha512-${Buffer.from(sha512, 'hex').toString('base64')}` }).toEqual({
      version: locked,
      integrity,
    });
  }
});
