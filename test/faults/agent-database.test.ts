// What agents do when the database or its client misbehaves. A real MariaDB; clients that lie stand ahead on the PATH.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import mysql from '../../databases/mysql.ts';
import type { DumpFacts } from '../../databases/toolkit/engine.ts';
import { dumpTo } from '../helpers/engine.ts';
import { expectFailure as expectFailedRun } from '../helpers/expect-failure.ts';
import { fakeClients, HELP, onlyPrograms } from '../helpers/fake-clients.ts';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { untilNoProcessWith, watchProcesses } from '../helpers/processes.ts';
import { type Bench, makeBench, type Ran } from '../helpers/run.ts';

const PASSWORD = 'canary-#4711 "x"';
const AGENT = 'agent-mariadb';

let server: MariaDb;
let bench: Bench;

beforeAll(async () => {
  server = await startMariadb();
  await server.createDatabase('shop', 'shop', PASSWORD);
  const rows = Array.from({ length: 200 }, (_, i) => `(${i}, 'some text that fills a row')`).join(',');
  await server.query(
    `CREATE TABLE a(i INT, t TEXT); CREATE TABLE b(i INT, t TEXT); INSERT INTO b VALUES ${rows};`,
    'shop',
  );
});
afterAll(() => server.stop());
beforeEach(() => {
  bench = makeBench();
  useDatabase();
  return () => bench.remove();
});

function useDatabase({ user = 'shop', password = PASSWORD, port = server.port, name = 'shop' } = {}): void {
  const url = `mysql://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}/${name}`;
  bench.configure(`${AGENT}.env`, `GARNER_DATABASE_URL='${url}'\n`);
}

function expectFailure(ran: Ran, cause: RegExp): void {
  expect(ran.stdout).toBe('');
  expectFailedRun(bench, ran, cause);
}

const runWith = (dump: string, env: Record<string, string> = {}): Promise<Ran> =>
  bench.run(AGENT, [], {
    env: { PATH: fakeClients(bench.directory, { 'mariadb-dump': `${HELP}\n${dump}` }), ...env },
  });

