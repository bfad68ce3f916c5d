// The bamboo agent: the contract on MariaDB in the shape of 7, and its configuration in the shapes of 7 and 9, with what
// misleads careless readers of it.
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import agent from '../../agents/bamboo.ts';
import type { TreeSource } from '../../agents/toolkit/define-agent.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { addHazards, contextOf, leftOutOf, PASSWORD, write } from '../helpers/atlassian.ts';
import { configuration } from '../helpers/confluence.ts';
import { errorOf } from '../helpers/error-of.ts';
import { startMariadb } from '../helpers/mariadb.ts';

/** @returns bamboo.cfg.xml as Bamboo writes it; the directories are those of 7 */
const bambooConfiguration = (properties: Record<string, string>, setupStep = 'complete'): string =>
  configuration(
    {
      'bamboo.artifacts.directory': `\${bambooHome}/artifacts`,
      'bamboo.config.directory': `\${bambooHome}/xml-data/configuration`,
      'bamboo.jms.broker.client.uri':
        'failover:(tcp://ci.example.org:54663?wireFormat.maxInactivityDuration=300000)?initialReconnectDelay=15000&maxReconnectAttempts=10',
      'bamboo.jms.broker.uri': 'nio://0.0.0.0:54663',
      'bamboo.project.directory': `\${bambooHome}/xml-data/builds`,
      'bamboo.repository.logs.directory': `\${bambooHome}/xml-data/repository-specs`,
      buildWorkingDir: `\${bambooHome}/xml-data/build-dir`,
      'hibernate.connection.username': 'bamboo',
      'hibernate.connection.password': PASSWORD,
      ...properties,
    },
    { build: 70216, root: 'application-configuration', setupStep },
  );

const TABLES = `
  CREATE TABLE BUILD (BUILD_ID BIGINT PRIMARY KEY, FULL_KEY VARCHAR(255), TITLE VARCHAR(255)) ENGINE=InnoDB;
  CREATE TABLE CREDENTIALS (CREDENTIALS_ID BIGINT PRIMARY KEY, XML LONGTEXT) ENGINE=InnoDB;
  INSERT INTO BUILD VALUES (1, 'PROJ-PLAN-JOB1', 'Räksmörgås 🦔 ''"');
  INSERT INTO CREDENTIALS VALUES (1, '<configuration>\\\\n&amp;</configuration>');`;

const MADE_ANEW = {
  'xml-data/build-dir': 'xml-data/build-dir/PROJ-PLAN-JOB1/src/a.c',
  caches: 'caches/plugin.jar',
  temp: 'temp/x',
  logs: 'logs/atlassian-bamboo.log',
  index: 'index/results/_0.cfs',
  'jms-store': 'jms-store/bamboo/KahaDB/db.data',
  backups: 'backups/export.zip',
  exports: 'exports/export.zip',
  'analytics-logs': 'analytics-logs/a.log.gz',
};

agentContract('bamboo', '7 on MariaDB', async (directory) => {
  const server = await startMariadb();
  const [install, home] = [join(directory, 'install'), join(directory, 'home')];
  await server.createDatabase('bamboodb', 'bamboo', PASSWORD);
  await server.query(TABLES, 'bamboodb');
  const webInf = join(install, 'atlassian-bamboo/WEB-INF');
  for (const jar of ['atlassian-bamboo-api-7.2.10', 'atlassian-bamboo-api-client-1.0'])
    write(join(webInf, 'lib', `${jar}.jar`), 'PK');
  write(join(webInf, 'classes/bamboo-init.properties'), `#bamboo.home=C:/bamboo\nbamboo.home=${home}\n`);
  const url = `jdbc:mysql://localhost:${server.port}/bamboodb?autoReconnect=true&useSSL=false`;
  write(join(home, 'bamboo.cfg.xml'), bambooConfiguration({ 'hibernate.connection.url': url }));
  for (const path of [
    'xml-data/configuration/cipher/key',
    'xml-data/builds/PROJ-PLAN-JOB1/results/1.xml',
    'artifacts/PROJ-PLAN/shared/build-00042/ä.tar',
    'attachments/logo.png',
    'plugins/plugin-1.0.jar',
    'serverState/state.properties',
  ])
    write(join(home, path), `content of ${path}`);
  await addHazards(join(home, 'xml-data/odd'));
  for (const path of Object.values(MADE_ANEW)) write(join(home, path), 'made anew');
  const dump = ['--no-defaults', '--user=root', `--socket=${server.socket}`, '--skip-dump-date', 'bamboodb'];
  return {
    settings: { BAMBOO_INSTALL_DIR: install },
    places: ['bamboo.cfg.xml', 'xml-data/configuration', 'xml-data/builds', 'xml-data/odd/fifo']
      .concat(['artifacts', 'attachments', 'plugins', 'serverState'])
      .map((path) => join(home, path)),
    members: ['bamboodb.sql', 'home.tar', 'home.list'],
    version: /^7\.2\.10$/m,
    secrets: [PASSWORD],
    treeFind: { home: [home, '.', ...leftOutOf(Object.keys(MADE_ANEW))] },
    dumpDatabases: async () => (await execa('mariadb-dump', dump)).stdout,
    async wipe() {
      rmSync(home, { recursive: true });
      await server.query('DROP DATABASE bamboodb; CREATE DATABASE bamboodb COLLATE utf8mb4_bin;');
    },
    broken: {
      settings: { BAMBOO_HOME: join(directory, 'absent') },
      error: /absent\/bamboo\.cfg\.xml": no such file/,
    },
    remove: () => server.stop(),
  };
});

