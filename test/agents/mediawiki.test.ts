// The mediawiki agent: the contract on SQLite, MariaDB and PostgreSQL, and configurations that mislead careless readers.
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { agentContract } from '../contract/agent-contract.ts';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { type Bench, makeBench, snapshot } from '../helpers/run.ts';

/** Every character that some quoting somewhere gives a meaning. */
const PASSWORD = `p&amp;%40'"\\\\n$x\${y}#; =word`;
const php = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;

/** Names of deleted files: 31 digits of their content. */
const DELETED = 'phoiac9h4m842xq45sp7s6u21eteeq1';
const HIDDEN = 'hid0000000000000000000000000001';

/** Lays out what the agent reads of a wiki, without the wiki. */
function layOut(directory: string, localSettings: string): void {
  for (const path of [
    'includes',
    'maintenance',
    'images/d/df',
    'images/archive/d/df',
    'images/deleted/p/h/o',
    'images/deleted/h/i/d',
    'images/thumb/a',
    'images/temp',
    'extensions/X',
    'skins',
    'cache',
  ]) {
    mkdirSync(join(directory, path), { recursive: true });
  }
  const files = {
    'includes/Defines.php': "<?php\ndefine( 'MW_VERSION', '1.39.17' );\n",
    'maintenance/tables-generated.sql': 'CREATE TABLE /*_*/page (\n);\nCREATE TABLE /*_*/user (\n);\n',
    'images/d/df/Röd.png': 'a picture',
    'images/archive/d/df/20260101000000!Röd.png': 'an older one',
    [`images/deleted/p/h/o/${DELETED}.png`]: 'a deleted one',
    [`images/deleted/h/i/d/${HIDDEN}.jpg`]: 'a hidden one',
    'images/deleted/.htaccess': 'Deny from all',
    'images/README': 'of the package',
    'images/thumb/a/small.png': 'made anew',
    'images/temp/half.png': 'half',
    'extensions/X/X.php': '<?php',
    'skins/s.css': 'a{}',
    'cache/c': 'cached',
    'LocalSettings.php': localSettings,
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content);
  chmodSync(join(directory, 'LocalSettings.php'), 0o640);
}

/** What the agent asks of a wiki's tables. @param text the type of names */
const tables = (text: string): string => `
  CREATE TABLE page(t VARCHAR(100)); INSERT INTO page VALUES ('Räksmörgås'), ('it''s');
  CREATE TABLE image(img_name ${text}); INSERT INTO image VALUES ('Röd.png');
  CREATE TABLE oldimage(oi_name ${text}, oi_archive_name ${text}, oi_sha1 ${text}, oi_deleted INT);
  INSERT INTO oldimage VALUES ('Röd.png', '20260101000000!Röd.png', 'x', 0), ('Röd.png', '', 'y', 0),
    ('Photo.JPEG', '20260102000000!Photo.JPEG', '${HIDDEN}', 1);
  CREATE TABLE filearchive(fa_storage_group ${text}, fa_storage_key ${text});
  INSERT INTO filearchive VALUES ('deleted', '${DELETED}.png'), ('deleted', '${DELETED}.png'), ('deleted', ''), (NULL, NULL);
  CREATE TABLE "user"(n INT);`;
/** The tables in SQL of MariaDB. */
const TABLES = tables('VARBINARY(255)').replaceAll('"', '`');
const TREES = ['images.tar', 'images.list', 'site.tar', 'site.list'];
const EXCLUDED = ['-path', './thumb', '-prune', '-o', '-path', './temp', '-prune', '-o'];
const wiki = (directory: string) => ({
  places: ['images/d', 'images/archive', 'images/deleted', 'extensions', 'skins', 'LocalSettings.php'].map(
    (path) => join(directory, path),
  ),
  version: /^1\.39\.17$/,
  treeFind: {
    images: [join(directory, 'images'), '.', ...EXCLUDED],
    site: [directory, './LocalSettings.php', './extensions', './skins'],
  },
  broken: {
    settings: { MEDIAWIKI_DIR: join(directory, 'absent') },
    error: /absent\/LocalSettings\.php": no such file/,
  },
});
const wipeFiles = (directory: string): void => {
  for (const path of ['images', 'extensions', 'skins', 'LocalSettings.php'])
    rmSync(join(directory, path), { recursive: true });
};

