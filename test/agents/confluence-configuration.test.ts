// What misleads careless readers of an Atlassian application's configuration: JDBC URLs, XML, Java's properties, encrypted
// passwords, data sources, placeholders, places that are elsewhere. No server is asked.
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import agent from '../../agents/confluence.ts';
import type { AgentContext, TreeSource } from '../../agents/toolkit/define-agent.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';
import { jarVersion } from '../../agents/toolkit/jars.ts';
import { parseJavaProperties } from '../../agents/toolkit/java-properties.ts';
import { databaseFromJdbc } from '../../agents/toolkit/jdbc.ts';
import { allElements, parseXml } from '../../agents/toolkit/xml.ts';
import { attachmentPath, configuration } from '../helpers/confluence.ts';
import { errorOf } from '../helpers/error-of.ts';

/** Every character that some quoting somewhere gives a meaning. */
const PASSWORD = `p&amp;%40'"\\\\n$x\${y}#; =w<ö>]]`;

describe('a JDBC URL', () => {
  const read = (url: string, user: string | undefined = 'u', password: string | undefined = 'p') =>
    databaseFromJdbc({ url, user, password, file: '/home/x.cfg.xml' });
  const mysql = { host: '127.0.0.1', port: 3306, user: 'u', password: 'p', database: 'db' };
  const postgres = { host: 'h', port: 5432, user: 'u', password: 'p', database: 'db' };

  it.each([
    ['jdbc:mysql://localhost/db', mysql],
    ['jdbc:mysql:///db', mysql],
    [
      '  jdbc:mysql://h:3307/db?useUnicode=true&characterEncoding=utf8\n',
      { ...mysql, host: 'h', port: 3307 },
    ],
    ['jdbc:mariadb://10.0.0.1/db?sessionVariables=x=1,y=2', { ...mysql, host: '10.0.0.1' }],
    ['jdbc:mysql://[::1]:3306/my%20db', { ...mysql, host: '::1', database: 'my db' }],
    ['jdbc:mysql://other:secret@h/db', { ...mysql, host: 'h' }],
    [
      'jdbc:mysql://address=(protocol=tcp)(host=localhost)(port=3307)/db?sessionVariables=default_storage_engine=InnoDB',
      { ...mysql, port: 3307 },
    ],
    ['jdbc:mysql://address=(protocol=tcp)(host=fd00::1)/db', { ...mysql, host: 'fd00::1' }],
  ])('of MySQL: %s', (url, connection) => {
    expect(read(url)).toMatchObject({ source: { engine: 'mysql', connection }, schema: undefined });
  });

  it.each([
    ['jdbc:postgresql://h/db', postgres, undefined],
    ['jdbc:postgresql:db', { ...postgres, host: 'localhost' }, undefined],
    ['jdbc:postgresql://h:5433/db?currentSchema=wiki,public', { ...postgres, port: 5433 }, 'wiki'],
    ['jdbc:postgresql://[2001:db8::1]:5433/db', { ...postgres, host: '2001:db8::1', port: 5433 }, undefined],
    [
      'jdbc:postgresql://h1:5433,h2:5433/db?targetServerType=primary',
      { ...postgres, host: 'h1,h2', port: 5433 },
      undefined,
    ],
    ['jdbc:postgresql://h1:5433,h2/db', { ...postgres, host: 'h1,h2', port: '5433,5432' }, undefined],
    ['jdbc:postgresql://h/db?sslmode=require', { ...postgres, sslmode: 'require' }, undefined],
    ['jdbc:postgresql://h/db?ssl=true', { ...postgres, sslmode: 'verify-full' }, undefined],
    ['jdbc:postgresql://h/?ssl=false', { ...postgres, database: 'u', sslmode: undefined }, undefined],
  ])('of PostgreSQL: %s', (url, connection, schema) => {
    expect(read(url)).toMatchObject({ source: { engine: 'postgres', connection }, schema });
  });

  it('with user and password in it, where they stand nowhere else', () => {
    const url = 'jdbc:postgresql://h/db?user=a%40b&password=x%26y+z';
    const found = databaseFromJdbc({ url, user: undefined, password: undefined, file: '/x' });
    expect(found.source.connection).toMatchObject({ user: 'a@b', password: 'x&y z' });
  });

  it.each([
    ['jdbc:h2:file:/var/x/h2db', /embedded database H2/],
    ['jdbc:hsqldb:/var/x/confluencedb', /embedded database HSQLDB/],
    ['jdbc:oracle:thin:@//h:1521/SERVICE', /Oracle/],
  ])('of a database that garner has no dump for is refused: %s', (url, message) => {
    const error = errorOf(() => read(url));
    expect(error.message).toMatch(message);
    expect(error.hint).toMatch(/^move the application to a database server$|^dump it with /);
  });

  it.each([
    'jdbc:mysql:loadbalance://h1,h2/db',
    'jdbc:mysql://h1,h2/db',
    'jdbc:mysql://address=(protocol=pipe)(path=x)/db',
    'jdbc:mysql://address=(host=h),address=(host=i)/db',
    'jdbc:mysql://h/',
    'jdbc:mysql://h:99999999/db',
    'jdbc:db2://h/db',
    `\${DB_URL}`,
  ])('that it can not follow asks for GARNER_DATABASE_URL: %s', (url) => {
    const error = errorOf(() => read(url, 'u', 'canary-4711'));
    expect(error.hint).toContain('GARNER_DATABASE_URL');
    expect(error.message).not.toContain('canary');
  });
});

