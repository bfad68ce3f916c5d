// What misleads careless readers of wp-config.php: escapes, comments, constants that are defined twice, values of the
// environment, files that are included, places that are elsewhere, Debian's package. No server is asked.
import {
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
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { TreeSource } from '../../agents/toolkit/define-agent.ts';
import { type HostView, hostView } from '../../agents/toolkit/host-view.ts';
import { planDatabases } from '../../agents/toolkit/restore-plan.ts';
import { databasesOf } from '../../agents/toolkit/sources.ts';
import agent from '../../agents/wordpress.ts';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import type { GarnerError } from '../../lib/errors.ts';
import { php } from '../helpers/wordpress.ts';

/** Every character that some quoting somewhere gives a meaning. */
const PASSWORD = `p&amp;%40'"\\\\n$x\${y}#; =w<ö>]]`;

let directory: string;
let root: string;
const put = (file: string, text: string): void => {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
};
const contextOf = (settings: Record<string, string> = {}, view: HostView = hostView()) =>
  ({ settings: { WORDPRESS_DIR: root, ...settings }, view, signal: new AbortController().signal }) as never;
const database = (settings?: Record<string, string>, view?: HostView) =>
  (agent.databases(contextOf(settings, view)) as DatabaseSource[])[0];
const trees = (settings?: Record<string, string>, view?: HostView) =>
  agent.trees(contextOf(settings, view)) as TreeSource[];
const errorOf = (work: () => unknown): GarnerError => {
  try {
    work();
  } catch (error) {
    return error as GarnerError;
  }
  throw new Error('nothing was thrown');
};

const VALUES = { DB_NAME: 'blog', DB_USER: 'wp', DB_PASSWORD: PASSWORD, DB_HOST: 'h' };
/** @param overrides what stands in place of a constant's literal */
const defines = (overrides: Record<string, string> = {}): string =>
  Object.entries({ ...Object.fromEntries(Object.entries(VALUES).map(([k, v]) => [k, php(v)])), ...overrides })
    .map(([name, value]) => `define('${name}', ${value});\n`)
    .join('');
const configure = (text: string, prefix = "$table_prefix = 'wp_';\n"): void =>
  put('wp-config.php', `<?php\n${text}${prefix}require_once ABSPATH . 'wp-settings.php';\n`);
const connection = { host: 'h', user: 'wp', password: PASSWORD, database: 'blog', part: { prefix: 'wp_' } };

beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'garner-wordpress-')));
  root = join(directory, 'www/html');
  mkdirSync(join(root, 'wp-content/uploads'), { recursive: true });
  configure(defines());
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

it('reads the database, with a password of every kind of character', () => {
  expect(database()).toMatchObject({ name: 'blog', engine: 'mysql', connection, withoutRoutines: true });
  expect(database()?.expectedTables).toContain('wp_posts');
});

it.each<[string, string]>([
  [
    'a byte-order mark and CRLF',
    `\uFEFF<?php\r\n${defines().replaceAll('\n', '\r\n')}$table_prefix = 'wp_';\r\n`,
  ],
  [
    'old credentials in comments',
    `<?php\n// define('DB_NAME', 'old');\n# define('DB_USER', 'old');\n/* define('DB_PASSWORD', 'old');\n */${defines()}$table_prefix = 'wp_';`,
  ],
  [
    'constants that are defined twice: the first wins',
    `<?php\n${defines()}${defines({ DB_NAME: "'late'" })}$table_prefix = 'wp_';`,
  ],
  [
    'a prefix that is set twice: the last wins',
    `<?php\n${defines()}$table_prefix = 'old_'; $table_prefix = 'wp_';`,
  ],
  [
    'double quotes, upper case and constants of its own',
    `<?php\nconst SITE = 'blo';\nDEFINE("DB_NAME", SITE . 'g');\ndefine( "DB_PASSWORD", "${PASSWORD.replace(/["\\$]/g, '\\$&')}" );\n${defines()}$table_prefix = "wp_";`,
  ],
  [
    'constants that are defined where they are not yet',
    `<?php\nif (!defined('DB_NAME')) { define('DB_NAME', 'blog'); }\ndefined('DB_USER') || define('DB_USER', 'wp');\n${defines({ DB_NAME: "'late'", DB_USER: "'late'" })}$table_prefix = 'wp_';`,
  ],
])('reads a file with %s', (_, text) => {
  put('wp-config.php', text);
  expect(database()).toMatchObject({ connection });
});

