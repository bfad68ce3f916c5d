// The whole main path on a real MediaWiki: notify around the agent mails through postfix, the archiver pulls over a
// chrooted SFTP account that can do nothing else, and the wiki comes back after everything of it was lost.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa, type Options, type Result } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { createWiki, FILES, PAGES, type Wiki } from '../helpers/mediawiki.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { type Certificates, makeCertificates } from '../helpers/smtp-server.ts';
import { makeChroot, removeGroup, type Sshd, startSshd, testGroup } from '../helpers/sshd.ts';

const BIN = join(import.meta.dirname, '../../bin');
const SECRET = 'wiki-db-secret-0815';

let directory: string;
let certificates: Certificates;
let postfix: Postfix;
let sshd: Sshd;
let chroot: { path: string; workDir: string };
let mariadb: MariaDb;
const group = testGroup();

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'garner-e2e-'));
  certificates = await makeCertificates();
  postfix = await startPostfix(certificates);
  chroot = await makeChroot(group);
  sshd = await startSshd({ chroot: chroot.path, group });
  mariadb = await startMariadb();
});

afterAll(async () => {
  await sshd?.stop();
  await postfix?.[Symbol.asyncDispose]();
  await mariadb?.stop();
  if (chroot !== undefined) rmSync(chroot.path, { recursive: true, force: true });
  await removeGroup(group);
  rmSync(directory, { recursive: true, force: true });
});

/** Everything that visitors see. */
async function visit(wiki: Wiki): Promise<Record<string, string>> {
  const seen: Record<string, string> = {};
  for (const title of [...Object.keys(PAGES), 'File:Red dot.png', 'Late news'])
    seen[title] = await wiki.fetchPage(title);
  for (const name of Object.keys(FILES)) seen[name] = (await wiki.fetchFile(name)).toString('base64');
  return seen;
}

/** What an administrator would have in /etc/garner on the application host and on the backup host. */
function configure(home: string, wiki: Wiki): void {
  mkdirSync(join(home, 'etc'), { recursive: true });
  const lines = [
    `GARNER_WORK_DIR=${chroot.workDir}`,
    `GARNER_STATE_DIR=${home}/state`,
    `GARNER_RUN_DIR=${home}/run`,
    'GARNER_HOST=web1.example.test',
    `GARNER_GROUP=${group}`,
    `MEDIAWIKI_DIR=${wiki.directory}`,
    'NOTIFY_EMAIL_FROM=backup@example.test',
    'NOTIFY_EMAIL_TO=admin@example.test',
    `NOTIFY_SMTP_URL=smtp://localhost:${postfix.port}`,
    `NOTIFY_SMTP_CA_FILE=${certificates.caFile}`,
  ];
  writeFileSync(join(home, 'etc/garner.env'), `${lines.join('\n')}\n`, { mode: 0o600 });
  writeFileSync(
    join(home, 'etc/archiver.yaml'),
    `archive: ${home}/archive
retention: {last: 3, daily: 7, minimum: 1}
hosts:
  web1.example.test:
    url: ${sshd.url('/work')}
    identityFile: ${sshd.identityFile}
    applications: [mediawiki]
    remove: true
`,
    { mode: 0o600 },
  );
}

const dumpSqlite = async (wiki: Wiki): Promise<string> =>
  (await execa('sqlite3', [join(wiki.dataDirectory as string, `${wiki.databaseName}.sqlite`), '.dump']))
    .stdout;
const dumpMariadb = async (name: string): Promise<string> =>
  (
    await execa('mariadb-dump', [
      ...['--no-defaults', '--user=root', `--socket=${mariadb.socket}`, '--skip-dump-date'],
      ...['--hex-blob', '--routines', '--triggers', '--events', name],
    ])
  ).stdout;

