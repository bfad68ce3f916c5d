// Hosts for ansible on this machine: containers with files, accounts and processes of their own, and an sshd each on an address
// of the loopback. The network is that of the test, which has to be one of its own (`unshare --net`), so ports are the usual ones and
// nothing outside can be reached.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { startContainer, type TestContainer } from '../helpers/container.ts';

export const ANSIBLE = join(import.meta.dirname, '../../ansible');

export interface Host extends TestContainer {
  address: string;
  /** Runs a shell's line as root. @returns its output */
  sh(line: string): Promise<string>;
  /** Runs a garner line of a crontab as cron would. @returns its output */
  cron(file: string): Promise<string>;
}

export interface Played {
  exitCode: number;
  output: string;
  /** How many tasks changed something, by host. */
  changed: Record<string, number>;
}

export interface Fleet extends AsyncDisposable {
  directory: string;
  hosts: Record<string, Host>;
  /** Runs ansible-playbook with the inventory and these extra variables. */
  play(variables: object, ...options: string[]): Promise<Played>;
}

/**
 * @param names fully qualified
 * @param groups the inventory's groups, with the variables of their hosts
 * @param secrets variables that go into a vault
 */
export async function startFleet(
  names: string[],
  groups: Record<string, Record<string, object>>,
  secrets: object,
): Promise<Fleet> {
  if (Object.keys(networkInterfaces()).some((name) => name !== 'lo'))
    throw new Error('this network is not of the test alone: make ansible-test');
  const directory = mkdtempSync(join(tmpdir(), 'garner-ansible-'));
  const at = (name: string): string => join(directory, name);
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at('id')]);
  const hosts: Record<string, Host> = {};
  for (const [index, name] of names.entries()) {
    hosts[name] = await startHost(name, `127.0.0.${11 + index}`, readFileSync(at('id.pub'), 'utf8'));
  }
  const keys = await execa('ssh-keyscan', [
    '-t',
    'ed25519',
    ...Object.values(hosts).map((host) => host.address),
  ]);
  writeFileSync(at('known_hosts'), `${keys.stdout}\n`);

  const children = Object.fromEntries(
    Object.entries(groups).map(([group, members]) => [
      group,
      {
        hosts: Object.fromEntries(
          Object.entries(members).map(([name, own]) => [
            name,
            { ansible_host: hosts[name]?.address, ...own },
          ]),
        ),
      },
    ]),
  );
  const login = {
    ansible_user: 'root',
    ansible_ssh_private_key_file: at('id'),
    ansible_ssh_common_args: `-o UserKnownHostsFile=${at('known_hosts')} -o StrictHostKeyChecking=yes`,
  };
  writeFileSync(at('hosts.json'), JSON.stringify({ all: { vars: login, children } }));
  writeFileSync(at('vault-password'), 'of the vault');
  writeFileSync(at('vault.json'), JSON.stringify(secrets));
  const vault = ['--vault-password-file', at('vault-password')];
  await execa('ansible-vault', ['encrypt', ...vault, at('vault.json')]);

  return {
    directory,
    hosts,
    async play(variables, ...options) {
      const given = [
        '-i',
        at('hosts.json'),
        ...vault,
        '-e',
        `@${at('vault.json')}`,
        '-e',
        JSON.stringify(variables),
      ];
      const { exitCode = 1, all } = await execa('ansible-playbook', [...given, ...options, 'site.yml'], {
        cwd: ANSIBLE,
        reject: false,
        all: true,
        env: { ANSIBLE_NOCOLOR: '1', ANSIBLE_HOME: at('home'), ANSIBLE_SSH_CONTROL_PATH_DIR: at('cp') },
      });
      const recap = [...all.matchAll(/^(\S+) +: ok=\d+ +changed=(\d+)/gm)];
      return {
        exitCode,
        output: all,
        changed: Object.fromEntries(recap.map(([, name, count]) => [name, Number(count)])),
      };
    },
    async [Symbol.asyncDispose]() {
      for (const host of Object.values(hosts)) await host[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Without what this machine has of garner's, with host keys and an sshd of its own. */
async function startHost(name: string, address: string, publicKey: string): Promise<Host> {
  const container = await startContainer(name, 'host');
  const sh = (line: string): Promise<string> => container.exec('sh', '-c', line);
  await sh(`set -e
    rm -rf /etc/ssh/ssh_host_* /etc/ssh/sshd_config.d/* /etc/garner /var/lib/garner /srv/garner /etc/cron.d/garner* /root/.my.cnf /root/.pgpass /root/.bash* /root/.profile
    ssh-keygen -q -A
    mkdir -p /run/sshd /run/mysqld /run/postgresql /root/.ssh
    chmod 700 /root /root/.ssh
    echo '${publicKey.trim()}' >/root/.ssh/authorized_keys
    printf 'Include /etc/ssh/sshd_config.d/*.conf\\nListenAddress ${address}\\nSubsystem sftp internal-sftp\\n' >/etc/ssh/sshd_config
    touch /var/lib/apt/lists /var/lib/apt/periodic/update-success-stamp
    /usr/sbin/sshd`);
  return {
    ...container,
    address,
    sh,
    async cron(file) {
      const lines = (await sh(`cat /etc/cron.d/${file}`)).split('\n');
      const set = lines.filter((line) => /^[A-Z]+=/.test(line)).map((line) => line.replaceAll('"', ''));
      const line = lines.find((one) => /^\d/.test(one)) ?? '';
      // five fields and the account; cron turns \% into %
      const command = line.replace(/^(?:\S+\s+){6}/, '').replaceAll('\\%', '%');
      const own = ['HOME=/root', 'LOGNAME=root', 'SHELL=/bin/sh', ...set];
      return container.exec('env', '-i', ...own, '/bin/sh', '-c', command);
    },
  };
}
