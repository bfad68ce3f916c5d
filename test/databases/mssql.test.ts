// The SQL Server engine, with a sqlcmd that behaves as its documentation says (test/helpers/mssql-client.ts): Debian has no SQL
// Server. What is refused, what an account lacks, and that nothing is left in the server's directory.
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { databaseFromJdbc } from '../../agents/toolkit/jdbc.ts';
import engine from '../../databases/mssql.ts';
import { connectionFromUrl } from '../../databases/toolkit/engines.ts';
import { dumpTo, restoreFrom } from '../helpers/engine.ts';
import { type Mssql, makeMssql } from '../helpers/mssql.ts';

const PASSWORD = `canary &%40'"\\$#;x`;
const NAME = "a]p'p";
let directory: string;
let mssql: Mssql;
let dump: string;
const { signal } = new AbortController();
const at = (database = NAME) => ({ host: 'sql1', port: 1433, user: 'backup', password: PASSWORD, database });

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-mssql-'));
  dump = join(directory, 'dump');
  mssql = makeMssql(directory, PASSWORD);
  for (const [name, value] of Object.entries(mssql.env)) vi.stubEnv(name, value);
});
afterEach(() => {
  expect(readdirSync(mssql.backupDir)).toEqual([]);
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

it('takes a copy-only backup with checksums that the server verifies, and counts the rows just before', async () => {
  expect(await dumpTo(engine, at(), dump)).toEqual({
    serverVersion: '16.0.4135.4',
    tables: { users: 3, 'other.a\tb': 0 },
    uncompressedSizeBytes: readFileSync(dump).length,
    warnings: [],
  });
  const seen = readFileSync(mssql.seen, 'utf8');
  expect(seen).toMatch(/BACKUP DATABASE \[a\]\]p'p\] TO DISK = N'.*' WITH COPY_ONLY, CHECKSUM/);
  expect(seen).toMatch(/RESTORE VERIFYONLY FROM DISK = N'.*' WITH CHECKSUM/);
  expect(seen).not.toContain(PASSWORD);
});

it('reads by another path than the server writes', async () => {
  mssql.change((server) => {
    server.backups.name = 'D:\\backups';
  });
  const other = { ...at(), backupDir: mssql.backupDir, serverBackupDir: 'D:\\backups\\' };
  vi.stubEnv('MSSQL_FAULT', 'elsewhere');
  const elsewhere = dumpTo(engine, other, dump);
  await expect(elsewhere).rejects.toMatchObject({ hint: expect.stringContaining('MSSQL_SERVER_BACKUP_DIR') });
  expect(readFileSync(mssql.seen, 'utf8')).toMatch(/DISK = N'D:\\backups\\garner-[0-9a-f]{16}\.bak'/);
});

it('names a directory that this host lacks, and what to set', async () => {
  mssql.change((server) => {
    server.backups.name = '/nonexistent/backups';
  });
  await expect(dumpTo(engine, at(), dump)).rejects.toMatchObject({
    code: 'configuration',
    hint: expect.stringContaining('MSSQL_BACKUP_DIR'),
  });
});

it('removes what a run that was killed has left a day ago, and nothing else', async () => {
  const [old, fresh, other] = ['garner-0123456789abcdef.bak', 'garner-fedcba9876543210.bak', 'app.bak'].map(
    (name) => join(mssql.backupDir, name),
  ) as [string, string, string];
  for (const file of [old, fresh, other]) writeFileSync(file, '');
  utimesSync(old, 0, 0);
  utimesSync(other, 0, 0);
  await dumpTo(engine, at(), dump);
  expect(readdirSync(mssql.backupDir).sort()).toEqual(['app.bak', 'garner-fedcba9876543210.bak']);
  for (const file of [fresh, other]) rmSync(file);
});

describe('a backup that is not whole is refused', () => {
  it.each([
    ['F04 half of it, though the server verified it', 'half', /cut off/],
    ['F08 nothing', 'nothing', /wrote nothing/],
    ['one that the server finds damaged', 'damaged', /terminating abnormally/],
    ['F15 a full disk of the server', 'disk-full', /not enough space/],
  ])('%s', async (_, fault, message) => {
    vi.stubEnv('MSSQL_FAULT', fault);
    await expect(dumpTo(engine, at(), dump)).rejects.toMatchObject({
      code: 'database-dump',
      message: expect.stringMatching(message),
    });
  });

  it('F05 an account that may not back up is told so; one that sees no tables makes a whole backup with a warning', async () => {
    mssql.change((server) => {
      server.rights = ['BACKUP DATABASE'];
    });
    const facts = await dumpTo(engine, at(), dump);
    expect(facts).toMatchObject({ tables: {}, warnings: [{ code: 'database-rights' }] });
    expect(readFileSync(dump, 'utf8')).toContain('räksmörgås');
    mssql.change((server) => {
      server.rights = [];
    });
    await expect(dumpTo(engine, at(), dump)).rejects.toMatchObject({
      code: 'database-rights',
      message: expect.stringContaining('BACKUP DATABASE permission denied'),
      hint: expect.stringContaining('db_backupoperator'),
    });
  });

  it.each([
    ['F10 a wrong password', { password: 'canary-wrong' }, /Login failed/],
    ['F10 a database that is not there', { database: 'absent' }, /Cannot open database "absent"/],
  ])('%s', async (_, wrong, message) => {
    const error = await dumpTo(engine, { ...at(), ...wrong }, dump).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'database-connect', message: expect.stringMatching(message) });
    expect(String(error)).not.toContain('canary-wrong');
  });
});

