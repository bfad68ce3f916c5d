// The wordpress agent: a real WordPress lost and brought back, and the contract; both share their databases with others.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { uploadChecks } from '../../agents/toolkit/wordpress-uploads.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { type Bench, makeBench } from '../helpers/run.ts';
import { createWordpress, type Wordpress, wordpressConfiguration } from '../helpers/wordpress.ts';

/** Every character that some quoting somewhere gives a meaning. */
const PASSWORD = `p&amp;%40'"\\\\n$x\${y}#; =word`;

let server: MariaDb;
beforeAll(async () => {
  server = await startMariadb();
});
afterAll(() => server?.stop());

const connectionOf = (database: string): Record<string, string> => ({
  DB_NAME: database,
  DB_USER: 'wordpress',
  DB_PASSWORD: PASSWORD,
  DB_HOST: `localhost:${server.socket}`,
});
const dump = async (database: string): Promise<string> => {
  const account = ['--no-defaults', '--user=root', `--socket=${server.socket}`, '--skip-dump-date'];
  return (await execa('mariadb-dump', [...account, database])).stdout;
};
const ofShop = `CREATE TABLE shop_orders (i INT); INSERT INTO shop_orders VALUES (7);`;

describe('agent-wordpress and a real WordPress', () => {
  let home: string;
  let bench: Bench;
  let site: Wordpress;
  const backup = async () => {
    const { stdout, exitCode, stderr } = await bench.run('agent-wordpress', ['--json'], {
      env: { WORDPRESS_DIR: site.directory },
    });
    return { exitCode, stderr, ...JSON.parse(stdout) };
  };

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'garner-wordpress-'));
    await server.createDatabase('press', 'wordpress', PASSWORD);
    site = await createWordpress(join(home, 'site'), connectionOf('press'));
    await server.query(ofShop, 'press');
  });
  afterAll(async () => {
    await site?.[Symbol.asyncDispose]();
    rmSync(home, { recursive: true });
  });
  beforeEach(() => {
    bench = makeBench();
    return () => bench.remove();
  });

  it('serves the same page after all of it was lost', async () => {
    const before = await site.fetch();
    const { archive, exitCode, version, crossChecks } = await backup();
    expect({ exitCode, version }).toMatchObject({ exitCode: 0, version: expect.stringMatching(/^6\./) });
    // notes.txt, small.jpg, the large one: scaled, as it was, and in its sizes
    expect(crossChecks).toMatchObject([{ tree: 'site', missingCount: 0, unnamedCount: 0 }]);
    expect(crossChecks[0].fileCount).toBe(crossChecks[0].rowCount);
    expect(crossChecks[0].rowCount).toBeGreaterThan(6);
    const rows = await dump('press');

    rmSync(site.directory, { recursive: true });
    await server.query('DROP DATABASE press');
    await server.createDatabase('press', 'wordpress', PASSWORD);
    await server.query(ofShop, 'press');
    const env = { WORDPRESS_DIR: site.directory };
    expect(await bench.run('agent-wordpress', ['restore', archive], { env })).toMatchObject({ exitCode: 0 });
    expect(await dump('press')).toBe(rows);
    expect(await site.fetch()).toBe(before);
  });

  it('names an uploaded file that is lost, a size of a picture, and what a scaled one was made of', async () => {
    const uploads = join(site.directory, 'wp-content/uploads/2026/11');
    const lost = ['notes.txt', 'Large-raksmorgas-300x56.jpg', 'Large-raksmorgas.jpg'];
    for (const name of lost) rmSync(join(uploads, name));
    const { exitCode, stderr, crossChecks } = await backup();
    expect({ exitCode, crossChecks }).toMatchObject({ exitCode: 3, crossChecks: [{ missingCount: 3 }] });
    for (const name of lost)
      expect(stderr).toContain(`not in the archive: wp-content/uploads/2026/11/${name}\n`);
  });
});

const serialized = (...names: string[]): string =>
  `a:9:{${names.map((name) => `s:4:"file";s:${Buffer.byteLength(name)}:"${name}";`).join('')}}`;

/** The media library of a site. */
const library = (prefix: string, file: string, size: string): string => `
  CREATE TABLE ${prefix}posts (ID BIGINT PRIMARY KEY, post_type VARCHAR(20), post_title TEXT);
  CREATE TABLE ${prefix}postmeta (post_id BIGINT, meta_key VARCHAR(255), meta_value LONGTEXT);
  INSERT INTO ${prefix}posts VALUES (1, 'attachment', 'Räksmörgås'), (2, 'post', 'it''s 🦔'), (3, 'attachment', 'far');
  INSERT INTO ${prefix}postmeta VALUES (1, '_wp_attached_file', '${file}'), (3, '_wp_attached_file', 'https://cdn/x.png'),
    (1, '_wp_attachment_metadata', '${serialized(file, size)}'), (2, '_wp_attached_file', 'none'), (1, 'x', NULL);
  CREATE TABLE ${prefix}options (option_name VARCHAR(191));`;