it('F01 fails where the server is killed while it dumps, and says so', async () => {
  const doomed = await startMariadb();
  try {
    const url = await doomed.createDatabase('shop', 'shop', PASSWORD);
    await doomed.query(
      "CREATE TABLE a (i INT, t LONGTEXT); INSERT INTO a SELECT seq, REPEAT('x', 100000) FROM seq_1_to_300",
      'shop',
    );
    bench.configure(`${AGENT}.env`, `GARNER_DATABASE_URL='${url}'\n`);
    // the client is held in the middle of its output until the server is dead
    const gate = join(bench.directory, 'gate');
    await execa('mkfifo', [gate]);
    const running = runWith(`"$REAL" "$@" | { head -c 5000000; cat "${gate}"; cat; }; exit 2`);
    const dumping = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT /*!40001%'";
    while ((await doomed.query(dumping)) === '0');
    await doomed.kill();
    writeFileSync(gate, '');
    expectFailure(await running, /cannot dump database .*(2013|Lost connection)/);
  } finally {
    await doomed.stop();
  }
});

it('F03 fails where the client prints everything and then exits with 2', async () => {
  expectFailure(await runWith('"$REAL" "$@"; exit 2'), /cannot dump database .*exit code 2/);
});

it('F04 fails where the client ends with 0 after part of the dump, wherever it was cut', async () => {
  for (const bytes of [1, 700, 1500, 4000]) {
    expectFailure(await runWith(`"$REAL" "$@" | head -c ${bytes}; exit 0`), /the dump is cut off/);
  }
  const trailer = 'echo; echo "-- Dump completed on 2026-01-01"';
  expectFailure(
    await runWith(`"$REAL" "$@" | head -c 900; ${trailer}`),
    /tables are missing from the dump: .*b/,
  );
});

it('F08 fails where the client writes nothing and exits with 0', async () => {
  expectFailure(await runWith('exit 0'), /the client wrote nothing/);
});

it('F05 fails for an account that may not read every table', async () => {
  await server.query("CREATE USER half@'%' IDENTIFIED BY 'canary-half'; GRANT ALL ON shop.a TO half@'%'");
  useDatabase({ user: 'half', password: 'canary-half' });
  expectFailure(await bench.run(AGENT), /the account may not read the whole database, only a/);
});

it('F05 names the tables of MediaWiki that the account may not read', async () => {
  await server.query(
    "CREATE DATABASE wiki; CREATE TABLE wiki.mw_page(i INT); CREATE TABLE wiki.mw_user(i INT); CREATE USER w@'%' IDENTIFIED BY 'canary-w'; GRANT ALL ON wiki.mw_page TO w@'%'",
  );
  const directory = join(bench.directory, 'wiki');
  await execa('mkdir', ['-p', join(directory, 'maintenance'), join(directory, 'images')]);
  writeFileSync(
    join(directory, 'maintenance/tables-generated.sql'),
    'CREATE TABLE /*_*/page (\nCREATE TABLE /*_*/user (\n',
  );
  writeFileSync(
    join(directory, 'LocalSettings.php'),
    `<?php\n$wgDBserver='127.0.0.1:${server.port}';$wgDBname='wiki';$wgDBuser='w';$wgDBpassword='canary-w';$wgDBprefix='mw_';`,
  );
  const ran = await bench.run('agent-mediawiki', [], { env: { MEDIAWIKI_DIR: directory } });
  expectFailure(ran, /the account may not read mw_user/);
});

it('F05 takes rights that come by a role or by a pattern, and warns of those that lack', async () => {
  await server.query(
    "CREATE ROLE reader; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `sh%`.* TO reader; GRANT SELECT ON mysql.proc TO reader; CREATE USER r@'%' IDENTIFIED BY 'canary-r'; GRANT reader TO r@'%'; SET DEFAULT ROLE reader FOR r@'%'",
  );
  useDatabase({ user: 'r', password: 'canary-r' });
  expect(await bench.run(AGENT)).toMatchObject({ exitCode: 0 });
  await server.query('REVOKE TRIGGER, EVENT ON `sh%`.* FROM reader; REVOKE SELECT ON mysql.proc FROM reader');
  const warned = await bench.run(AGENT);
  expect(warned.exitCode).toBe(3);
  for (const statement of ['TRIGGER ON `shop`.*', 'EVENT ON `shop`.*', 'SELECT ON mysql.proc']) {
    expect(warned.stderr).toContain(`GRANT ${statement} TO 'r'@'%'`);
  }
});

it('F05 sees that a narrower grant takes the place of a wider one, as it does for the server', async () => {
  const dumped = async (name: string, ...grants: string[]): Promise<DumpFacts> => {
    const user = `narrow_${name}`;
    const given = grants.map((grant) => `GRANT ${grant} TO ${user}@'%'`).join('; ');
    await server.query(`CREATE USER ${user}@'%' IDENTIFIED BY 'canary-n'; ${given}`);
    const url = new URL(`mysql://${user}:canary-n@127.0.0.1:${server.port}/shop`);
    return dumpTo(mysql, mysql.connectionFromUrl(url), join(bench.directory, name));
  };
  const all = 'ALL PRIVILEGES ON `sh%`.*';
  await expect(dumped('none', all, 'EXECUTE, EVENT ON shop.*')).rejects.toThrow(
    /may not read .*, only nothing/,
  );
  await expect(dumped('one', all, 'EXECUTE ON `sho_`.*', 'SELECT ON shop.a')).rejects.toThrow(/only a/);
  const { tables, warnings } = await dumped('triggers', all, 'SELECT, SHOW VIEW, EVENT, EXECUTE ON shop.*');
  expect(tables).toEqual({ a: 0, b: 200 });
  expect(warnings.map(({ message }) => message)).toEqual([expect.stringMatching(/lacks TRIGGER on shop/)]);
  const wider = await dumped(
    'wider',
    'SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON shop.*',
    'EXECUTE ON `sh%`.*',
  );
  expect(wider).toMatchObject({ tables: { a: 0, b: 200 }, warnings: [] });
});

it('F05 names the views and routines that the account may see and not dump', async () => {
  const url = await server.createDatabase('parts', 'parts', PASSWORD, 'SELECT, TRIGGER, EVENT, EXECUTE');
  bench.configure(`${AGENT}.env`, `GARNER_DATABASE_URL='${url}'\n`);
  await server.query('CREATE VIEW v AS SELECT 1; CREATE PROCEDURE p() SELECT 1', 'parts');
  const noView = await bench.run(AGENT);
  expectFailure(noView, /lacks SHOW VIEW for v/);
  expect(noView.stderr).toContain("GRANT SHOW VIEW ON `parts`.* TO 'parts'@'%'");
  await server.query("GRANT SHOW VIEW ON parts.* TO parts@'%'");
  const noRoutine = await bench.run(AGENT);
  expectFailure(noRoutine, /may not show what belongs to another: procedure p/);
  expect(noRoutine.stderr).toContain("GRANT SELECT ON mysql.proc TO 'parts'@'%'");
  await server.query("GRANT SELECT ON mysql.proc TO parts@'%'");
  expect(await bench.run(AGENT)).toMatchObject({ exitCode: 0 });
});

it('F05 fails for an account that may read some columns only', async () => {
  await server.query(
    "CREATE USER part@'%' IDENTIFIED BY 'canary-part'; GRANT SELECT (i), INSERT ON shop.a TO part@'%'",
  );
  useDatabase({ user: 'part', password: 'canary-part' });
  expectFailure(await bench.run(AGENT), /the account may not read the whole database, only nothing/);
});

it('F07 fails on a broken view, and names it', async () => {
  const url = await server.createDatabase('views', 'views', PASSWORD);
  await server.query(
    'CREATE TABLE t(i INT); CREATE VIEW broken_view AS SELECT * FROM t; DROP TABLE t',
    'views',
  );
  bench.configure(`${AGENT}.env`, `GARNER_DATABASE_URL='${url}'\n`);
  expectFailure(await bench.run(AGENT), /broken_view/);
});

it('F07 names every broken view, and warns of one whose definer is gone', async () => {
  const url = await server.createDatabase('definers', 'definers', PASSWORD);
  bench.configure(`${AGENT}.env`, `GARNER_DATABASE_URL='${url}'\n`);
  await server.query(
    `CREATE TABLE t(i INT); CREATE DEFINER=gone@'%' VIEW orphan AS SELECT * FROM t;
     CREATE TABLE t2(i INT); CREATE VIEW broken1 AS SELECT * FROM t2; CREATE VIEW broken2 AS SELECT * FROM t2; DROP TABLE t2`,
    'definers',
  );
  expectFailure(await bench.run(AGENT), /broken views: broken1 .*, broken2 /);
  await server.query('DROP VIEW broken1, broken2', 'definers');
  const warned = await bench.run(AGENT);
  expect(warned).toMatchObject({
    exitCode: 3,
    stderr: expect.stringContaining('that nobody can use: orphan'),
  });
});

it('F07 fails where a view, a routine, a trigger or an event is not in the dump', async () => {
  const url = await server.createDatabase('objects', 'objects', PASSWORD);
  bench.configure(`${AGENT}.env`, `GARNER_DATABASE_URL='${url}'\n`);
  await server.query(
    `SET SESSION sql_mode = '';
     CREATE TABLE t(i INT);
     CREATE VIEW a_view AS SELECT 'it\`s' AS t;
     CREATE DEFINER=objects@'%' PROCEDURE a_routine() SELECT 'it\`s';
     CREATE DEFINER=objects@'%' TRIGGER a_trigger BEFORE INSERT ON t FOR EACH ROW SET @x = '\`';
     SET SESSION sql_mode = 'ANSI_QUOTES';
     CREATE DEFINER=objects@'%' EVENT an_event ON SCHEDULE EVERY 1 DAY DISABLE DO SET @x = '\`';`,
    'objects',
  );
  expect(await bench.run(AGENT)).toMatchObject({ exitCode: 0 });
  const lost = {
    '50001 VIEW': 'view a_view',
    PROCEDURE: 'procedure a_routine',
    TRIGGER: 'trigger a_trigger',
    EVENT: 'event an_event',
  };
  for (const [word, name] of Object.entries(lost)) {
    const ran = await runWith(`"$REAL" "$@" | sed '/^[/C].*${word} .*an*_/d'`, {
      GARNER_WORK_DIR: join(bench.directory, word),
    });
    expect(ran).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining(`missing from the dump: ${name}`),
    });
  }
});