describe('XML', () => {
  const textOf = (source: string): string => parseXml(source, '/x.xml').text;

  it('with entities, CDATA, comments, CRLF and a byte-order mark', () => {
    expect(textOf('<?xml version="1.0"?>\r\n<a>&amp;&lt;&#228;<!-- &old; --><![CDATA[&amp;]]></a>\r\n')).toBe(
      '&<ä&amp;',
    );
    expect(textOf('<?xml version="1.1" encoding="UTF-8"?><a>&#1;x</a>')).toBe('\u0001x');
  });

  it.each([
    ['a document type', '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', 'document type'],
    ['an unknown entity', '<a>canary&b;</a>', 'no well-formed XML'],
    ['a stray &', '<a>\ncanary&</a>', 'line 2: it is no well-formed XML'],
    ['no end', '<a><b>canary</b>', 'no well-formed XML'],
    ['an attribute twice', '<a b="canary" b="2"/>', 'no well-formed XML'],
    ['nothing in it', '', 'no well-formed XML'],
    ['a thousand levels', '<a>'.repeat(1000), 'nested too deep'],
    ['another encoding', '<a>canary\uFFFD</a>', 'not written in UTF-8'],
  ])('with %s is refused, and nothing of it is told', (_, source, message) => {
    const error = errorOf(() => parseXml(source, '/x.xml'));
    expect(error).toMatchObject({ code: 'application-configuration' });
    expect(error.message).toContain(message);
    expect(error.message).not.toContain('canary');
  });

  it('gives all elements in order', () => {
    const root = parseXml('<a><b x="1"><c/></b><d/></a>', '/x');
    expect([...allElements(root)].map(({ name }) => name)).toEqual(['a', 'b', 'c', 'd']);
  });
});

it('reads properties as Java does', () => {
  const source = [
    '\uFEFF# comment = no',
    '  ! another',
    'a=1',
    'b : two\\',
    '     words  ',
    'c\\=d\\:e\\ f = C\\:\\\\x\\u00e9\\ty',
    'g h',
    'empty',
    'a = last wins',
    'not\\\\\\\\',
  ].join('\r\n');
  expect(Object.fromEntries(parseJavaProperties(source))).toEqual({
    a: 'last wins',
    b: 'twowords  ',
    'c=d:e f': 'C:\\xé\ty',
    g: 'h',
    empty: '',
    'not\\\\': '',
  });
});

