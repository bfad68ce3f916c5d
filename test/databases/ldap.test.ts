// The LDAP engine with real tools and a real slapd: a dump of a running server, the way back, what is refused.
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import engine from '../../databases/ldap.ts';
import { connectionFromUrl } from '../../databases/toolkit/engines.ts';
import { readSlapdConfig } from '../../databases/toolkit/slapd-config.ts';
import { dumpTo, restoreFrom } from '../helpers/engine.ts';
import { fakeClients } from '../helpers/fake-clients.ts';
import { ENTRIES, makeSlapd, type Slapd, SUFFIX } from '../helpers/slapd.ts';

let directory: string;
let slapd: Slapd;
let connection: { config: string; suffix: string };
let dump: string;
let whole: string;
const { signal } = new AbortController();
/** An account as slapd has on a host. */
const OWNER = { uid: 4242, gid: 4243 };
const ownerOf = (path: string): { uid: number; gid: number } => {
  const { uid, gid } = statSync(path);
  return { uid, gid };
};

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'garner-ldap-'));
  slapd = await makeSlapd(directory);
  await slapd.add(ENTRIES);
  connection = { config: slapd.config, suffix: SUFFIX };
  dump = join(directory, 'dump.ldif');
  whole = await slapd.dump();
  await dumpTo(engine, connection, dump);
});
afterAll(() => rmSync(directory, { recursive: true }));

const aside = { path: (file: string) => `${file}.old`, dump: async () => 'unused' };

it('dumps a server that runs and is written to, with the operational attributes, and counts its entries', async () => {
  const server = await slapd.run();
  const bind = ['-x', '-H', server.url, '-D', `cn=admin,${SUFFIX}`, '-w', 'canary-ldap'];
  await execa('ldapadd', bind, {
    input: `dn: cn=new,ou=people,${SUFFIX}\nobjectClass: inetOrgPerson\ncn: new\nsn: n\n`,
  });
  const live = join(directory, 'live.ldif');
  const facts = await dumpTo(engine, connection, live);
  const text = readFileSync(live, 'utf8');
  expect(facts).toMatchObject({
    serverVersion: expect.stringMatching(/^2\./),
    tables: { [SUFFIX]: 4 },
    uncompressedSizeBytes: Buffer.byteLength(text),
    warnings: [],
  });
  const operational = await execa('ldapsearch', [
    ...['-LLL', '-o', 'ldif-wrap=no', ...bind, '-b', SUFFIX, 'entryUUID', 'entryCSN'],
  ]);
  const values = operational.stdout.split('\n').filter((line) => line.startsWith('entry'));
  expect(values).toHaveLength(8);
  for (const value of values) expect(text).toContain(`${value}\n`);

  await expect(restoreFrom(engine, connection, dump)).rejects.toMatchObject({
    code: 'database-restore',
    message: expect.stringMatching(/process \d+ \(slapd\?\) has it open/),
    hint: expect.stringContaining('systemctl stop slapd'),
  });
  await execa('ldapdelete', [...bind, `cn=new,ou=people,${SUFFIX}`]);
  await server.stop();
});

it('puts entries back as they were, owned by whom the directory belongs to, and slapd starts with them', async () => {
  slapd.wipe();
  if (process.getuid?.() === 0) chownSync(slapd.data, OWNER.uid, OWNER.gid);
  expect(await engine.occupied(connection, signal)).toBeUndefined();
  await restoreFrom(engine, connection, dump);
  expect(await slapd.dump()).toBe(whole);
  for (const name of ['data.mdb', 'lock.mdb'])
    expect(ownerOf(join(slapd.data, name)), name).toEqual(ownerOf(slapd.data));
  const server = await slapd.run();
  const { stdout } = await execa('ldapsearch', [
    '-x',
    '-LLL',
    '-H',
    server.url,
    '-b',
    SUFFIX,
    '(sn=S)',
    'cn',
  ]);
  expect(stdout).toContain('cn:: UsOkayBTbcO2cmfDpXM=');
  await server.stop();
});

it('moves what is there aside, as whole files', async () => {
  expect(await engine.occupied(connection, signal)).toBe('3 entries');
  const old = await restoreFrom(engine, connection, dump, { aside });
  expect(old).toBe(join(slapd.data, 'data.mdb.old'));
  expect(existsSync(old as string)).toBe(true);
  expect(await slapd.dump()).toBe(whole);
});

it('brings back what was there where slapadd fails', async () => {
  const broken = join(directory, 'broken.ldif');
  writeFileSync(broken, `${readFileSync(dump, 'utf8')}dn: cn=x,dc=elsewhere\nobjectClass: nonsense\n\n`);
  await expect(restoreFrom(engine, connection, broken, { aside })).rejects.toMatchObject({
    code: 'database-restore',
    hint: expect.stringContaining('as before'),
  });
  expect(await slapd.dump()).toBe(whole);
});