it.each<[string, object]>([
  ['localhost', { host: 'localhost', port: undefined, socket: undefined }],
  ['h:3307', { host: 'h', port: 3307 }],
  ['h:/run/my.sock', { host: 'h', socket: '/run/my.sock' }],
  [':/run/my.sock', { host: undefined, socket: '/run/my.sock' }],
  ['localhost:3307:/run/my.sock', { host: 'localhost', port: 3307, socket: '/run/my.sock' }],
  ['[::1]:3306', { host: '::1', port: 3306 }],
  ['[::1]', { host: '::1', port: undefined }],
  ['::1', { host: '::1', port: undefined }],
])('finds the server in DB_HOST %s', (host, expected) => {
  configure(defines({ DB_HOST: php(host) }));
  expect(database()).toMatchObject({ connection: { ...connection, ...expected } });
});

it.each<[string, string]>([
  ['of the environment', defines({ DB_PASSWORD: "getenv('DB_PASSWORD')" })],
  ['of the container', defines({ DB_NAME: "getenv_docker('WORDPRESS_DB_NAME', 'wordpress')" })],
  ['of a function', defines({ DB_USER: 'trim(file_get_contents("/run/secrets/user"))' })],
  ['under a condition', `if ($_SERVER['HTTP_HOST'] === 'x') { define('DB_NAME', 'x'); }\n${defines()}`],
  ['that is missing', "define('DB_NAME', 'blog');\n"],
  ['after a file that is not known', `require $_SERVER['DOCUMENT_ROOT'] . '/x.php';\n${defines()}`],
])('asks for GARNER_DATABASE_URL where it meets a value %s', (_, text) => {
  configure(text);
  expect(errorOf(() => database())).toMatchObject({ code: 'application-configuration' });
  expect(errorOf(() => database()).hint).toContain('GARNER_DATABASE_URL');
});

it("reads the environment where it is WordPress's own: inside its container", () => {
  const docker = (name: string, value: string): string => `getenv_docker('WORDPRESS_${name}', '${value}')`;
  configure(
    defines({
      DB_NAME: docker('DB_NAME', 'blog'),
      DB_USER: docker('DB_USER', 'x'),
      DB_HOST: "getenv('WORDPRESS_DB_HOST')",
    }),
    `$table_prefix = ${docker('TABLE_PREFIX', 'wp_')};\n`,
  );
  vi.stubEnv('WORDPRESS_DB_USER', 'wp');
  vi.stubEnv('WORDPRESS_DB_HOST', 'h');
  expect(database()).toMatchObject({ connection });
  vi.stubEnv('WORDPRESS_DB_NAME_FILE', '/run/secrets/name');
  expect(errorOf(() => database()).hint).toContain('GARNER_DATABASE_URL');
});