describe.each(['sqlite', 'mariadb'] as const)('a real MediaWiki on %s', (kind) => {
  it('is backed up, mailed, pulled, pruned, lost and restored', async () => {
    const home = join(directory, kind);
    mkdirSync(home);
    const url = kind === 'sqlite' ? 'sqlite' : await mariadb.createDatabase('wiki', 'wikiuser', SECRET);
    const wiki = await createWiki({ directory: join(home, 'wiki'), database: url });
    configure(home, wiki);
    const run = (command: string, args: string[], options: Options = {}): Promise<Result> =>
      execa(join(BIN, command), args, {
        env: { GARNER_CONFIG_DIR: join(home, 'etc') },
        reject: false,
        ...options,
      });

    await wiki.edit('Late news', 'An article that only the last backup has.');
    const seen = await visit(wiki);
    const mailsBefore = kind === 'sqlite' ? 0 : 1;

    // the application host
    const backup = await run('notify', ['--', join(BIN, 'agent-mediawiki')]);
    expect([backup.exitCode, backup.stderr]).toEqual([0, expect.not.stringContaining('warning')]);
    const archive = String(backup.stdout);
    expect(readdirSync(chroot.workDir)).toContain(archive.split('/').at(-1));
    const mail = (await postfix.mails(mailsBefore + 1)).at(-1);
    expect(mail?.headers.subject).toMatch(/^\[garner\] OK mediawiki on web1\.example\.test: [\d.]+ [kM]B$/);
    expect(mail?.text).toContain(archive);
    expect(mail?.raw).not.toContain(SECRET);
    expect(mail?.headers.received).toContain('TLS');

    // the backup host
    const init = await run('archiver', ['init', '--accept-new']);
    expect([init.exitCode, init.stderr]).toEqual([
      0,
      expect.stringContaining(sshd.hostKeys.ed25519 as string),
    ]);
    const pull = await run('archiver', ['pull', '--json']);
    expect(pull.exitCode, String(pull.stderr)).toBe(0);
    const [host] = JSON.parse(String(pull.stdout)).hosts;
    expect(host).toMatchObject({ host: 'web1.example.test', result: 'ok', error: null });
    expect(host.pulled).toHaveLength(1);
    const stored = join(
      home,
      'archive/web1.example.test/mediawiki',
      host.pulled[0].name + (host.pulled[0].name.endsWith('.tar') ? '' : '.tar'),
    );
    const sum = await execa('sha256sum', ['-c', `${stored}.sha256`], { cwd: join(stored, '..') });
    expect(sum.stdout).toContain('OK');
    expect(readdirSync(chroot.workDir).filter((name) => name.startsWith('mediawiki-'))).toEqual([]);
    expect((await run('archiver', ['pull'])).exitCode).toBe(0);
    expect((await run('archiver', ['verify'])).exitCode).toBe(0);
    expect((await run('archiver', ['prune', '--dry-run'])).exitCode).toBe(0);
    expect(String((await run('archiver', ['list'])).stdout)).toContain('content');

    // the loss
    const files = join(home, 'files-before');
    await execa('cp', ['-a', wiki.directory, files]);
    const database = kind === 'sqlite' ? await dumpSqlite(wiki) : await dumpMariadb('wiki');
    await wiki.stop();
    for (const lost of ['images', 'extensions', 'skins', 'LocalSettings.php']) {
      rmSync(join(wiki.directory, lost), { recursive: true });
    }
    if (kind === 'sqlite') rmSync(wiki.dataDirectory as string, { recursive: true });
    else await mariadb.query('DROP DATABASE wiki; CREATE DATABASE wiki');
    if (kind === 'sqlite') mkdirSync(wiki.dataDirectory as string);

    // the restore
    const restore = await run('agent-mediawiki', ['restore', stored]);
    expect(restore.exitCode, String(restore.stderr)).toBe(0);
    expect(String(restore.stdout)).toContain('maintenance/update.php');
    const difference = await execa(
      'diff',
      [
        '-r',
        '--no-dereference',
        '--exclude=thumb',
        '--exclude=temp',
        '--exclude=lockdir',
        files,
        wiki.directory,
      ],
      { reject: false },
    );
    expect(difference.stdout).toBe('');
    expect(kind === 'sqlite' ? await dumpSqlite(wiki) : await dumpMariadb('wiki')).toBe(database);
    await wiki.serve();
    expect(await visit(wiki)).toEqual(seen);
    await wiki.stop();
    expect(readdirSync(join(home, 'state/queue'))).toEqual([]);
  });
});

it('gives the pull account files, and nothing else', async () => {
  const options = [
    '-i',
    sshd.identityFile,
    '-p',
    String(sshd.port),
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'BatchMode=yes',
  ];
  const shell = await execa('ssh', [...options, `${sshd.user}@127.0.0.1`, 'id'], { reject: false });
  expect(shell.stdout).not.toContain('uid=');
  const forward = await execa(
    'ssh',
    [...options, '-W', `127.0.0.1:${postfix.port}`, `${sshd.user}@127.0.0.1`],
    { reject: false, timeout: 5000, stdin: 'ignore' },
  );
  expect(forward.stdout).not.toContain('ESMTP');
  writeFileSync(join(chroot.path, 'etc-passwd'), 'root only', { mode: 0o600 });
  const sftp = await execa(
    'sftp',
    [
      '-P',
      String(sshd.port),
      ...options.filter((_, index) => index !== 2 && index !== 3),
      `${sshd.user}@127.0.0.1`,
    ],
    {
      input: 'get /etc-passwd /dev/null\nput /etc/hostname /hostname\n',
      reject: false,
    },
  );
  expect(sftp.stderr).toMatch(/Permission denied/);
  expect(existsSync(join(chroot.path, 'hostname'))).toBe(false);
  expect(readFileSync(join(chroot.path, 'etc-passwd'), 'utf8')).toBe('root only');
});
