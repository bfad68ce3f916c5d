// The roles by real ansible, from nothing to nothing: what they install is used as cron would, and judged on the hosts by the
// system's own programs. `make ansible-test` runs it; it takes minutes, most of them ansible's.
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import own from '../../package.json' with { type: 'json' };
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { type Certificates, makeCertificates } from '../helpers/smtp-server.ts';
import { ANSIBLE, type Fleet, type Host, type Played, startFleet } from './fleet.ts';

const DIST = join(import.meta.dirname, '../../dist');
const EXECUTABLE = join(DIST, `garner-${own.version}-linux-${process.arch}`);
const PASSWORD = `canary 'of' the #vault % / @ é`;
const SHOP = { name: 'mariadb', instance: 'shop' };

let certificates: Certificates;
let postfix: Postfix;
let fleet: Fleet;
let shop: Host;
let files: Host;
let backup: Host;
let deb: string;
let previous: string;
let variables: object;

beforeAll(async () => {
  certificates = await makeCertificates();
  postfix = await startPostfix(certificates);
  fleet = await startFleet(
    ['shop.example.org', 'files.example.org', 'backup.example.org'],
    {
      garner_agents: {
        'shop.example.org': {
          garner_agent_applications: [
            {
              ...SHOP,
              database: { engine: 'mariadb', name: 'shop_1', password: '{{ vault_password }}' },
            },
          ],
          garner_restore_users: ['nobody'],
        },
        'files.example.org': {
          garner_agent_applications: [
            { name: 'directories', notify: ['--quiet-ok'], settings: { DIRECTORIES: '/srv/files' } },
            {
              name: 'postgres',
              schedule: '15 2 * * *',
              database: { engine: 'postgres', name: 'wiki', password: '{{ vault_password }}' },
            },
          ],
          garner_archiver_options: { quota: '50GB' },
        },
      },
      garner_archivers: { 'backup.example.org': { garner_retention: { last: 5, minimum: 2 } } },
    },
    { vault_password: PASSWORD },
  );
  [shop, files, backup] = Object.values(fleet.hosts) as [Host, Host, Host];
  deb = join(DIST, readdirSync(DIST).find((name) => name.endsWith('.deb')) ?? 'make deb');
  previous = join(fleet.directory, 'previous.deb');
  await execa('sh', [
    '-ec',
    `dpkg-deb -R "$0" "$2" && sed -i 's/^Version: .*/Version: 0.0.9/' "$2/DEBIAN/control" && dpkg-deb -b -Znone "$2" "$1"`,
    ...[deb, previous, join(fleet.directory, 'previous')],
  ]);
  variables = {
    garner_deb: deb,
    garner_pull_keys: ['ssh-ed25519 AAAA one\n# of another archiver\nssh-ed25519 BBBB two\n'],
    garner_settings: {
      NOTIFY_EMAIL_FROM: 'backup@example.test',
      NOTIFY_EMAIL_TO: 'admin@example.test',
      NOTIFY_SMTP_URL: `smtp://localhost:${postfix.port}`,
      NOTIFY_SMTP_CA_FILE: '/etc/ssl/certs/test.pem',
    },
  };
  for (const host of [shop, files, backup]) {
    await host.sh(
      `cat >/etc/ssl/certs/test.pem <<'END'\n${(await execa('cat', [certificates.caFile])).stdout}\nEND`,
    );
  }
  await shop.sh(`mariadb-install-db --no-defaults --user=mysql --datadir=/srv/mysql --skip-test-db --auth-root-authentication-method=socket >/dev/null
    setsid mariadbd --no-defaults --user=mysql --datadir=/srv/mysql --socket=/run/mysqld/mysqld.sock --bind-address=127.0.0.1 >/srv/log 2>&1 &
    for i in $(seq 300); do mariadb -e 'SELECT 1' >/dev/null 2>&1 && break; sleep 0.1; done
    mariadb -e 'CREATE DATABASE shop_1; CREATE DATABASE shopx1; CREATE TABLE shop_1.goods (i INT); INSERT INTO shop_1.goods VALUES (1), (2)'`);
  await files.sh(`chown postgres /run/postgresql && install -d -o postgres /srv/pg && mkdir /srv/files && echo content >/srv/files/file
    cd / && bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
    as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
    as $bin/initdb -D /srv/pg --encoding=UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256 --no-sync >/dev/null
    as setsid $bin/postgres -D /srv/pg -k /run/postgresql -c listen_addresses=127.0.0.1 >/srv/log 2>&1 &
    for i in $(seq 300); do as psql -c 'SELECT 1' >/dev/null 2>&1 && break; sleep 0.1; done
    as psql -qc 'CREATE DATABASE wiki' && as psql -qd wiki -c 'CREATE TABLE page (i int); INSERT INTO page VALUES (1), (2), (3)'`);
}, 300_000);

