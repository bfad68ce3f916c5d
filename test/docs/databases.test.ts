// What docs/databases.md says of rights and of restores by hand, and docs/emergency.md of databases, done as it stands there on real servers: the accounts
// can do what they are for, and whatever is left out of their rights is found out by name.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { type Postgres, startPostgres } from '../helpers/postgres.ts';
import { type Bench, makeBench, type Ran } from '../helpers/run.ts';
import { blockOf as pageBlockOf } from './pages.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../../docs/databases.md'), 'utf8');
const PASSWORD = 'a long password';

/** @returns the block of a section that begins with a comment */
function blockOf(section: string, language: 'sql' | 'sh', title: string): string {
  const text = PAGE.split(/^## /m).find((part) => part.startsWith(`${section}\n`)) ?? '';
  const mark = language === 'sql' ? '--' : '#';
  const block = [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].find(
    ([, name, content]) => name === language && content?.startsWith(`${mark} ${title}\n`),
  );
  if (block === undefined) throw new Error(`${section} has no block of ${language} that begins "${title}"`);
  return block[2] as string;
}

/** @returns a block of docs/emergency.md for the database `app` */
const emergencyBlockOf = (begins: string): string =>
  pageBlockOf('docs/emergency.md', `# ${begins}`).replaceAll('wiki', 'app');

/** Statements that begin at the start of a line; what is indented belongs to the one before. */
const statementsOf = (block: string): string[] =>
  block
    .split(/;\n(?=\S|$)/)
    .map((text) => text.replace(/^--.*\n/gm, '').trim())
    .filter((text) => text !== '');

/** @returns each right that statements give, with the statements that give all the others */
function leftOut(statements: readonly string[]): { right: string; rest: string[] }[] {
  return statements.flatMap((statement, index) => {
    const others = statements.toSpliced(index, 1);
    const match = /^GRANT (.+?)( ON .+)$/s.exec(statement);
    const rights = match?.[1]?.split(', ') ?? [];
    if (/^CREATE /.test(statement)) return [];
    if (rights.length < 2) return [{ right: statement, rest: others }];
    return rights.map((right) => ({
      right,
      rest: [...others, `GRANT ${rights.filter((other) => other !== right).join(', ')}${match?.[2]}`],
    }));
  });
}

let bench: Bench;
beforeAll(() => {
  bench = makeBench();
});
afterAll(() => bench.remove());

const dump = (agent: string, url: string): Promise<Ran> =>
  bench.run(agent, ['--json'], { env: { GARNER_DATABASE_URL: url } });
const restore = (agent: string, archive: string, url: string, ...options: string[]): Promise<Ran> =>
  bench.run(agent, ['restore', archive, ...options], { env: { GARNER_RESTORE_DATABASE_URL: url } });
const archiveOf = ({ exitCode, stdout, stderr }: Ran): string => {
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  return JSON.parse(stdout).archive;
};
/** What a run that lacks a right says of it: its error, or its warning. */
const saidOf = ({ exitCode, stderr }: Ran): string => {
  expect([1, 3]).toContain(exitCode);
  return stderr;
};

describe('MySQL and MariaDB', () => {
  const SECTION = 'MySQL and MariaDB';
  let server: MariaDb;
  let archive: string;
  let whole: string;
  const url = (user: string): string =>
    `mysql://${user}:${encodeURIComponent(PASSWORD)}@localhost/app?socket=${server.socket}`;
  const account = async (user: string, statements: readonly string[]): Promise<void> => {
    await server.query(`DROP USER IF EXISTS ${user}@localhost; ${statements.join(';\n')};`);
  };
  const dumpAll = async (): Promise<string> =>
    (
      await execa('mariadb-dump', [
        ...['--no-defaults', '--user=root', `--socket=${server.socket}`, '--skip-comments'],
        ...['--routines', '--triggers', '--events', 'app'],
      ])
    ).stdout;
  const emptied = () => server.query('DROP DATABASE app; CREATE DATABASE app CHARACTER SET utf8mb4');

  beforeAll(async () => {
    server = await startMariadb();
    await server.query('CREATE DATABASE app CHARACTER SET utf8mb4');
    await server.query(
      `CREATE TABLE authors (id INT PRIMARY KEY) ENGINE=InnoDB;
       CREATE TABLE notes (id INT PRIMARY KEY AUTO_INCREMENT, t TEXT, author INT REFERENCES authors(id)) ENGINE=InnoDB;
       INSERT INTO authors VALUES (1); INSERT INTO notes (t, author) VALUES ('it''s 🦔', 1);
       CREATE VIEW long_notes AS SELECT * FROM notes WHERE length(t) > 3;
       CREATE SEQUENCE numbers START WITH 5;
       CREATE FUNCTION twice (x INT) RETURNS INT DETERMINISTIC RETURN 2 * x;
       CREATE PROCEDURE tidy () DELETE FROM notes WHERE t = '';
       CREATE TRIGGER stamp BEFORE INSERT ON notes FOR EACH ROW SET NEW.t = trim(NEW.t);
       CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM notes WHERE t = '';`,
      'app',
    );
    whole = await dumpAll();
  });
  afterAll(() => server?.stop());

  const dumpStatements = statementsOf(blockOf(SECTION, 'sql', 'an account for the dump'));
  const restoreStatements = statementsOf(blockOf(SECTION, 'sql', 'an account for the restore'));
  const keepDefiners = statementsOf(blockOf(SECTION, 'sql', 'to keep the definers'));

  it('is dumped and restored by the accounts of the page, with all that is in it', async () => {
    await account('garner_dump', dumpStatements);
    await account('garner_restore', [...restoreStatements, ...keepDefiners]);
    archive = archiveOf(await dump('agent-mariadb', url('garner_dump')));
    await emptied();
    const restored = await restore('agent-mariadb', archive, url('garner_restore'));
    // the version gate asks the server that the restore goes to
    expect([restored.exitCode, restored.stderr]).toEqual([0, expect.not.stringContaining('unknown')]);
    expect(await dumpAll()).toBe(whole);
    // what is put aside is dumped first
    const both = [
      ...restoreStatements,
      ...keepDefiners,
      ...dumpStatements.slice(1).map((text) => text.replace('garner_dump', 'garner_restore')),
    ];
    await account('garner_restore', both);
    const again = await restore('agent-mariadb', archive, url('garner_restore'), '--force');
    expect(again).toMatchObject({ exitCode: 0 });
    expect(await dumpAll()).toBe(whole);
  });

  it.each(leftOut(dumpStatements))(
    'says by name what a dump lacks without $right',
    async ({ right, rest }) => {
      await account('garner_dump', rest);
      const said = saidOf(await dump('agent-mariadb', url('garner_dump')));
      const name = right.replace(/^GRANT .* ON (.*) TO .*$/, '$1').replaceAll('`', '');
      expect(said.toLowerCase()).toContain(name.toLowerCase());
    },
  );

  it.each(leftOut(restoreStatements))(
    'says by name what a restore lacks without $right',
    async ({ right, rest }) => {
      await emptied();
      await account('garner_restore', rest);
      const { exitCode, stderr } = await restore('agent-mariadb', archive, url('garner_restore'));
      expect(exitCode).toBe(1);
      // of some rights the server tells the database only
      const unnamed = ['EVENT', 'CREATE ROUTINE'].includes(right);
      expect(stderr.toLowerCase()).toContain(unnamed ? "to database 'app'" : right.toLowerCase());
    },
  );

  it('belongs to the account that restores, where that may not keep the definers, and says so', async () => {
    await emptied();
    await account('garner_restore', restoreStatements);
    const { exitCode, stderr } = await restore('agent-mariadb', archive, url('garner_restore'));
    expect([exitCode, stderr]).toEqual([
      0,
      expect.stringMatching(/objects? of .*root.*: made for .*garner_restore/),
    ]);
    const definer = /DEFINER=`[^`]*`@`[^`]*`/g;
    const restored = await dumpAll();
    expect(restored.replace(definer, '')).toBe(whole.replace(definer, ''));
    expect([...new Set(restored.match(definer))]).toEqual(['DEFINER=`garner_restore`@`localhost`']);
  });

  it('comes back by hand, in an emergency too', async () => {
    const options = join(bench.directory, 'client.cnf');
    writeFileSync(options, `[client]\nuser=root\nsocket=${server.socket}\n`, { mode: 0o600 });
    const byHand = (script: string) =>
      execa(
        'bash',
        [
          '-euo',
          'pipefail',
          '-c',
          script.replaceAll(/\bmariadb (?=[-<])/g, `mariadb --defaults-file=${options} `),
        ],
        { env: { ARCHIVE: archive }, cwd: bench.directory },
      );
    await emptied();
    await byHand(blockOf(SECTION, 'sh', 'restore a MariaDB or MySQL database by hand'));
    expect(await dumpAll()).toBe(whole);
    await server.query('DROP DATABASE app');
    await execa('tar', ['-xf', archive, '-C', bench.directory]);
    await byHand(emergencyBlockOf('wiki.sql.zst: MariaDB'));
    expect(await dumpAll()).toBe(whole);
    await byHand(emergencyBlockOf('a new server'));
    expect(await server.query('SHOW GRANTS FOR app@localhost')).toContain('ALL PRIVILEGES ON `app`.*');
  });
});

describe('PostgreSQL', () => {
  const SECTION = 'PostgreSQL';
  let server: Postgres;
  let archive: string;
  let whole: string;
  const url = (user: string): string =>
    `postgresql://${user}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${server.port}/app`;
  const account = async (user: string, statements: readonly string[]): Promise<void> => {
    const exists = await server.query(`SELECT 1 FROM pg_roles WHERE rolname = '${user}'`);
    if (exists !== '')
      await server.query(`REASSIGN OWNED BY ${user} TO app; DROP OWNED BY ${user}; DROP ROLE ${user}`, 'app');
    await server.query(`${statements.join(';\n')};`, 'app');
  };
  const emptied = async (): Promise<void> => {
    await server.query('DROP DATABASE app');
    await server.query('CREATE DATABASE app OWNER app');
  };
  /** Owners and grants belong to the account that restores. */
  const dumpAll = async (): Promise<string> =>
    (
      await execa('pg_dump', [
        '-h',
        server.socketDir,
        '-p',
        `${server.port}`,
        '-U',
        'root',
        '--no-owner',
        '--no-privileges',
        'app',
      ])
    ).stdout.replace(/^\\(un)?restrict .*\n/gm, '');

  beforeAll(async () => {
    server = await startPostgres();
    await server.createDatabase('app', 'app', PASSWORD);
    await server.query(
      `SET ROLE app; CREATE SCHEMA intern; CREATE TABLE notes (id serial PRIMARY KEY, t text);
       INSERT INTO notes (t) VALUES ('it''s 🦔'); CREATE TABLE intern.log (l text); CREATE SEQUENCE numbers;
       CREATE VIEW long_notes AS SELECT * FROM notes WHERE length(t) > 3;
       CREATE MATERIALIZED VIEW kept AS SELECT * FROM notes;
       CREATE TABLE secret (o text); INSERT INTO secret VALUES ('app'), ('other');
       ALTER TABLE secret ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON secret USING (o = current_user);
       CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
       CREATE TRIGGER stamp BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION stamp();
       CREATE EXTENSION hstore; SELECT lo_from_bytea(0, 'a large object')`,
      'app',
    );
    whole = await dumpAll();
  });
  afterAll(() => server?.stop());

  const dumpStatements = statementsOf(blockOf(SECTION, 'sql', 'an account for the dump'));
  const restoreStatements = statementsOf(blockOf(SECTION, 'sql', 'an account for the restore'));

  it.each([
    ['GRANT pg_read_all_data', ['intern.log', 'notes', 'secret']],
    ['ALTER ROLE', ['"secret"']],
    ['DO', ['large object']],
  ])('says by name what a dump lacks without %s', async (right, named) => {
    const rest = dumpStatements.filter((statement) => !statement.startsWith(right));
    expect(rest).toHaveLength(dumpStatements.length - 1);
    await account('garner_dump', rest);
    const said = saidOf(await dump('agent-postgres', url('garner_dump')));
    for (const name of named) expect(said).toContain(name);
  });

  it('is dumped and restored by the accounts of the page, with all that is in it', async () => {
    await account('garner_dump', dumpStatements);
    archive = archiveOf(await dump('agent-postgres', url('garner_dump')));
    await emptied();
    await account('garner_restore', restoreStatements);
    expect(await restore('agent-postgres', archive, url('garner_restore'))).toMatchObject({ exitCode: 0 });
    expect(await dumpAll()).toBe(whole);
    expect(await restore('agent-postgres', archive, url('garner_restore'), '--force')).toMatchObject({
      exitCode: 0,
    });
    expect(await dumpAll()).toBe(whole);
  });

  it('says by name what a restore lacks without the ownership of the database', async () => {
    await emptied();
    await account('garner_restore', restoreStatements.slice(0, 1));
    const { exitCode, stderr } = await restore('agent-postgres', archive, url('garner_restore'));
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/permission denied .*(database|schema)/)]);
  });

  it('comes back by hand, in an emergency too', async () => {
    const env = { ARCHIVE: archive, PGHOST: server.socketDir, PGPORT: `${server.port}`, PGUSER: 'root' };
    const byHand = (script: string) =>
      execa('bash', ['-euo', 'pipefail', '-c', script], { env, cwd: bench.directory });
    await emptied();
    await byHand(blockOf(SECTION, 'sh', 'restore a PostgreSQL database by hand'));
    expect(await dumpAll()).toBe(whole);
    await server.query('DROP DATABASE app');
    await execa('tar', ['-xf', archive, '-C', bench.directory]);
    await byHand(emergencyBlockOf('wiki.dump.zst: PostgreSQL'));
    expect(await dumpAll()).toBe(whole);
  });
});

it('a SQLite database comes back by hand', async () => {
  const directory = join(bench.directory, 'by-hand');
  mkdirSync(directory);
  const file = join(directory, 'app.db');
  await execa('sqlite3', [file, "CREATE TABLE notes (t); INSERT INTO notes VALUES ('x'), (x'00ff')"]);
  const archive = await bench.backup('agent-sqlite', { env: { SQLITE_FILES: file } });
  const script = blockOf('SQLite', 'sh', 'restore a SQLite database by hand');
  const { stdout } = await execa('bash', ['-euo', 'pipefail', '-c', script], {
    env: { ARCHIVE: archive },
    cwd: directory,
  });
  expect(stdout).toBe('ok');
  const dumps = await Promise.all(
    [file, join(directory, 'app.restored')].map((path) => execa('sqlite3', [path, '.dump'])),
  );
  expect(dumps[1]?.stdout).toBe(dumps[0]?.stdout);
});