/** wp-config.php of WordPress's image for containers, without its comments and keys. */
const DOCKER = `<?php
if (!function_exists('getenv_docker')) {
	function getenv_docker($env, $default) {
		if ($fileEnv = getenv($env . '_FILE')) {
			return rtrim(file_get_contents($fileEnv), "\\r\\n");
		}
		else if (($val = getenv($env)) !== false) {
			return $val;
		}
		else {
			return $default;
		}
	}
}
define( 'DB_NAME', getenv_docker('WORDPRESS_DB_NAME', 'wordpress') );
define( 'DB_USER', getenv_docker('WORDPRESS_DB_USER', 'example username') );
define( 'DB_PASSWORD', getenv_docker('WORDPRESS_DB_PASSWORD', 'example password') );
define( 'DB_HOST', getenv_docker('WORDPRESS_DB_HOST', 'mysql') );
define( 'DB_CHARSET', getenv_docker('WORDPRESS_DB_CHARSET', 'utf8') );
$table_prefix = getenv_docker('WORDPRESS_TABLE_PREFIX', 'wp_');
define( 'WP_DEBUG', !!getenv_docker('WORDPRESS_DEBUG', '') );
if (isset($_SERVER['HTTP_X_FORWARDED_PROTO']) && strpos($_SERVER['HTTP_X_FORWARDED_PROTO'], 'https') !== false) {
	$_SERVER['HTTPS'] = 'on';
}
if ($configExtra = getenv_docker('WORDPRESS_CONFIG_EXTRA', '')) {
	eval($configExtra);
}
if ( ! defined( 'ABSPATH' ) ) {
	define( 'ABSPATH', __DIR__ . '/' );
}
require_once ABSPATH . 'wp-settings.php';
`;

it("reads the image's own file inside its container, and outside asks for the database alone", async () => {
  put('wp-config.php', DOCKER);
  expect(errorOf(() => database()).hint).toContain('GARNER_DATABASE_URL');
  const url = { GARNER_DATABASE_URL: 'mysql://x@h2/blog' };
  const [named] = await databasesOf(agent as never, contextOf(url));
  expect(named?.connection).toMatchObject({ host: 'h2', database: 'blog' });
  expect(named?.connection).not.toHaveProperty('part');
  expect(trees(url)).toMatchObject([{ name: 'site' }]);
  expect(agent.crossChecks?.(contextOf(url), [named as DatabaseSource])).toEqual([]);
  expect(agent.withheld?.(contextOf(url))).toEqual([]);
  vi.stubEnv('WORDPRESS_DB_PASSWORD', PASSWORD);
  const defaults = {
    host: 'mysql',
    user: 'example username',
    database: 'wordpress',
    part: { prefix: 'wp_' },
  };
  expect(database()).toMatchObject({ connection: { ...defaults, password: PASSWORD } });
  vi.stubEnv('WORDPRESS_CONFIG_EXTRA', '$table_prefix = "x_";');
  expect(errorOf(() => database()).hint).toContain('WORDPRESS_TABLE_PREFIX');
});

it('asks for the prefix where it is not literal, and takes it from a setting', () => {
  configure(defines(), "$table_prefix = getenv('PREFIX');\n");
  expect(errorOf(() => database()).hint).toContain('WORDPRESS_TABLE_PREFIX');
  const part = { prefix: 'blog_' };
  expect(database({ WORDPRESS_TABLE_PREFIX: 'blog_' })).toMatchObject({ connection: { part } });
  const url: DatabaseSource = { name: 'x', engine: 'mysql', connection: { database: 'x' } };
  const context = contextOf({ WORDPRESS_TABLE_PREFIX: 'blog_' });
  expect(agent.narrow?.(context, url)).toMatchObject({ name: 'x', connection: { database: 'x', part } });
});

it('has only its own tables of a database that a setting names, for a backup and for a restore', async () => {
  const part = { prefix: 'wp_' };
  const url = 'mysql://x@h2/shared';
  const [named] = await databasesOf(agent as never, contextOf({ GARNER_DATABASE_URL: url }));
  expect(named).toMatchObject({ name: 'shared', connection: { host: 'h2', database: 'shared', part } });
  const manifest = { members: [{ name: 'blog.sql.zst', kind: 'database', database: { engine: 'mysql' } }] };
  const targets = async () => {
    const context = contextOf({ GARNER_RESTORE_DATABASE_URL: url });
    const options = { file: 'x.tar', only: undefined, to: undefined, dryRun: false, force: false };
    return planDatabases(agent as never, manifest as never, options, context);
  };
  expect(await targets()).toMatchObject([{ goesTo: { connection: { database: 'shared', part } } }]);
  // a host without the application, or its configuration
  rmSync(join(root, 'wp-config.php'));
  const [target] = await targets();
  expect(target?.goesTo).toMatchObject({ connection: { database: 'shared' } });
  expect(target?.goesTo).not.toMatchObject({ connection: { part } });
});