afterAll(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await postfix?.[Symbol.asyncDispose]();
}, 120_000);

/** @returns what it said */
function succeeded({ exitCode, output }: Played): string {
  if (exitCode !== 0) throw new Error(`ansible-playbook: ${output.slice(-3000)}`);
  return output;
}

/** @returns names of archives */
const archivesOf = async (host: Host, directory: string): Promise<string[]> =>
  (await host.sh(`find ${directory} -name '*.tar'`)).split('\n').filter(Boolean).sort();

const sftp = (host: Host, batch: string) =>
  backup.sh(
    `echo '${batch}' | sftp -q -b - -i /etc/garner/id_ed25519 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null garner-pull@${host.address} 2>&1 || echo "exit $?"`,
  );

it('passes the production profile of ansible-lint', async () => {
  const roles = readdirSync(join(ANSIBLE, 'roles')).map((name) => `roles/${name}`);
  await execa('ansible-lint', ['--offline', '--profile', 'production', 'site.yml', 'inventory', ...roles], {
    cwd: ANSIBLE,
  });
});

it('changes nothing with --check', async () => {
  // the hosts lie over this machine's own files: others may make accounts here meanwhile
  const state =
    'find /etc /var/lib/garner /srv/garner -newer /run/before ! -path "/etc/*passwd*" ! -path "/etc/*shadow*" ! -path "/etc/group*" ! -path /etc 2>/dev/null; getent passwd garner-pull; dpkg -l garner 2>/dev/null | grep ^ii; true';
  for (const host of [shop, files, backup]) await host.sh('sleep 0.1; touch /run/before');
  succeeded(await fleet.play(variables, '--check'));
  // by SFTP all of it would be seen
  const shared = await fleet.play({ ...variables, garner_work_dir: '/work' }, '--check');
  expect(shared.exitCode).not.toBe(0);
  expect(shared.output).toContain("/ would be made root's");
  for (const host of [shop, files, backup]) expect(await host.sh(state)).toBe('');
});

it('installs from nothing, and shows no secret', async () => {
  const output = succeeded(await fleet.play({ ...variables, garner_deb: previous }, '--diff', '-v'));
  expect(output).toContain('NOTIFY_EMAIL_TO=admin@example.test');
  expect(output).not.toContain('canary');
});

it('changes nothing the second time', async () => {
  const played = await fleet.play({ ...variables, garner_deb: previous });
  succeeded(played);
  expect(played.changed).toEqual({ 'shop.example.org': 0, 'files.example.org': 0, 'backup.example.org': 0 });
});

it('lets the archiver do SFTP in the work directory, and nothing else', async () => {
  expect(await sftp(shop, 'ls -1 /\nls -1 /work')).toMatch(/^\/work$/m);
  expect(await sftp(shop, 'mkdir /work/x')).toMatch(/denied|Unsupported|Failure/);
  expect(await sftp(shop, 'symlink /etc /work/x')).toMatch(/denied|Unsupported|Failure/);
  expect(await sftp(shop, 'put /etc/hostname /hostname')).toContain('denied');
  const keys = (await shop.sh('cat /etc/ssh/authorized_keys.d/garner-pull')).split('\n').slice(1);
  expect(keys.map((line) => line.split(' ')[0])).toEqual(['restrict', 'restrict', 'restrict']);
  const ssh = `ssh -i /etc/garner/id_ed25519 -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR`;
  expect(await backup.sh(`${ssh} garner-pull@${shop.address} id 2>&1 || true`)).toContain('only');
  expect(
    await backup.sh(
      `${ssh} -o ExitOnForwardFailure=yes -W ${shop.address}:22 garner-pull@${shop.address} </dev/null 2>&1 || true`,
    ),
  ).toMatch(/prohibited|failed|closed/);
  expect(
    await backup.sh(
      `ssh-keygen -q -t ed25519 -N '' -f /root/other && ${ssh.replace('/etc/garner/id_ed25519', '/root/other')} -o IdentitiesOnly=yes garner-pull@${shop.address} id 2>&1 || true`,
    ),
  ).toContain('Permission denied (publickey)');
});

