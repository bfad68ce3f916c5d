// The Trac agent: the contract on an environment of Trac 1.6, the forms of its configuration, attachments of both layouts.
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TreeSource } from '../../agents/toolkit/define-agent.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';
import agent from '../../agents/trac.ts';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { makeRepository } from '../helpers/git.ts';
import { makeBench } from '../helpers/run.ts';
import { ATTACHMENTS, attachmentPath, createTrac } from '../helpers/trac.ts';

const member = (path: string): string =>
  path
    .slice(1)
    .replace(/[^A-Za-z0-9_-]/g, '_')
    .slice(0, 60);

agentContract('trac', '1.6 on SQLite', async (directory) => {
  const home = join(directory, 'trac');
  const { admin } = await createTrac(
    home,
    `database = sqlite:db/trac.db\n[inherit]\nfile = ../../site.ini\n[repositories]\napp.dir = ${directory}/app.git\n`,
  );
  const site = join(directory, 'site.ini');
  writeFileSync(site, '[notification]\nsmtp_password = canary-1\n');
  await makeRepository(directory, 'app.git');
  const repository = join(directory, 'app.git');
  const parts = ['environment', 'inherited', member(repository)];
  return {
    settings: { TRAC_ENV: home, TRAC_ADMIN: admin },
    places: [
      ...['conf', 'files', 'htdocs', 'plugins', 'VERSION'].map((name) => join(home, name)),
      site,
      repository,
    ],
    members: ['trac.dump', ...parts.flatMap((name) => [`${name}.tar`, `${name}.list`])],
    version: /^1\.6$/,
    secrets: ['canary-1'],
    treeFind: {
      environment: [home, './VERSION', './conf', './files', './htdocs', './plugins', './templates'],
      inherited: [directory, './site.ini'],
      [member(repository)]: [repository, '.'],
    },
    dumpDatabases: async () =>
      existsSync(join(home, 'db'))
        ? (await execa('sqlite3', [join(home, 'db/trac.db'), '.dump'])).stdout
        : '',
    async wipe() {
      for (const path of [home, site, repository]) rmSync(path, { recursive: true });
      for (const path of [home, repository]) mkdirSync(path);
    },
    broken: {
      settings: { TRAC_ENV: join(directory, 'absent') },
      error: /absent\/conf\/trac\.ini": no such file/,
    },
    remove: async () => {},
  };
});

it('names an attachment that is lost, and a repository that only the database knows', async () => {
  const bench = makeBench();
  const { directory, admin } = await createTrac(join(bench.directory, 'trac'));
  const env = { TRAC_ENV: directory, TRAC_ADMIN: admin };
  const whole = await bench.run('agent-trac', ['--json'], { env });
  expect(JSON.parse(whole.stdout)).toMatchObject({
    result: 'ok',
    crossChecks: [{ rowCount: 2, fileCount: 2, missingCount: 0, unnamedCount: 0 }, { rowCount: 0 }],
  });
  rmSync(join(directory, await attachmentPath(...ATTACHMENTS[0])));
  await execa('sqlite3', [
    join(directory, 'db/trac.db'),
    "INSERT INTO repository VALUES (1, 'dir', '/srv/svn/x')",
  ]);
  const { exitCode, stdout, stderr } = await bench.run('agent-trac', ['--json'], { env });
  expect(exitCode).toBe(3);
  expect(JSON.parse(stdout).crossChecks).toMatchObject([
    { missingCount: 1 },
    { rowCount: 1, missingCount: 1 },
  ]);
  expect(stderr).toContain(await attachmentPath(...ATTACHMENTS[0]));
  expect(stderr).toContain('/srv/svn/x');
  bench.remove();
});

