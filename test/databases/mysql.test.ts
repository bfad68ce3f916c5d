// The MySQL engine against a real MariaDB, through agent-mariadb: what is dumped is counted right and comes back.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { harmfulDefaults, parseClientOptions } from '../../databases/toolkit/mysql-options.ts';
import { scanSqlDump } from '../../databases/toolkit/sql-scanner.ts';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';

const AGENT = join(import.meta.dirname, '../../bin/agent-mariadb');

let server: MariaDb;
let directory: string;

beforeAll(async () => {
  server = await startMariadb();
  directory = mkdtempSync(join(tmpdir(), 'garner-mysql-'));
});

afterAll(async () => {
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

function environment(url: string): Record<string, string> {
  return {
    GARNER_WORK_DIR: join(directory, 'work'),
    GARNER_RUN_DIR: join(directory, 'run'),
    GARNER_CONFIG_DIR: join(directory, 'etc'),
    GARNER_DATABASE_URL: url,
  };
}

interface Backup {
  archive: string;
  tables: Record<string, number>;
}

async function backUp(url: string): Promise<Backup> {
  const { stdout } = await execa(AGENT, ['--json'], { env: environment(url) });
  const { archive, members } = JSON.parse(stdout);
  const database = members.find(({ kind }: { kind: string }) => kind === 'database');
  return { archive, tables: database.database.tables };
}

const dumpOf = async (database: string): Promise<string> =>
  (
    await execa('mariadb-dump', [
      '--no-defaults',
      ...['--user=root', `--socket=${server.socket}`, '--skip-dump-date', '--skip-comments'],
      ...['--routines', '--triggers', '--events', '--hex-blob', '--order-by-primary', database],
    ])
  ).stdout;

const countOf = async (database: string, table: string): Promise<number> =>
  Number(await server.query(`SELECT COUNT(*) FROM \`${table.replaceAll('`', '``')}\``, database));

/** Values that look like the syntax around them. */
const HAZARDS = [
  "it's",
  "'",
  "''",
  '\\',
  "\\'",
  '),(',
  "'),('",
  ');\nINSERT INTO `other` VALUES (1);',
  ';',
  '\0',
  'a\0b',
  '\r\n',
  '-- Dump completed on',
  '/* x */',
  '`',
  '"',
  '😀 ünï',
  '\x1a',
  '\b\t%_',
];

describe('rows of each table', () => {
  it('are counted as SELECT COUNT(*) counts them, whatever the values look like', async () => {
    const url = await server.createDatabase('hazards', 'hazards', 'secret-1');
    const values = HAZARDS.map(
      (text) =>
        `(CONVERT(0x${Buffer.from(text).toString('hex')} USING utf8mb4), 0x${Buffer.from(text).toString('hex')})`,
    );
    await server.query(
      `CREATE TABLE texts (id INT AUTO_INCREMENT PRIMARY KEY, t TEXT, b BLOB) CHARACTER SET utf8mb4;
       INSERT INTO texts (t, b) VALUES ${values.join(',')};
       CREATE TABLE \`we\`\`ird VALUES (x\` (\`a'),(\` INT);
       INSERT INTO \`we\`\`ird VALUES (x\` VALUES (1),(2),(3);
       CREATE TABLE empty_one (id INT);
       CREATE TABLE other (id INT);
       CREATE TABLE many (id INT AUTO_INCREMENT PRIMARY KEY, t VARCHAR(200));
       INSERT INTO many (t) SELECT CONCAT('),(', seq, '''') FROM seq_1_to_50000;
       CREATE VIEW v AS SELECT id FROM many;
DELIMITER //
CREATE TRIGGER t AFTER INSERT ON other FOR EACH ROW BEGIN
INSERT INTO empty_one VALUES (1),(2);
END //`,
      'hazards',
    );
    const { tables } = await backUp(url);
    const names = ['texts', 'we`ird VALUES (x', 'empty_one', 'other', 'many'];
    expect(Object.keys(tables).sort()).toEqual([...names].sort());
    for (const name of names) expect(tables[name], name).toBe(await countOf('hazards', name));
    expect(tables.many).toBe(50_000);
  });

  it('are counted the same however the dump is cut into chunks', async () => {
    const dump = Buffer.from(await dumpOf('hazards').then((text) => `${text}\n-- Dump completed\n`));
    const whole = scanSqlDump();
    whole.scan(dump);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 40 }), (sizes) => {
        const scanner = scanSqlDump();
        for (let at = 0, n = 0; at < dump.length; n++) {
          const size = sizes[n % sizes.length] as number;
          scanner.scan(dump.subarray(at, at + size));
          at += size;
        }
        expect(scanner.tables).toEqual(whole.tables);
        expect(scanner.hasTrailer()).toBe(true);
        expect(scanner.sizeBytes).toBe(dump.length);
      }),
      { numRuns: 25, verbose: 1 },
    );
  });

  it('are counted in dumps with complete inserts, one row a statement, and REPLACE', async () => {
    const url = await server.createDatabase('shapes', 'shapes', 'secret-2');
    await server.query(
      "CREATE TABLE a (`id` INT PRIMARY KEY, `x VALUES (` TEXT); INSERT INTO a VALUES (1,'),('),(2,NULL),(3,';')",
      'shapes',
    );
    await server.query("GRANT RELOAD ON *.* TO shapes@'%'"); // for --lock-all-tables
    for (const params of [
      '--complete-insert',
      '--skip-extended-insert',
      '--replace',
      '--insert-ignore',
      '--skip-opt',
      '--skip-dump-date',
      '--lock-all-tables',
    ]) {
      const { stdout } = await execa(AGENT, ['--json'], {
        env: { ...environment(url), MYSQLDUMP_PARAMS: params },
      });
      expect(JSON.parse(stdout).members[1].database.tables, params).toEqual({ a: 3 });
    }
  });
});