it('makes accounts that may read their database and nothing else', async () => {
  const grants = await shop.sh(`mariadb -rNe "SHOW GRANTS FOR garner_mariadb_shop@localhost"`);
  expect(grants.replace(/ IDENTIFIED .*/, '').split('\n')).toEqual([
    'GRANT USAGE ON *.* TO `garner_mariadb_shop`@`localhost`',
    'GRANT SELECT, SHOW VIEW, EVENT, TRIGGER ON `shop\\_1`.* TO `garner_mariadb_shop`@`localhost`',
    'GRANT SELECT ON `mysql`.`proc` TO `garner_mariadb_shop`@`localhost`',
  ]);
  const role = await files.sh(
    `setpriv --reuid=postgres --regid=postgres --clear-groups psql -Atc "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, pg_has_role(oid, 'pg_read_all_data', 'member') FROM pg_roles WHERE rolname = 'garner_postgres'"`,
  );
  expect(role).toBe('f|f|f|f|f|t');
});

it('backs up by the installed cron lines, at a time of its own each, and mails', async () => {
  await shop.cron('garner-agent-mariadb_shop');
  await files.cron('garner-agent-directories'); // well and quiet
  await files.cron('garner-agent-postgres');
  const mails = await postfix.mails(2);
  expect(mails.map(({ headers }) => headers.subject)).toEqual([
    expect.stringContaining('[garner] OK mariadb.shop on shop.example.org'),
    expect.stringContaining('[garner] OK postgres on files.example.org'),
  ]);
  const [archive = ''] = await archivesOf(shop, '/var/lib/garner/work');
  expect(await shop.sh(`tar -xOf ${archive} --wildcards '*.sql.zst' | zstd -dc`)).toContain(
    'INSERT INTO `goods`',
  );
  expect(await shop.sh(`stat -c '%a %U:%G' ${archive}`)).toBe('640 root:garner-pull');
  const times = await Promise.all(
    [
      shop.sh('cat /etc/cron.d/garner-agent-mariadb_shop'),
      files.sh('cat /etc/cron.d/garner-agent-directories'),
    ].map(async (text) => /^(\d+ [1-4]) \* \* \*/m.exec(await text)?.[1]),
  );
  expect(times).not.toContain(undefined);
  expect(new Set(times).size).toBe(2);
});

it('pulls by the installed cron line, from hosts whose keys the play has seen', async () => {
  const made = [
    ...(await archivesOf(shop, '/var/lib/garner/work')),
    ...(await archivesOf(files, '/var/lib/garner/work')),
  ];
  await backup.cron('garner-pull');
  const pulled = await archivesOf(backup, '/srv/garner');
  expect(pulled.map((path) => basename(path)).sort()).toEqual(made.map((path) => basename(path)).sort());
  expect(pulled).toHaveLength(3);
  for (const path of pulled)
    await backup.sh(`cd ${join(path, '..')} && sha256sum --check ${basename(path)}.sha256`);
  expect(await archivesOf(shop, '/var/lib/garner/work')).toEqual([]);
  expect((await postfix.mails(3))[2]?.headers.subject).toContain('[garner] OK pull on backup.example.org');
  const key = (await shop.sh('ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub')).split(' ')[1];
  expect(await backup.sh('cat /etc/garner/archiver.yaml')).toContain(key);
});

