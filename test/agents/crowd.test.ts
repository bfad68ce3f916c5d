// The crowd agent: the contract on PostgreSQL, and its configuration in the shapes of 2, 3 and 5, with what misleads careless
// readers of it.
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import agent from '../../agents/crowd.ts';
import type { TreeSource } from '../../agents/toolkit/define-agent.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { addHazards, contextOf, leftOutOf, PASSWORD, write } from '../helpers/atlassian.ts';
import { configuration } from '../helpers/confluence.ts';
import { errorOf } from '../helpers/error-of.ts';
import { startPostgres } from '../helpers/postgres.ts';

/** @returns crowd.cfg.xml as Crowd writes it */
const crowdConfiguration = (properties: Record<string, string>, setupStep = 'complete'): string =>
  configuration(
    {
      'crowd.server.id': 'BXYZ-1234-ABCD-5678',
      'hibernate.connection.driver_class': 'org.postgresql.Driver',
      'hibernate.connection.username': 'crowd',
      'hibernate.connection.password': PASSWORD,
      license: 'AAAB…canary-license',
      ...properties,
    },
    { build: 1893, root: 'application-configuration', setupStep },
  );

const TABLES = `
  CREATE TABLE cwd_directory (id BIGINT PRIMARY KEY, directory_name VARCHAR(255) NOT NULL, active CHAR(1));
  CREATE TABLE cwd_user (id BIGINT PRIMARY KEY, user_name VARCHAR(255), credential VARCHAR(255),
    directory_id BIGINT REFERENCES cwd_directory (id));
  INSERT INTO cwd_directory VALUES (32769, 'Räksmörgås', 'T');
  INSERT INTO cwd_user VALUES (1, 'o''brien 🦔', '{PKCS5S2}Zm9v', 32769), (2, 'admin', NULL, 32769);`;

const MADE_ANEW = {
  caches: 'caches/felix/a.jar',
  logs: 'logs/atlassian-crowd.log',
  'bundled-plugins': 'bundled-plugins/saml-1.0.jar',
  'shared/backups': 'shared/backups/atlassian-crowd-5.1.3-automated-backup.xml',
};

agentContract('crowd', '5 on PostgreSQL', async (directory) => {
  const server = await startPostgres();
  const [install, home] = [join(directory, 'install'), join(directory, 'home')];
  await server.createDatabase('crowddb', 'crowd', PASSWORD);
  await server.query(`SET ROLE crowd; ${TABLES}`, 'crowddb');
  for (const jar of ['crowd-core-5.1.3', 'crowd-core-integration-2.0'])
    write(join(install, 'crowd-webapp/WEB-INF/lib', `${jar}.jar`), 'PK');
  write(
    join(install, 'crowd-webapp/WEB-INF/classes/crowd-init.properties'),
    `#crowd.home=/var/crowd-home\ncrowd.home=${home}\n`,
  );
  const url = `jdbc:postgresql://localhost:${server.port}/crowddb?reWriteBatchedInserts=true&prepareThreshold=0`;
  write(join(home, 'shared/crowd.cfg.xml'), crowdConfiguration({ 'hibernate.connection.url': url }));
  write(join(home, 'shared/crowd.properties'), 'application.password=canary-application\n');
  write(join(home, 'shared/keys/javax.crypto.spec.SecretKeySpec_1'), 'a key');
  write(join(home, 'shared/plugins/plugin-1.0.jar'), 'PK');
  write(join(home, 'plugin-data/x/y'), 'data');
  await addHazards(join(home, 'shared/odd'));
  for (const path of Object.values(MADE_ANEW)) write(join(home, path), 'made anew');
  const kept = ['crowd.cfg.xml', 'crowd.properties', 'keys', 'plugins', 'odd/fifo'];
  return {
    settings: { CROWD_INSTALL_DIR: install },
    places: [...kept.map((path) => join(home, 'shared', path)), join(home, 'plugin-data')],
    members: ['crowddb.dump', 'roles.sql', 'home.tar', 'home.list'],
    dumpFileSuffix: 'dump',
    version: /^5\.1\.3$/m,
    secrets: [PASSWORD, 'canary-license', 'canary-application'],
    treeFind: { home: [home, '.', ...leftOutOf(Object.keys(MADE_ANEW))] },
    dumpDatabases: () => server.dump('crowddb'),
    async wipe() {
      rmSync(home, { recursive: true });
      await server.query('DROP DATABASE crowddb');
      await server.query('CREATE DATABASE crowddb OWNER crowd');
    },
    broken: {
      settings: { CROWD_HOME: join(directory, 'absent') },
      error: /absent\/shared\/crowd\.cfg\.xml": no such file/,
    },
    remove: () => server.stop(),
  };
});

