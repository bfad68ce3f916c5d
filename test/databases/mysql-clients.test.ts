// Which client meets which server, and what becomes of a dump for those that can do less. Debian has MariaDB's client
// only: the others are programs that print and refuse what the documentation says, around the real one.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { judgePair, readVersion } from '../../databases/toolkit/mysql-versions.ts';
import { filterDump } from '../../databases/toolkit/sql-definers.ts';
import { fakeClients } from '../helpers/fake-clients.ts';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { type Bench, makeBench, ranOf } from '../helpers/run.ts';

const AGENT = 'agent-mariadb';

const CLIENTS = {
  mysql57: 'mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)',
  mysql80: 'mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)',
  mariadb1011: 'mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)',
  mariadb114: 'mariadb-dump from 11.4.2-MariaDB, client 10.19 for Linux (x86_64)',
};

describe('versions', () => {
  it.each([
    [CLIENTS.mysql57, 'MySQL', 5, '5.7.44'],
    [CLIENTS.mysql80, 'MySQL', 8, '8.0.36'],
    [CLIENTS.mariadb1011, 'MariaDB', 10, '10.11.19'],
    [CLIENTS.mariadb114, 'MariaDB', 11, '11.4.2'],
    ['5.5.5-10.4.8-MariaDB-log', 'MariaDB', 10, '10.4.8'],
    ['11.4.2-MariaDB-ubu2404', 'MariaDB', 11, '11.4.2'],
    ['8.0.36-28', 'MySQL', 8, '8.0.36'],
    ['5.5.62-log', 'MySQL', 5, '5.5.62'],
  ])('are read from "%s"', (text, kind, major, shown) => {
    expect(readVersion(text)).toEqual({ kind, major, text: shown });
  });

  it.each([
    [
      CLIENTS.mysql80,
      '10.11.19-MariaDB',
      /mysqldump 8.0.36 is MySQL's, the server is MariaDB 10.11.19.*mariadb-client/,
    ],
    [
      CLIENTS.mariadb1011,
      '8.0.36',
      /mysqldump 10.11.19 is MariaDB's, the server is MySQL 8.0.36.*MySQL 8 or newer/,
    ],
    [CLIENTS.mysql57, '8.0.36', /older than the server/],
    [CLIENTS.mariadb1011, '11.4.2-MariaDB', /older than the server.*MariaDB 11 or newer/],
    [CLIENTS.mariadb114, '5.5.5-10.4.8-MariaDB', undefined],
    [CLIENTS.mysql80, '5.7.44-log', undefined],
  ])('%s against %s', (client, server, warning) => {
    const found = judgePair(
      { ...readVersion(client), file: '/usr/bin/mysqldump', knows: () => false },
      readVersion(server),
    );
    if (warning === undefined) expect(found).toEqual([]);
    else expect(found[0]?.message).toMatch(warning);
  });
});

describe('a dump for an account that may not set definers', () => {
  const q = '`app`@`%`';
  const DUMP = `/*M!999999\\- enable the sandbox mode */ 
-- CREATE DEFINER=\`a\`@\`b\` PROCEDURE in a comment
INSERT INTO \`t\` VALUES ('CREATE DEFINER=\`a\`@\`b\`'),
('/*!50013 DEFINER=\`a\`@\`b\` SQL SECURITY DEFINER */');
/*!50003 CREATE*/ /*!50017 DEFINER=\`we\`\`ird\`@\`%\`*/ /*!50003 TRIGGER t1 BEFORE INSERT ON t FOR EACH ROW SET @x = 1 */;;
/*!50106 CREATE*/ /*!50117 DEFINER="qu""oted"@"%"*/ /*!50106 EVENT \`e\` ON SCHEDULE EVERY 1 DAY DO SET @x = 1 */ ;;
CREATE DEFINER=\`role\` PROCEDURE \`p\`()
CREATE DEFINER=${q} FUNCTION \`own\`() RETURNS INT RETURN 1
/*!50013 DEFINER=\`gone\`@\`%\` SQL SECURITY DEFINER */
/*!50001 VIEW \`v\` AS select ${'x'.repeat(9000)} DEFINER=\`a\`@\`b\` */`;
  const EXPECTED = DUMP.replace(/^.*sandbox.*\n/, '')
    .replace('DEFINER=`we``ird`@`%`*/', 'DEFINER=CURRENT_USER*/')
    .replace('DEFINER="qu""oted"@"%"*/', 'DEFINER=CURRENT_USER*/')
    .replace('DEFINER=`role` ', 'DEFINER=CURRENT_USER ')
    .replace('DEFINER=`gone`@`%`', 'DEFINER=CURRENT_USER');

  it('has that account instead, and nothing else changed, however it is cut into chunks', () => {
    const dump = Buffer.concat([Buffer.from(DUMP), Buffer.from([0xff, 0xfe])]);
    const expected = Buffer.concat([Buffer.from(EXPECTED), Buffer.from([0xff, 0xfe])]).toString('hex');
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 40 }), (sizes) => {
        const found: string[] = [];
        const onDefiner = (definer: string): void => void found.push(definer);
        const filter = filterDump({ keepsDefiners: false, keepsSandbox: false, account: 'app@%', onDefiner });
        const out: Buffer[] = [];
        for (let at = 0, n = 0; at < dump.length; n++) {
          const size = sizes[n % sizes.length] as number;
          out.push(...filter(dump.subarray(at, at + size)));
          at += size;
        }
        out.push(...filter(undefined));
        expect(Buffer.concat(out).toString('hex')).toBe(expected);
        expect(found).toEqual(['we`ird@%', 'qu"oted@%', 'role', 'gone@%']);
      }),
      { verbose: 1 },
    );
  });
});

