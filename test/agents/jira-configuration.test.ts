// What misleads careless readers of Jira's configuration, in the shapes of 8, 9 and 10: hazards of XML, encrypted passwords,
// data sources, homes and attachments that are elsewhere. No server is asked.
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import agent from '../../agents/jira.ts';
import type { CrossCheck, TreeSource } from '../../agents/toolkit/define-agent.ts';
import { loadSettings } from '../../lib/settings.ts';
import { contextOf, PASSWORD, write } from '../helpers/atlassian.ts';
import { errorOf } from '../helpers/error-of.ts';
import { databaseConfiguration } from '../helpers/jira.ts';

let directory: string;
let home: string;
let install: string;
const context = (settings: Record<string, unknown> = {}): never =>
  contextOf({ JIRA_HOME: home, JIRA_INSTALL_DIR: install, ...settings });
const database = () => (agent.databases(context()) as { connection: object }[])[0];
const trees = (settings?: Record<string, unknown>) => agent.trees(context(settings)) as TreeSource[];
const mysql = { url: 'jdbc:mysql://h:3307/jira?a=b&c=d', user: 'jira', password: PASSWORD };
const connection = { host: 'h', port: 3307, user: 'jira', password: PASSWORD, database: 'jira' };
const postgres = { ...mysql, url: 'jdbc:postgresql://h:5433/jira' };
const configure = (text: string): void => write(join(home, 'dbconfig.xml'), text);
const cipher = (name: string): string =>
  `<atlassian-password-cipher-provider>${name}</atlassian-password-cipher-provider>`;
const checkOf = (engine: string, settings?: Record<string, unknown>): CrossCheck | undefined =>
  agent.crossChecks?.(context(settings), [{ name: 'jira', engine, connection: {} }])[0];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-jira-'));
  [home, install] = [join(directory, 'home'), join(directory, 'install')];
  mkdirSync(join(home, 'data/attachments'), { recursive: true });
  configure(databaseConfiguration(mysql));
});
afterEach(() => rmSync(directory, { recursive: true }));

it('reads the database of 8, with a password of every kind of character', () => {
  expect(database()).toMatchObject({ name: 'jira', engine: 'mysql', connection });
  configure(databaseConfiguration({ ...mysql, password: ' with spaces ' }));
  expect(database()).toMatchObject({ connection: { password: ' with spaces ' } });
});

it('reads the database of 10 on PostgreSQL, with the schema of its tables', () => {
  configure(databaseConfiguration(postgres, { type: 'postgres72', schema: 'Jira Schema' }));
  expect(database()).toMatchObject({ engine: 'postgres', connection: { ...connection, port: 5433 } });
  expect(checkOf('postgres')?.sql).toContain('"Jira Schema".fileattachment');
  configure(databaseConfiguration(postgres, { type: 'postgres72' }));
  expect(checkOf('postgres')?.sql).toContain('"public".fileattachment');
  expect(checkOf('mysql')?.sql).toContain('FROM fileattachment');
});

it('reads the database of 9 on SQL Server', () => {
  const url = 'jdbc:sqlserver://;serverName=h;portNumber=1433;databaseName=jira';
  configure(databaseConfiguration({ ...mysql, url }, { type: 'mssql', schema: 'dbo' }));
  expect(database()).toMatchObject({ engine: 'mssql', connection: { ...connection, port: 1433 } });
  expect(checkOf('mssql')?.sql).toContain('FROM "dbo".fileattachment');
});

it('passes over old credentials that are commented out, in a file with a byte-order mark and CRLF', () => {
  const old = '<!-- <jdbc-datasource><url>jdbc:mysql://old/old</url></jdbc-datasource> -->\n';
  const text = databaseConfiguration(mysql).replace('  <jdbc-datasource>', `${old}  <jdbc-datasource>`);
  configure(`\uFEFF${text.replaceAll('\n', '\r\n')}`);
  expect(database()).toMatchObject({ connection });
});

it.each([
  'com.atlassian.db.config.password.ciphers.base64.Base64Cipher',
  'com.atlassian.secrets.store.base64.Base64SecretStore',
])('decodes a password that is only encoded: %s', (name) => {
  const password = Buffer.from(PASSWORD).toString('base64');
  configure(databaseConfiguration({ ...mysql, password }, { more: cipher(name) }));
  expect(database()).toMatchObject({ connection });
  expect(agent.withheld?.(context())).toEqual([]);
});

it.each([
  ['{ATL_SECURED}', ''],
  [
    '{"keyFilePath":"/k","sealedObjectFilePath":"/s"}',
    'com.atlassian.secrets.store.algorithm.AlgorithmSecretStore',
  ],
  ['secret/data/jira', 'com.atlassian.secrets.store.vault.VaultSecretStore'],
])(
  'asks for GARNER_DATABASE_URL where the password is %s, and names what a restore lacks',
  (password, name) => {
    configure(databaseConfiguration({ ...postgres, password }, { more: name && cipher(name) }));
    const error = errorOf(database);
    expect(error.message).toContain('it is encrypted');
    expect(error.hint).toContain('GARNER_DATABASE_URL');
    const found = agent.withheld?.(context()).map(({ what }) => what);
    expect(found).toEqual(
      password.includes('keyFilePath') ? ['/k', '/s'] : [expect.stringContaining(name || '{ATL_SECURED}')],
    );
  },
);

