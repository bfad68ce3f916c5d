// Several applications in one MySQL database: a dump has the tables of one, a restore replaces those and no others.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import engine from '../../databases/mysql.ts';
import type { MysqlConnection } from '../../databases/toolkit/mysql-client.ts';
import { namesOfPart } from '../../databases/toolkit/mysql-part.ts';
import { dumpTo, restoreFrom } from '../helpers/engine.ts';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';

const MARKS = ['options', 'users'];

it.each<[string, string[], string, string[]]>([
  ['all of a prefix', ['wp_options', 'wp_users', 'wp_2_options', 'wp_x'], 'wp_', []],
  ['a name that lacks the prefix', ['wp_options', 'wpx', 'WP_x', 'x_wp_'], 'wp_', ['wpx', 'WP_x', 'x_wp_']],
  [
    'a longer prefix',
    ['wp_x', 'wp_b_options', 'wp_b_users', 'wp_b_x'],
    'wp_',
    ['wp_b_options', 'wp_b_users', 'wp_b_x'],
  ],
  ['one that has not all marks', ['wp_b_options', 'wp_b_x'], 'wp_', []],
  [
    'the shorter prefix',
    ['wp_options', 'wp_users', 'wp_b_options', 'wp_b_users'],
    'wp_b_',
    ['wp_options', 'wp_users'],
  ],
  ['a pattern that is none', ['a.b_x', 'a%b_x', 'aab_x'], 'a.b_', ['a%b_x', 'aab_x']],
])('a part has %s', (_, names, prefix, others) => {
  expect([...namesOfPart(names, { prefix, marks: MARKS })]).toEqual(
    names.filter((name) => !others.includes(name)),
  );
});

it('has names of any case where the server does not keep it', () => {
  const names = ['wp_options', 'WP_Users', 'wq_x'];
  expect([...namesOfPart(names, { prefix: 'Wp_', marks: MARKS }, true)]).toEqual(['wp_options', 'WP_Users']);
});

describe('a database that two share', () => {
  let server: MariaDb;
  let directory: string;
  let connection: MysqlConnection;
  const tables = (prefix: string): string => `
    CREATE TABLE ${prefix}options (i INT PRIMARY KEY, t TEXT);
    CREATE TABLE ${prefix}users (i INT PRIMARY KEY, o INT, FOREIGN KEY (o) REFERENCES ${prefix}options (i));
    INSERT INTO ${prefix}options VALUES (1, '${prefix}');
    INSERT INTO ${prefix}users VALUES (1, 1);
    CREATE DEFINER = 'shared'@'%' VIEW ${prefix}view AS SELECT t FROM ${prefix}options;
    CREATE DEFINER = 'shared'@'%' TRIGGER ${prefix}trigger BEFORE INSERT ON ${prefix}options FOR EACH ROW SET NEW.t = '${prefix}';`;
  const dumpOf = async (...names: string[]): Promise<string> => {
    const account = ['--no-defaults', '--user=root', `--socket=${server.socket}`, '--skip-dump-date'];
    return (await execa('mariadb-dump', [...account, '--routines', 'shared', ...names])).stdout;
  };
  const names = async (like: string): Promise<string[]> =>
    (await server.query(`SHOW TABLES LIKE '${like}'`, 'shared')).split('\n');

  beforeAll(async () => {
    server = await startMariadb();
    directory = mkdtempSync(join(tmpdir(), 'garner-part-'));
  });
  afterAll(async () => {
    await server?.stop();
    rmSync(directory, { recursive: true });
  });
  beforeEach(async () => {
    await server.query('DROP DATABASE IF EXISTS shared');
    const url = await server.createDatabase('shared', 'shared', 'secret');
    await server.query(
      `${tables('wp_')}${tables('wp_shop_')}${tables('blog_')} CREATE TABLE wp_2_options (i INT);
       CREATE DEFINER = 'shared'@'%' PROCEDURE counting() SELECT count(*) FROM blog_options;`,
      'shared',
    );
    connection = {
      ...engine.connectionFromUrl(new URL(url)),
      part: { prefix: 'wp_', marks: MARKS },
    };
  });

  it('has the tables, views and triggers of one in a dump', async () => {
    const file = join(directory, 'one.sql');
    const facts = await dumpTo(engine, connection, file);
    expect(facts.tables).toEqual({ wp_2_options: 0, wp_options: 1, wp_users: 1 });
    const text = readFileSync(file, 'utf8');
    expect(text).toMatch(/VIEW `wp_view`/);
    expect(text).toMatch(/TRIGGER wp_trigger/);
    expect(text).not.toMatch(/shop|blog/);
    const described = await engine.inspect(connection, new AbortController().signal);
    expect(described.tables).toEqual(['wp_2_options', 'wp_options', 'wp_users', 'wp_view']);
  });

  it('is a whole dump where nothing is of others', async () => {
    for (const other of ['blog_', 'wp_shop_']) {
      await server.query(`DROP VIEW ${other}view; DROP TABLE ${other}users, ${other}options`, 'shared');
    }
    const file = join(directory, 'whole.sql');
    await dumpTo(engine, connection, file);
    expect(readFileSync(file, 'utf8')).toMatch(/PROCEDURE `counting`/);
  });

  it('is refused where there is no table of the prefix', async () => {
    const none = { ...connection, part: { prefix: 'wq_', marks: MARKS } };
    await expect(dumpTo(engine, none, join(directory, 'none.sql'))).rejects.toThrow('begins with "wq_"');
  });

  it('gets one back, and the others stay as they are', async () => {
    const file = join(directory, 'back.sql');
    await dumpTo(engine, connection, file);
    const before = await dumpOf();
    await server.query("UPDATE wp_options SET t = 'changed'; CREATE TABLE wp_new (i INT)", 'shared');
    // whoever drops a table and makes it again changes what only the server knows
    const madeAt = (): Promise<string> =>
      server.query(
        "SELECT NAME, TABLE_ID FROM information_schema.INNODB_SYS_TABLES WHERE NAME LIKE '%blog%' OR NAME LIKE '%shop%'",
      );
    const others = await madeAt();
    const aside = { path: () => '', dump: async () => 'aside.sql' };
    const { signal } = new AbortController();
    expect(await engine.occupied(connection, signal)).toBe('5 tables');
    await restoreFrom(engine, connection, file, { aside });
    expect(await dumpOf()).toBe(before);
    expect(await madeAt()).toBe(others);
    expect(await names('wp\\_new')).toEqual(['']);
  });

  it('is refused an archive that would replace what is of others', async () => {
    const before = await dumpOf();
    for (const foreign of ['blog_options', 'wp_shop_options', 'wp_shop_more']) {
      const restoring = engine.restore(connection, {
        decode: () => Promise.reject(new Error('it was read')),
        decodeToFile: () => Promise.reject(new Error('it was read')),
        tables: ['wp_options', foreign],
        aside: undefined,
        roles: undefined,
        jobs: undefined,
        signal: new AbortController().signal,
      });
      await expect(restoring).rejects.toThrow(`not of the prefix "wp_": ${foreign}`);
    }
    expect(await dumpOf()).toBe(before);
  });
});