it('finds the files of rows, on each site of a network', async () => {
  await server.createDatabase('network', 'network', 'secret');
  await server.query(
    `${library('wp_', '2026/11/Röd.jpg', 'Röd-150x150.jpg')} ${library('wp_2_', '2026/10/two.jpg', 'two-1x1.jpg')}
     INSERT INTO wp_postmeta VALUES
       (1, '_wp_attachment_backup_sizes', 'a:1:{s:9:"full-orig";a:1:{s:4:"file";s:10:"Röd-e1.jpg";}}'),
       (1, '_wp_attachment_metadata', 'a:2:{s:14:"original_image";s:10:"Röd-gr.jpg";s:8:"filesize";i:1;}')`,
    'network',
  );
  const tree = { name: 'site', root: '/srv/wp' };
  const found = async (sites: string[]): Promise<string[][]> => {
    const checks = uploadChecks('network', 'wp_', tree, '/srv/wp/up', sites);
    return Promise.all(
      checks.map(async ({ sql, pathsOf }) => {
        const rows = (await server.query(sql, 'network')).split('\n').map((line) => line.split('\t'));
        return rows.flatMap(pathsOf).sort();
      }),
    );
  };
  const main = ['Röd-150x150.jpg', 'Röd-e1.jpg', 'Röd-gr.jpg', 'Röd.jpg'].map((name) => `up/2026/11/${name}`);
  const second = ['two-1x1.jpg', 'two.jpg'].map((name) => `up/sites/2/2026/10/${name}`);
  expect(await found([])).toEqual([main]);
  expect(await found(['2'])).toEqual([main, second]);
});

agentContract('wordpress', 'a site of a network, in a database that others use', async (base) => {
  const directory = join(base, 'wordpress');
  const elsewhere = join(base, 'uploads');
  const files: Record<string, string> = {
    'index.php': '<?php',
    '.htaccess': 'RewriteEngine On',
    'wp-settings.php': '<?php',
    'wp-includes/version.php': "<?php\n$wp_version = '6.8.1';\n$wp_db_version = 60421;\n",
    'wp-config.php': wordpressConfiguration({ ...connectionOf('shared'), UPLOADS: '../uploads' }),
    'wp-content/plugins/x/räksmörgås.php': '<?php',
    'wp-content/cache/page.html': 'made anew',
    'wp-content/upgrade/x.zip': 'half',
    'wp-content/upgrade-temp-backup/x': 'half',
    'wp-content/updraft/backup.zip': 'another backup',
    'wp-content/ai1wm-backups/x.wpress': 'another backup',
    'wp-content/backups-dup-lite/x.zip': 'another backup',
    'wp-content/debug.log': 'a log',
    '../uploads/2026/11/Röd.jpg': 'a picture',
    '../uploads/2026/11/Röd-150x150.jpg': 'a small one',
    '../uploads/sites/2/2026/10/two.jpg': 'a picture',
    '../uploads/sites/2/2026/10/two-1x1.jpg': 'a small one',
  };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  await server.createDatabase('shared', 'wordpress', PASSWORD);
  const own = `${library('wp_', '2026/11/Röd.jpg', 'Röd-150x150.jpg')} CREATE TABLE wp_users (ID INT);
    ${library('wp_2_', '2026/10/two.jpg', 'two-1x1.jpg')}`;
  await server.query(`${own} ${ofShop}`, 'shared');
  const leftOut = [
    'cache',
    'upgrade',
    'upgrade-temp-backup',
    'updraft',
    'ai1wm-backups',
    'backups-dup-lite',
    'debug.log',
  ];
  const tables = own.match(/(?<=CREATE TABLE )\w+/g) as string[];
  return {
    settings: { WORDPRESS_DIR: directory },
    places: [
      'index.php',
      '.htaccess',
      'wp-config.php',
      'wp-includes',
      'wp-content/plugins',
      '../uploads',
    ].map((path) => join(directory, path)),
    members: ['shared.sql', 'site.tar', 'site.list', 'uploads.tar', 'uploads.list'],
    version: /^6\.8\.1$/,
    secrets: [PASSWORD],
    treeFind: {
      site: [directory, '.', ...leftOut.flatMap((name) => ['-path', `./wp-content/${name}`, '-prune', '-o'])],
      uploads: [elsewhere, '.'],
    },
    dumpDatabases: () => dump('shared'),
    async wipe() {
      for (const path of [directory, elsewhere]) rmSync(path, { recursive: true });
      await server.query(`DROP TABLE ${tables.join(', ')}`, 'shared');
    },
    broken: {
      settings: { WORDPRESS_DIR: join(directory, 'absent') },
      error: /absent\/wp-config\.php": no such file/,
    },
    remove: async () => {},
  };
});