it('leaves hosts that garner doctor finds nothing wrong with', async () => {
  for (const host of [shop, files, backup]) {
    const { checks } = JSON.parse(await host.sh('garner doctor --json || true')) as {
      checks: { name: string; state: string; findings: { what: string }[] }[];
    };
    const found = checks.filter(({ state }) => state === 'warning' || state === 'broken');
    // no cron runs in a container, nor has NTP a say
    const real = found
      .flatMap(({ findings }) => findings.map(({ what }) => what))
      .filter((what) => !/cron|clock|NTP/i.test(what));
    expect(real).toEqual([]);
  }
});

it('lets the accounts that may restore do so by sudo, and nothing else', async () => {
  const allowed = await shop.sh('sudo -l -U nobody');
  expect(allowed).toMatch(/\(root\) NOPASSWD: \/usr\/bin\/agent-mariadb restore \*$/m);
});

it('upgrades and keeps what was made', async () => {
  const before = await archivesOf(backup, '/srv/garner');
  const played = await fleet.play(variables);
  succeeded(played);
  expect(await shop.sh('dpkg-query -W garner')).toBe(`garner\t${own.version}`);
  expect(Object.values(played.changed).every((count) => count > 0 && count <= 3)).toBe(true);
  // hosts that a play has not seen keep their keys
  const alone = await fleet.play(variables, '--limit', 'backup.example.org');
  expect(alone.changed).toEqual({ 'backup.example.org': 0 });
  await shop.cron('garner-agent-mariadb_shop');
  await backup.cron('garner-pull');
  expect(await archivesOf(backup, '/srv/garner')).toEqual(expect.arrayContaining(before));
  expect(JSON.parse(await backup.sh('archiver list --json')).archives).toHaveLength(4);
  expect((await shop.sh('cat /var/lib/garner/work/history/*.jsonl')).split('\n')).toHaveLength(2);
});

it('removes all but the archives and their histories', async () => {
  await files.cron('garner-agent-directories');
  const kept = await archivesOf(backup, '/srv/garner');
  succeeded(await fleet.play({ ...variables, garner_state: 'absent' }));
  expect(await archivesOf(backup, '/srv/garner')).toEqual(kept);
  expect(await archivesOf(files, '/var/lib/garner/work')).toHaveLength(1);
  expect(await shop.sh('ls /var/lib/garner/work/history')).not.toBe('');
  for (const host of [shop, files, backup]) {
    const left = `find /etc -path '*garner*' ! -path /etc/garner; getent passwd garner-pull; command -v notify; dpkg -l garner | grep ^ii; true`;
    expect(await host.sh(left)).toBe('');
  }
  expect(await shop.sh('mariadb -Ne "SELECT user FROM mysql.user WHERE user LIKE \'garner%\'"')).toBe('');
});

it('installs the executable, with timers in place of cron, one host alone', async () => {
  const { garner_deb: _, ...others } = variables as { garner_deb: string };
  const timers = { ...others, garner_executable: EXECUTABLE, garner_schedule: 'timers' };
  succeeded(await fleet.play(timers, '--limit', 'files.example.org,backup.example.org'));
  expect(await files.sh('ls /etc/cron.d | grep garner || true')).toBe('');
  const units = '/etc/systemd/system/garner-*';
  expect(
    await files.sh(`cd /etc/systemd/system && ls garner-*.timer timers.target.wants | sort -u | grep garner`),
  ).toBe(
    ['garner-agent-directories.timer', 'garner-agent-postgres.timer', 'garner-overdue.timer'].join('\n'),
  );
  await files.sh(`systemd-analyze verify ${units}`);
  const [line = ''] =
    /(?<=^ExecStart=).*$/m.exec(await files.sh('cat /etc/systemd/system/garner-agent-directories.service')) ??
    [];
  await files.sh(`env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/root ${line}`);
  // shop, which this play has not seen, stays in its place
  expect(await backup.sh('archiver pull --json files.example.org')).toContain('"pulled"');
  expect(await backup.sh('garner config check; cat /etc/garner/archiver.yaml')).toContain('shop.example.org');
  const again = await fleet.play(timers, '--limit', 'files.example.org');
  expect(again.changed).toEqual({ 'files.example.org': 0 });
});