it.each([
  ['F04 cut off within an entry', 'slapcat "$@" | head -c 700', /cut off/],
  ['F08 nothing', 'exit 0', /no entry/],
  ['F03 whole, but exit 2', '"$REAL" "$@"; exit 2', /exit code 2/],
])('refuses a dump: %s', async (_, script, message) => {
  vi.stubEnv('PATH', fakeClients(directory, { slapcat: script.replace('slapcat', '"$REAL"') }));
  const dumping = dumpTo(engine, connection, join(directory, 'bad.ldif')).finally(() => vi.unstubAllEnvs());
  await expect(dumping).rejects.toMatchObject({
    code: 'database-dump',
    message: expect.stringMatching(message),
  });
});

it.each([
  ['a value from a file', 'description:< file://SECRET'],
  ['one whose name is folded', 'descrip\n tion:< file://SECRET'],
  ['one that is folded behind its name', 'description:\n < file://SECRET'],
  ['one that a NUL hides', 'description:\0\n< file://SECRET'],
  ['another file', '\ninclude: file://SECRET\n\ndn: ou=x,SUFFIX\nobjectClass: organizationalUnit\nou: x'],
])('puts nothing of this host into a directory from a dump that names %s', async (_, text) => {
  const secret = join(directory, 'secret.ldif');
  writeFileSync(secret, `dn: ou=canary,${SUFFIX}\nobjectClass: organizationalUnit\nou: canary\n`);
  const hostile = join(directory, 'hostile.ldif');
  const first = `dn: ${SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: x\n`;
  writeFileSync(hostile, `${first}${text.replaceAll('SECRET', secret).replaceAll('SUFFIX', SUFFIX)}\n\n`);
  slapd.wipe();
  await expect(restoreFrom(engine, connection, hostile)).rejects.toMatchObject({
    code: 'database-restore',
    message: expect.stringMatching(/slapcat (never )?writes/),
  });
  expect(await engine.occupied(connection, signal)).toBeUndefined();
});

it('names a suffix that the configuration lacks, and one that was never opened', async () => {
  const unknown = { ...connection, suffix: 'dc=nowhere' };
  await expect(dumpTo(engine, unknown, join(directory, 'bad.ldif'))).rejects.toMatchObject({
    code: 'application-configuration',
    message: expect.stringContaining('dc=nowhere'),
  });
  const fresh = await makeSlapd(join(directory, 'fresh'));
  const never = { config: fresh.config, suffix: SUFFIX };
  await expect(dumpTo(engine, never, join(directory, 'bad.ldif'))).rejects.toMatchObject({
    code: 'database-dump',
    message: expect.stringContaining('No such file'),
  });
});

it('dumps and restores a database without those that are glued below it: they have their own', async () => {
  const other = await makeSlapd(join(directory, 'glued'), `ou=sub,${SUFFIX}`);
  await other.add(`${ENTRIES}\ndn: ou=sub,${SUFFIX}\nobjectClass: organizationalUnit\nou: sub\n`);
  const all = await other.dump();
  const suffixes = readSlapdConfig(other.config).map(({ suffix }) => suffix);
  expect(suffixes).toEqual([`ou=sub,${SUFFIX}`, SUFFIX]);
  const file = (suffix: string): string => join(directory, `glued-${suffix}`);
  const counts: number[] = [];
  for (const suffix of suffixes) {
    const { tables } = await dumpTo(engine, { config: other.config, suffix }, file(suffix));
    counts.push(...Object.values(tables));
  }
  expect(counts).toEqual([1, 3]);
  other.wipe();
  for (const suffix of suffixes) await restoreFrom(engine, { config: other.config, suffix }, file(suffix));
  expect(await other.dump()).toBe(all);
});

it('finds the tools where the PATH lacks /usr/sbin, as in cron', async () => {
  vi.stubEnv('PATH', '/usr/bin:/bin');
  const { serverVersion } = await engine.inspect(connection, signal).finally(() => vi.unstubAllEnvs());
  expect(serverVersion).toMatch(/^2\./);
});

it('takes a URL with the configuration and the suffix', async () => {
  const url = 'slapd:///etc/ldap/slapd.d?suffix=dc=example,dc=org';
  expect((await connectionFromUrl(url, 'GARNER_DATABASE_URL')).connection).toEqual({
    config: '/etc/ldap/slapd.d',
    suffix: 'dc=example,dc=org',
  });
  await expect(connectionFromUrl('slapd:///etc/ldap/slapd.d', 'X')).rejects.toThrow('suffix=');
});

it('reads slapd.conf: quotes, comments, continued lines, includes, databases without files', () => {
  const [config, included] = [join(directory, 'slapd.conf'), join(directory, 'more.conf')];
  writeFileSync(included, 'database mdb\r\nSUFFIX dc=second\r\ndirectory /srv/second\r\n');
  writeFileSync(
    config,
    `\uFEFF# suffix "dc=old"\ndatabase mdb\nsuffix\n  "dc=with space,dc=org"\nsuffix dc=other\ndirectory "/srv/a b"
database ldap\nsuffix dc=proxy\ninclude ${included}\n`,
  );
  expect(readSlapdConfig(config)).toEqual([
    { suffix: 'dc=with space,dc=org', directory: '/srv/a b' },
    { suffix: 'dc=second', directory: '/srv/second' },
  ]);
});