it('has nothing to name where the store of {ATL_SECURED} is in the archive, in the shared home too', () => {
  configure(databaseConfiguration({ ...mysql, password: '{ATL_SECURED}' }));
  const shared = join(directory, 'shared');
  expect(agent.withheld?.(context())).toHaveLength(1);
  for (const place of [shared, join(home, 'shared')]) {
    mkdirSync(join(place, 'keys'), { recursive: true });
    write(join(home, 'cluster.properties'), `jira.shared.home = ${place}\n`);
    expect(agent.withheld?.(context())).toEqual([]);
  }
});

it("finds a data source in Tomcat's server.xml", () => {
  const name = '<jndi-name>java:comp/env/jdbc/JiraDS</jndi-name>';
  configure(`<jira-database-config><jndi-datasource>${name}</jndi-datasource></jira-database-config>`);
  expect(errorOf(database).hint).toContain('GARNER_DATABASE_URL');
  const resource =
    '<Resource name="jdbc/JiraDS" username="a" password="&amp;&quot;b" url="jdbc:postgresql://h/d?x=y&amp;z"/>';
  write(join(install, 'conf/server.xml'), `<Server><Context>${resource}</Context></Server>`);
  expect(database()).toMatchObject({
    engine: 'postgres',
    connection: { user: 'a', password: '&"b', database: 'd' },
  });
  expect(agent.withheld?.(context())).toEqual([]);
});

it.each([
  ['jdbc:h2:file:/var/jira/database/h2db', 'the embedded database H2'],
  ['jdbc:hsqldb:/var/jira/database/jiradb', 'the embedded database HSQLDB'],
  ['jdbc:oracle:thin:@//h:1521/JIRA', 'Oracle'],
])('refuses %s with the reason', (url, reason) => {
  configure(databaseConfiguration({ ...mysql, url }));
  expect(errorOf(database).message).toContain(reason);
});

