// Makes what a Bitbucket or a Stash consists of, without either: an installation by which its version is told, a home in the
// shape of its version with real git repositories, and a database with some of the tables of its schema. All is made up.
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import type { MariaDb } from './mariadb.ts';

export type BitbucketVersion = '8.19.1' | '7.21.0' | 'stash-3.11.6' | 'stash-3.1.0';

export interface BitbucketOptions {
  /** Gets `install` and `home`. */
  directory: string;
  version: BitbucketVersion;
  server: MariaDb;
  database: string;
  password: string;
}

export interface Bitbucket {
  install: string;
  home: string;
  /** The configuration file. */
  properties: string;
  /** One of its repositories. */
  repository: string;
  settings: Record<string, string>;
  /** What of the home a restore has to bring back: absolute paths. */
  places: string[];
  /** The kept part of the home, in find's words after `find .`. */
  find: string[];
}

/** @returns a value as Java's properties are written, each odd character in one of the ways there are */
const escaped = (value: string): string =>
  value
    .replace(/[\\:=#! ]/g, '\\$&')
    .replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

export function properties(values: Record<string, string>): string {
  const lines = Object.entries(values).map(([key, value]) => `${key}=${escaped(value)}\n`);
  return `#>*******************************************************\n#jdbc.password=of-before\n${lines.join('')}`;
}

export function put(file: string, content: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

/** Made anew by it, so not to be archived. */
const MADE_ANEW = [
  ...['caches/indexing/x', 'tmp/upload', 'log/atlassian-bitbucket.log', 'export/diagnostics.zip', '.lock'],
  ...['plugins/.bundled-plugins/a.jar', 'plugins/.osgi-plugins/b.jar'],
];
const MADE_ANEW_SHARED = [
  ...[
    'search/data/nodes/0/c',
    'data/db.h2.db',
    'caches/avatars/d',
    'plugins/.osgi-cache/e',
    'export/f',
    '.lock',
  ],
];

async function createRepository(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const script = `
    git init --quiet --bare --initial-branch=main .
    printf 'blob\\nmark :1\\ndata 5\\nhello\\ncommit refs/heads/main\\ncommitter A <a@example.org> 1700000000 +0000\\ndata 1\\nc\\nM 100644 :1 räksmörgås.txt\\n' |
      git fast-import --quiet
    printf '#!/bin/sh\\n' > hooks/pre-receive`;
  const env = { GIT_CONFIG_NOSYSTEM: '1', HOME: directory };
  await execa('bash', ['-euc', script], { cwd: directory, env });
}

export async function createBitbucket(options: BitbucketOptions): Promise<Bitbucket> {
  const { directory, version, server, database, password } = options;
  const [application, number] = version.startsWith('stash-')
    ? (['stash', version.slice('stash-'.length)] as const)
    : (['bitbucket', version] as const);
  const root = join(directory, 'install');
  const home = join(directory, 'home');
  // Stash before 3.2 had no shared home
  const shared = version === 'stash-3.1.0' ? home : join(home, 'shared');
  const webInf = application === 'stash' ? 'atlassian-stash/WEB-INF' : 'app/WEB-INF';
  for (const jar of [`${application}-api-${number}`, `${application}-rest-api-9.9`, 'plugin-api-1.0'])
    put(join(root, number, webInf, `lib/${jar}.jar`), '');

  await server.createDatabase(database, application, password);
  await server.query(
    `CREATE TABLE project (id INT PRIMARY KEY, project_key VARCHAR(128) NOT NULL);
     CREATE TABLE repository (id INT PRIMARY KEY, slug VARCHAR(128) NOT NULL, project_id INT NOT NULL,
       FOREIGN KEY (project_id) REFERENCES project (id));
     CREATE TABLE sta_pull_request (id BIGINT PRIMARY KEY, title VARCHAR(255), from_hash VARCHAR(40));
     CREATE TABLE \`AO_2AD648_INSIGHT_REPORT\` (\`ID\` BIGINT PRIMARY KEY, \`TITLE\` LONGTEXT);
     INSERT INTO project VALUES (1, 'GIT'), (2, '~ada');
     INSERT INTO repository VALUES (1, 'räksmörgås', 1), (2, 'private', 2);
     INSERT INTO sta_pull_request VALUES (1, 'Fix the 🦔', REPEAT('a', 40));
     INSERT INTO \`AO_2AD648_INSIGHT_REPORT\` VALUES (1, 'it''s \\\\ fine');`,
    database,
  );

  const name = `${application}${application === 'stash' ? '-config' : ''}.properties`;
  const config = {
    'setup.displayName': 'Git für alle',
    'jdbc.driver': 'com.mysql.jdbc.Driver',
    'jdbc.url': `jdbc:mysql://localhost:${server.port}/${database}?characterEncoding=utf8&useUnicode=true&sessionVariables=storage_engine%3DInnoDB`,
    'jdbc.user': application,
    'jdbc.password': password,
  };
  put(join(shared, name), properties(config));
  const repositories = [1, 2].map((id) => join(shared, `data/repositories/${id}`));
  for (const repository of repositories) await createRepository(repository);
  const kept = [
    'data/attachments/1/räksmörgås.png',
    'data/avatars/users/1.png',
    'config/ssh-server-keys.pem',
  ];
  const plugin = 'plugins/installed-plugins/plugin.1.jar';
  for (const file of [...kept, plugin]) put(join(shared, file), file);
  put(join(home, 'bin-of-the-admin/hook.sh'), '#!/bin/sh\n');
  for (const file of MADE_ANEW) put(join(home, file), 'made anew');
  for (const file of MADE_ANEW_SHARED) put(join(shared, file), 'made anew');
  // another process listens here
  const socket = createServer().listen(join(home, 'socket'));
  await new Promise((resolve) => socket.once('listening', resolve));
  socket.close();

  const prefix = application.toUpperCase();
  const names = [...['caches', 'tmp', 'log', 'export', 'search/data', '.lock'], 'plugins/.*', 'data/db.*'];
  const paths = names
    .flatMap((path) => [`./${path}`, `./shared/${path}`])
    .flatMap((path) => ['-path', path, '-o']);
  return {
    install: root,
    home,
    properties: join(shared, name),
    repository: repositories[0] as string,
    settings: {
      [application === 'stash' ? 'STASH_HOME_DIR' : 'BITBUCKET_HOME']: home,
      [`${prefix}_INSTALL_DIR`]: root,
    },
    places: [...kept, plugin, name, 'data/repositories'].map((file) => join(shared, file)),
    find: ['(', ...paths.slice(0, -1), ')', '-prune', '-o'],
  };
}