it('a certificate that nobody vouches for is named, and taken where that is set', async () => {
  vi.stubEnv('MSSQL_FAULT', 'self-signed');
  await expect(engine.occupied(at(), signal)).rejects.toMatchObject({
    code: 'database-connect',
    message: expect.stringContaining('certificate verify failed'),
    hint: expect.stringContaining('MSSQL_TRUST_CERTIFICATE'),
  });
  expect(await engine.occupied({ ...at(), trustServerCertificate: true }, signal)).toBe('2 tables');
});

describe('a restore', () => {
  beforeEach(() => dumpTo(engine, at(), dump));

  it('makes a database that is not there, with its files beside the others', async () => {
    const before = mssql.read().databases;
    mssql.change((server) => {
      server.databases = {};
    });
    expect(await engine.occupied(at(), signal)).toBeUndefined();
    await restoreFrom(engine, at(), dump);
    expect(mssql.read().databases).toEqual(before);
    expect(readFileSync(mssql.seen, 'utf8')).toContain("MOVE N'a]p''p_log' TO N'/data/a_p_p_1_log.ldf'");
  });

  it('replaces what is there only after it was put aside', async () => {
    mssql.change((server) => {
      server.databases[NAME] = { 'dbo.mine': ['1'] };
    });
    expect(await engine.occupied(at(), signal)).toBe('1 table');
    const aside = join(directory, 'aside');
    const put = {
      path: String,
      dump: async () => {
        await dumpTo(engine, at(), aside);
        return aside;
      },
    };
    expect(await restoreFrom(engine, at(), dump, { aside: put })).toBe(aside);
    expect(readFileSync(aside, 'utf8')).toContain('dbo.mine');
    expect(mssql.read().databases[NAME]).toHaveProperty('dbo.users');
  });

  it.each([
    ['a dump that is damaged', '', /terminating abnormally/, /./],
    ['a database that is in use', 'in-use', /Exclusive access/, /stop the application first/],
  ])('refuses %s', async (what, fault, message, hint) => {
    vi.stubEnv('MSSQL_FAULT', fault);
    const bad = readFileSync(dump);
    if (what.includes('damaged')) bad.write('damaged', 20);
    writeFileSync(dump, bad);
    const error = await restoreFrom(engine, at(), dump).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'database-restore', message: expect.stringMatching(message) });
    expect((error as { hint?: string }).hint ?? 'none').toMatch(hint);
  });
});

it('takes URLs and both kinds of JDBC URLs', async () => {
  const url = 'sqlserver://sa:p%3B@h:1434/app?backupDir=/b&serverBackupDir=D:\\b&encrypt=true';
  expect((await connectionFromUrl(url, 'GARNER_DATABASE_URL')).connection).toMatchObject({
    host: 'h',
    port: 1434,
    user: 'sa',
    password: 'p;',
    database: 'app',
    serverBackupDir: 'D:\\b',
    encrypt: true,
  });
  const read = (text: string, user?: string) =>
    databaseFromJdbc({ url: text, user, password: undefined, file: 'x' }).source;
  expect(
    read('jdbc:sqlserver://h\\INST:1435;databaseName=app;user=u;password={a;}}b};encrypt=true'),
  ).toMatchObject({
    name: 'app',
    engine: 'mssql',
    connection: { host: 'h', instance: 'INST', port: 1435, user: 'u', password: 'a;}b', encrypt: true },
  });
  expect(read('jdbc:sqlserver://;serverName=h;DATABASE=app', 'jira').connection).toMatchObject({
    host: 'h',
    user: 'jira',
    database: 'app',
  });
  const trusts = (properties: string) =>
    read(`jdbc:sqlserver://h:1;databaseName=app;${properties}`).connection as {
      trustServerCertificate: boolean;
    };
  expect(trusts('encrypt=false').trustServerCertificate).toBe(true);
  expect(trusts('encrypt=true').trustServerCertificate).toBe(false);
  expect(trusts('').trustServerCertificate).toBe(false);
  expect(read('jdbc:jtds:sqlserver://h:1433/app;instance=I;user=u').connection).toMatchObject({
    host: 'h',
    port: 1433,
    database: 'app',
    instance: 'I',
  });
  expect(() => read('jdbc:sqlserver://h:1433')).toThrow('not followed');
});
