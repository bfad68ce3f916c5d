// The stash agent: the contract with Stash's maintenance lock; Stash's own backup client, as an executable that behaves as its
// documentation says; homes of two major versions. There is no Stash here: see test/helpers/bitbucket.ts.
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import agent from '../../agents/stash.ts';
import type { TreeSource } from '../../agents/toolkit/define-agent.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';
import { formatJavaProperties, parseJavaProperties } from '../../agents/toolkit/java-properties.ts';
import { discardClientTar, runBackupClient } from '../../agents/toolkit/stash-client.ts';
import type { GarnerError } from '../../lib/errors.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { createBitbucket, properties, put } from '../helpers/bitbucket.ts';
import { startBitbucket } from '../helpers/bitbucket-server.ts';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { type Bench, makeBench } from '../helpers/run.ts';

/** Every character that some quoting somewhere gives a meaning. */
const PASSWORD = `p&amp;%40'"\\\\n$x\${y}#; =w<ö>!:`;

let database: MariaDb;
beforeAll(async () => {
  database = await startMariadb();
});
afterAll(() => database.stop());

agentContract('stash', '3.11, locked meanwhile, on MariaDB', async (directory) => {
  const server = await startBitbucket({ password: PASSWORD, polls: 0, contextPath: '/stash' });
  const site = await createBitbucket({
    ...{ directory, version: 'stash-3.11.6', server: database, database: 'contract', password: PASSWORD },
  });
  const dump = [
    '--no-defaults',
    '--user=root',
    `--socket=${database.socket}`,
    '--skip-dump-date',
    'contract',
  ];
  return {
    settings: { ...site.settings, STASH_BASEURL: server.url, STASH_USER: 'backup' },
    env: { STASH_PASSWORD: PASSWORD },
    places: site.places,
    members: ['contract.sql', 'home.tar', 'home.list'],
    version: /^3\.11\.6$/,
    secrets: [PASSWORD],
    treeFind: { home: [site.home, '.', ...site.find] },
    dumpDatabases: async () => (await execa('mariadb-dump', dump)).stdout,
    async wipe() {
      rmSync(site.home, { recursive: true });
      await database.query('DROP DATABASE contract; CREATE DATABASE contract CHARACTER SET utf8mb4;');
    },
    broken: {
      settings: { STASH_HOME_DIR: join(directory, 'absent') },
      error: /absent\/shared\/stash-config\.properties": no such file/,
    },
    async remove() {
      expect(server.lockedBy).toBeUndefined();
      await server[Symbol.asyncDispose]();
    },
  };
});

/**
 * `java` that is Stash's backup client: settings from backup-config.properties in the working directory or beside the jar,
 * then from system properties; a tar of the home in `backup.home`/backups; what it says goes to stdout.
 */
const CLIENT = `#!/usr/bin/env python3
import os, re, sys, tarfile
assert sys.argv[1] == '-jar' and sys.argv[2].endswith('/stash-backup-client.jar'), sys.argv
os.stat(sys.argv[2]); os.stat(os.path.dirname(sys.argv[2]) + '/lib/dependency.jar')
beside = os.path.dirname(os.path.realpath(sys.argv[2])) # as Java tells a jar where it is
assert os.path.samefile(beside, os.getcwd()), beside
assert os.stat('backup-config.properties').st_mode & 0o77 == 0
text = open('backup-config.properties', encoding='latin-1').read()
values = {}
for line in text.splitlines():
    key, value = re.match(r'((?:\\\\\\\\.|[^=:])*)[=:](.*)', line).groups()
    unescape = lambda s: re.sub(r'\\\\\\\\(u[0-9a-f]{4}|.)', lambda m: chr(int(m[1][1:], 16)) if len(m[1]) > 1 else m[1], s)
    values[unescape(key)] = unescape(value)
seen = ' '.join(sys.argv) + open('/proc/self/environ', errors='replace').read()
assert values['stash.password'] not in seen, 'the password is to be seen'
if values['stash.password'] != os.environ['EXPECTED_PASSWORD'].encode('latin-1').decode('unicode_escape') or not values['stash.user']:
    print('Initializing'); print('The credentials for ' + values['stash.user'] + ' were refused: ' + values['stash.password']); sys.exit(1)
if os.environ.get('LEAVES') == 'nothing': sys.exit(0)
backups = values['backup.home'] + '/backups'
os.makedirs(backups)
with tarfile.open(backups + '/stash-20150520-094500-123.tar', 'w') as tar: tar.add(values['stash.home'], 'stash-home')
if os.environ.get('LEAVES') == 'half': os.truncate(backups + '/stash-20150520-094500-123.tar', 700)
print('[' + values['stash.baseUrl'] + '] backed up')
`.replaceAll('\\\\\\\\', '\\\\');