agentContract('mediawiki', 'on SQLite', async (base) => {
  const directory = join(base, 'wiki');
  const data = join(base, 'data');
  mkdirSync(data);
  layOut(directory, `<?php\n$wgDBtype = "sqlite";\n$wgDBname = "wiki";\n$wgSQLiteDataDir = "${data}";\n`);
  const sql = async (name: string, input: string) =>
    (await execa('sqlite3', [join(data, `${name}.sqlite`)], { input })).stdout;
  await sql('wiki', tables('BLOB'));
  await sql('wiki_jobqueue', 'CREATE TABLE job(a); INSERT INTO job VALUES (1);');
  await sql('wiki_l10n_cache', 'CREATE TABLE l10n(a);');
  return {
    ...wiki(directory),
    settings: { MEDIAWIKI_DIR: directory },
    members: ['wiki.dump', 'wiki_jobqueue.dump', ...TREES],
    secrets: [],
    dumpDatabases: async () => `${await sql('wiki', '.dump')}\n${await sql('wiki_jobqueue', '.dump')}`,
    async wipe() {
      wipeFiles(directory);
      rmSync(data, { recursive: true });
      mkdirSync(data);
    },
    remove: async () => {},
  };
});

agentContract('mediawiki', 'on MariaDB', async (base) => {
  const server = await startMariadb();
  await server.createDatabase('wiki', 'wikiuser', PASSWORD);
  await server.query(TABLES, 'wiki');
  const directory = join(base, 'wiki');
  layOut(
    directory,
    `<?php\n$wgDBtype = 'mysql';\n$wgDBserver = 'localhost:${server.socket}';\n$wgDBname = 'wiki';\n$wgDBuser = 'wikiuser';\n$wgDBpassword = ${php(PASSWORD)};\n`,
  );
  const dump = ['--no-defaults', '--user=root', `--socket=${server.socket}`, '--skip-dump-date', 'wiki'];
  return {
    ...wiki(directory),
    settings: { MEDIAWIKI_DIR: directory },
    members: ['wiki.sql', ...TREES],
    secrets: [PASSWORD],
    dumpDatabases: async () => (await execa('mariadb-dump', dump)).stdout,
    async wipe() {
      wipeFiles(directory);
      await server.query('DROP DATABASE wiki; CREATE DATABASE wiki CHARACTER SET utf8mb4;');
    },
    remove: () => server.stop(),
  };
});

agentContract('mediawiki', 'on PostgreSQL', async (base) => {
  const server = await startPostgres();
  const owner = ['wiki', 'wikiuser', PASSWORD] as const;
  await server.createDatabase(...owner);
  const schema = 'SET ROLE wikiuser; CREATE SCHEMA mediawiki; SET search_path = mediawiki;';
  await server.query(`${schema}${tables('TEXT')}`, 'wiki');
  const directory = join(base, 'wiki');
  layOut(
    directory,
    `<?php\n$wgDBtype = 'postgres';\n$wgDBserver = '127.0.0.1';\n$wgDBport = '${server.port}';\n$wgDBssl = false;\n$wgDBname = 'wiki';\n$wgDBuser = 'wikiuser';\n$wgDBpassword = ${php(PASSWORD)};\n$wgDBmwschema = "mediawiki";\n`,
  );
  return {
    ...wiki(directory),
    settings: { MEDIAWIKI_DIR: directory },
    members: ['wiki.dump', 'roles.sql', ...TREES],
    dumpFileSuffix: 'dump',
    secrets: [PASSWORD],
    dumpDatabases: () => server.dump('wiki'),
    async wipe() {
      wipeFiles(directory);
      await server.query('DROP DATABASE wiki');
      await server.createDatabase(...owner);
    },
    remove: () => server.stop(),
  };
});