describe('the bamboo agent', () => {
  let directory: string;
  let home: string;
  let install: string;
  const pointer = (): string => join(install, 'atlassian-bamboo/WEB-INF/classes/bamboo-init.properties');
  const context = (settings: Record<string, unknown> = {}): never =>
    contextOf({ BAMBOO_HOME: home, BAMBOO_INSTALL_DIR: install, BAMBOO_ARTIFACTS: true, ...settings });
  const database = () => (agent.databases(context()) as { connection: object }[])[0];
  const trees = (settings?: Record<string, unknown>) => agent.trees(context(settings)) as TreeSource[];
  const url = { 'hibernate.connection.url': 'jdbc:mysql://h/bamboo?a=b&c=d' };
  const connection = { host: 'h', user: 'bamboo', password: PASSWORD, database: 'bamboo' };
  const configure = (properties: Record<string, string> = {}, setupStep?: string): void =>
    write(join(home, 'bamboo.cfg.xml'), bambooConfiguration({ ...url, ...properties }, setupStep));
  const makeShared = (shared: string): void => {
    for (const path of ['configuration/cipher', 'builds', 'artifacts'])
      mkdirSync(join(shared, path), { recursive: true });
  };

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'garner-bamboo-'));
    [home, install] = [join(directory, 'home'), join(directory, 'install')];
    mkdirSync(join(home, 'xml-data/configuration'), { recursive: true });
    configure();
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('reads the database and the build', () => {
    expect(database()).toMatchObject({ name: 'bamboo', engine: 'mysql', connection });
    expect(agent.build?.(context())).toBe('70216');
    const old = '<!-- <property name="hibernate.connection.password">old</property> -->\n';
    const text = bambooConfiguration(url).replace('<properties>\n', `<properties>\n${old}`);
    write(join(home, 'bamboo.cfg.xml'), `\uFEFF${text.replaceAll('\n', '\r\n')}`);
    expect(database()).toMatchObject({ connection });
  });

  it('refuses what is not set up, the database for trying out, and a password that it can not read', () => {
    configure({}, 'setupDatabase');
    expect(errorOf(database).message).toContain('its setup stands at "setupDatabase"');
    configure({ 'hibernate.connection.url': 'jdbc:h2:/home/database/defaultdb' });
    expect(errorOf(database).message).toContain('embedded database H2');
    configure({
      'hibernate.connection.url': 'jdbc:postgresql://h/bamboo',
      'jdbc.password.decrypter.classname': 'com.atlassian.secrets.store.algorithm.AlgorithmSecretStore',
      'hibernate.connection.password': `{"keyFilePath":"${home}/keys/k","sealedObjectFilePath":"/root/s"}`,
    });
    expect(errorOf(database).hint).toContain('GARNER_DATABASE_URL');
    expect(agent.withheld?.(context())).toMatchObject([{ what: '/root/s' }]);
  });

  it('takes the shared home of 9 with the home, where it is below that', () => {
    makeShared(join(home, 'shared'));
    const [tree, ...others] = trees();
    expect(others).toEqual([]);
    expect(tree).toMatchObject({ name: 'home', root: home });
    for (const path of ['local-working-dir', 'caches', 'shared/jms-store', 'shared/backups', 'shared/index'])
      expect(tree?.excludes).toContain(path);
    for (const path of ['shared', 'artifacts', 'shared/artifacts'])
      expect(tree?.excludes).not.toContain(path);
    configure({ 'hibernate.connection.password': '{ATL_SECURED}' });
    mkdirSync(join(home, 'shared/secured'));
    expect(agent.withheld?.(context())).toEqual([]);
  });

  it('takes the shared home of a cluster as a tree of its own', () => {
    const shared = join(directory, 'shared');
    makeShared(shared);
    write(pointer(), `bamboo.home=${home}\nbamboo.shared.home=${shared}\n`);
    expect(trees({ BAMBOO_HOME: undefined })).toMatchObject([
      { name: 'home', root: home },
      { name: 'shared', root: shared, excludes: expect.arrayContaining(['jms-store', 'exports']) },
    ]);
    configure({ 'hibernate.connection.password': '{ATL_SECURED}' });
    expect(agent.withheld?.(context())).toHaveLength(1);
    mkdirSync(join(shared, 'secured'));
    expect(agent.withheld?.(context())).toEqual([]);
    rmSync(pointer());
    symlinkSync(shared, join(home, 'shared'));
    expect(trees()).toMatchObject([{ name: 'home' }, { name: 'shared', root: shared }]);
  });

  it('follows a link to the home', () => {
    const link = join(directory, 'link');
    symlinkSync(home, link);
    expect(trees({ BAMBOO_HOME: link })).toMatchObject([{ name: 'home', root: home }]);
    expect(trees({ BAMBOO_HOME: link })).toHaveLength(1);
  });

  it('takes directories that are elsewhere as trees of their own, by a link or by bamboo.cfg.xml', () => {
    const disk = join(directory, 'disk');
    mkdirSync(join(home, 'artifacts'));
    renameSync(join(home, 'artifacts'), disk);
    symlinkSync(disk, join(home, 'artifacts'));
    expect(trees()).toMatchObject([{ name: 'home' }, { name: 'artifacts', root: disk }]);
    rmSync(join(home, 'artifacts'));
    configure({ 'bamboo.artifacts.directory': disk, 'bamboo.project.directory': `\${bambooHome}/../builds` });
    // one that isn't there is a disk that isn't mounted: the backup fails on it
    expect(trees()).toMatchObject([
      { name: 'home' },
      { name: 'builds', root: join(directory, 'builds') },
      { name: 'artifacts', root: disk },
    ]);
    configure({ 'bamboo.config.directory': `\${unheardOf}/configuration` });
    expect(errorOf(trees).message).toContain('bamboo.cfg.xml does not say where it is');
  });

  it('refuses a home whose shared home is on a disk that is not mounted', () => {
    rmSync(join(home, 'xml-data'), { recursive: true });
    symlinkSync(join(directory, 'absent'), join(home, 'shared'));
    expect(errorOf(trees).hint).toContain('mount the shared home');
  });

  it('passes over an old place that 9 still names', () => {
    makeShared(join(home, 'shared'));
    const disk = join(directory, 'disk');
    renameSync(join(home, 'shared/artifacts'), disk);
    symlinkSync(disk, join(home, 'shared/artifacts'));
    expect(trees()).toMatchObject([{ name: 'home' }, { name: 'artifacts', root: disk }]);
    renameSync(join(home, 'shared/artifacts'), join(home, 'shared/made'));
    expect(trees()).toHaveLength(1);
    configure({ 'bamboo.artifacts.directory': `\${bambooSharedHome}/made` });
    expect(trees()).toMatchObject([{ name: 'home' }, { name: 'artifacts', root: disk }]);
  });

  it('leaves artifacts out with BAMBOO_ARTIFACTS=false, wherever they are, and names that', () => {
    expect(agent.withheld?.(context())).toEqual([]);
    const settings = { BAMBOO_ARTIFACTS: false };
    expect(trees(settings)[0]?.excludes).toContain('artifacts');
    configure({ 'bamboo.artifacts.directory': `\${bambooHome}/made/artifacts` });
    mkdirSync(join(home, 'made/artifacts'), { recursive: true });
    expect(trees(settings)[0]?.excludes).toContain('made/artifacts');
    configure({ 'bamboo.artifacts.directory': directory });
    expect(trees(settings)).toMatchObject([{ name: 'home' }]);
    expect(agent.withheld?.(context(settings))).toMatchObject([{ what: 'artifacts of builds' }]);
    makeShared(join(home, 'shared'));
    mkdirSync(join(home, 'artifacts')); // what an upgrade has left behind
    configure();
    for (const path of ['artifacts', 'shared/artifacts'])
      expect(trees(settings)[0]?.excludes).toContain(path);
  });

  it('finds the version by the jar', () => {
    expect(errorOf(() => agent.version(context())).hint).toContain('BAMBOO_INSTALL_DIR');
    for (const jar of ['atlassian-bamboo-api-9.2.1.jar', 'atlassian-bamboo-api-utils-1.0.jar'])
      write(join(install, 'atlassian-bamboo/WEB-INF/lib', jar), '');
    expect(agent.version(context())).toBe('9.2.1');
  });

  it('tells what to do after a restore, without a password', () => {
    const steps = agent.nextSteps?.(context()).join('\n') ?? '';
    for (const word of [
      'hibernate.connection.url',
      'bamboo.jms.broker',
      'chown -R bamboo:',
      'start-bamboo.sh',
    ])
      expect(steps).toContain(word);
    expect(steps).not.toContain(PASSWORD);
  });
});