describe('the trailer', () => {
  const ends = (end: string): boolean => {
    const scanner = scanSqlDump();
    scanner.scan(Buffer.from(`-- MariaDB dump\n${end}`));
    return scanner.hasTrailer();
  };

  it.each([
    '-- Dump completed\n',
    '-- Dump completed on 2026-11-21  9:05:01\n',
    '-- Dump completed on 2026-11-21 19:05:01\n\n/*M!100616 SET NOTE_VERBOSITY=@OLD_NOTE_VERBOSITY */;\n-- x\n',
  ])('is %j', (end) => expect(ends(end)).toBe(true));

  it.each([
    "INSERT INTO `t` VALUES\n('-- Dump completed on 2026-11-21 19:05:01",
    'CREATE PROCEDURE p()\nBEGIN\n-- Dump completed by this procedure\n',
    '-- Dump completed\nEND ;;\n',
    '-- Dump completed on 2026-11-21 19:05:01\nINSERT INTO `t` VALUES\n(1),\n',
    `-- Dump completed\n${'-- x\n'.repeat(300)}`,
  ])('is not %j', (end) => expect(ends(end)).toBe(false));
});

describe('a round trip', () => {
  it('brings back the same dump, into an empty database', async () => {
    const { archive } = await backUp(`mysql://hazards:secret-1@127.0.0.1:${server.port}/hazards`);
    await server.createDatabase('again', 'again', 'secret-3');
    const root = `mysql://root@localhost/again?socket=${server.socket}`;
    await execa(AGENT, ['restore', archive], {
      env: { ...environment(root), GARNER_RESTORE_DATABASE_URL: root },
    });
    expect(await dumpOf('again')).toBe(await dumpOf('hazards'));
  });

  it('is refused where the database is not empty, and with --force keeps a dump of what was there', async () => {
    const root = `mysql://root@localhost/again?socket=${server.socket}`;
    const env = { ...environment(root), GARNER_RESTORE_DATABASE_URL: root };
    const archive = readdirSync(join(directory, 'work'))
      .filter((name) => name.endsWith('.tar'))
      .map((name) => join(directory, 'work', name))
      .at(-1) as string;
    await server.query('CREATE TABLE of_now (id INT); INSERT INTO of_now VALUES (7)', 'again');
    const before = await dumpOf('again');
    const refused = await execa(AGENT, ['restore', archive], { env, reject: false });
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toMatch(/cannot restore ".*": it would replace .*again \(\d+ tables\)/);
    expect(await dumpOf('again')).toBe(before);

    const forced = await execa(AGENT, ['restore', archive, '--force'], { env });
    const aside = /what was in it before lies in (\S+)/.exec(forced.stderr)?.[1] as string;
    const old = await execa('zstd', ['-dc', aside]);
    expect(old.stdout).toContain('INSERT INTO `of_now` VALUES\n(7)');
    expect(await server.query('SHOW TABLES', 'again')).not.toContain('of_now');
  });
});

