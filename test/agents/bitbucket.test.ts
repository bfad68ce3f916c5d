// The bitbucket agent: the contract with the maintenance lock, runs that are cut off while Bitbucket is locked, and all the
// forms of its configuration. There is no Bitbucket here: homes are made from its documentation, with real repositories, and
// the lock is that of test/helpers/bitbucket-server.ts.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import agent from '../../agents/bitbucket.ts';
import type { TreeSource, Withheld } from '../../agents/toolkit/define-agent.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';
import type { GarnerError } from '../../lib/errors.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { type Bitbucket, createBitbucket, properties, put } from '../helpers/bitbucket.ts';
import { startBitbucket } from '../helpers/bitbucket-server.ts';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { type Bench, makeBench, ranOf } from '../helpers/run.ts';
import { makeCertificates } from '../helpers/smtp-server.ts';

/** Every character that some quoting somewhere gives a meaning. */
const PASSWORD = `p&amp;%40'"\\\\n$x\${y}#; =w<ö>!:`;
const ACCOUNT = { BITBUCKET_USER: 'backup', BITBUCKET_PASSWORD: PASSWORD };

let database: MariaDb;
beforeAll(async () => {
  database = await startMariadb();
});
afterAll(() => database.stop());

agentContract('bitbucket', '8.19, locked meanwhile, on MariaDB', async (directory) => {
  const server = await startBitbucket({ password: PASSWORD, polls: 0 });
  const site = await createBitbucket({
    ...{ directory, version: '8.19.1', server: database, database: 'contract', password: PASSWORD },
  });
  const dump = [
    '--no-defaults',
    '--user=root',
    `--socket=${database.socket}`,
    '--skip-dump-date',
    'contract',
  ];
  return {
    settings: { ...site.settings, BITBUCKET_BASE_URL: server.url, BITBUCKET_USER: 'backup' },
    env: { BITBUCKET_PASSWORD: PASSWORD },
    places: site.places,
    members: ['contract.sql', 'home.tar', 'home.list'],
    version: /^8\.19\.1$/,
    secrets: [PASSWORD],
    treeFind: { home: [site.home, '.', ...site.find] },
    dumpDatabases: async () => (await execa('mariadb-dump', dump)).stdout,
    async wipe() {
      rmSync(site.home, { recursive: true });
      await database.query('DROP DATABASE contract; CREATE DATABASE contract CHARACTER SET utf8mb4;');
    },
    broken: {
      settings: { BITBUCKET_HOME: join(directory, 'absent') },
      error: /absent\/shared\/bitbucket\.properties": no such file/,
    },
    async remove() {
      expect(server.lockedBy).toBeUndefined();
      await server[Symbol.asyncDispose]();
    },
  };
});

