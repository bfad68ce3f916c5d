// Everything that a MariaDB database may hold goes to another server and is the same there: by a second dump, by the
// checksum of every table, and by the counts of the manifest.
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { type Bench, makeBench, type Ran } from '../helpers/run.ts';

const AGENT = 'agent-mariadb';

/** Names sort so that each view comes before what it depends on. */
const SCHEMA = `
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE types (id INT PRIMARY KEY AUTO_INCREMENT, u UUID, i6 INET6, i4 INET4, g GEOMETRY, p POINT, b BIT(9), y YEAR,
  t6 TIME(6), d6 DATETIME(6), ts TIMESTAMP(3) NULL, s SET('a','b c','d'''), e ENUM('','x','y''z'), j JSON, f FLOAT, d DOUBLE,
  de DECIMAL(65,30), bin BINARY(4), vb VARBINARY(300), bl LONGBLOB, tx LONGTEXT) AUTO_INCREMENT = 77 CHARACTER SET utf8mb4;
INSERT INTO types VALUES (0, UUID(), '::1', '10.0.0.1', ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))'), POINT(1.5, -2), b'101',
  1901, '-838:59:58.999999', '9999-12-31 23:59:59.999999', '2026-03-29 01:30:00.123', 'a,b c', 'y''z', '{"a": [1, "😀", null]}',
  1.17549e-38, 1.7976931348623157e308, -12345678901234567890.123456789, 'a', 'b', NULL, '😀 ünï \\\\ '' " \\n \\0 \\Z');
INSERT INTO types (id, d6, ts, y) VALUES (3, '0000-00-00', '0000-00-00', 0), (4, '2026-00-31', NULL, NULL);
CREATE TABLE bytes (id INT PRIMARY KEY, b BLOB, t VARCHAR(300) CHARACTER SET latin1);
INSERT INTO bytes SELECT seq, CHAR(seq USING BINARY), CHAR(seq USING latin1) FROM seq_0_to_255;
INSERT INTO bytes SELECT 256, GROUP_CONCAT(b ORDER BY id SEPARATOR ''), NULL FROM bytes;
CREATE TABLE generated (a INT, v INT AS (a * 2) VIRTUAL, s INT AS (a + 1) STORED, hidden INT INVISIBLE DEFAULT 5,
  CHECK (a > 0), INDEX (v)) COMMENT 'it''s; a \`comment\`';
INSERT INTO generated (a, hidden) VALUES (1, 9), (2, 8);
CREATE TABLE parent (id INT PRIMARY KEY, child INT);
CREATE TABLE child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent(id) ON DELETE CASCADE);
INSERT INTO parent VALUES (0, NULL), (1, NULL); INSERT INTO child VALUES (10, 1); UPDATE parent SET child = 10 WHERE id = 1;
ALTER TABLE parent ADD FOREIGN KEY (child) REFERENCES child(id);
CREATE TABLE parts (id INT, t TEXT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO parts SELECT seq, seq FROM seq_1_to_20;
CREATE TABLE compressed (t TEXT COMPRESSED) ROW_FORMAT = DYNAMIC; INSERT INTO compressed VALUES (REPEAT('a', 10000));
CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 3; DO NEXTVAL(numbers);
CREATE TABLE numbered (id INT DEFAULT (NEXTVAL(numbers)), t TEXT); INSERT INTO numbered (t) VALUES ('a'), ('b');
CREATE TABLE history (i INT, t TEXT) WITH SYSTEM VERSIONING;
INSERT INTO history VALUES (1, 'old'); UPDATE history SET t = 'new'; DELETE FROM history; INSERT INTO history VALUES (2, 'z');
CREATE TABLE periods (i INT, a DATE, b DATE, PERIOD FOR app(a, b)); INSERT INTO periods VALUES (1, '2020-01-01', '2021-01-01');
CREATE TABLE isam (i INT, FULLTEXT INDEX (t), t TEXT) ENGINE = MyISAM; INSERT INTO isam VALUES (1, 'word');
CREATE TABLE \`a table; with \`\`all\`\` 'of' "it" üЖ\` (\`c \`\`d\` INT); INSERT INTO \`a table; with \`\`all\`\` 'of' "it" üЖ\` VALUES (1);
CREATE TABLE \`line
break\` (\`x
y\` INT); INSERT INTO \`line
break\` VALUES (1), (2);
CREATE TABLE \`x
INSERT INTO \`\`t\`\` VALUES (1);\` (i INT);
CREATE TABLE Big (i INT); CREATE TABLE big (i INT); INSERT INTO big VALUES (1);
CREATE VIEW z1 AS SELECT id FROM parent; CREATE VIEW m1 AS SELECT id FROM z1; CREATE VIEW a1 AS SELECT m1.id FROM m1 JOIN z1;
CREATE DEFINER = gone@'%' VIEW orphan AS SELECT 1 AS one;
CREATE DEFINER = gone@'%' TRIGGER t1 BEFORE INSERT ON big FOR EACH ROW SET @x = 'it\`s';
CREATE TRIGGER t2 BEFORE INSERT ON big FOR EACH ROW FOLLOWS t1 SET @y = 1;
CREATE DEFINER = gone@'%' EVENT e1 ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01' DISABLE DO DELETE FROM isam;
CREATE DEFINER = gone@'%' FUNCTION f1() RETURNS INT DETERMINISTIC RETURN 42;
SET sql_mode = 'ANSI_QUOTES';
CREATE DEFINER = gone@'%' PROCEDURE p1() SELECT "id" FROM "parent" WHERE 'x' = '-- Dump completed';
SET sql_mode = 'ORACLE';
DELIMITER //
CREATE PACKAGE pack AS FUNCTION f RETURN INT; END //
CREATE PACKAGE BODY pack AS FUNCTION f RETURN INT AS BEGIN RETURN 1; END; END //
`;