describe('a restore', () => {
  it('brings back rows that are older than a rule of their table', async () => {
    const url = await server.createDatabase('ruled', 'ruled', 'secret-6');
    await server.query(
      'CREATE TABLE t (i INT); INSERT INTO t VALUES (-1); SET check_constraint_checks = 0; ALTER TABLE t ADD CHECK (i > 0)',
      'ruled',
    );
    const { archive } = await backUp(url);
    const target = await server.createDatabase('ruled2', 'ruled', 'secret-6');
    await execa(AGENT, ['restore', archive], {
      env: { ...environment(url), GARNER_RESTORE_DATABASE_URL: target },
    });
    expect(await dumpOf('ruled2')).toBe(await dumpOf('ruled'));
  });

  it('fails where a statement does, also where an option file says that errors do not matter', async () => {
    const url = await server.createDatabase('forced', 'forced', 'secret-7');
    await server.query('CREATE TABLE t (i INT); INSERT INTO t VALUES (1)', 'forced');
    const { archive } = await backUp(url);
    await server.query(
      "CREATE DATABASE less; CREATE USER less IDENTIFIED BY 'secret-8'; GRANT CREATE, DROP, SELECT ON less.* TO less",
    );
    const home = mkdtempSync(join(directory, 'home-'));
    const file = `[client]\nhost=127.0.0.1\nport=${server.port}\nuser=less\npassword=secret-8\n[mysql]\nforce\n`;
    writeFileSync(join(home, '.my.cnf'), file, { mode: 0o600 });
    const env = { ...environment(''), HOME: home, GARNER_RESTORE_DATABASE_URL: 'mysql:///less' };
    const ran = await execa(AGENT, ['restore', archive], { env, reject: false });
    expect(ran.exitCode).toBe(1);
    expect(ran.stderr).toMatch(/cannot restore database .* command denied/);
  });
});

it('says which right a restore with --force lacks: the server was reached', async () => {
  const url = await server.createDatabase('undroppable', 'undropper', 'secret-9', 'SELECT, INSERT, CREATE');
  await server.query('CREATE TABLE t (i INT); INSERT INTO t VALUES (1)', 'undroppable');
  const { archive } = await backUp(await server.createDatabase('other', 'undropper', 'secret-9'));
  const before = await dumpOf('undroppable');
  const ran = await execa(AGENT, ['restore', archive, '--force', '--json'], {
    env: environment(url),
    reject: false,
  });
  expect(ran.exitCode).toBe(1);
  expect(JSON.parse(ran.stdout).error).toMatchObject({
    code: 'database-rights',
    message: expect.stringMatching(/^cannot use database ".*undroppable": .*Access denied/),
    hint: expect.stringContaining('GRANT'),
  });
  expect(await dumpOf('undroppable')).toBe(before);
});

it('says what the dump of what was there lacks, before that is replaced', async () => {
  await server.createDatabase('poor', 'poor', 'secret-5', 'SELECT, INSERT, CREATE, DROP, ALTER, TRIGGER');
  await server.query(
    'CREATE TABLE t (i INT); CREATE EVENT lost ON SCHEDULE EVERY 1 YEAR DO SELECT 1',
    'poor',
  );
  const { archive } = await backUp(await server.createDatabase('plain', 'poor', 'secret-5'));
  const env = environment(`mysql://poor:secret-5@127.0.0.1:${server.port}/poor`);
  const ran = await execa(AGENT, ['restore', archive, '--force'], { env });
  expect(ran.stderr).toMatch(
    /what was in it before: the account lacks EVENT on poor(.|\n)*what was in it before lies in/,
  );
});