describe('the crowd agent', () => {
  let directory: string;
  let home: string;
  let install: string;
  const context = (settings: Record<string, unknown> = {}): never =>
    contextOf({ CROWD_HOME: home, CROWD_INSTALL_DIR: install, ...settings });
  const database = () => (agent.databases(context()) as { connection: object }[])[0];
  const trees = (settings?: Record<string, unknown>) => agent.trees(context(settings)) as TreeSource[];
  const url = { 'hibernate.connection.url': 'jdbc:mysql://h/crowd?a=b&c=d' };
  const connection = { host: 'h', user: 'crowd', password: PASSWORD, database: 'crowd' };

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'garner-crowd-'));
    [home, install] = [join(directory, 'home'), join(directory, 'install')];
    write(join(home, 'shared/crowd.cfg.xml'), crowdConfiguration(url));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('reads crowd.cfg.xml in the shared directory, and in the home itself before 3', () => {
    // what an upgrade has left behind
    write(
      join(home, 'crowd.cfg.xml'),
      crowdConfiguration({ 'hibernate.connection.url': 'jdbc:mysql://old/old' }),
    );
    expect(database()).toMatchObject({ name: 'crowd', engine: 'mysql', connection });
    expect(agent.build?.(context())).toBe('1893');
    rmSync(join(home, 'shared'), { recursive: true });
    // a disk that isn't mounted
    symlinkSync(join(directory, 'absent'), join(home, 'shared'));
    expect(errorOf(trees).message).toContain('shared/crowd.cfg.xml": no such file');
    rmSync(join(home, 'shared'));
    expect(database()).toMatchObject({
      name: 'old',
      connection: { ...connection, host: 'old', database: 'old' },
    });
    expect(trees()).toMatchObject([{ name: 'home', root: home }]);
  });

  it('passes over old credentials that are commented out, in a file with a byte-order mark and CRLF', () => {
    const old = '<!-- <property name="hibernate.connection.password">old</property> -->\n';
    const text = crowdConfiguration(url).replace('<properties>\n', `<properties>\n${old}`);
    write(join(home, 'shared/crowd.cfg.xml'), `\uFEFF${text.replaceAll('\n', '\r\n')}`);
    expect(database()).toMatchObject({ connection });
  });

  it('asks for GARNER_DATABASE_URL where the password is encrypted, with the keys in the archive', () => {
    const properties = {
      'hibernate.connection.url': 'jdbc:postgresql://h/crowd',
      'hibernate.connection.password': '{ATL_SECURED}',
    };
    write(join(home, 'shared/crowd.cfg.xml'), crowdConfiguration(properties));
    expect(errorOf(database).hint).toContain('GARNER_DATABASE_URL');
    expect(agent.withheld?.(context())).toHaveLength(1);
    mkdirSync(join(home, 'shared/keys'));
    expect(agent.withheld?.(context())).toEqual([]);
  });

  it('refuses what is not set up, and the database for trying out', () => {
    write(join(home, 'shared/crowd.cfg.xml'), crowdConfiguration(url, 'setupdatabase'));
    expect(errorOf(database).message).toContain('its setup stands at "setupdatabase"');
    const embedded = { 'hibernate.connection.url': 'jdbc:hsqldb:/var/crowd-home/database/defaultdb' };
    write(join(home, 'shared/crowd.cfg.xml'), crowdConfiguration(embedded));
    expect(errorOf(database).message).toContain('embedded database HSQLDB');
  });

  it("finds a data source in any of Tomcat's files", () => {
    write(
      join(home, 'shared/crowd.cfg.xml'),
      crowdConfiguration({ 'hibernate.connection.datasource': 'java:comp/env/jdbc/CrowdDS' }),
    );
    expect(errorOf(database).hint).toContain('GARNER_DATABASE_URL');
    const conf = join(install, 'apache-tomcat/conf');
    write(join(conf, 'context.xml'), '<Context/>');
    expect(errorOf(database).message).toContain('context.xml');
    const resource = '<Resource name="jdbc/CrowdDS" username="a" password="&amp;b" url="jdbc:mysql://h/d"/>';
    write(join(conf, 'server.xml'), `<Server>${resource}</Server>`);
    expect(database()).toMatchObject({ connection: { user: 'a', password: '&b', database: 'd' } });
  });

  it('finds the home by the installation, where no setting names it', () => {
    const unset = { CROWD_HOME: undefined };
    const pointer = join(install, 'crowd-webapp/WEB-INF/classes/crowd-init.properties');
    write(pointer, `crowd.home=${home}\r\n`);
    expect(trees(unset)).toMatchObject([{ root: home }]);
    rmSync(pointer);
    expect(errorOf(() => trees(unset)).message).toContain('/var/atlassian/application-data/crowd/');
  });

  it('takes a shared directory on another disk as a tree of its own', () => {
    const disk = join(directory, 'disk');
    renameSync(join(home, 'shared'), disk);
    symlinkSync(disk, join(home, 'shared'));
    const [local, shared] = trees();
    expect(local).toMatchObject({ name: 'home', root: home });
    expect(shared).toMatchObject({ name: 'shared', root: disk });
    expect(shared?.excludes).toContain('backups');
  });

  it('finds the version by the jar', () => {
    expect(errorOf(() => agent.version(context())).hint).toContain('CROWD_INSTALL_DIR');
    for (const jar of ['crowd-core-3.7.2.jar', 'crowd-core-client-9.0.jar', 'crowd-coreutils-1.0.jar'])
      write(join(install, 'crowd-webapp/WEB-INF/lib', jar), '');
    expect(agent.version(context())).toBe('3.7.2');
  });

  it('tells what to do after a restore, without a password', () => {
    const steps = agent.nextSteps?.(context()).join('\n') ?? '';
    for (const word of [
      'hibernate.connection.url',
      'shared/crowd.cfg.xml',
      'chown -R crowd:',
      'start_crowd.sh',
    ])
      expect(steps).toContain(word);
    expect(steps).not.toContain(PASSWORD);
  });
});
