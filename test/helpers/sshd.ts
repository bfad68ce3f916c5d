// A real sshd of the test's own: on a free port of the loopback, with fresh keys, for one user who can do SFTP and
// nothing else. As root with a chroot the user is a fresh system user; else it is the caller.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { freePort } from './mariadb.ts';

export type HostKeyType = 'ed25519' | 'ecdsa' | 'rsa';

export interface SshdOptions {
  /** What the user sees as `/`; see {@link makeChroot}. */
  chroot?: string;
  /** The group that the fresh user is a member of; made if missing. */
  group?: string;
  hostKeyTypes?: HostKeyType[];
  /** Further lines of sshd_config. */
  config?: string;
}

export interface Sshd {
  port: number;
  user: string;
  /** The private key that logs in. */
  identityFile: string;
  /** Fingerprints by type, as `ssh-keygen -l` prints them. */
  hostKeys: Partial<Record<HostKeyType, string>>;
  /** Stops sshd and its sessions where they are. @returns what lets them go on */
  pause(): Promise<() => void>;
  /** What it has logged. */
  log(): string;
  /** @param directory absolute as the server shows it */
  url(directory: string, port?: number): string;
  /** Ends all sessions and starts again on the same port; with other host keys where types are given. */
  restart(newHostKeyTypes?: HostKeyType[]): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Makes a directory that sshd accepts as a chroot: it and all above are root's alone, so it can't lie in /tmp.
 * @param group gets the directory `work` in it, as GARNER_GROUP gets the work directory (2770)
 */
export async function makeChroot(group: string): Promise<{ path: string; workDir: string }> {
  await addGroup(group);
  const path = mkdtempSync('/var/lib/garner-test-');
  const workDir = join(path, 'work');
  mkdirSync(workDir);
  await execa('chmod', ['755', path]);
  await execa('chgrp', [group, workDir]);
  await execa('chmod', ['2770', workDir]);
  return { path, workDir };
}

/** @returns a name for a group of this test process alone; {@link removeGroup} removes it */
export function testGroup(): string {
  return `garner-test-${process.pid}`;
}

export async function removeGroup(group: string): Promise<void> {
  await accounts('groupdel', [group]);
}

async function addGroup(group: string): Promise<void> {
  await accounts('groupadd', ['--force', '--system', group]);
}

/** Test files run side by side, and only one program at a time may change /etc/passwd. */
async function accounts(program: string, args: string[]): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    const { exitCode, stderr } = await execa(program, args, { reject: false });
    if (exitCode === 0) return;
    if (attempt === 50 || !/lock/.test(stderr)) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
    await sleep(100);
  }
}

export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  const { chroot, group, hostKeyTypes = ['ed25519'], config = '' } = options;
  const directory = mkdtempSync(join(tmpdir(), 'garner-sshd-'));
  const identityFile = join(directory, 'id_ed25519');
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', identityFile]);
  // read by sshd as the user
  await execa('install', ['-m', '644', `${identityFile}.pub`, join(directory, 'authorized_keys')]);
  await execa('chmod', ['755', directory]);

  const fresh = chroot !== undefined;
  const user = fresh
    ? directory.replace(/^.*garner-sshd-/, 'garner-test-').toLowerCase()
    : userInfo().username;
  if (fresh) {
    if (group !== undefined) await addGroup(group);
    const groups = group === undefined ? [] : ['--groups', group];
    // a password that never matches: an account with none counts as locked
    await accounts('useradd', [
      '--system',
      '--no-create-home',
      '--shell',
      '/usr/sbin/nologin',
      '--password',
      '*',
      ...groups,
      user,
    ]);
  }
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });

  const port = await freePort();
  let server: ReturnType<typeof run>;
  const hostKeys: Sshd['hostKeys'] = {};

  const readLog = (): string => readFileSync(join(directory, 'log'), 'utf8');

  async function makeHostKeys(types: HostKeyType[]): Promise<void> {
    for (const type of Object.keys(hostKeys) as HostKeyType[]) {
      delete hostKeys[type];
      rmSync(join(directory, `host_${type}`));
    }
    for (const type of types) {
      const file = join(directory, `host_${type}`);
      await execa('ssh-keygen', ['-q', '-t', type, '-N', '', '-f', file]);
      const { stdout } = await execa('ssh-keygen', ['-lf', `${file}.pub`]);
      hostKeys[type] = stdout.split(' ')[1] as string;
    }
  }

  async function start(): Promise<void> {
    const file = join(directory, 'sshd_config');
    const lines = [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      ...Object.keys(hostKeys).map((type) => `HostKey ${directory}/host_${type}`),
      'PidFile none',
      'StrictModes no', // /tmp is everybody's
      'UsePAM no',
      'UseDNS no',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      `AuthorizedKeysFile ${directory}/authorized_keys`,
      `AllowUsers ${user}`,
      'MaxStartups 200',
      'AllowTcpForwarding no',
      'Subsystem sftp internal-sftp',
      config,
      'ForceCommand internal-sftp -u 0027',
      ...(fresh ? [`ChrootDirectory ${chroot}`] : []),
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    server = run(file, join(directory, 'log'));
    await untilListening(port, readLog);
  }

  async function end(): Promise<void> {
    // each session is a process group of its own
    for (const pid of await withDescendants(server.pid as number)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // ended already
      }
    }
    await server;
  }

  await makeHostKeys(hostKeyTypes);
  await start();
  return {
    port,
    user,
    identityFile,
    hostKeys,
    log: readLog,
    async pause() {
      const pids = await withDescendants(server.pid as number);
      for (const pid of pids) process.kill(pid, 'SIGSTOP');
      return () => {
        for (const pid of pids) process.kill(pid, 'SIGCONT');
      };
    },
    url: (path, at = port) => `sftp://${user}@127.0.0.1:${at}${path}`,
    async restart(types) {
      await end();
      if (types !== undefined) await makeHostKeys(types);
      await start();
    },
    async stop() {
      await end();
      if (fresh) await accounts('userdel', [user]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function run(configFile: string, log: string) {
  return execa('/usr/sbin/sshd', ['-D', '-e', '-f', configFile], {
    reject: false,
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: { file: log },
  });
}

async function withDescendants(pid: number): Promise<number[]> {
  const { stdout } = await execa('ps', ['-e', '-o', 'pid=,ppid=']);
  const found = [pid];
  const rows = stdout.split('\n').map((line) => line.trim().split(/\s+/).map(Number));
  for (const parent of found)
    found.push(...rows.filter(([, of]) => of === parent).map(([child]) => child as number));
  return found;
}

async function untilListening(port: number, log: () => string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1' });
      socket.once('data', () => socket.destroy());
      socket.once('error', () => resolve(false));
      socket.once('close', (failed) => resolve(!failed));
    });
    if (up) return;
    await sleep(50);
  }
  throw new Error(`sshd does not start: ${log()}`);
}