/** As it goes into the environment of the test's client: not the text that may be seen nowhere. */
const EXPECTED = [...PASSWORD]
  .map((char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
  .join('');

describe("with Stash's backup client, agent-stash", () => {
  let bench: Bench;
  let home: string;
  let client: string;
  let backupHome: string;
  let env: Record<string, string>;
  const configured = {
    'stash.baseUrl': 'http://localhost:7990/stash',
    'stash.user': 'admin',
    'stash.password': PASSWORD,
  };

  beforeEach(() => {
    bench = makeBench();
    [home, client, backupHome] = ['stash-home', 'client', 'backup home'].map((name) =>
      join(bench.directory, name),
    ) as [string, string, string];
    put(join(home, 'shared/data/repositories/1/HEAD'), 'ref: refs/heads/main\n');
    put(join(client, 'stash-backup-client.jar'), '');
    put(join(client, 'lib/dependency.jar'), '');
    put(join(client, 'backup-config.properties'), properties(configured));
    mkdirSync(backupHome);
    put(join(bench.directory, 'bin/java'), CLIENT);
    chmodSync(join(bench.directory, 'bin/java'), 0o755);
    env = {
      ...{ STASH_HOME_DIR: home, STASH_INSTALL_DIR: join(bench.directory, '3.11.6') },
      ...{ STASH_BACKUP_CLIENT_JAR: join(client, 'stash-backup-client.jar'), STASH_BACKUP_HOME: backupHome },
      ...{
        EXPECTED_PASSWORD: EXPECTED,
        PATH: `${join(bench.directory, 'bin')}${delimiter}${process.env.PATH}`,
      },
    };
    return () => bench.remove();
  });

  it('holds its tar, which is gone when the archive is there, and puts it back for the restore client', async () => {
    const archive = await bench.backup('agent-stash', { env });
    expect(readdirSync(backupHome)).toEqual([]);
    expect((await execa('tar', ['-xOf', archive, 'VERSION'])).stdout).toBe('3.11.6');
    const restored = await bench.run('agent-stash', ['restore', archive], { env });
    expect(restored).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('stash-restore-client.jar'),
    });
    const tar = join(backupHome, 'garner-stash-backup/backups/stash-20150520-094500-123.tar');
    renameSync(home, `${home}.before`);
    await execa('tar', ['-xf', tar, '-C', bench.directory]);
    await execa('diff', ['-r', `${home}.before`, home]);
    // the settings go before the client's own, and what was put back is replaced
    const other = {
      ...env,
      STASH_USER: 'other',
      STASH_PASSWORD: PASSWORD,
      STASH_BASEURL: 'http://localhost:1',
    };
    put(join(client, 'backup-config.properties'), '');
    await bench.backup('agent-stash', { env: other });
    expect(readdirSync(backupHome)).toEqual([]);
  });

  it('fails as it does, with what it said but not the password, and leaves no archive and no password', async () => {
    const { exitCode, stdout, stderr } = await bench.run('agent-stash', [], {
      env: { ...env, EXPECTED_PASSWORD: 'x' },
    });
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toMatch(
      /cannot run Stash's backup client ".*": Initializing; The credentials for admin were refused: \[redacted\] \(exit code 1\)/,
    );
    expect(bench.workFiles()).toEqual([]);
    expect((await execa('find', [backupHome, '-type', 'f'])).stdout).toBe('');
  });

  it('is not run where others can change it', async () => {
    const jar = join(client, 'stash-backup-client.jar');
    chmodSync(jar, 0o666);
    const run = runBackupClient({ jar, backupHome, home, settings: {} }, new AbortController().signal);
    await expect(run).rejects.toMatchObject({ code: 'configuration-permissions' });
  });

  it.each([
    ['nothing', /it left nothing in/],
    ['half', /cannot run program ".*tar"/],
  ])('does not take its word for it: %s', async (leaves, message) => {
    for (const [name, value] of Object.entries({ ...env, LEAVES: leaves })) vi.stubEnv(name, value);
    const jar = join(client, 'stash-backup-client.jar');
    const run = runBackupClient({ jar, backupHome, home, settings: {} }, new AbortController().signal);
    await expect(run).rejects.toThrow(message);
    vi.unstubAllEnvs();
  });
});