describe('credentials', () => {
  it('reach the server whatever characters the password has', async () => {
    const ascii = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('');
    await server.query('CREATE DATABASE pw; CREATE TABLE pw.t (id INT)');
    for (const [index, password] of [
      ascii,
      ' # lead and trail ',
      '\ttab\n\r\\n"\'',
      'ünï 😀',
      '\\s\\',
      '#',
    ].entries()) {
      const literal = password.replace(/['\\]/g, '\\$&');
      await server.query(
        `CREATE USER pw${index} IDENTIFIED BY '${literal}'; GRANT ALL ON pw.* TO pw${index}`,
      );
      const url = `mysql://pw${index}:${encodeURIComponent(password)}@127.0.0.1:${server.port}/pw`;
      expect((await backUp(url)).tables, password).toEqual({ t: 0 });
    }
  });

  it("come from the client's own option files where no URL is set", async () => {
    const home = mkdtempSync(join(directory, 'home-'));
    writeFileSync(join(home, '.my.cnf'), `[client]\nsocket=${server.socket}\nuser=root\n`, { mode: 0o600 });
    const { GARNER_DATABASE_URL: _, ...env } = environment('');
    const { stdout } = await execa(AGENT, ['--json'], {
      env: { ...env, HOME: home, MARIADB_DATABASES: 'pw,shapes' },
    });
    const databases = JSON.parse(stdout).members.filter(({ kind }: { kind: string }) => kind === 'database');
    expect(databases.map(({ name }: { name: string }) => name)).toEqual(['pw.sql.zst', 'shapes.sql.zst']);
  });
});

describe('a dump that settings of others would make less than whole, and look whole, is refused', () => {
  it.each([
    'no-data',
    'where=id<2',
    'no_create_info',
    'loose-ignore-table-data=cut.t',
    'databases',
    'master-data=1',
  ])('with %s in an option file', async (option) => {
    await server.query(
      'CREATE DATABASE IF NOT EXISTS cut; CREATE OR REPLACE TABLE cut.t (id INT); INSERT INTO cut.t VALUES (1), (2)',
    );
    const home = mkdtempSync(join(directory, 'home-'));
    const file = `[client]\nsocket=${server.socket}\nuser=root\n[mysqldump]\n${option}\n`;
    writeFileSync(join(home, '.my.cnf'), file, { mode: 0o600 });
    const { GARNER_DATABASE_URL: _, ...env } = environment('');
    const ran = await execa(AGENT, { env: { ...env, HOME: home, MARIADB_DATABASES: 'cut' }, reject: false });
    expect(ran.exitCode).toBe(1);
    const name = option.replace(/=.*/, '').replace('loose-', '').replaceAll('_', '-');
    expect(ran.stderr).toContain(`a dump is not whole with --${name}, which the client's option files have`);
  });

  it('but not with those that are harmless or off', () => {
    expect(
      harmfulDefaults('x would have been started with:\n--quick --quote-names --no-data=0 --ssl'),
    ).toEqual([]);
  });

  it('by a server that gives part of the rows', async () => {
    const url = await server.createDatabase('some', 'some', 'secret-9');
    await server.query('SET GLOBAL sql_select_limit = 2');
    const ran = await execa(AGENT, { env: environment(url), reject: false });
    await server.query('SET GLOBAL sql_select_limit = 18446744073709551615');
    expect(ran.exitCode).toBe(1);
    expect(ran.stderr).toContain('the server gives no more than 2 rows of a table');
  });
});

it('dumps times of day that come twice a year as they are, whatever option files say', async () => {
  await server.query(
    `SET GLOBAL time_zone = '+01:00'; SET time_zone = '+00:00'; CREATE DATABASE times; CREATE TABLE times.t (t TIMESTAMP);
     INSERT INTO times.t VALUES ('2021-10-31 00:30:00')`,
  );
  const home = mkdtempSync(join(directory, 'home-'));
  const file = `[client]\nsocket=${server.socket}\nuser=root\n[mysqldump]\nskip-tz-utc\n`;
  writeFileSync(join(home, '.my.cnf'), file, { mode: 0o600 });
  const { GARNER_DATABASE_URL: _, ...env } = environment('');
  const ran = await execa(AGENT, { env: { ...env, HOME: home, MARIADB_DATABASES: 'times' } });
  await server.query('SET GLOBAL time_zone = DEFAULT');
  const sql = await execa('sh', ['-c', `tar -xOf "${ran.stdout}" times.sql.zst | zstd -dc`]);
  expect(sql.stdout).toContain("('2021-10-31 00:30:00')");
});

describe('MYSQLDUMP_PARAMS', () => {
  it.each([
    '--compact',
    '--result-file=/x',
    '-r/x',
    '--password=x',
    '-px',
    '--no-data',
    '-d',
    '--where=1',
    '-w1',
    '--ignore-table=a.b',
    '--ignore_table=a.b',
    '--compac',
    '--ignore-table-data=x',
    'users',
    '--no-create-info',
    '--skip-triggers',
    '--skip-comments',
    '--force',
    '-qd',
    '--databases',
    '--all-databases',
    '--tab=/tmp',
    '--master-data',
    '--master_data=1',
    '--compatible=ansi',
    '--NO-DATA',
    '--Where=1',
    '--loose-no_data',
    '--loose-enable-no-data',
    '--autoset-no-data',
    '--maximum-where=1',
    '--disable-comments',
    '--loose-disable-triggers',
    '--loose-master-data=1',
  ])('refuses %s', (option) => {
    expect(() => parseClientOptions(`--quick ${option}`)).toThrow(/MYSQLDUMP_PARAMS/);
  });

  it('does not tell the password of what it refuses', () => {
    expect(() => parseClientOptions('-qpsecret')).toThrow(/the option -qp is refused/);
  });

  it.each([
    ['--skip-dump-date', '--skip-extended-insert', '--complete-insert', '--order-by-primary', '-c'],
    ['--lock-all-tables', '--replace', '--insert-ignore', '--no-create-db', '--master-data=2', '--ssl'],
    ['--loose-ssl', '--enable-complete-insert', '--disable-tz-utc', '--loose-master-data=2', '--COMMENTS'],
  ])('takes %s %s %s %s %s', (...options) => {
    expect(parseClientOptions(options.join(' '))).toEqual(options);
  });

  it('may be the default of the scripts that it comes from', () => {
    const options = parseClientOptions('--single-transaction --skip-quote-names --hex-blob');
    expect(options).toEqual(['--single-transaction', '--hex-blob']);
    expect(() => parseClientOptions('--skip-quote')).toThrow(/is refused/);
  });

  it('is split like a command line, without a shell', () => {
    expect(parseClientOptions(`--ssl-ca='/a b/c' --comments "--y=$(id)"`)).toEqual([
      '--ssl-ca=/a b/c',
      '--comments',
      '--y=$(id)',
    ]);
  });
});

it('warns of tables that are in no snapshot', async () => {
  const url = await server.createDatabase('isam', 'isam', 'secret-4');
  await server.query('CREATE TABLE old (id INT) ENGINE=MyISAM', 'isam');
  const result = await execa(AGENT, ['--json'], { env: environment(url), reject: false });
  expect(result.exitCode).toBe(3);
  expect(JSON.parse(result.stdout).warnings[0].message).toContain('old (MyISAM)');
});

it('warns of tables whose rows are elsewhere, unless an option brings them in', async () => {
  const url = await server.createDatabase('merged', 'merged', 'secret-4');
  await server.query(
    `INSTALL SONAME 'ha_federatedx';
     CREATE TABLE rows_1 (id INT) ENGINE=MyISAM; INSERT INTO rows_1 VALUES (1), (2);
     CREATE TABLE both_of (id INT) ENGINE=MERGE UNION=(rows_1);
     CREATE TABLE far (id INT) ENGINE=FEDERATED CONNECTION='mysql://merged:secret-4@127.0.0.1:${server.port}/merged/rows_1';`,
    'merged',
  );
  const warned = async (params: string): Promise<string | undefined> => {
    const env = { ...environment(url), MYSQLDUMP_PARAMS: params };
    const { stdout } = await execa(AGENT, ['--json'], { env, reject: false });
    const { result, warnings } = JSON.parse(stdout);
    expect(result).toBe('warnings'); // of MyISAM
    expect(warnings[0].message).toMatch(/: rows_1 \(MyISAM\)$/);
    return warnings.find(({ code }: { code: string }) => code === 'rows-elsewhere')?.message;
  };
  expect(await warned('')).toBe(
    '2 tables of merged whose rows are elsewhere and not in the dump: both_of (MRG_MyISAM), far (FEDERATED)',
  );
  expect(await warned('--skip-no-data-med')).toBeUndefined();
});

it('leaves no option file behind', () => {
  expect(readdirSync(tmpdir()).filter((name) => name.startsWith('.part-garner'))).toEqual([]);
});