describe('with clients of others', () => {
  let server: MariaDb;
  let bench: Bench;
  beforeAll(async () => {
    server = await startMariadb();
    await server.createDatabase('shop', 'shop', 'secret');
    await server.query('CREATE TABLE t (i INT); INSERT INTO t VALUES (1)', 'shop');
  });
  afterAll(() => server?.stop());
  beforeEach(() => {
    bench = makeBench();
    bench.configure(
      `${AGENT}.env`,
      `GARNER_DATABASE_URL='mysql://shop:secret@127.0.0.1:${server.port}/shop'\n`,
    );
    return () => bench.remove();
  });

  it("gives MySQL's dump client the options that keep it to what everybody may, and warns", async () => {
    const mysqldump = `case "$*" in
      *--version*) echo "${CLIENTS.mysql80}"; exit;;
      *--help*) echo "  --column-statistics"; echo "  --set-gtid-purged=name"; exit;;
      *--print-defaults*) exec mariadb-dump "$@";;
      *--dump-history*) echo "mysqldump: [ERROR] unknown option '--dump-history'." >&2; exit 2;;
      *--column-statistics=0*--set-gtid-purged=OFF*) ;;
      *) echo "mysqldump: Unknown table 'COLUMN_STATISTICS' in information_schema (1109)" >&2; exit 2;;
      esac
      exec mariadb-dump $(for a; do case $a in --column-statistics*|--set-gtid*) ;; *) echo "$a";; esac; done)`;
    await server.query('CREATE TABLE h (i INT) WITH SYSTEM VERSIONING', 'shop');
    const ran = await bench.run(AGENT, [], { env: { PATH: fakeClients(bench.directory, { mysqldump }) } });
    await server.query('DROP TABLE h', 'shop');
    expect(ran.exitCode).toBe(3);
    expect(ran.stderr).toContain("mysqldump 8.0.36 is MySQL's, the server is MariaDB 10.11");
    expect(ran.stderr).toContain(
      "the history of h is not in the dump, only what is current: 8.0.36 of the client can't dump it",
    );
  });

  it('restores a dump that begins with a line which the client does not know', async () => {
    const archive = await bench.backup(AGENT);
    await server.query('DROP TABLE t', 'shop');
    // an older client: without the option, and it fails on the line
    const mariadb = `case "$*" in *--help*) "$REAL" "$@" | grep -v sandbox; exit;; *--binary-mode*) ;; *) exec "$REAL" "$@";; esac
      IFS= read -r first
      case $first in *999999*) echo "ERROR at line 1: Unknown command '\\\\-'." >&2; exit 1;; esac
      { printf '%s\\n' "$first"; cat; } | "$REAL" "$@"`;
    const env = { PATH: fakeClients(bench.directory, { mariadb }) };
    expect(await bench.run(AGENT, ['restore', archive], { env })).toMatchObject({ exitCode: 0 });
    expect(await server.query('SELECT i FROM t', 'shop')).toBe('1');
  });
});

describe('a restore that is cut off', () => {
  let server: MariaDb;
  let bench: Bench;
  let archive: string;
  beforeAll(async () => {
    server = await startMariadb();
    bench = makeBench();
    const url = await server.createDatabase('shop', 'shop', 'secret');
    bench.configure(`${AGENT}.env`, `GARNER_DATABASE_URL='${url}'\n`);
    await server.query(
      'CREATE TABLE a (i INT); CREATE TABLE b (t TEXT); INSERT INTO b SELECT seq FROM seq_1_to_5000; CREATE VIEW c AS SELECT * FROM b',
      'shop',
    );
    archive = await bench.backup(AGENT);
  });
  afterAll(async () => {
    bench?.remove();
    await server?.stop();
  });

  /** The client loads a part; then it waits, or is done. */
  const part = (then: string): Record<string, string> => ({
    PATH: fakeClients(bench.directory, {
      mariadb: `case "$*" in *--binary-mode*) ;; *) exec "$REAL" "$@";; esac
        head -c 3000 | "$REAL" "$@"; touch "${bench.directory}/loaded"; ${then}`,
    }),
  });

  it('by a signal says what state the database is in, and the next one works with --force', async () => {
    const running = bench.start(AGENT, ['restore', archive, '--force'], { env: part('sleep 600') });
    while (!existsSync(join(bench.directory, 'loaded'))) await new Promise((done) => setTimeout(done, 20));
    running.kill('SIGTERM');
    const ended = ranOf(await running);
    expect(ended.exitCode).toBe(143);
    const said = /\/shop is partly filled; what was in it is in (\S+); restore again with --force/.exec(
      ended.stderr,
    );
    expect(existsSync(said?.[1] as string)).toBe(true);
    expect(await bench.run(AGENT, ['restore', archive])).toMatchObject({ exitCode: 1 });
    expect(await bench.run(AGENT, ['restore', archive, '--force'])).toMatchObject({ exitCode: 0 });
    expect(await server.query('SELECT COUNT(*) FROM c', 'shop')).toBe('5000');
  });

  it('by a failure says the same', async () => {
    const env = part('echo "ERROR 1114 (HY000) at line 40: The table is full" >&2; exit 1');
    const ran = await bench.run(AGENT, ['restore', archive, '--force'], { env });
    expect(ran.exitCode).toBe(1);
    expect(ran.stderr).toMatch(
      /cannot restore database .*The table is full\nhint: .*partly filled; what was in it is in/,
    );
    expect(await bench.run(AGENT, ['restore', archive, '--force'])).toMatchObject({ exitCode: 0 });
    expect(await server.query('SELECT COUNT(*) FROM c', 'shop')).toBe('5000');
  });
});