it('warns where a half-filled table took the place of another while it was dumped', async () => {
  await server.createDatabase('online', 'online', PASSWORD);
  await server.query(
    `CREATE TABLE z (i INT PRIMARY KEY); INSERT INTO z SELECT seq FROM seq_1_to_100; DO SLEEP(1.1);
     CREATE TABLE _new LIKE z; INSERT INTO _new SELECT i FROM z LIMIT 10; CREATE TABLE a (t TEXT);
     INSERT INTO a SELECT REPEAT('x', 1000) FROM seq_1_to_3000`,
    'online',
  );
  const swap = `mariadb --no-defaults --user=root --socket=${server.socket} online -e "INSERT IGNORE INTO _new SELECT i FROM z; RENAME TABLE z TO _old, _new TO z"`;
  useDatabase({ name: 'online', user: 'online' });
  const ran = await runWith(`"$REAL" "$@" | (head -c 1000000; ${swap}; cat)`);
  expect(ran.exitCode).toBe(3);
  expect(ran.stderr).toMatch(/tables of online were altered or replaced while dumped, .*: z; back up again/);
});

it('F09 ends a dump that hangs on a lock at the time limit, with all that it started', async () => {
  const client = execa('mariadb', ['--no-defaults', '--user=root', `--socket=${server.socket}`, 'shop'], {
    input: 'LOCK TABLES b WRITE; SELECT "locked"; DO SLEEP(600);',
    reject: false,
  });
  try {
    for (;;) {
      const held = await server.query(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'DO SLEEP%'",
      );
      if (held === '1') break;
    }
    const ran = await bench.run(AGENT, [], { env: { GARNER_TIMEOUT: '3s', TEST_MARK: bench.directory } });
    expectFailure(ran, /the time limit of 3.0 s has passed/);
    expect(await untilNoProcessWith(bench.directory)).toEqual([]);
  } finally {
    client.kill('SIGKILL');
    await client;
  }
});