describe('the trac agent', () => {
  let directory: string;
  let home: string;
  const context = (settings: Record<string, unknown> = {}) =>
    ({
      settings: { TRAC_ENV: home, TRAC_ADMIN: 'trac-admin', GIT_FSCK: 'none', ...settings },
      view: hostView(),
      signal: new AbortController().signal,
    }) as never;
  const configure = (text: string): void => writeFileSync(join(home, 'conf/trac.ini'), text);
  const database = () => (agent.databases(context()) as DatabaseSource[])[0];
  const trees = (settings?: Record<string, unknown>) => agent.trees(context(settings)) as TreeSource[];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'garner-trac-'));
    home = join(directory, 'trac');
    mkdirSync(join(home, 'conf'), { recursive: true });
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it.each([
    ['', { engine: 'sqlite', connection: { file: 'HOME/db/trac.db' } }],
    ['database = sqlite:/var/trac.db', { engine: 'sqlite', connection: { file: '/var/trac.db' } }],
    [
      `Database : postgres://tr%40c:p%26%2540%27%22%5C%24%23%3B%20x@db.example.org:5433/trac?schema=pr%C3%B6j`,
      {
        engine: 'postgres',
        connection: {
          user: 'tr@c',
          password: `p&%40'"\\$#; x`,
          host: 'db.example.org',
          port: 5433,
          database: 'trac',
        },
      },
    ],
    [
      'database = postgres://u:p@/trac?host=/var/run/postgresql',
      {
        engine: 'postgres',
        connection: { user: 'u', password: 'p', host: '/var/run/postgresql', database: 'trac' },
      },
    ],
    [
      'database = mysql://u:p%%%@localhost:3307/trac?charset=utf8&unix_socket=/run/x.sock',
      {
        engine: 'mysql',
        connection: { password: 'p%%%', host: '127.0.0.1', port: 3307, socket: '/run/x.sock' },
      },
    ],
    [
      '# database = mysql://old:old@h/old\r\n;database=x\r\ndatabase = mysql://a:b@h/first\r\ndatabase = mysql://u:p@h/live\r\n[other]\r\n  database = no',
      {
        engine: 'mysql',
        name: 'live',
        connection: { host: 'h', user: 'u', password: 'p', database: 'live' },
      },
    ],
  ])('reads its database: %s', (text, expected) => {
    configure(`\uFEFF[trac]\r\n${text}\n`);
    expect(JSON.parse(JSON.stringify(database()).replaceAll(home, 'HOME'))).toMatchObject(expected);
  });

  it.each([
    'database = mysql:trac',
    'database = mysql://u:canary@h:x/trac',
    'database = postgres://u:canary@h/',
  ])('asks for GARNER_DATABASE_URL: %s', (text) => {
    configure(`[trac]\n${text}\n`);
    expect(() => database()).toThrow(/trac\.ini": it is not written there literally/);
    expect(() => database()).not.toThrow(/canary/);
  });

  it('refuses a database that garner has no engine for, and what is no INI file', () => {
    configure('[trac]\ndatabase = oracle://h/x\n');
    expect(() => database()).toThrow('its database is of kind "oracle"');
    configure('[trac]\ncanary-password\n');
    expect(() => database()).toThrow(/^(?!.*canary).*line 2 is neither/);
  });

  it('takes for a value that goes on only what is indented further than its key', () => {
    configure('  [trac]\n  name = a\n    database = no\n  database = mysql://u:p@h/live\n   \n  [other]\n');
    expect(database()).toMatchObject({ connection: { database: 'live' } });
  });

  it('reads what trac.ini inherits: its own value first, then the first file that has it', () => {
    mkdirSync(join(directory, 'shared'));
    writeFileSync(join(directory, 'shared/site.ini'), '[inherit]\nfile = base.ini\n[trac]\nname = x\n');
    writeFileSync(join(directory, 'shared/base.ini'), '[trac]\ndatabase = mysql://u:p@h/inherited\n');
    configure('[inherit]\nfile = ../../shared/site.ini\n[trac]\n');
    expect(database()).toMatchObject({ connection: { database: 'inherited' } });
    expect(trees()).toMatchObject([
      { name: 'environment' },
      { name: 'inherited', root: join(directory, 'shared'), includes: ['site.ini', 'base.ini'] },
    ]);
    configure('[inherit]\nfile = ../../shared/site.ini\n[trac]\ndatabase = mysql://u:p@h/own\n');
    expect(database()).toMatchObject({ connection: { database: 'own' } });
    writeFileSync(join(directory, 'shared/base.ini'), '[inherit]\nfile = site.ini\n');
    expect(database()).toMatchObject({ connection: { database: 'own' } });
    writeFileSync(join(directory, 'shared/base.ini'), `[inherit]\nfile = ${'base.ini,'.repeat(30)}\n`);
    expect(() => database()).toThrow(/base\.ini": it inherits from more than 200 files/);
  });

  it('takes repositories, shared directories and linked attachments that lie elsewhere as trees of their own', async () => {
    const [outside, inside] = [join(directory, 'app.git'), join(home, 'own.git')];
    mkdirSync(outside);
    mkdirSync(inside);
    mkdirSync(join(directory, 'shared'));
    mkdirSync(join(directory, 'disk'));
    mkdirSync(join(home, 'files'));
    symlinkSync(join(directory, 'disk'), join(home, 'files/attachments'));
    configure(
      `[trac]\nrepository_dir = ${outside}\n[inherit]\nplugins_dir = ${directory}/shared\n
       [repositories]\n.dir = own.git\nother.dir = ${directory}/other\nother.type = svn\nalias.alias = other\n`.replace(
        /^ +/gm,
        '',
      ),
    );
    mkdirSync(join(directory, 'other'));
    const roots = trees().map(({ root }) => root);
    const expected = [home, ...['disk', 'shared', 'app.git', 'other'].map((name) => join(directory, name))];
    expect(roots).toEqual(expected);
    expect(trees({ TRAC_REPOSITORIES: [join(directory, 'more')] }).at(-1)?.root).toBe(
      join(directory, 'more'),
    );
    const [attachments] =
      agent.crossChecks?.(context(), [{ name: 'trac', engine: 'sqlite', connection: {} }]) ?? [];
    expect(attachments?.tree).toBe(member(join(directory, 'disk')));
    const hashed = (await attachmentPath('wiki', 'a/b', 'c.PNG')).replace('files/attachments/', '');
    expect(attachments?.pathsOf(['wiki', 'a/b', 'c.PNG'])).toEqual([hashed]);
  });

  it('knows attachments of Trac before 1.0 by their quoted names', async () => {
    configure('[trac]\ndatabase = postgres://u@h/t?schema=a"b\n');
    const [check] = agent.crossChecks?.(context(), [{ name: 't', engine: 'postgres', connection: {} }]) ?? [];
    const [id, name] = ['Wiki/Räk (1)!', "it's~ 100%.tar.gz"];
    const quoted = 'Wiki/R%C3%A4k%20%281%29%21/it%27s%7E%20100%25.tar.gz'; // as Python 2 has quoted it
    expect(check?.pathsOf(['wiki', id, name])).toEqual([
      await attachmentPath('wiki', id, name),
      `attachments/wiki/${quoted}`,
    ]);
    expect(check?.sql).toBe('SELECT type, id, filename FROM "a""b"."attachment"');
    expect(check?.concerns('attachments/wiki/x')).toBe(true);
    expect(check?.concerns('htdocs/x')).toBe(false);
  });
});