it('refuses what is not set up, no home, and what is no configuration', () => {
  configure('<jira-database-config><name>defaultDS</name></jira-database-config>');
  expect(errorOf(database)).toMatchObject({ message: expect.stringContaining('names no database') });
  configure('<jira-database-config><password>canary</jira-database-config>');
  expect(errorOf(trees).message).toMatch(/dbconfig\.xml": line 1: it is no well-formed XML$/);
  rmSync(join(home, 'dbconfig.xml'));
  expect(errorOf(trees).message).toContain('dbconfig.xml": no such file');
});

it('finds the home by the installation, where no setting names it', () => {
  const unset = { JIRA_HOME: undefined };
  const pointer = join(install, 'atlassian-jira/WEB-INF/classes/jira-application.properties');
  write(pointer, `#jira.home=/old\njira.home = ${home.replaceAll('/', '\\/')}  \n`);
  expect(trees(unset)).toMatchObject([{ name: 'home', root: home }]);
  write(pointer, 'jira.home =\n');
  expect(errorOf(() => trees(unset)).message).toContain('/var/atlassian/application-data/jira/');
});

it("takes the home by older scripts' name for it", () => {
  const load = (env: Record<string, string>) =>
    loadSettings(agent.settings, { known: {}, env: { GARNER_CONFIG_DIR: directory, ...env } });
  expect(load({ JIRA_HOME_DIR: home })).toMatchObject({ JIRA_HOME: home });
  expect(load({ JIRA_HOME_DIR: '/old', JIRA_HOME: home })).toMatchObject({ JIRA_HOME: home });
});

it('takes what is a link to elsewhere as a tree of its own, with the cross-check in it', () => {
  expect(checkOf('mysql')).toMatchObject({ database: 'jira', tree: 'home' });
  const file = 'KEY/10000/KEY-1/1';
  expect(checkOf('mysql')?.pathsOf(['1', 'KEY', '1', 'x'])).toContain(`data/attachments/${file}`);
  const disk = join(directory, 'disk');
  renameSync(join(home, 'data'), disk);
  symlinkSync(disk, join(home, 'data'));
  expect(trees()).toMatchObject([{ name: 'home' }, { name: 'data', root: disk }]);
  expect(checkOf('mysql')?.tree).toBe('data');
  expect(checkOf('mysql')?.pathsOf(['1', 'KEY', '1', 'x'])).toContain(`attachments/${file}`);
  const attachments = join(directory, 'attachments');
  renameSync(join(disk, 'attachments'), attachments);
  symlinkSync(attachments, join(disk, 'attachments'));
  expect(trees()).toMatchObject([
    { name: 'home' },
    { name: 'data' },
    { name: 'attachments', root: attachments },
  ]);
  expect(checkOf('mysql')?.pathsOf(['1', 'KEY', '1', 'x'])).toContain(file);
});

it('follows a link to the home', () => {
  const link = join(directory, 'link');
  symlinkSync(home, link);
  expect(trees({ JIRA_HOME: link })).toMatchObject([{ name: 'home', root: home }]);
  expect(trees({ JIRA_HOME: link })).toHaveLength(1);
});

it('goes by JIRA_ATTACHMENTS_DIR, and does not pass over a disk that is not there', () => {
  const settings = { JIRA_ATTACHMENTS_DIR: join(directory, 'absent') };
  expect(trees(settings)).toMatchObject([
    { name: 'home' },
    { name: 'attachments', root: settings.JIRA_ATTACHMENTS_DIR },
  ]);
  expect(checkOf('mysql', settings)?.tree).toBe('attachments');
});

it("takes a cluster's shared home as a tree of its own, with the attachments in it", () => {
  const shared = join(directory, 'shared');
  mkdirSync(join(shared, 'data/attachments'), { recursive: true });
  write(join(home, 'cluster.properties'), `jira.node.id = node1\njira.shared.home = ${shared}\n`);
  const [local, other] = trees();
  expect([local, other]).toMatchObject([
    { name: 'home', root: home },
    { name: 'shared', root: shared },
  ]);
  for (const tree of [local, other])
    expect(tree?.excludes).toEqual(expect.arrayContaining(['caches', 'log', 'export']));
  expect(checkOf('mysql')?.tree).toBe('shared');
  // one below the home belongs to that
  const below = join(home, 'shared');
  mkdirSync(join(below, 'data'), { recursive: true });
  write(join(home, 'cluster.properties'), `jira.shared.home = ${below}\n`);
  expect(trees()).toHaveLength(1);
  expect(trees()[0]?.excludes).toEqual(expect.arrayContaining(['caches', 'shared/caches']));
  // and the other way round
  write(join(home, 'cluster.properties'), `jira.shared.home = ${directory}\n`);
  expect(trees()).toMatchObject([{ name: 'shared', root: directory }]);
  expect(trees()).toHaveLength(1);
  expect(trees()[0]?.excludes).toEqual(expect.arrayContaining(['caches', 'home/caches']));
  write(join(home, 'cluster.properties'), `jira.shared.home = ${home}\n`);
  expect(trees()).toMatchObject([{ name: 'home', root: home }]);
  expect(trees()).toHaveLength(1);
});

it('names the bucket of attachments that are in an object storage, and compares no files then', () => {
  const store = `<s3-filestore id="s3Bucket"><config><bucket-name>our-attachments</bucket-name><region>eu-west-1</region></config></s3-filestore>`;
  const association = (target: string): string => `<association target="${target}" file-store="s3Bucket" />`;
  const file = (target: string): string =>
    `<?xml version="1.1" ?>\n<filestore-config><filestores>${store}</filestores><associations>${association(target)}</associations></filestore-config>`;
  write(join(home, 'filestore-config.xml'), file('avatars'));
  expect(checkOf('mysql')).toBeDefined();
  write(join(home, 'filestore-config.xml'), file('attachments'));
  expect(checkOf('mysql')).toBeUndefined();
  expect(agent.withheld?.(context())).toMatchObject([
    { what: 'attachments, which Jira keeps in the bucket our-attachments' },
  ]);
});

it('knows which files are none of attachments', () => {
  const { concerns } = checkOf('mysql') as CrossCheck;
  for (const [path, expected] of [
    ['DEMO/10000/DEMO-1/10100', true],
    ['DEMO/DEMO-1/10100_name\nx.txt', true],
    ['DEMO/10000/DEMO-1/thumbs/_thumb_10100.png', false],
    ['DEMO/DEMO-1/10100_thumb_x.png', false],
    ['DEMO/10000/DEMO-1', false],
    ['tmp_attachments/1234', false],
    ['.recently_deleted', false],
  ] as const) {
    expect(concerns(`data/attachments/${path}`), path).toBe(expected);
    expect(concerns(`data/avatars/${path}`), path).toBe(false);
  }
});

it('finds the version by pom.properties, else by the jar', () => {
  const webApp = join(install, 'atlassian-jira');
  expect(errorOf(() => agent.version(context())).hint).toContain('JIRA_INSTALL_DIR');
  write(join(webApp, 'WEB-INF/lib/jira-api-8.20.30.jar'), '');
  write(join(webApp, 'WEB-INF/lib/jira-api-utils-1.0.jar'), '');
  expect(agent.version(context())).toBe('8.20.30');
  write(
    join(webApp, 'META-INF/maven/com.atlassian.jira/jira-webapp-dist/pom.properties'),
    'version=10.3.2\n',
  );
  expect(agent.version(context())).toBe('10.3.2');
});

it('tells what to do after a restore, without a password', () => {
  write(join(home, 'cluster.properties'), `jira.shared.home = ${directory}/it's shared\n`);
  const steps = agent.nextSteps?.(context()).join('\n') ?? '';
  for (const word of [
    '<url>',
    'plugins/.osgi-plugins',
    'chown -R jira:',
    'start-jira.sh',
    're-index',
    'shared',
  ])
    expect(steps).toContain(word);
  expect(steps).not.toContain(PASSWORD);
  expect(steps).not.toContain("/it's");
});