it('has the whole database where there is no prefix', () => {
  configure(defines(), "$table_prefix = '';\n");
  expect(database()?.connection).not.toHaveProperty('part');
});

it('follows files that are included, and keeps them', () => {
  put('../private/db.php', `<?php\n${defines()}`);
  put(
    'wp-config.php',
    "<?php\nrequire __DIR__ . '/../private/db.php';\n@include 'absent.php';\n$table_prefix = 'wp_';",
  );
  expect(database()).toMatchObject({ connection });
  expect(trees()).toMatchObject([
    { name: 'config', root: join(directory, 'www/private'), includes: ['db.php'] },
    { name: 'site', root },
  ]);
});

it('does not follow files without end that include themselves many times', () => {
  put('wp-config.php', `<?php\n${"include __DIR__ . '/wp-config.php';\n".repeat(30)}`);
  expect(errorOf(() => database()).message).toContain('it includes more than 100 files');
});

it('takes a wp-config.php that is one directory above, if it is not that of another WordPress', () => {
  renameSync(join(root, 'wp-config.php'), join(directory, 'www/wp-config.php'));
  expect(database()).toMatchObject({ connection });
  expect(trees()).toMatchObject([
    { name: 'config', root: join(directory, 'www'), includes: ['wp-config.php'] },
    {},
  ]);
  put('../wp-settings.php', '<?php');
  expect(errorOf(() => database()).message).toContain('html/wp-config.php": no such file');
});

it('takes what is elsewhere as trees of their own', () => {
  const places = ['content', 'plugins', 'mu', 'themes', 'uploads'].map((name) =>
    join(directory, 'data', name),
  );
  for (const place of places) mkdirSync(place, { recursive: true });
  const [content = '', plugins = '', mu = '', themes = ''] = places;
  symlinkSync(themes, join(content, 'themes'));
  configure(
    `${defines()}define('WP_CONTENT_DIR', ${php(content)}); define('WP_PLUGIN_DIR', ${php(plugins)});
     define('WPMU_PLUGIN_DIR', ${php(mu)}); define('UPLOADS', '../../data/uploads');\n`,
  );
  expect(trees().map(({ name, root: place }) => [name, place])).toEqual([
    ['site', root],
    ...['content', 'plugins', 'mu_plugins', 'themes', 'uploads'].map((name, i) => [name, places[i]]),
  ]);
  expect(trees()[1]?.excludes).toEqual(expect.arrayContaining(['cache', 'debug.log', 'backups-dup*']));
  const checks = agent.crossChecks?.(contextOf(), [{ name: 'blog', engine: 'mysql', connection: {} }]);
  expect(checks).toMatchObject([{ tree: 'uploads' }]);
});

it('asks for wp-content where it is not literal, and takes it from a setting', () => {
  configure(`${defines()}define('WP_CONTENT_DIR', $_SERVER['DOCUMENT_ROOT'] . '/app');\n`);
  expect(errorOf(() => trees()).message).toContain('WP_CONTENT_DIR');
  mkdirSync(join(directory, 'www/app'));
  const elsewhere = { WORDPRESS_CONTENT_DIR: join(directory, 'www/app') };
  expect(trees(elsewhere)).toMatchObject([
    { name: 'site' },
    { name: 'content', root: join(directory, 'www/app') },
  ]);
});