describe('agent-bitbucket', () => {
  let home: Bench;
  let bench: Bench;
  let site: Bitbucket;
  const read = async (archive: string, member: string, command: string): Promise<string> =>
    (await execa('bash', ['-c', `tar -xOf "$0" "$1" | zstd -dc | ${command}`, archive, member])).stdout;
  const marks = (): string[] => {
    const directory = join(bench.directory, 'state/undo');
    return existsSync(directory) ? readdirSync(directory) : [];
  };

  beforeAll(async () => {
    home = makeBench();
    site = await createBitbucket({
      ...{
        directory: home.directory,
        version: '7.21.0',
        server: database,
        database: 'live',
        password: PASSWORD,
      },
    });
  });
  afterAll(() => home.remove());
  beforeEach(() => {
    bench = makeBench();
    return () => bench.remove();
  });

  it('holds rows and files of the moment for which Bitbucket was at rest', async () => {
    const note = join(site.repository, 'description');
    const set = async (moment: string): Promise<void> => {
      await database.query(`UPDATE sta_pull_request SET title = '${moment}'`, 'live');
      writeFileSync(note, moment);
    };
    await set('before');
    await using server = await startBitbucket({
      ...{ password: PASSWORD, polls: 1 },
      onDrained: () => set('at rest'),
      onUnlocked: () => set('after'),
    });
    const env = { ...site.settings, ...ACCOUNT, BITBUCKET_BASE_URL: server.url };
    const archive = await bench.backup('agent-bitbucket', { env });
    expect(await read(archive, 'live.sql.zst', 'grep -c "at rest"')).toBe('1');
    expect(await read(archive, 'home.tar.zst', `tar -xO ${note.slice(site.home.length + 1)}`)).toBe(
      'at rest',
    );
    expect(readFileSync(note, 'utf8')).toBe('after');
    expect(marks()).toEqual([]);
  });

  it('killed while Bitbucket is locked, unlocks it with the next start, and ended by SIGTERM at once', async () => {
    await using server = await startBitbucket({ password: PASSWORD, polls: 1e9 });
    const env = { ...site.settings, ...ACCOUNT, BITBUCKET_BASE_URL: server.url };
    const waiting = async (count: number): Promise<void> => {
      while (server.asked.filter((asked) => asked === 'GET /mvc/maintenance').length < count) await sleep(20);
    };
    const killed = bench.start('agent-bitbucket', [], { env });
    await waiting(1);
    process.kill(killed.pid as number, 'SIGKILL');
    await killed;
    const token = server.lockedBy;
    expect(token).toBeDefined();
    expect(marks()).toEqual(['agent-bitbucket.json']);
    const file = join(bench.directory, 'state/undo/agent-bitbucket.json');
    expect((await execa('stat', ['-c', '%a', file])).stdout).toBe('600');

    const asked = server.asked.length;
    const next = bench.start('agent-bitbucket', [], { env });
    await waiting(server.asked.filter((one) => one === 'GET /mvc/maintenance').length + 1);
    expect(server.asked.slice(asked, asked + 2)).toEqual([
      'DELETE /mvc/maintenance/lock?token=UNLOCK',
      'POST /mvc/maintenance/lock',
    ]);
    next.kill('SIGTERM');
    expect(ranOf(await next)).toMatchObject({ exitCode: 143, stdout: '' });
    expect(server.lockedBy).toBeUndefined();
    expect(marks()).toEqual([]);
    expect(bench.workFiles()).toEqual([]);
  });

  it("trusts the authorities in the host's own store, as its other programs do", async () => {
    const { caFile, ...certificate } = await makeCertificates();
    await using server = await startBitbucket({ certificate, version: '8.19.4' });
    const env = {
      ...site.settings,
      ...ACCOUNT,
      BITBUCKET_BASE_URL: server.url,
      BITBUCKET_INSTALL_DIR: '/absent',
    };
    const store = { SSL_CERT_FILE: caFile };
    const trusted = await bench.run('agent-bitbucket', ['describe', '--json'], { env: { ...env, ...store } });
    expect(JSON.parse(trusted.stdout).version).toBe('8.19.4');
  });

  it('copies an instance that it is not told to lock, and says what such an archive lacks', async () => {
    const { exitCode, stdout } = await bench.run('agent-bitbucket', ['--json'], { env: site.settings });
    expect(exitCode).toBe(0);
    const { withheld, version } = JSON.parse(stdout);
    expect(version).toBe('7.21.0');
    expect(withheld).toMatchObject([{ what: expect.stringContaining('it was not locked') }]);
  });
});

