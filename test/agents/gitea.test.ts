// The Gitea agent: the contract on a small installation, the forms of app.ini, files that lie elsewhere, Forgejo.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import agent from '../../agents/gitea.ts';
import type { TreeSource } from '../../agents/toolkit/define-agent.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';
import { parseGoIni, parsePythonIni } from '../../agents/toolkit/ini.ts';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { makeRepository } from '../helpers/git.ts';

const put = (file: string, content: string): void => {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
};

/** A program that says what Gitea and Forgejo say. */
function program(directory: string, said: string): string {
  const file = join(directory, 'bin/gitea');
  put(file, `#!/bin/sh\n[ "$*" = --version ] && echo '${said}'\n`);
  chmodSync(file, 0o755);
  return file;
}

const UUID = '0a1b2c3d-0000-4000-8000-000000000001';
const OID = 'ab'.repeat(32);

agentContract('gitea', 'on SQLite', async (directory) => {
  const [etc, work] = [join(directory, 'etc/gitea'), join(directory, 'gitea')];
  const data = join(work, 'data');
  put(
    join(etc, 'app.ini'),
    `APP_NAME = Gitea\nRUN_USER = git\nWORK_PATH = ${work}\n[database]\nDB_TYPE = sqlite3\nPATH = ${data}/gitea.db
     [security]\nSECRET_KEY = \`canary-1&amp;%40'"#; x\`\nINTERNAL_TOKEN = canary-2\n`.replace(/^ +/gm, ''),
  );
  for (const name of [
    'indexers/x',
    'sessions/1/2',
    'queues/common/x',
    'tmp/x',
    'repo-archive/1/x.zip',
    'log/gitea.log',
  ])
    put(join(data, name), 'left out');
  put(join(data, 'attachments/0/a', UUID), 'räksmörgås');
  put(join(data, 'lfs/ab/ab', OID.slice(4)), 'large');
  put(join(data, 'home/.gnupg/key'), 'kept');
  put(join(work, 'custom/templates/räk.tmpl'), 'custom');
  mkdirSync(join(data, 'gitea-repositories/team'), { recursive: true });
  await makeRepository(join(data, 'gitea-repositories'), 'team/app.git');
  const database = join(data, 'gitea.db');
  const input = `PRAGMA journal_mode=WAL; CREATE TABLE attachment (uuid TEXT); INSERT INTO attachment VALUES ('${UUID}');
    CREATE TABLE lfs_meta_object (oid TEXT); INSERT INTO lfs_meta_object VALUES ('${OID}'); CREATE TABLE t (x);
    CREATE TABLE repository (owner_name TEXT, lower_name TEXT); INSERT INTO repository VALUES ('Team', 'app');
    INSERT INTO t VALUES ('it''s 🦔');`;
  await execa('sqlite3', [database], { input });
  const kept = ['attachments', 'gitea-repositories', 'home', 'lfs'];
  return {
    settings: {
      GITEA_APP_INI: join(etc, 'app.ini'),
      GITEA_PROGRAM: program(
        directory,
        'Gitea version 1.21.4 built with GNU Make 4.3, go1.21 : bindata, sqlite',
      ),
    },
    places: [...kept.map((name) => join(data, name)), join(work, 'custom'), join(etc, 'app.ini')],
    members: [
      'gitea.dump',
      ...['data', 'custom', 'settings'].flatMap((name) => [`${name}.tar`, `${name}.list`]),
    ],
    version: /^1\.21\.4$/,
    secrets: ['canary-1', 'canary-2'],
    treeFind: {
      data: [data, ...kept.map((name) => `./${name}`)],
      custom: [join(work, 'custom'), '.'],
      settings: [etc, './app.ini'],
    },
    dumpDatabases: async () =>
      existsSync(database) ? (await execa('sqlite3', [database, '.dump'])).stdout : '',
    async wipe() {
      for (const path of [work, etc]) rmSync(path, { recursive: true });
      for (const path of [data, join(work, 'custom')]) mkdirSync(path, { recursive: true });
    },
    broken: {
      settings: { GITEA_APP_INI: join(directory, 'absent.ini') },
      error: /absent\.ini": no such file/,
    },
    remove: async () => {},
  };
});