let from: MariaDb;
let to: MariaDb;
let bench: Bench;
let archive: string;
let counts: Record<string, number>;

const asRoot = ({ socket }: MariaDb): string => `mysql://root@localhost/rich?socket=${socket}`;

beforeAll(async () => {
  // the other server is as strict as they come, and elsewhere
  [from, to] = await Promise.all([
    startMariadb(),
    startMariadb(['--sql-mode=TRADITIONAL', '--default-time-zone=+05:00', '--character-set-server=latin1']),
  ]);
  bench = makeBench();
  await from.createDatabase('rich', 'rich', 'secret');
  await from.query(SCHEMA, 'rich');
  const { exitCode, stdout, stderr } = await bench.run(AGENT, ['--json'], {
    env: { GARNER_DATABASE_URL: asRoot(from) },
  });
  if (exitCode !== 3) throw new Error(`exit ${exitCode}: ${stderr}`);
  const result = JSON.parse(stdout);
  archive = result.archive;
  counts = result.members[1].database.tables;
  expect(result.warnings.map(({ code }: { code: string }) => code)).toEqual(['no-snapshot', 'view-unusable']);
}, 120_000);
afterAll(async () => {
  bench?.remove();
  await Promise.all([from?.stop(), to?.stop()]);
});
beforeEach(async () => {
  await to.query('DROP DATABASE IF EXISTS rich');
  await to.createDatabase('rich', 'rich', 'secret');
});

const restore = (url: string, args: string[] = []): Promise<Ran> =>
  bench.run(AGENT, ['restore', archive, ...args], {
    env: { GARNER_DATABASE_URL: url, GARNER_RESTORE_DATABASE_URL: url },
  });

async function dumpOf({ socket }: MariaDb): Promise<string> {
  const options = [
    '--skip-dump-date',
    '--routines',
    '--triggers',
    '--events',
    '--hex-blob',
    '--dump-history',
  ];
  const access = ['--no-defaults', '--user=root', `--socket=${socket}`, '--single-transaction'];
  return (await execa('mariadb-dump', [...access, ...options, 'rich'])).stdout;
}

const quoted = (name: string): string => `\`${name.replaceAll('`', '``')}\``;

async function checksums(server: MariaDb): Promise<string> {
  const lines = Object.keys(counts).map((table) => `CHECKSUM TABLE ${quoted(table)} EXTENDED;`);
  return server.query(lines.join('\n'), 'rich');
}

it('counts the rows of every table as the server does', async () => {
  const tables = await from.query(
    "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'rich' AND TABLE_TYPE NOT IN ('VIEW', 'SEQUENCE')",
  );
  expect(Object.keys(counts)).toHaveLength(Number(tables));
  for (const [table, count] of Object.entries(counts)) {
    const all = table === 'history' ? ' FOR SYSTEM_TIME ALL' : '';
    expect(`${table}: ${count}`).toBe(
      `${table}: ${await from.query(`SELECT COUNT(*) FROM ${quoted(table)}${all}`, 'rich')}`,
    );
  }
  expect(counts).toMatchObject({ bytes: 257, history: 3, 'line\nbreak': 2 });
});

it('comes back the same, whatever kind of table, value or object it is', async () => {
  expect(await restore(asRoot(to))).toMatchObject({ exitCode: 0 });
  expect(await dumpOf(to)).toBe(await dumpOf(from));
  expect(await checksums(to)).toBe(await checksums(from));
  expect(await to.query('SELECT id, d6, ts FROM types WHERE id IN (0, 3, 4)', 'rich')).toContain(
    '3\t0000-00-00 00:00:00.000000',
  );
});

it("comes back by the application's own account, to which it then belongs", async () => {
  const url = `mysql://rich:secret@127.0.0.1:${to.port}/rich`;
  const ran = await restore(url);
  expect(ran).toMatchObject({ exitCode: 0 });
  expect(ran.stderr).toMatch(/5 objects of gone@%: made for rich@% instead/);
  const own = (dump: string): string =>
    dump.replace(/DEFINER=(`[^`]*`@`[^`]*`|"[^"]*"@"[^"]*")/g, 'DEFINER=x');
  expect(own(await dumpOf(to))).toBe(own(await dumpOf(from)));
  expect(await checksums(to)).toBe(await checksums(from));
  expect(await to.query('SELECT * FROM orphan; SELECT f1()', 'rich')).toBe('1\n42');
});