describe('the bitbucket agent', () => {
  let bench: Bench;
  let home: string;
  const file = () => join(home, 'shared/bitbucket.properties');
  const context = (settings: object = {}) =>
    ({
      settings: {
        BITBUCKET_HOME: home,
        BITBUCKET_INSTALL_DIR: join(bench.directory, 'install'),
        ...settings,
      },
      view: hostView(),
      signal: new AbortController().signal,
    }) as never;
  const source = (settings?: object) =>
    (agent.databases(context(settings)) as { engine: string; connection: object }[])[0];
  const errorOf = (settings?: object): GarnerError => {
    try {
      source(settings);
    } catch (error) {
      return error as GarnerError;
    }
    throw new Error('nothing was thrown');
  };
  const trees = (settings?: object) => agent.trees(context(settings)) as TreeSource[];
  const url = 'jdbc:postgresql://db.example.org:5433/bitbucket?targetServerType=master';
  const connection = {
    host: 'db.example.org',
    port: 5433,
    user: 'git',
    password: PASSWORD,
    database: 'bitbucket',
  };
  const written = { 'jdbc.url': url, 'jdbc.user': 'git', 'jdbc.password': PASSWORD };

  beforeEach(() => {
    bench = makeBench();
    home = join(bench.directory, 'home');
    put(file(), properties(written));
    return () => bench.remove();
  });

  it('reads the database, with escapes, a continued line, old credentials, a byte-order mark and CRLF', () => {
    expect(source()).toMatchObject({ engine: 'postgres', connection });
    const continued = properties(written).replace('jdbc.url=jdbc', 'jdbc.url = \\\n    jdbc');
    put(file(), `\uFEFFjdbc.password=given twice\n${continued}`.replaceAll('\n', '\r\n'));
    expect(source()).toMatchObject({ engine: 'postgres', connection });
  });

  it("goes by the container's environment before the file, and without one", () => {
    const environment = { JDBC_URL: 'jdbc:mysql://h/other', JDBC_USER: 'u', JDBC_PASSWORD: 'p' };
    const other = { host: 'h', user: 'u', password: 'p', database: 'other' };
    expect(source(environment)).toMatchObject({ engine: 'mysql', connection: other });
    expect(source({ JDBC_PASSWORD: 'p' })).toMatchObject({ connection: { ...connection, password: 'p' } });
    rmSync(home, { recursive: true });
    expect(source(environment)).toMatchObject({ connection: other });
  });

  it('refuses the embedded database, and tells it from a home that is not there', () => {
    put(file(), properties({ 'setup.displayName': 'x' }));
    expect(errorOf().message).toContain('the data is in the embedded one');
    rmSync(file());
    expect(errorOf().message).toContain('the data is in the embedded one');
    expect(errorOf().hint).toContain('move the application to a database server');
    put(file(), properties({ 'jdbc.url': 'jdbc:h2:file:/x' }));
    expect(errorOf().message).toContain('embedded database H2');
    rmSync(home, { recursive: true });
    expect(errorOf().message).toContain('bitbucket.properties": no such file');
  });

  it('decodes a password that is only encoded, and asks for GARNER_DATABASE_URL where it is encrypted', () => {
    const cipher = 'com.atlassian.db.config.password.ciphers';
    const encoded = Buffer.from(PASSWORD).toString('base64');
    const withCipher = (name: string) =>
      properties({
        ...written,
        'jdbc.password': encoded,
        'jdbc.password.decrypter.classname': `${cipher}.${name}`,
      });
    put(file(), withCipher('base64.Base64Cipher'));
    expect(source()).toMatchObject({ connection });
    put(file(), withCipher('algorithm.AlgorithmCipher'));
    expect(errorOf().hint).toContain('GARNER_DATABASE_URL');
    expect(errorOf().message).not.toContain(encoded);
    const withheld = agent.withheld?.(context()) as Withheld[];
    expect(withheld[0]?.what).toContain('AlgorithmCipher');
    expect(source({ JDBC_PASSWORD: PASSWORD })).toMatchObject({ connection });
  });

  it('takes a shared home elsewhere, repositories behind a link, and data stores as trees of their own', () => {
    mkdirSync(join(home, 'shared/data'), { recursive: true });
    expect(trees()).toMatchObject([{ name: 'home', root: home, git: true }]);
    const disk = join(bench.directory, 'disk');
    const store = join(bench.directory, 'store');
    for (const directory of [disk, store]) mkdirSync(directory);
    symlinkSync(disk, join(home, 'shared/data/repositories'));
    const own = { name: 'repositories', root: disk };
    const first = { name: 'store_1', root: store };
    expect(trees({ BITBUCKET_DATA_STORES: [store] })).toMatchObject([{ name: 'home' }, own, first]);
    const shared = join(bench.directory, 'nfs');
    renameSync(join(home, 'shared'), shared);
    expect(trees({ BITBUCKET_SHARED_HOME: shared })).toMatchObject([
      { name: 'home' },
      { name: 'shared', root: shared, excludes: expect.arrayContaining(['search/data', 'plugins/.*']) },
      own,
    ]);
    expect(source({ BITBUCKET_SHARED_HOME: shared })).toMatchObject({ connection });
  });

  it('finds the version by a jar, by the name of the directory, or by asking', async () => {
    const version = async (settings?: object) => agent.version(context(settings));
    const install = join(bench.directory, 'install');
    await expect(version()).rejects.toThrow('no bitbucket-api-….jar names it');
    put(join(install, '7.21.0/app/WEB-INF/lib/bitbucket-api-7.21.3.jar'), '');
    put(join(install, '7.21.0/app/WEB-INF/lib/bitbucket-rest-api-9.jar'), '');
    expect(await version()).toBe('7.21.3');
    mkdirSync(join(install, '8.19.1'));
    // two are installed: which of them runs?
    await using server = await startBitbucket({ version: '8.19.1' });
    expect(await version({ BITBUCKET_BASE_URL: server.url, ...ACCOUNT })).toBe('8.19.1');
    await expect(version()).rejects.toThrow('or several do');
    expect(await version({ BITBUCKET_INSTALL_DIR: join(install, '8.19.1') })).toBe('8.19.1');
  });

  it('tells what to do after a restore', () => {
    const steps = agent.nextSteps?.(context()).join('\n');
    for (const word of ['jdbc.url', 'search/data', 'chown', 'atlbitbucket']) expect(steps).toContain(word);
  });
});