it("goes by Debian's configuration file, and leaves the program to its package", () => {
  const etc = join(directory, 'etc');
  mkdirSync(etc);
  const view = hostView([{ root: '/etc/wordpress', staged: etc }]);
  put('wp-config.php', readFileSync('/usr/share/wordpress/wp-config.php', 'utf8'));
  expect(errorOf(() => database({}, view)).hint).toContain('WORDPRESS_CONFIG_FILE');
  writeFileSync(
    join(etc, 'config-blog.example.org.php'),
    "<?php\ndefine('DB_PASSWORD', 'x'); define('DB_NAME', 'blog');",
  );
  const found = {
    host: 'localhost',
    user: 'wordpress',
    password: 'x',
    database: 'blog',
    part: { prefix: 'wp_' },
  };
  expect(database({}, view)).toMatchObject({ connection: found });
  expect(trees({}, view)).toMatchObject([
    { name: 'config', root: '/etc/wordpress', includes: ['config-blog.example.org.php', 'htaccess'] },
    { name: 'content', root: '/var/lib/wordpress/wp-content' },
  ]);
  writeFileSync(join(etc, 'config-other.example.org.php'), "<?php\ndefine('DB_PASSWORD', 'y');");
  expect(errorOf(() => database({}, view)).message).toContain('config-other.example.org.php');
  const other = { WORDPRESS_CONFIG_FILE: '/etc/wordpress/config-other.example.org.php' };
  expect(database(other, view)).toMatchObject({ connection: { password: 'y', database: 'wordpress' } });
});

it('tells the version and the schema', () => {
  put(
    'wp-includes/version.php',
    "<?php\n/** @global string */\n$wp_version = '6.8.1';\n$wp_db_version = 60421;\n",
  );
  expect(agent.version(contextOf())).toBe('6.8.1');
  expect(agent.build?.(contextOf())).toBe('60421');
  put('wp-includes/version.php', '<?php\n');
  expect(errorOf(() => agent.version(contextOf())).message).toContain('version.php does not name it');
});

it('says which table of users is not its own', () => {
  configure(
    `${defines()}define('CUSTOM_USER_TABLE', 'shared_users'); define('CUSTOM_USER_META_TABLE', 'wp_m');\n`,
  );
  expect(agent.withheld?.(contextOf())).toMatchObject([
    { what: 'the table shared_users (CUSTOM_USER_TABLE)' },
  ]);
});

it('knows which file a row means', () => {
  mkdirSync(join(root, 'wp-content/uploads/sites/2'), { recursive: true });
  const [main, sites] =
    agent.crossChecks?.(contextOf(), [{ name: 'blog', engine: 'mysql', connection: {} }]) ?? [];
  const uploads = 'wp-content/uploads';
  const pathsOf = (...row: string[]): string[] | undefined => main?.pathsOf(row);
  expect(pathsOf('', '2026/11/a.jpg', '')).toEqual([`${uploads}/2026/11/a.jpg`]);
  expect(pathsOf('', '2026/11/a.jpg', 'a-1x1.jpg')).toEqual([`${uploads}/2026/11/a-1x1.jpg`]);
  expect(pathsOf('', `${root}/${uploads}/a.jpg`, '')).toEqual([`${uploads}/a.jpg`]);
  expect(pathsOf('2', '2026/11/a.jpg', '')).toEqual([`${uploads}/sites/2/2026/11/a.jpg`]);
  for (const foreign of ['https://cdn/a.jpg', '../../etc/passwd', '/elsewhere/a.jpg'])
    expect(pathsOf('', foreign, '')).toEqual([]);
  expect(main?.concerns(`${uploads}/2026/11/a.jpg`)).toBe(true);
  expect(main?.concerns(`${uploads}/sites/2/2026/11/a.jpg`)).toBe(false);
  expect(main?.concerns(`${uploads}/woocommerce_uploads/x.zip`)).toBe(false);
  expect(sites?.concerns(`${uploads}/sites/2/2026/11/a.jpg`)).toBe(true);
  configure(`${defines()}define('DB_CHARSET', 'latin1');\n`);
  expect(agent.crossChecks?.(contextOf(), [{ name: 'blog', engine: 'mysql', connection: {} }])).toEqual([]);
});
