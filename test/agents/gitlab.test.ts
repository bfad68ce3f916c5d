// The GitLab agent: the contract and what GitLab's own backup program may do, with an executable that behaves as GitLab's
// documentation says: no GitLab is run here.
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import agent from '../../agents/gitlab.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { type Bench, makeBench } from '../helpers/run.ts';

const put = (file: string, content: string, mode = 0o600): void => {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
};

/** `gitlab-backup create KEY=VALUE…`: a tar with backup_information.yml, or ./backup_information.yml, named after BACKUP. */
const PROGRAM = `#!/bin/bash
set -eu
[ "$1" = create ]; shift; echo "$*" >> "$(dirname "$0")/calls"
for pair; do export "$pair"; done
cd "$(dirname "$0")/../backups"; mkdir db; echo ':gitlab_version: 16.7.0-ee' > backup_information.yml
echo "dump" | gzip > db/database.sql.gz
tar -cf "\${BACKUP}_gitlab_backup.tar" db "\${STRATEGY:+./}backup_information.yml"; rm -r db backup_information.yml
chmod 600 "\${BACKUP}_gitlab_backup.tar"
`;

/** @returns settings of an installation in a directory */
function createGitlab(directory: string, version = '16.7.0-ee'): Record<string, string> {
  const [etc, opt, backups] = ['etc', 'opt', 'backups'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  put(
    join(etc, 'gitlab.rb'),
    "external_url 'https://gitlab.example.org'\ngitlab_rails['smtp_password'] = 'canary-1'\n",
  );
  put(join(etc, 'gitlab-secrets.json'), '{"gitlab_rails": {"db_key_base": "canary-2"}}');
  put(join(etc, 'trusted-certs/räksmörgås.crt'), 'a certificate');
  put(join(etc, 'config_backup/gitlab_config_1.tar'), 'left out');
  put(join(opt, 'embedded/service/gitlab-rails/VERSION'), `${version}\n`);
  put(join(directory, 'bin/gitlab-backup'), PROGRAM, 0o755);
  mkdirSync(backups, { recursive: true });
  return {
    GITLAB_CONFIG_DIR: etc,
    GITLAB_DIR: opt,
    GITLAB_BACKUP_DIR: backups,
    GITLAB_BACKUP_PROGRAM: join(directory, 'bin/gitlab-backup'),
  };
}

agentContract('gitlab', '16.7 EE', async (directory) => {
  const settings = createGitlab(directory);
  const etc = join(directory, 'etc');
  const kept = ['gitlab.rb', 'gitlab-secrets.json', 'trusted-certs'];
  return {
    settings,
    places: kept.map((name) => join(etc, name)),
    members: ['backup', 'settings'].flatMap((name) => [`${name}.tar`, `${name}.list`]),
    version: /^16\.7\.0-ee$/,
    secrets: ['canary-1', 'canary-2'],
    treeFind: { settings: [etc, ...kept.map((name) => `./${name}`)] },
    dumpDatabases: async () => '',
    async wipe() {
      rmSync(etc, { recursive: true });
      rmSync(join(directory, 'backups'), { recursive: true });
      mkdirSync(join(directory, 'backups'));
    },
    broken: {
      settings: { GITLAB_BACKUP_PROGRAM: join(directory, 'absent') },
      error: /cannot run program "\S+absent": no such file/,
    },
    remove: async () => {},
  };
});

describe('agent-gitlab', () => {
  let bench: Bench;
  let env: Record<string, string>;
  let tar: string;
  beforeEach(() => {
    bench = makeBench();
    env = createGitlab(join(bench.directory, 'gitlab'));
    tar = join(bench.directory, 'gitlab/backups/garner_gitlab_backup.tar');
    return () => bench.remove();
  });
  const program = (text: string) =>
    put(join(bench.directory, 'gitlab/bin/gitlab-backup'), `#!/bin/sh\n${text}\n`, 0o755);

  it('restores only to the same version and edition, and says what comes next', async () => {
    const archive = await bench.backup('agent-gitlab', { env });
    expect(existsSync(tar)).toBe(false);
    for (const other of ['16.7.0', '16.6.9-ee', '16.7.1-ee']) {
      createGitlab(join(bench.directory, 'gitlab'), other);
      const { exitCode, stderr } = await bench.run('agent-gitlab', ['restore', archive], { env });
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(
        /GitLab here is \S+, the archive is of 16\.7\.0-ee\nhint: install GitLab 16\.7\.0-ee first/,
      );
    }
    createGitlab(join(bench.directory, 'gitlab'));
    rmSync(join(bench.directory, 'gitlab/etc'), { recursive: true });
    const { exitCode, stdout } = await bench.run('agent-gitlab', ['restore', archive], { env });
    expect(exitCode).toBe(0);
    expect(existsSync(tar)).toBe(true);
    const steps = [
      'chown git:git',
      'reconfigure',
      'stop puma',
      'restore BACKUP=garner',
      'reconfigure',
      'gitlab:check',
    ];
    expect(stdout).toMatch(new RegExp(steps.join('[^]*')));
  });

  it('keeps the secrets out where it is told to, and names them and what is skipped', async () => {
    const settings = {
      GITLAB_SECRETS: 'false',
      GITLAB_BACKUP_SKIP: 'registry,remote',
      GITLAB_BACKUP_STRATEGY: 'copy',
    };
    const { exitCode, stdout } = await bench.run('agent-gitlab', ['--json'], {
      env: { ...env, ...settings },
    });
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout).withheld.map(({ what }: { what: string }) => what)).toEqual([
      'gitlab-secrets.json',
      'registry, which GITLAB_BACKUP_SKIP names',
    ]);
    expect(readFileSync(join(bench.directory, 'gitlab/bin/calls'), 'utf8')).toBe(
      'BACKUP=garner CRON=1 STRATEGY=copy SKIP=registry,remote\n',
    );
    const strict = await bench.run('agent-gitlab', [], {
      env: { ...env, ...settings, GARNER_STRICT: 'true' },
    });
    expect(strict).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('gitlab-secrets.json') });
  });

  it.each([
    ['fails', 'echo "rake aborted!" >&2; exit 1', /gitlab-backup": rake aborted! \(exit code 1\)/],
    ['leaves no file', 'true', /has left no such file\nhint: set GITLAB_BACKUP_DIR/],
    ['leaves half a file', 'tar -cf - /etc/services | head -c 5000 > TAR', /tar: .*Unexpected EOF/],
    ['leaves another tar', 'tar -cf TAR /etc/hostname 2>/dev/null', /has no backup_information\.yml/],
  ])('fails where the program %s, whatever a run before has left', async (_, script, error) => {
    put(tar, 'left by a run that was cut off');
    program(script.replace('TAR', tar));
    const { exitCode, stderr } = await bench.run('agent-gitlab', [], { env });
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(error) });
    expect(bench.workFiles()).toEqual([]);
  });

  it("keeps GitLab's tar where it has come into no archive", async () => {
    program(`${PROGRAM.split('\n').slice(1).join('\n')}\nrm -r ../etc`);
    const { exitCode, stderr } = await bench.run('agent-gitlab', [], { env });
    expect({ exitCode, stderr }).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('no such directory'),
    });
    expect(existsSync(tar)).toBe(true);
  });

  it('calls the community edition by its name, and refuses to skip the tar', async () => {
    createGitlab(join(bench.directory, 'gitlab'), '12.5.0');
    const view = { readText: () => '12.5.0\n' };
    expect(await agent.version({ settings: { GITLAB_DIR: '/opt/gitlab' }, view } as never)).toBe('12.5.0-ce');
    expect(() => agent.settings.GITLAB_BACKUP_SKIP.parse('db,tar')).toThrow();
    expect(() => agent.settings.GITLAB_BACKUP_SKIP.parse('db FORCE=yes')).toThrow();
  });
});
