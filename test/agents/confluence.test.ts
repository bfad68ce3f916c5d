// The confluence agent: the contract on MariaDB with the older layout of attachments and on PostgreSQL with the newer
// one, and what misleads careless readers of its configuration.
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { agentContract } from '../contract/agent-contract.ts';
import { type Confluence, createConfluence } from '../helpers/confluence.ts';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { type Bench, makeBench, snapshot } from '../helpers/run.ts';

/** Every character that some quoting somewhere gives a meaning. */
const PASSWORD = `p&amp;%40'"\\\\n$x\${y}#; =w<ö>`;

agentContract('confluence', '7.19 on MariaDB', async (directory) => {
  const server = await startMariadb();
  const site = await createConfluence({
    directory,
    version: '7.19.2',
    server,
    user: 'confluence',
    password: PASSWORD,
  });
  const dump = [
    '--no-defaults',
    '--user=root',
    `--socket=${server.socket}`,
    '--skip-dump-date',
    'confluence',
  ];
  return {
    settings: site.settings,
    places: site.places,
    members: ['confluence.sql', 'home.tar', 'home.list'],
    version: /^7\.19\.2$/m,
    secrets: [PASSWORD],
    treeFind: { home: [site.home, '.', ...site.find] },
    dumpDatabases: async () => (await execa('mariadb-dump', dump)).stdout,
    async wipe() {
      rmSync(site.home, { recursive: true });
      await server.query('DROP DATABASE confluence; CREATE DATABASE confluence COLLATE utf8mb4_bin;');
    },
    broken: {
      settings: { CONFLUENCE_HOME_DIR: join(directory, 'absent') },
      error: /absent\/confluence\.cfg\.xml": no such file/,
    },
    remove: () => server.stop(),
  };
});

agentContract('confluence', '9.2 on PostgreSQL', async (directory) => {
  const server = await startPostgres();
  const site = await createConfluence({
    directory,
    version: '9.2.1',
    server,
    user: 'confluence',
    password: PASSWORD,
  });
  return {
    settings: site.settings,
    places: site.places,
    members: ['confluence.dump', 'roles.sql', 'home.tar', 'home.list'],
    dumpFileSuffix: 'dump',
    version: /^9\.2\.1$/m,
    secrets: [PASSWORD],
    treeFind: { home: [site.home, '.', ...site.find] },
    dumpDatabases: () => server.dump('confluence'),
    async wipe() {
      rmSync(site.home, { recursive: true });
      await server.query('DROP DATABASE confluence');
      await server.query('CREATE DATABASE confluence OWNER confluence');
    },
    broken: {
      settings: { CONFLUENCE_HOME_DIR: join(directory, 'absent') },
      error: /absent\/confluence\.cfg\.xml": no such file/,
    },
    remove: () => server.stop(),
  };
});

it('backs up and restores PostgreSQL by a list of hosts, whichever of them answers', async () => {
  const bench = makeBench();
  await using server = await startPostgres();
  const site = await createConfluence({
    ...{ directory: bench.directory, version: '9.2.1', server, user: 'confluence', password: PASSWORD },
  });
  const before = await server.dump('confluence');
  const file = join(site.home, 'confluence.cfg.xml');
  const text = readFileSync(file, 'utf8');
  const [one = ''] = /localhost:\d+/.exec(text) ?? [];
  for (const other of [one, '127.0.0.1:1']) {
    writeFileSync(file, text.replace(one, `${other},${one}`));
    const archive = await bench.backup('agent-confluence', { env: site.settings });
    const restored = await bench.run('agent-confluence', ['restore', '--force', archive], {
      env: site.settings,
    });
    expect(restored).toMatchObject({ exitCode: 0 });
    expect(await server.dump('confluence')).toBe(before);
  }
  bench.remove();
});

