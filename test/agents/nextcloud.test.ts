// The nextcloud agent: the contract on SQLite, maintenance mode around a backup, and configurations as they occur.
import {
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import agent from '../../agents/nextcloud.ts';
import type { TreeSource } from '../../agents/toolkit/define-agent.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import type { GarnerError } from '../../lib/errors.ts';
import { agentContract } from '../contract/agent-contract.ts';
import {
  LEFT_OUT,
  layOutNextcloud,
  MAJORS,
  nextcloudConfig,
  nextcloudTables,
  type Shape,
} from '../helpers/nextcloud.ts';
import { makeBench } from '../helpers/run.ts';

const [OLD, NEW] = [MAJORS[27], MAJORS[30]] as [Shape, Shape];
const PASSWORD = `p&amp;%40'"\\\\n$x\${y}#; =w<ö>]]`;
const makeDatabase = async (file: string, sql = nextcloudTables()): Promise<string> =>
  (await execa('sqlite3', [file], { input: sql })).stdout;

agentContract('nextcloud', 'on SQLite', async (base) => {
  const directory = join(base, 'nextcloud');
  const data = join(directory, 'data');
  const file = join(data, 'owncloud.db');
  layOutNextcloud(directory, NEW, { datadirectory: data, dbtype: 'sqlite3' });
  await makeDatabase(file);
  const leftOut = [...LEFT_OUT, './owncloud.db'].flatMap((path) => ['-path', path, '-prune', '-o']);
  const parts = ['config', 'custom_apps', 'themes', '.htaccess', 'apps/calendar'];
  return {
    settings: { NEXTCLOUD_DIR: directory, NEXTCLOUD_MAINTENANCE: 'false' },
    places: [
      ...parts.map((part) => join(directory, part)),
      ...['åsa/files', 'bob', '.ocdata'].map((path) => join(data, path)),
    ],
    members: ['owncloud.dump', 'data.tar', 'data.list', 'site.tar', 'site.list'],
    version: /^30\.0\.4$/,
    secrets: ['canary-salt', 'canary-secret'],
    treeFind: { data: [data, '.', ...leftOut], site: [directory, ...parts.map((part) => `./${part}`)] },
    dumpDatabases: () => makeDatabase(file, '.dump'),
    async wipe() {
      for (const path of [...parts, 'data']) rmSync(join(directory, path), { recursive: true });
      mkdirSync(data);
    },
    broken: {
      settings: { NEXTCLOUD_DIR: join(directory, 'absent') },
      error: /absent\/config\/config\.php": no such file/,
    },
    remove: async () => {},
  };
});

describe('agent-nextcloud', () => {
  let home: string;
  let root: string;
  let config: string;
  const contextOf = (settings: Record<string, string | boolean> = {}) =>
    ({
      settings: { NEXTCLOUD_DIR: root, NEXTCLOUD_MAINTENANCE: true, ...settings },
      view: hostView(),
      signal: new AbortController().signal,
    }) as never;
  const database = () => (agent.databases(contextOf()) as DatabaseSource[])[0];
  const trees = () => agent.trees(contextOf()) as TreeSource[];
  const errorOf = (work: () => unknown): GarnerError => {
    try {
      work();
    } catch (error) {
      return error as GarnerError;
    }
    throw new Error('nothing was thrown');
  };
  const put = (file: string, text: string): void => {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  };
  const configure = (values: Record<string, string | number | boolean | object>): void =>
    put('config/config.php', nextcloudConfig({ version: NEW.version, installed: true, ...values }));
  const account = { dbname: 'cloud', dbuser: 'nc', dbpassword: PASSWORD };
  const found = { user: 'nc', password: PASSWORD, database: 'cloud' };

  beforeEach(() => {
    home = realpathSync(mkdtempSync(join(tmpdir(), 'garner-nextcloud-')));
    root = join(home, 'nextcloud');
    config = join(root, 'config/config.php');
    layOutNextcloud(root, NEW, {});
  });
  afterEach(() => rmSync(home, { recursive: true }));

  it.each<[string, object]>([
    ['localhost', { host: 'localhost', port: undefined, socket: undefined }],
    ['h:3307', { host: 'h', port: 3307 }],
    ['localhost:/run/mysqld/mysqld.sock', { host: 'localhost', socket: '/run/mysqld/mysqld.sock' }],
    ['[::1]:3307', { host: '::1', port: 3307 }],
  ])('reads a database of MySQL at %s', (dbhost, server) => {
    configure({ ...account, dbtype: 'mysql', dbhost });
    const connection = { ...found, ...server, part: { prefix: 'oc_' } };
    expect(database()).toMatchObject({ name: 'cloud', engine: 'mysql', connection, withoutRoutines: true });
  });

  it.each<[string, object, object]>([
    ['h', {}, { host: 'h', port: 5432, sslmode: undefined }],
    ['h:5433', {}, { host: 'h', port: 5433 }],
    ['h', { dbport: '5433', pgsql_ssl: { mode: 'require' } }, { host: 'h', port: 5433, sslmode: 'require' }],
    ['/run/postgresql', { dbport: '' }, { host: '/run/postgresql', port: 5432 }],
  ])('reads a database of PostgreSQL at %s', (dbhost, more, server) => {
    configure({ ...account, dbtype: 'pgsql', dbhost, ...more });
    expect(database()).toMatchObject({
      name: 'cloud',
      engine: 'postgres',
      connection: { ...found, ...server },
    });
  });

  it('has only the tables of dbtableprefix, of a database that a setting names too', () => {
    configure({ ...account, dbtype: 'mysql', dbhost: 'h', dbtableprefix: 'nc_' });
    const part = { prefix: 'nc_' };
    expect(database()).toMatchObject({ connection: { part } });
    const named: DatabaseSource = { name: 'x', engine: 'mysql', connection: { database: 'x' } };
    expect(agent.narrow?.(contextOf(), named)).toMatchObject({ connection: { database: 'x', part } });
    configure({ ...account, dbtype: 'mysql', dbhost: 'h', dbtableprefix: '' });
    expect(database()?.connection).not.toHaveProperty('part');
  });

  it('finds SQLite in the data directory, and keeps it out of the tree', () => {
    configure({ datadirectory: join(home, 'srv'), dbname: 'cloud' });
    mkdirSync(join(home, 'srv'));
    expect(errorOf(() => trees())).toMatchObject({ code: 'file-unreadable', hint: 'is its disk mounted?' });
    for (const name of ['.ncdata', 'åsa', 'cloud.db', 'cloud.db-wal', 'cloud.dbx'])
      mkdirSync(join(home, 'srv', name), { recursive: true });
    expect(database()).toMatchObject({ engine: 'sqlite', connection: { file: join(home, 'srv/cloud.db') } });
    expect(trees()[0]).toMatchObject({ name: 'data', root: join(home, 'srv') });
    expect(trees()[0]?.includes).toEqual(['.ncdata', 'cloud.dbx', 'åsa']);
  });

  it('merges what stands beside config.php: the last of a key wins', () => {
    configure({ ...account, dbtype: 'mysql', dbhost: 'old', trusted_domains: { 0: 'a' } });
    put('config/b.config.php', "<?php\n$CONFIG = ['dbhost' => 'h:3307', 'dbpassword' => 'second'];\n");
    put(
      'config/a.config.php',
      "<?php\n$CONFIG = array('dbhost' => 'first');\n$CONFIG['dbpassword'] = 'first';\n",
    );
    put('config/c.config.php.bak', "<?php\n$CONFIG = ['dbhost' => 'backup'];\n");
    expect(database()).toMatchObject({ connection: { host: 'h', port: 3307, password: 'second' } });
  });

  it('is not misled by what is set under a condition alone, as in the image for containers', () => {
    configure({ ...account, dbtype: 'mysql', dbhost: 'h' });
    put(
      'config/s3.config.php',
      "<?php\nif (getenv('OBJECTSTORE_S3_BUCKET')) {\n  $CONFIG = array('objectstore' => array('class' => 'S3'));\n  $CONFIG['objectstore']['key'] = getenv('KEY');\n}\n",
    );
    expect(database()).toMatchObject({ connection: { host: 'h' } });
    expect(agent.withheld?.(contextOf())).toMatchObject([{ what: expect.stringContaining('may lie') }]);
    put('config/z.config.php', "<?php\nif (getenv('X')) { $CONFIG = ['dbhost' => getenv('X')]; }\n");
    expect(errorOf(() => database()).hint).toContain('GARNER_DATABASE_URL');
  });

  it('says that files lie in an object store', () => {
    expect(agent.withheld?.(contextOf())).toEqual([]);
    configure({ objectstore: { class: '\\OC\\Files\\ObjectStore\\S3', arguments: { bucket: 'b' } } });
    expect(agent.withheld?.(contextOf())).toMatchObject([
      { what: expect.stringContaining('which lie in an object store') },
    ]);
  });

  it.each<[string, Record<string, string | boolean>, RegExp]>([
    ['Oracle', { dbtype: 'oci' }, /"oci" is not supported/],
    ['a password that is missing', { dbtype: 'mysql', dbname: 'x', dbuser: 'x', dbhost: 'h' }, /dbpassword/],
    ['a port that is none', { ...account, dbtype: 'mysql', dbhost: 'h:x' }, /port number/],
    ['an installation that was never finished', { installed: false }, /is installed/],
  ])('refuses %s', (_, values, message) => {
    configure(values);
    expect(errorOf(() => database())).toMatchObject({ code: 'application-configuration' });
    expect(errorOf(() => database()).message).toMatch(message);
  });

  it('tells the version, and that an upgrade is pending', async () => {
    for (const shape of [OLD, NEW]) {
      layOutNextcloud(root, shape, {});
      expect([agent.version(contextOf()), agent.build?.(contextOf())]).toEqual([shape.text, shape.version]);
      expect(await agent.examine?.(contextOf(), [])).toEqual([]);
    }
    configure({ version: OLD.version });
    expect(await agent.examine?.(contextOf(), [])).toMatchObject([{ code: 'upgrade-pending' }]);
    put('version.php', "<?php\n$OC_Version = [31, 0, 0, 5];\n$OC_VersionString = '31.0.0 beta 5';\n");
    expect(agent.version(contextOf())).toBe('31.0.0-beta-5');
  });

  it('takes apps and configuration that are elsewhere as trees of their own', () => {
    const apps = join(home, 'apps');
    mkdirSync(apps);
    put(
      'config/apps.config.php',
      `<?php\n$CONFIG = ['apps_paths' => [['path' => OC::$SERVERROOT . '/apps', 'writable' => false], ['path' => '${apps}']]];\n`,
    );
    expect(trees().map(({ name }) => name)).toEqual(['data', 'site', 'apps_1']);
    const includes = ['config', 'custom_apps', 'themes', '.htaccess', '.user.ini', 'apps/calendar'];
    expect(trees()[1]?.includes).toEqual(includes);
  });

  it('knows which file a row means, unless LDAP says where users have theirs', async () => {
    const sqlite: DatabaseSource = { name: 'owncloud', engine: 'sqlite', connection: {} };
    const check = agent.crossChecks?.(contextOf(), [sqlite])[0];
    const file = join(home, 'x.db');
    await makeDatabase(file);
    expect((await makeDatabase(file, `${check?.sql};`)).split('\n')).toHaveLength(5);
    await makeDatabase(
      file,
      "INSERT INTO oc_appconfig VALUES ('user_ldap', 's01home_folder_naming_rule', 'attr:x');",
    );
    expect(await makeDatabase(file, `${check?.sql};`)).toBe('');
    expect(check?.pathsOf(['home::åsa', 'files/a'])).toEqual(['åsa/files/a']);
    for (const path of ['åsa/files/a', 'åsa/files_versions/a.v1']) expect(check?.concerns(path)).toBe(true);
    for (const path of ['åsa/cache/a', 'appdata_x/files/a', 'index.html'])
      expect(check?.concerns(path)).toBe(false);
  });

  describe('in maintenance mode', () => {
    const asked = (): string[] => readFileSync(join(home, 'occ.log'), 'utf8').trim().split('\n');
    const isOn = (): boolean => /'maintenance' => true/.test(readFileSync(config, 'utf8'));
    const begin = async (settings = {}): Promise<unknown[]> => {
      const tokens: unknown[] = [];
      await agent.quiet?.begin(contextOf(settings), (token) => tokens.push(token));
      return tokens;
    };
    /** To whom it belongs, other than root: as www-data's. */
    const OWNER = 33;

    it('is backed up, by the owner of config.php, and in use again', async () => {
      await makeDatabase(join(root, 'data/owncloud.db'));
      const isRoot = process.getuid?.() === 0;
      if (isRoot) {
        for (const path of [home, join(root, 'config'), config]) chownSync(path, OWNER, OWNER);
        await execa('chmod', ['755', home]);
      }
      const bench = makeBench();
      const env = { NEXTCLOUD_DIR: root };
      const { exitCode, stdout, stderr } = await bench.run('agent-nextcloud', ['--json'], { env });
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
      const { archive, crossChecks } = JSON.parse(stdout);
      const counts = { rowCount: 5, fileCount: 5, missingCount: 0, unnamedCount: 0 };
      expect(crossChecks).toEqual([{ database: 'owncloud', tree: 'data', ...counts }]);
      const archived = ['-xOf', archive, 'site.tar.zst'];
      const inArchive = await execa('sh', [
        '-c',
        'tar "$@" | zstd -dc | tar -xO config/config.php',
        'sh',
        ...archived,
      ]);
      expect(inArchive.stdout).toMatch(/'maintenance' => true/);
      expect(isOn()).toBe(false);
      const owner = isRoot ? OWNER : process.getuid?.();
      expect(asked()).toEqual(
        ['', '--on ', '--off '].map(
          (option) => `${owner} maintenance:mode ${option}--no-interaction --no-ansi`,
        ),
      );
      bench.remove();
    });

    it('stays in it if it was', async () => {
      configure({ maintenance: true });
      expect(await begin()).toEqual([]);
      expect(asked()).toHaveLength(1);
      expect(isOn()).toBe(true);
    });

    it('is told before it is switched on, and switched off once', async () => {
      const tokens = await begin();
      expect(tokens).toHaveLength(1);
      expect(isOn()).toBe(true);
      for (let times = 0; times < 2; times++) await agent.quiet?.end(contextOf(), tokens[0]);
      expect(isOn()).toBe(false);
    });

    it('is switched off where a signal meets an occ that goes on in its container', async () => {
      const occ = join(home, 'occ in container');
      // as `docker exec`: ended, it leaves behind what runs inside
      const script = `case "$*" in *--on*) touch '${home}/on'; setsid sh -c 'sleep 0.3; php "$0" "$@"' '${root}/occ' "$@" >'${home}/out' 2>&1 & wait; cat '${home}/out';; *) exec php '${root}/occ' "$@";; esac`;
      writeFileSync(occ, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      const ended = new AbortController();
      const context = { ...(contextOf({ NEXTCLOUD_OCC: `'${occ}'` }) as object), signal: ended.signal };
      const tokens: unknown[] = [];
      const begun = agent.quiet?.begin(context as never, (token) => tokens.push(token));
      const failed = expect(begun).rejects.toThrow('ended by SIGTERM');
      await vi.waitUntil(() => existsSync(join(home, 'on')), 30_000);
      ended.abort(new Error('ended by SIGTERM'));
      await failed;
      await agent.quiet?.end(contextOf(), tokens.at(-1));
      await vi.waitUntil(() => asked().length === 3, 30_000);
      expect(asked().map((line) => /--o\w+/.exec(line)?.[0])).toEqual([undefined, '--on', '--off']);
      expect(isOn()).toBe(false);
    });

    it.runIf(process.getuid?.() === 0)('runs nothing of the web server as another account', async () => {
      const canary = join(home, 'canary');
      put('occ', `<?php touch('${canary}'); echo "mode is currently disabled mode enabled";`);
      const beginAs = (): Promise<unknown> => begin().catch((thrown) => thrown);
      chownSync(join(root, 'occ'), OWNER, OWNER); // of root is config.php alone
      expect(await beginAs()).toMatchObject({ message: expect.stringMatching(/owned by user 33/) });
      renameSync(config, join(root, 'config/own.config.php'));
      symlinkSync('/etc/passwd', config);
      lchownSync(config, OWNER, OWNER);
      expect(await beginAs()).toMatchObject({ message: expect.stringMatching(/a link of user 33/) });
      expect(existsSync(canary)).toBe(false);
    });

    it('is not asked for it where a setting says so', async () => {
      expect(await begin({ NEXTCLOUD_MAINTENANCE: false })).toEqual([]);
      expect(existsSync(join(home, 'occ.log'))).toBe(false);
    });

    it.each([
      ['fails', 'exit 1'],
      ['says something else', 'echo hello'],
      ['is missing', ''],
    ])('is not backed up where occ %s', async (_, script) => {
      const occ = join(home, 'own occ');
      if (script !== '') writeFileSync(occ, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      const error = await begin({ NEXTCLOUD_OCC: `'${occ}' -x` }).catch((thrown) => thrown);
      expect(error).toMatchObject({ code: 'program-failed' });
      expect(error.message).toContain('cannot set the maintenance mode of');
    });
  });
});