it('F09 ends a client that ignores SIGTERM and leaves a grandchild', async () => {
  const ran = await runWith('trap "" TERM; sleep 600 & sleep 600; sleep 600', {
    GARNER_TIMEOUT: '2s',
    TEST_MARK: bench.directory,
  });
  expectFailure(ran, /the time limit of 2.0 s has passed/);
  expect(await untilNoProcessWith(bench.directory)).toEqual([]);
});

it('F10 says in one line that the password is wrong, the server down, the database missing', async () => {
  useDatabase({ password: 'canary-wrong' });
  expectFailure(await bench.run(AGENT), /cannot reach database "shop@127.0.0.1:\d+\/shop": .*Access denied/);
  useDatabase({ port: 1 });
  expectFailure(await bench.run(AGENT), /cannot reach database .*(Can't connect|111)/);
  useDatabase({ name: 'absent' });
  expectFailure(await bench.run(AGENT), /cannot (use|reach) database .*(denied|Unknown database).*absent/);
});

it('F10 says which program is missing and which package has it', async () => {
  const PATH = await onlyPrograms(bench.directory, [
    'sh',
    'readlink',
    'basename',
    'dirname',
    'node',
    'zstd',
    'tar',
  ]);
  const ran = await bench.run(AGENT, [], { env: { PATH } });
  expectFailure(ran, /cannot find program "mariadb" or "mysql": it is not on the PATH/);
  expect(ran.stderr).toContain('hint: apt-get install mariadb-client');
});

it('F60 shows the password to nobody while it runs, and leaves it nowhere', async () => {
  const forms = [
    'canary-#4711',
    encodeURIComponent(PASSWORD),
    Buffer.from(PASSWORD).toString('base64').slice(0, 20),
  ];
  const slow = { mariadb: 'sleep 0.2; exec "$REAL" "$@"', 'mariadb-dump': 'sleep 0.2; exec "$REAL" "$@"' };
  const env = { PATH: fakeClients(bench.directory, slow), TMPDIR: join(bench.directory, 'tmp') };
  await execa('mkdir', [env.TMPDIR]);
  const stop = watchProcesses(forms);
  const ran = await bench.run(AGENT, ['--json'], { env });
  const { found, seen } = stop();
  expect(ran.exitCode).toBe(0);
  expect(seen).toBeGreaterThan(5);
  expect(found).toEqual([]);

  const killed = bench.start(AGENT, [], { env: { ...env, TEST_MARK: bench.directory } });
  setTimeout(() => killed.kill('SIGKILL'), 700);
  await killed;
  await untilNoProcessWith(bench.directory);
  const failed = await runWith('"$REAL" "$@" >&2; exit 2', env);
  for (const form of forms) {
    for (const { stdout, stderr } of [ran, failed]) expect(stdout + stderr).not.toContain(form);
    const grep = ['-rlaF', '--exclude-dir=config', '--', form, bench.directory];
    expect((await execa('grep', grep, { reject: false })).stdout).toBe('');
  }
  expect((await execa('ls', ['-A', env.TMPDIR])).stdout).toBe('');
});