describe('the confluence agent', () => {
  let directory: string;
  let home: string;
  let install: string;
  const put = (file: string, content: string): void => {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  };
  const contextOf = (settings: Record<string, string> = {}): AgentContext =>
    ({
      settings: { CONFLUENCE_INSTALL_DIR: install, CONFLUENCE_HOME_DIR: home, ...settings },
      view: hostView(),
      signal: new AbortController().signal,
    }) as unknown as AgentContext;
  const context = (settings?: Record<string, string>) => contextOf(settings) as never;
  const database = (settings?: Record<string, string>) =>
    (agent.databases(context(settings)) as { connection: object }[])[0];
  const trees = (settings?: Record<string, string>) => agent.trees(context(settings)) as TreeSource[];
  const live = {
    'hibernate.connection.url': 'jdbc:mysql://h:3307/wiki?a=b&c=d',
    'hibernate.connection.username': 'confluence',
    'hibernate.connection.password': PASSWORD,
  };
  const connection = { host: 'h', port: 3307, user: 'confluence', password: PASSWORD, database: 'wiki' };
  const configure = (properties: Record<string, string> = {}, options = {}): void =>
    put(join(home, 'confluence.cfg.xml'), configuration({ ...live, ...properties }, options));

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'garner-confluence-'));
    [home, install] = [join(directory, 'home'), join(directory, 'install')];
    mkdirSync(join(home, 'attachments'), { recursive: true });
    configure();
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('reads the database, with a password of every kind of character', () => {
    expect(database()).toMatchObject({ name: 'wiki', engine: 'mysql', connection });
  });

  it('passes over old credentials that are commented out, in a file with a byte-order mark and CRLF', () => {
    const old = '<!-- <property name="hibernate.connection.password">old</property> -->\n';
    const text = configuration(live).replace('<properties>\n', `<properties>\n${old}`);
    put(join(home, 'confluence.cfg.xml'), `\uFEFF${text.replaceAll('\n', '\r\n')}`);
    expect(database()).toMatchObject({ connection });
  });

  it.each([
    'com.atlassian.db.config.password.ciphers.base64.Base64Cipher',
    'com.atlassian.secrets.store.base64.Base64SecretStore',
  ])('decodes a password that is only encoded: %s', (cipher) => {
    configure({
      'jdbc.password.decrypter.classname': cipher,
      'hibernate.connection.password': Buffer.from(PASSWORD).toString('base64'),
    });
    expect(database()).toMatchObject({ connection });
  });

  it.each([
    {
      'jdbc.password.decrypter.classname':
        'com.atlassian.db.config.password.ciphers.algorithm.AlgorithmCipher',
    },
    { 'jdbc.password.decrypter.classname': 'com.atlassian.secrets.store.vault.VaultSecretStore' },
    { 'hibernate.connection.password': '{ATL_SECURED}' },
  ])('asks for GARNER_DATABASE_URL where the password is encrypted: %o', (properties) => {
    const encoded = Buffer.from('looks like base64').toString('base64');
    configure({ 'hibernate.connection.password': encoded, ...(properties as object) });
    const { HOME } = process.env;
    process.env.HOME = directory;
    const error = errorOf(() => database());
    put(join(directory, '.my.cnf'), '[client]\n');
    const withOptionFile = database();
    process.env.HOME = HOME;
    expect(error.message).toContain('it is encrypted');
    expect(error.hint).toContain('GARNER_DATABASE_URL');
    // as with the original scripts
    expect(withOptionFile).toMatchObject({
      connection: { ...connection, user: undefined, password: undefined },
    });
  });

  it('refuses what is not set up, and what names no database', () => {
    configure({}, { setupStep: 'setupdbchoice-start' });
    expect(errorOf(() => database()).message).toContain('its setup stands at "setupdbchoice-start"');
    configure({ 'hibernate.connection.url': '' });
    expect(errorOf(() => database()).hint).toContain('GARNER_DATABASE_URL');
    put(join(home, 'confluence.cfg.xml'), '<confluence-configuration/>');
    expect(errorOf(() => database()).message).toContain('no <properties>');
  });

  it("finds a data source in Tomcat's server.xml", () => {
    configure({ 'hibernate.connection.datasource': 'java:comp/env/jdbc/confluence' });
    expect(errorOf(() => database()).hint).toContain('GARNER_DATABASE_URL');
    const resource = (url: string, name = 'jdbc/confluence'): string =>
      `<Server><Service><!-- <Resource name="jdbc/confluence" url="jdbc:h2:x"/> --><Resource name="jdbc/other"/>
       <Context><Resource name="${name}" username="a" password="&amp;&quot;b" url="${url}"/></Context></Service></Server>`;
    put(join(install, 'conf/server.xml'), resource('jdbc:postgresql://h/db?a=b&amp;currentSchema=s'));
    expect(database()).toMatchObject({
      engine: 'postgres',
      connection: { user: 'a', password: '&"b', database: 'db' },
    });
    for (const text of [resource(`jdbc:mysql://\${host}/db`), resource('jdbc:mysql://h/db', 'jdbc/x')]) {
      put(join(install, 'conf/server.xml'), text);
      expect(errorOf(() => database()).hint).toContain('GARNER_DATABASE_URL');
    }
  });

  it("goes by the client's option files where CONFLUENCE_SCHEMA_NAME is set", () => {
    expect(database({ CONFLUENCE_SCHEMA_NAME: 'confluence' })).toEqual({
      name: 'confluence',
      engine: 'mysql',
      connection: { database: 'confluence' },
      withoutRoutines: true,
    });
  });

  it('says that the configuration can not be read', () => {
    rmSync(join(home, 'confluence.cfg.xml'));
    mkdirSync(join(home, 'confluence.cfg.xml'));
    expect(errorOf(() => database())).toMatchObject({ code: 'application-configuration' });
    rmSync(join(home, 'confluence.cfg.xml'), { recursive: true });
    expect(errorOf(() => trees()).message).toContain('confluence.cfg.xml": no such file');
    if (process.getuid?.() === 0) return;
    configure();
    chmodSync(join(home, 'confluence.cfg.xml'), 0);
    expect(errorOf(() => database()).message).toContain('permission denied');
  });

  it('finds the home by the installation, where no setting names it', () => {
    const unset = { CONFLUENCE_HOME_DIR: undefined as unknown as string };
    const pointer = join(install, 'confluence/WEB-INF/classes/confluence-init.properties');
    put(pointer, `#confluence.home=/old\nconfluence.home = ${home.replaceAll('/', '\\/')}\n`);
    expect(trees(unset)).toMatchObject([{ name: 'home', root: home }]);
    put(pointer, '# confluence.home=c:/confluence/data\n');
    expect(errorOf(() => trees(unset)).message).toContain('/var/atlassian/application-data/confluence/');
  });

  it('takes attachments that are elsewhere, or a link, as a tree of their own', () => {
    const elsewhere = join(directory, 'elsewhere');
    renameSync(join(home, 'attachments'), elsewhere);
    symlinkSync(elsewhere, join(home, 'attachments'));
    const own = { name: 'attachments', root: elsewhere };
    expect(trees()).toMatchObject([{ name: 'home' }, own]);
    rmSync(join(home, 'attachments'));
    configure({ 'attachments.dir': elsewhere });
    expect(trees()).toMatchObject([{ name: 'home' }, own]);
    configure({ 'attachments.dir': `\${confluenceHome}/../elsewhere` });
    expect(trees()).toMatchObject([{ name: 'home' }, own]);
    configure({ 'attachments.dir': `\${localHome}/data` });
    expect(trees()).toHaveLength(1);
    configure({ 'attachments.dir': `\${unheardOf}/data` });
    expect(errorOf(() => trees()).message).toContain('confluence.cfg.xml does not say where it is');
  });

  it("takes a cluster's shared home as a tree of its own, with the attachments in it", () => {
    const shared = join(directory, 'shared');
    mkdirSync(join(shared, 'attachments/v4'), { recursive: true });
    configure({
      'confluence.cluster.home': shared,
      'attachments.dir': `\${confluenceHome}/attachments`,
    });
    expect(trees()).toMatchObject([{ name: 'home' }, { name: 'shared', root: shared }]);
    const checks = agent.crossChecks?.(context(), [{ name: 'wiki', engine: 'mysql', connection: {} }]);
    expect(checks).toMatchObject([{ database: 'wiki', tree: 'shared' }]);
    expect(checks?.[0]?.concerns('attachments/v4/1/2/3/3.1')).toBe(true);
    // one below the home belongs to that
    configure({ 'confluence.cluster.home': join(home, 'shared-home') });
    expect(trees()).toHaveLength(1);
  });

  it('knows the files of a row in either layout, and which files are none of attachments', () => {
    const check = (engine: string) =>
      agent.crossChecks?.(context(), [{ name: 'wiki', engine, connection: {} }])?.[0] as Required<
        ReturnType<NonNullable<typeof agent.crossChecks>>
      >[number];
    const { pathsOf, concerns } = check('mysql');
    const one = { id: 65_547_907, version: 3, page: 1_245_187, space: 98_306 };
    const row = [one.id, one.version, one.page, one.space, 0].map(String);
    const files = [true, false].map((isV4) => join('attachments', attachmentPath(isV4, one)));
    expect(pathsOf(row)).toEqual(expect.arrayContaining(files));
    // the example of Atlassian's own page on the older layout
    expect(files[1]).toBe('attachments/ver003/56/98/98306/187/245/1245187/65547907/3');
    const nonspaced = join('attachments', attachmentPath(false, { ...one, space: undefined }));
    expect(pathsOf(row)).toContain(nonspaced);
    for (const file of [...files, nonspaced]) {
      expect(concerns(file), file).toBe(true);
      for (const other of [`${file}.extracted_text`, dirname(file), file.replace('attachments/', '')])
        expect(concerns(other), other).toBe(false);
    }
    expect(check('postgres').sql).toContain('FROM "public".content a');
  });

  it.each([
    [['confluence-9.2.1.jar', 'confluence-editor-9.9.9.jar', 'confluence-6-compat-1.0.jar'], '9.2.1'],
    [['confluence-8.8.0-m01.jar', 'confluence-8.8.0-m01.jar.bak'], '8.8.0-m01'],
    [['confluence-9.2.1.jar', 'confluence-7.19.2.jar'], undefined],
    [['confluence-editor-9.9.9.jar'], undefined],
  ])('finds the version by the jar: %o', (jars, version) => {
    for (const jar of jars) put(join(install, 'confluence/WEB-INF/lib', jar), '');
    expect(jarVersion(join(install, 'confluence/WEB-INF/lib'), 'confluence')).toBe(version);
    const settings = { CONFLUENCE_VERSION_NAME: '1.2.3' };
    expect(agent.version(context(settings))).toBe(version ?? '1.2.3');
    if (version === undefined)
      expect(errorOf(() => agent.version(context())).hint).toContain('CONFLUENCE_VERSION_NAME');
    const pom = 'confluence/META-INF/maven/com.atlassian.confluence/confluence-webapp/pom.properties';
    put(join(install, pom), '#Created by Apache Maven\nversion=9.0.1\nartifactId=x\n');
    expect(agent.version(context())).toBe('9.0.1');
  });

  it('names what the archive lacks to read the password', () => {
    configure({ 'hibernate.connection.password': '{ATL_SECURED}' });
    expect(agent.withheld?.(context())).toMatchObject([{ what: expect.stringContaining('{ATL_SECURED}') }]);
    const shared = join(directory, 'shared');
    mkdirSync(join(shared, 'keys'), { recursive: true });
    configure({ 'hibernate.connection.password': '{ATL_SECURED}', 'confluence.cluster.home': shared });
    expect(agent.withheld?.(context())).toEqual([]);
  });

  it('names the bucket of attachments that are in an object storage, and compares no files then', () => {
    const checks = () => agent.crossChecks?.(context(), [{ name: 'wiki', engine: 'mysql', connection: {} }]);
    const key = 'confluence.filestore.attachments.s3.bucket.name';
    const script = join(install, 'bin/setenv.sh');
    put(script, `#CATALINA_OPTS="-D${key}=old"\n`);
    expect([checks()?.length, agent.withheld?.(context())]).toEqual([1, []]);
    const inBucket = (name: string) => [
      { what: `attachments, which Confluence keeps in the bucket ${name}`, remedy: expect.anything() },
    ];
    put(script, `CATALINA_OPTS="-D${key}=ours -D${key.replace('name', 'region')}=eu \${CATALINA_OPTS}"\n`);
    expect([checks(), agent.withheld?.(context())]).toEqual([[], inBucket('ours')]);
    configure({ [key]: 'named' });
    expect([checks(), agent.withheld?.(context())]).toEqual([[], inBucket('named')]);
  });

  it('tells what to do after a restore, without a password', () => {
    configure();
    const steps = agent.nextSteps?.(context()).join('\n');
    for (const word of [
      'hibernate.connection.url',
      'plugins-osgi-cache',
      'chown',
      'start-confluence.sh',
      'Rebuild',
    ])
      expect(steps).toContain(word);
    expect(steps).not.toContain('${');
  });
});