describe('app.ini', () => {
  it.each([
    ['PASSWD = plain', 'plain'],
    ['PASSWD=`a#b;c"d\'e`', 'a#b;c"d\'e'],
    ['PASSWD = """a`b#c"""  ; comment', 'a`b#c'],
    ['PASSWD = "in quotes"', 'in quotes'],
    ["PASSWD = 'in quotes'", 'in quotes'],
    ['PASSWD = cut#here', 'cut'],
    ['PASSWD : colon', 'colon'],
    ['PASSWD = a=b:c', 'a=b:c'],
    ['PASSWD = one\\\n   two', 'onetwo'],
    ['`PASSWD` = quoted key', 'quoted key'],
    ['PASSWD = first\n#PASSWD = old\n;PASSWD = old\nPASSWD = last', 'last'],
    ['PASSWD = %(USER)s/%(ROOT_NAME)s %(none)s 100%', 'me/top %(none)s 100%'],
    ['PASSWD = `two\nlines`', 'two\nlines'],
    ['PASSWD =', ''],
    ['PASSWD = "a" and "b"', '"a" and "b"'],
  ])('is read as its owner reads it: %s', (text, expected) => {
    const source = `\uFEFFROOT_NAME = top\r\n[other]\nPASSWD = no\n[database]\nUSER = me\n${text}\n[x]\n`;
    expect(parseGoIni(source, '/app.ini').value('database', 'PASSWD')).toBe(expected);
  });

  it('has sections that inherit, and tells no text of a line that it can not read', () => {
    const ini = parseGoIni('[storage]\nA = 1\nB = 2\n[storage.lfs]\nB = 3\n[storage]\nC = 4\n', '/app.ini');
    expect(['A', 'B', 'C'].map((key) => ini.value('storage.lfs', key))).toEqual(['1', '3', '4']);
    expect(() => parseGoIni('[a]\n\ncanary\n', '/app.ini')).toThrow(/^(?!.*canary).*app\.ini": line 3/);
    expect(() => parseGoIni('[a]\nx = `canary\n', '/app.ini')).toThrow(/^(?!.*canary).*line 2/);
  });
});

it.each([
  ['spaces', `a${' '.repeat(1 << 20)}b`],
  ['an open quote', `a = \`${'\n'.repeat(1 << 20)}`],
  ['joined lines', `a = ${'x\\\n'.repeat(1 << 19)}`],
  ['open references', `a = ${'%('.repeat(1 << 20)}`],
  ['references to itself', `a = ${'%(a)s'.repeat(100)}`],
])('an INI file with a million of %s keeps nobody waiting', (_, text) => {
  for (const parse of [parseGoIni, parsePythonIni]) {
    try {
      parse(`[x]\n${text}\n`, '/x.ini').value('x', 'a');
    } catch (error) {
      expect((error as { code: string }).code).toBe('application-configuration');
    }
  }
});

describe('the gitea agent', () => {
  let directory: string;
  let file: string;
  const context = (settings: Record<string, unknown> = {}) =>
    ({
      settings: { GITEA_APP_INI: file, GIT_FSCK: 'none', ...settings },
      view: hostView(),
      signal: new AbortController().signal,
    }) as never;
  const configure = (text: string): void => put(file, `WORK_PATH = ${directory}\n${text}`);
  const database = () => (agent.databases(context()) as DatabaseSource[])[0];
  const roots = (settings?: Record<string, unknown>) =>
    Object.fromEntries(
      (agent.trees(context(settings)) as TreeSource[]).map(({ name, root }) => [name, root]),
    );

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'garner-gitea-'));
    file = join(directory, 'etc/app.ini');
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it.each([
    ['DB_TYPE = sqlite3', { engine: 'sqlite', connection: { file: 'WORK/data/gitea.db' } }],
    ['DB_TYPE = SQLite3\nPATH = x/y.db', { engine: 'sqlite', connection: { file: 'WORK/x/y.db' } }],
    [
      'DB_TYPE=mysql\nHOST = localhost:3307\nNAME = gitea\nUSER = git\nPASSWD = `p#;"\' $\\`',
      { engine: 'mysql', connection: { host: '127.0.0.1', port: 3307, user: 'git', password: `p#;"' $\\` } },
    ],
    ['DB_TYPE=mysql\nHOST = /run/mysqld/mysqld.sock', { connection: { socket: '/run/mysqld/mysqld.sock' } }],
    [
      'DB_TYPE=postgres\nHOST=[::1]:5433\nNAME=gitea?x=y\nSSL_MODE = verify-full\nPASSWD=p',
      {
        engine: 'postgres',
        connection: { host: '::1', port: 5433, database: 'gitea', sslmode: 'verify-full' },
      },
    ],
    ['DB_TYPE=postgres\nHOST=/run/postgresql', { connection: { host: '/run/postgresql', port: undefined } }],
  ])('reads its database: %s', (text, expected) => {
    configure(`[database]\n${text}\n`);
    expect(JSON.parse(JSON.stringify(database()).replaceAll(directory, 'WORK'))).toMatchObject(
      JSON.parse(JSON.stringify(expected)),
    );
  });

  it('refuses what it can not follow', () => {
    configure('[database]\nDB_TYPE = mssql\n');
    expect(() => database()).toThrow('its database is of type "mssql"');
    configure('[database]\n');
    expect(() => database()).toThrow('it is not installed yet');
    configure('[database]\nDB_TYPE = mysql\nHOST = h:port\n');
    expect(() => database()).toThrow('a form that is not followed');
  });

  it('takes as trees of their own what lies elsewhere, and names what lies in no directory', () => {
    for (const name of ['data', 'lfs', 'far/attachments', 'repos', 'packages'])
      mkdirSync(join(directory, name), { recursive: true });
    configure(
      `[database]\nDB_TYPE = mysql\n[repository]\nROOT = repos\n[lfs]\nPATH = ${directory}/lfs\n
       [storage.attachments]\nPATH = ${directory}/far/attachments\n[storage.s3]\nSTORAGE_TYPE = minio\n
       [packages]\nSTORAGE_TYPE = s3\n
       [security]\nSECRET_KEY_URI = file:/etc/gitea/key\nINTERNAL_TOKEN_URI = file:${directory}/data/token\n`.replace(
        /^ +/gm,
        '',
      ),
    );
    const places = {
      data: 'data',
      repositories: 'repos',
      attachments: 'far/attachments',
      lfs: 'lfs',
      settings: 'etc',
    };
    expect(roots()).toEqual(
      Object.fromEntries(Object.entries(places).map(([name, path]) => [name, join(directory, path)])),
    );
    expect(agent.withheld?.(context())).toMatchObject([
      { what: 'packages, which app.ini keeps in minio' },
      { what: '/etc/gitea/key' },
    ]);
    const checks = agent.crossChecks?.(context(), [{ name: 'gitea', engine: 'mysql', connection: {} }]) ?? [];
    expect(checks.map(({ tree }) => tree)).toEqual(['attachments', 'lfs', 'repositories']);
    const [, , repositories] = checks;
    expect(checks.slice(0, 2).map(({ pathsOf }) => pathsOf([OID]))).toEqual([
      [`a/b/${OID}`],
      [`ab/ab/${OID.slice(4)}`],
    ]);
    // as an empty directory has none of them, where a disk is not mounted
    expect(repositories?.pathsOf(['Team', 'app'])).toEqual(['team/app.git/HEAD']);
    configure(`[database]\nDB_TYPE = mysql\n[storage]\nPATH = ${directory}/all\nSTORAGE_TYPE = local\n`);
    mkdirSync(join(directory, 'all/lfs'), { recursive: true });
    mkdirSync(join(directory, 'data/gitea-repositories'));
    expect(roots()).toMatchObject({ lfs: join(directory, 'all/lfs'), data: join(directory, 'data') });
    expect(roots()).not.toHaveProperty('repositories'); // they are below data
  });

  it('finds the work path where app.ini does not name it', () => {
    file = join(directory, 'work/custom/conf/app.ini');
    put(file, '[database]\nDB_TYPE = sqlite3\n');
    mkdirSync(join(directory, 'work/data'));
    expect(roots()).toEqual({ data: join(directory, 'work/data'), custom: join(directory, 'work/custom') });
    expect(roots({ GITEA_WORK_PATH: directory })).toHaveProperty('data', join(directory, 'data'));
  });

  it('is for Forgejo too', async () => {
    file = join(directory, 'etc/forgejo/app.ini');
    put(file, '[database]\nDB_TYPE = sqlite3\n');
    expect(database()).toMatchObject({ connection: { file: '/var/lib/forgejo/data/gitea.db' } });
    const said = 'forgejo version 9.0.3+gitea-1.22.0 (release name 9.0.3) built with GNU Make 4.4, go1.23';
    expect(await agent.version(context({ GITEA_PROGRAM: program(directory, said) }))).toBe(
      '9.0.3+gitea-1.22.0',
    );
    expect(agent.nextSteps?.(context())[0]).toBe(
      `sudo -u forgejo forgejo --config ${file} admin regenerate hooks`,
    );
  });
});