describe('agent-mediawiki reads LocalSettings.php', () => {
  let server: MariaDb;
  let bench: Bench;
  let directory: string;
  const describeWith = async (localSettings: string | Buffer, env: Record<string, string> = {}) => {
    layOut(directory, '');
    writeFileSync(join(directory, 'LocalSettings.php'), localSettings);
    return bench.run('agent-mediawiki', ['describe', '--json'], {
      env: { MEDIAWIKI_DIR: directory, ...env },
    });
  };
  const live = (overrides: Record<string, string> = {}): string =>
    Object.entries({
      wgDBserver: `'127.0.0.1:${server.port}'`,
      wgDBname: "'wiki'",
      wgDBuser: "'wikiuser'",
      wgDBpassword: php(PASSWORD),
      ...overrides,
    })
      .map(([name, value]) => `$${name} = ${value};\n`)
      .join('');
  const found = { exitCode: 0, stdout: expect.stringContaining('"tableCount":5') };

  beforeAll(async () => {
    server = await startMariadb(['--bind-address=127.0.0.1,::1']);
    await server.createDatabase('wiki', 'wikiuser', PASSWORD);
    await server.query(TABLES, 'wiki');
  });
  afterAll(() => server.stop());
  beforeEach(() => {
    bench = makeBench();
    directory = join(bench.directory, 'wiki');
    return () => bench.remove();
  });

  it('with a byte-order mark, CRLF and credentials that are commented out', async () => {
    const old =
      "# $wgDBpassword = 'old';\n// $wgDBuser = 'old';\n/* $wgDBname = 'old';\n$wgDBserver = 'old'; */\n";
    expect(await describeWith(`\uFEFF<?php\n${old}${live()}#${old}`.replaceAll('\n', '\r\n'))).toMatchObject(
      found,
    );
  });

  it('with several assignments: the last one wins', async () => {
    const before = "$wgDBpassword = 'first'; $wgDBname = 'first';\n";
    expect(await describeWith(`<?php\n${before}${live()}`)).toMatchObject(found);
  });

  it('with double quotes, here-documents, concatenation and $IP', async () => {
    const quoted = `"${PASSWORD.replace(/["\\$]/g, '\\$&')}"`;
    expect(
      await describeWith(`<?php\n${live({ wgDBpassword: quoted, wgDBname: "'wi' . 'ki'" })}`),
    ).toMatchObject(found);
    const document = `<<<'END'\n${PASSWORD}\nEND`;
    const uploads = '$wgUploadDirectory = "$IP/images";\n';
    expect(await describeWith(`<?php\n${live({ wgDBpassword: document })}${uploads}`)).toMatchObject(found);
  });

  it.each(['a host with a port', 'a port of its own', 'a socket', 'IPv6 with a port', 'IPv6 without one'])(
    'with a server written as %s',
    async (form) => {
      const forms: Record<string, string> = {
        'a host with a port': `$wgDBserver = '127.0.0.1:${server.port}';`,
        'a port of its own': `$wgDBserver = '127.0.0.1'; $wgDBport = ${server.port};`,
        'a socket': `$wgDBserver = 'localhost:${server.socket}';`,
        'IPv6 with a port': `$wgDBserver = '[::1]:${server.port}';`,
        'IPv6 without one': `$wgDBserver = '::1'; $wgDBport = '${server.port}';`,
      };
      expect(await describeWith(`<?php\n${live()}${forms[form]}\n`)).toMatchObject(found);
    },
  );

  it.each(["getenv('DB')", "$wgX = 'chained'", 'SOME_CONSTANT', '0123'])(
    'and asks for GARNER_DATABASE_URL where a value is %s',
    async (value) => {
      const { exitCode, stderr, stdout } = await describeWith(`<?php\n${live({ wgDBpassword: value })}`);
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
      expect(stderr).toContain('cannot read $wgDBpassword from');
      expect(stderr).toContain('hint: set GARNER_DATABASE_URL');
    },
  );

  it.each([
    'if (true) { $wgDBname = "other"; }',
    '$wgDBuser = $wgDBname = "other";',
    '[$wgDBname] = ["other"];',
    "$GLOBALS['wgDBname'] = 'other';",
    '$wgDBservers = [];',
    "$wgDBname .= 'x';",
  ])('and asks for GARNER_DATABASE_URL where it can not follow: %s', async (statement) => {
    const { exitCode, stderr } = await describeWith(`<?php\n${live()}${statement}\n`);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('hint: set GARNER_DATABASE_URL');
    const url = `mysql://wikiuser:${encodeURIComponent(PASSWORD)}@127.0.0.1:${server.port}/wiki`;
    expect(await describeWith(`<?php\n${live()}${statement}\n`, { GARNER_DATABASE_URL: url })).toMatchObject(
      found,
    );
  });

  it('and asks for GARNER_DATABASE_URL where the credentials stand in an included file', async () => {
    const { exitCode, stderr } = await describeWith(
      "<?php\n$wgDBname = 'wiki'; $wgDBuser = 'wikiuser';\nrequire __DIR__ . '/secret.php';\n",
    );
    expect({ exitCode, stderr }).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('$wgDBpassword'),
    });
    expect(stderr).toContain('hint: set GARNER_DATABASE_URL');
  });

  it('and names the line of a syntax error, but not what stands there', async () => {
    const { exitCode, stderr } = await describeWith(
      "<?php\n$wgDBuser = 'u';\n$wgDBpassword = secret 'canary-4711';\n",
    );
    expect(exitCode).toBe(1);
    expect(stderr).toContain('on line 3');
    expect(stderr).not.toContain('canary');
  });

  it('and takes an account that can see no routines, of which MediaWiki has none, without a warning', async () => {
    const rights = 'SELECT, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT';
    await server.query(
      `CREATE USER reader IDENTIFIED BY 'canary-reader'; GRANT ${rights} ON wiki.* TO reader`,
    );
    layOut(directory, `<?php\n${live({ wgDBuser: "'reader'", wgDBpassword: "'canary-reader'" })}`);
    rmSync(join(directory, 'images/thumb'), { recursive: true });
    const ran = await bench.run('agent-mediawiki', [], { env: { MEDIAWIKI_DIR: directory } });
    expect(ran).toMatchObject({ exitCode: 0 });
    expect(ran.stderr).toContain("the account can't see routines of others in wiki");
  });

  it('and uses its credentials, not those of ~/.my.cnf', async () => {
    writeFileSync(join(bench.home, '.my.cnf'), '[client]\nuser=other\npassword=other\n', { mode: 0o600 });
    expect(await describeWith(`<?php\n${live()}`)).toMatchObject(found);
  });

  it('through a link, and brings back the file that it leads to (Debian)', async () => {
    const env = { MEDIAWIKI_DIR: directory };
    layOut(directory, `<?php\n${live()}`);
    const etc = join(bench.directory, 'etc');
    const storage = join(bench.directory, 'storage');
    mkdirSync(etc);
    renameSync(join(directory, 'LocalSettings.php'), join(etc, 'LocalSettings.php'));
    renameSync(join(directory, 'images'), storage);
    symlinkSync('../etc/LocalSettings.php', join(directory, 'LocalSettings.php'));
    symlinkSync(storage, join(directory, 'images'));
    rmSync(join(storage, 'thumb'), { recursive: true });
    rmSync(join(storage, 'temp'), { recursive: true });
    const before = await snapshot(etc, storage);
    const links = await snapshot(join(directory, 'LocalSettings.php'), join(directory, 'images'));
    const archive = await bench.backup('agent-mediawiki', { env });

    rmSync(join(etc, 'LocalSettings.php'));
    rmSync(storage, { recursive: true });
    rmSync(join(directory, 'extensions'), { recursive: true });
    rmSync(join(directory, 'skins'), { recursive: true });
    await server.query('DROP DATABASE wiki; CREATE DATABASE wiki CHARACTER SET utf8mb4;');
    const restored = await bench.run('agent-mediawiki', ['restore', archive], { env });
    expect(restored).toMatchObject({ exitCode: 0 });
    expect((await snapshot(etc, storage)).replace(/^\S+etc d .*$/m, '')).toBe(
      before.replace(/^\S+etc d .*$/m, ''),
    );
    expect(await snapshot(join(directory, 'LocalSettings.php'), join(directory, 'images'))).toBe(links);
    expect(await server.query('SELECT COUNT(*) FROM page', 'wiki')).toBe('2');
  });

  it('and fails where the uploads are a link to a disk that is not mounted', async () => {
    layOut(directory, `<?php\n${live()}`);
    rmSync(join(directory, 'images'), { recursive: true });
    symlinkSync('/nonexistent/uploads', join(directory, 'images'));
    const { exitCode, stderr } = await bench.run('agent-mediawiki', [], {
      env: { MEDIAWIKI_DIR: directory },
    });
    expect({ exitCode, stderr }).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('/nonexistent/uploads'),
    });
  });

  it('F14 and makes a backup of an unknown version where none is found, with a warning', async () => {
    layOut(directory, `<?php\n${live()}`);
    writeFileSync(join(directory, 'includes/Defines.php'), '<?php garbage');
    const env = { MEDIAWIKI_DIR: directory };
    const archive = await bench.backup('agent-mediawiki', { env, exitCode: 3 });
    expect((await execa('tar', ['-xOf', archive, 'VERSION'])).stdout).toBe('unknown');
  });

  it('and its version: an archive of a newer wiki is restored over an older one with --force only', async () => {
    layOut(directory, `<?php\n${live()}`);
    const env = { MEDIAWIKI_DIR: directory };
    const archive = await bench.backup('agent-mediawiki', { env });
    const restore = (...args: string[]) =>
      bench.run('agent-mediawiki', ['restore', archive, '--only', 'files', ...args], { env });
    const here = (version: string) =>
      writeFileSync(
        join(directory, 'includes/Defines.php'),
        `<?php\ndefine( 'MW_VERSION', '${version}' );\n`,
      );
    here('1.39.9');
    const before = await snapshot(directory);
    const refused = await restore();
    expect(refused).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('here is 1.39.9, the archive is of 1.39.17'),
    });
    expect(await snapshot(directory)).toBe(before);
    expect(await restore('--force')).toMatchObject({ exitCode: 0 });
    here('1.40.0');
    expect(await restore('--force')).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining('upgrade its data'),
    });
  });

  it('and prints a whole path and whole JSON also where the password is an ordinary word', async () => {
    await server.query("CREATE USER plain@'%' IDENTIFIED BY 'media'; GRANT ALL ON wiki.* TO plain@'%'");
    layOut(directory, `<?php\n${live({ wgDBuser: "'plain'", wgDBpassword: "'media'" })}`);
    const env = { MEDIAWIKI_DIR: directory };
    const archive = await bench.backup('agent-mediawiki', { env });
    await execa('test', ['-f', archive]);
    const { stdout } = await bench.run('agent-mediawiki', ['--json'], { env });
    expect(JSON.parse(stdout)).toMatchObject({ result: 'ok', application: 'mediawiki' });
  });
});