describe('the stash agent', () => {
  let bench: Bench;
  let home: string;
  const context = (settings: object = {}) =>
    ({
      settings: { STASH_HOME_DIR: home, ...settings },
      view: hostView(),
      signal: new AbortController().signal,
    }) as never;
  const source = () => (agent.databases(context()) as { connection: object }[])[0];
  const trees = (settings?: object) => agent.trees(context(settings)) as TreeSource[];
  const written = { 'jdbc.url': 'jdbc:postgresql://h/stash', 'jdbc.user': 'u', 'jdbc.password': PASSWORD };

  beforeEach(() => {
    bench = makeBench();
    home = join(bench.directory, 'stash-home');
    mkdirSync(home);
    return () => bench.remove();
  });

  it('finds the configuration below shared, and in a home of before 3.2 in the home', () => {
    put(join(home, 'stash-config.properties'), properties(written));
    expect(source()).toMatchObject({ connection: { host: 'h', password: PASSWORD } });
    put(
      join(home, 'shared/stash-config.properties'),
      properties({ ...written, 'jdbc.url': 'jdbc:mysql://new/stash' }),
    );
    expect(source()).toMatchObject({ connection: { host: 'new' } });
    expect(trees()[0]?.excludes).toEqual(
      expect.arrayContaining(['data/db.*', 'shared/data/db.*', 'plugins/.*']),
    );
    expect(agent.withheld?.(context())).toMatchObject([
      { what: expect.stringContaining('it was not locked') },
    ]);
  });

  it('asks for what its client needs, and for no database beside it', () => {
    const errorOf = (settings: object): GarnerError => {
      try {
        trees(settings);
      } catch (error) {
        return error as GarnerError;
      }
      throw new Error('nothing was thrown');
    };
    const jar = { STASH_BACKUP_CLIENT_JAR: '/opt/client.jar' };
    expect(errorOf(jar)).toMatchObject({
      code: 'configuration',
      hint: expect.stringContaining('mkdir -m 700'),
    });
    const both = { ...jar, STASH_BACKUP_HOME: bench.directory, GARNER_DATABASE_URL: 'mysql://h/x' };
    expect(errorOf(both).message).toContain('GARNER_DATABASE_URL');
    expect(agent.databases(context({ ...jar, STASH_BACKUP_HOME: bench.directory }))).toEqual([]);
    expect(agent.withheld?.(context({ ...jar, STASH_BACKUP_HOME: bench.directory }))).toEqual([]);
  });

  it('removes nothing that is not of its client: /srv/garner and /var/lib/garner hold archives', () => {
    put(join(bench.directory, 'garner/work/good.tar'), 'the last good one');
    discardClientTar(bench.directory);
    expect(existsSync(join(bench.directory, 'garner/work/good.tar'))).toBe(true);
  });

  it("writes properties that Java's reader gives back", () => {
    const values = new Map([
      ['a:b=c d', ` leading, trailing \\`],
      ['stash.password', PASSWORD],
      ['lines', '#a\n!b\r\tc🦔'],
    ]);
    const text = formatJavaProperties(values);
    expect(text).toMatch(/^[\n -~]*$/);
    expect(parseJavaProperties(text)).toEqual(values);
  });
});