describe('agent-confluence on MariaDB', () => {
  let server: MariaDb;
  let site: Confluence;
  let home: Bench;
  let bench: Bench;
  const readMember = async (archive: string, member: string): Promise<string> =>
    (await execa('bash', ['-c', 'tar -xOf "$0" "$1" | zstd -dc', archive, member])).stdout;
  const checksums = () => server.query('CHECKSUM TABLE CONTENT, BODYCONTENT, AO_9412A1_AOTASK', 'confluence');

  beforeAll(async () => {
    home = makeBench();
    server = await startMariadb();
    site = await createConfluence({
      ...{ directory: home.directory, version: '8.8.0', server, user: 'confluence', password: PASSWORD },
      ...{ spaces: 3, pages: 120, attachmentsPerPage: 3 },
    });
  });
  afterAll(async () => {
    await server.stop();
    home.remove();
  });
  beforeEach(() => {
    bench = makeBench();
    return () => bench.remove();
  });

  it('backs up 8.8 with the keys of its secrets, every row of an attachment with its file, and restores it', async () => {
    const ran = await bench.run('agent-confluence', ['--json'], { env: site.settings });
    expect(ran).toMatchObject({ exitCode: 0 });
    const { archive, crossChecks, version } = JSON.parse(ran.stdout);
    expect(version).toBe('8.8.0');
    expect((await execa('tar', ['-xOf', archive, 'VERSION'])).stdout).toBe('8.8.0');
    expect(JSON.parse((await execa('tar', ['-xOf', archive, 'manifest.json'])).stdout).build).toBe('9104');
    const rows = Number(
      await server.query("SELECT COUNT(*) FROM CONTENT WHERE CONTENTTYPE = 'ATTACHMENT'", 'confluence'),
    );
    expect(rows).toBe(site.attachments.length);
    const counts = { rowCount: rows, fileCount: rows, missingCount: 0, unnamedCount: 0 };
    expect(crossChecks).toEqual([{ database: 'confluence', tree: 'home', ...counts }]);
    const list = (await readMember(archive, 'home.list.zst')).replaceAll('\0', '\n');
    expect(list).toContain('keys/javax.crypto.spec.SecretKeySpec_1\t');
    expect(list).toContain('secured/secrets-config.yaml\t');

    const [before, files] = [await checksums(), await snapshot(...site.places)];
    const restored = await bench.run('agent-confluence', ['restore', '--force', archive], {
      env: site.settings,
    });
    expect(restored).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('start-confluence.sh') });
    expect(await checksums()).toBe(before);
    expect(await snapshot(...site.places)).toBe(files);
    // what Confluence makes anew is gone with the home that was put aside
    expect(existsSync(join(site.home, 'index'))).toBe(false);
    expect(existsSync(join(site.home, 'plugins-osgi-cache'))).toBe(false);
  });

  it('names the attachment whose file is missing, and the file that no row names', async () => {
    const lost = join(site.home, site.attachments[0] as string);
    const stray = join(site.home, 'attachments/v4/1/0/1/1.1');
    renameSync(lost, join(bench.directory, 'lost'));
    mkdirSync(dirname(stray), { recursive: true });
    writeFileSync(stray, 'no row');
    const { exitCode, stderr, stdout } = await bench.run('agent-confluence', ['--json'], {
      env: site.settings,
    });
    rmSync(stray);
    renameSync(join(bench.directory, 'lost'), lost);
    expect(exitCode).toBe(3);
    expect(JSON.parse(stdout).crossChecks).toMatchObject([{ missingCount: 1, unnamedCount: 1 }]);
    expect(stderr).toContain(`not in the archive: ${site.attachments[0]}\n`);
    expect(stderr).toContain('named by no row: attachments/v4/1/0/1/1.1\n');
  });

  it('runs by the settings of the original scripts, with the credentials of ~/.my.cnf', async () => {
    await server.query(
      "CREATE USER backup@'%' IDENTIFIED BY 'canary-my-cnf'; GRANT SELECT, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT ON confluence.* TO backup@'%'",
    );
    const cnf = `[client]\nhost=127.0.0.1\nport=${server.port}\nuser=backup\npassword=canary-my-cnf\n`;
    writeFileSync(join(bench.home, '.my.cnf'), cnf, { mode: 0o600 });
    const backups = join(bench.directory, 'backups');
    const env = {
      GARNER_WORK_DIR: '',
      BACKUP_HOME_DIR: backups,
      CONFLUENCE_HOME_DIR: site.home,
      CONFLUENCE_INSTALL_DIR: '/nonexistent',
      CONFLUENCE_SCHEMA_NAME: 'confluence',
      CONFLUENCE_VERSION_NAME: '8.8.0',
      MYSQLDUMP_PARAMS: "--skip-extended-insert '--order-by-primary'",
    };
    const ran = await bench.run('agent-confluence', [], { env });
    expect(ran).toMatchObject({ exitCode: 0 });
    expect(ran.stderr).toContain("the account can't see routines of others in confluence"); // it has none
    const archive = ran.stdout;
    expect(dirname(archive)).toBe(backups);
    expect((await execa('tar', ['-xOf', archive, 'VERSION'])).stdout).toMatch(/^8\.8\.0$/m);
    const dump = await readMember(archive, 'confluence.sql.zst');
    expect(dump.match(/^INSERT INTO `BODYCONTENT`/gm)?.length).toBe(240);
    await execa('sha1sum', ['-c', `${archive}.sha1`], { cwd: backups });

    const file = join(site.home, 'confluence.cfg.xml');
    renameSync(file, `${file}.away`);
    const without = await bench.run('agent-confluence', [], { env });
    renameSync(`${file}.away`, file);
    expect(without).toMatchObject({ exitCode: 0 });
    expect(await readMember(without.stdout.trim(), 'home.list.zst')).toContain('attachments/v4/');
  });

  it('asks for GARNER_DATABASE_URL where the password is encrypted, and takes it', async () => {
    const file = join(site.home, 'confluence.cfg.xml');
    const text = readFileSync(file, 'utf8');
    const cipher = 'com.atlassian.db.config.password.ciphers.algorithm.AlgorithmCipher';
    const property = `<property name="jdbc.password.decrypter.classname">${cipher}</property>`;
    writeFileSync(file, text.replace('<properties>', `<properties>${property}`));
    const refused = await bench.run('agent-confluence', [], { env: site.settings });
    const url = `mysql://confluence:${encodeURIComponent(PASSWORD)}@127.0.0.1:${server.port}/confluence`;
    const taken = await bench.run('agent-confluence', ['--json'], {
      env: { ...site.settings, GARNER_DATABASE_URL: url },
    });
    writeFileSync(file, text);
    expect(refused).toMatchObject({ exitCode: 1, stdout: '' });
    expect(refused.stderr).toContain('it is encrypted');
    expect(refused.stderr).toContain('hint: set GARNER_DATABASE_URL');
    expect(taken).toMatchObject({ exitCode: 0 });
    expect(JSON.parse(taken.stdout).crossChecks).toMatchObject([{ missingCount: 0 }]);
  });

  it('brings back attachments on another disk, and the link to them, on a host that has lost all', async () => {
    const attachments = join(site.home, 'attachments');
    const disk = join(home.directory, 'disk');
    renameSync(attachments, disk);
    symlinkSync(disk, attachments);
    const archive = await bench.backup('agent-confluence', { env: site.settings });
    const before = await snapshot(site.home, disk);
    for (const lost of [site.home, disk]) rmSync(lost, { recursive: true });
    await server.query('DROP DATABASE confluence; CREATE DATABASE confluence COLLATE utf8mb4_bin');
    const restored = await bench.run('agent-confluence', ['restore', archive], { env: site.settings });
    expect(restored).toMatchObject({ exitCode: 0 });
    expect(readlinkSync(attachments)).toBe(disk);
    expect((await execa('find', [disk, '-type', 'f'])).stdout.split('\n').length).toBeGreaterThan(700);
    const kept = (text: string): string =>
      text
        .split('\n')
        .filter((line) => line.includes('/attachments'))
        .join('\n');
    expect(kept(await snapshot(site.home, disk))).toBe(kept(before));
  });
});
