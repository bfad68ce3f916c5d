// A real WordPress for tests: Debian's package, set up by its own functions, filled with a post and pictures, served by PHP.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { freePort } from './mariadb.ts';
import { compiledPhp } from './php.ts';

const PACKAGE = '/usr/share/wordpress';
/** Two thirds of the package, which pages of visitors do without. */
const NOT_COPIED = ['wp-includes/js/dist', 'wp-includes/js/tinymce', 'wp-content/plugins/akismet'];
const START_LIMIT_MS = 30_000;

/** @returns a text as PHP's literal in single quotes */
export const php = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;

/** @returns wp-config.php as WordPress's installer writes it, with these constants */
export function wordpressConfiguration(constants: Record<string, string>, prefix = 'wp_'): string {
  const defines = Object.entries(constants).map(([name, value]) => `define( '${name}', ${php(value)} );\n`);
  return `<?php
/** The base configuration for WordPress */
${defines.join('')}
$table_prefix = '${prefix}';

define( 'WP_DEBUG', false );
/* Add any custom values between this line and the "stop editing" line. */
define( 'DISABLE_WP_CRON', true );
define( 'WP_HTTP_BLOCK_EXTERNAL', true );

if ( ! defined( 'ABSPATH' ) ) {
	define( 'ABSPATH', __DIR__ . '/' );
}
require_once ABSPATH . 'wp-settings.php';
`;
}

/** A post, a picture that WordPress scales down, one that is edited, and a file. */
const FILL = `<?php
define( 'WP_INSTALLING', true );
$_SERVER += [ 'HTTP_HOST' => '127.0.0.1', 'REQUEST_URI' => '/' ];
require $argv[1] . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/image.php';
function wp_new_blog_notification() {} // sends mail
wp_install( 'Garner Test', 'admin', 'admin@example.org', true, '', 'wp-admin-1' );
switch_theme( 'garner' );
function add_file( $name, $data ) {
  $file = wp_upload_bits( $name, null, $data, '2026/11' );
  $mime = wp_check_filetype( $name )['type'];
  $id = wp_insert_attachment( [ 'post_title' => $name, 'post_mime_type' => $mime ], $file['file'] );
  wp_update_attachment_metadata( $id, wp_generate_attachment_metadata( $id, $file['file'] ) );
  return $id;
}
function picture( $width, $height, $red ) {
  $image = imagecreatetruecolor( $width, $height );
  imagefill( $image, 0, 0, imagecolorallocate( $image, $red, 0, 0 ) );
  ob_start();
  imagejpeg( $image );
  return ob_get_clean();
}
$large = add_file( 'Large räksmörgås.jpg', picture( 2700, 500, 255 ) );
$small = add_file( 'small.jpg', picture( 20, 20, 100 ) );
add_file( 'notes.txt', str_repeat( "plain text, naïve façade\\n", 200 ) );
wp_insert_post( [ 'post_title' => 'Räksmörgås 🦔', 'post_status' => 'publish',
  'post_content' => wp_slash( 'It\\'s "quoted", a \\\\ backslash.' . wp_get_attachment_image( $large, 'full' ) ) ] );
echo wp_get_attachment_url( $large ), "\\n";
`;

const THEME = `<?php
while ( have_posts() ) {
  the_post();
  the_title( '<h1>', '</h1>' );
  the_content();
}
`;

export interface Wordpress extends AsyncDisposable {
  readonly directory: string;
  /** @returns the front page and its picture, as visitors get them */
  fetch(): Promise<string>;
}

/**
 * Installs one with a prefix of `wp_`.
 * @param directory where it is to lie; must not exist
 * @param constants of the database
 */
export async function createWordpress(
  directory: string,
  constants: Record<string, string>,
): Promise<Wordpress> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  mkdirSync(directory);
  const left = NOT_COPIED.map((path) => `--exclude=./${path}`);
  const copy = 'from=$1; to=$2; shift 2; tar -C "$from" -ch "$@" . | tar -C "$to" -x';
  await execa('bash', ['-euo', 'pipefail', '-c', copy, 'bash', PACKAGE, directory, ...left]);
  const addresses = { WP_HOME: url, WP_SITEURL: url, DB_CHARSET: 'utf8mb4', DB_COLLATE: '' };
  writeFileSync(join(directory, 'wp-config.php'), wordpressConfiguration({ ...constants, ...addresses }), {
    mode: 0o640,
  });
  const theme = join(directory, 'wp-content/themes/garner');
  mkdirSync(theme, { recursive: true });
  writeFileSync(join(theme, 'style.css'), '/*\nTheme Name: Garner\n*/\n');
  writeFileSync(join(theme, 'index.php'), THEME);
  const { stdout } = await execa(
    'php',
    [...(await compiledPhp()), '-d', 'display_errors=stderr', '--', directory],
    { input: FILL },
  );
  const picture = `${url}${stdout.trim()}`;

  // setpriv: it ends with the test process, however that ends
  const args = ['--pdeathsig', 'KILL', 'php', '-S', `127.0.0.1:${port}`, '-t', directory];
  const server = execa('setpriv', args, { stdio: 'ignore', reject: false });
  const get = async (address: string): Promise<Buffer> => {
    for (const deadline = Date.now() + START_LIMIT_MS; ; await sleep(50)) {
      try {
        const response = await fetch(address);
        if (!response.ok) throw new Error(`${address}: ${response.status}`);
        return Buffer.from(await response.arrayBuffer());
      } catch (error) {
        if (Date.now() > deadline || /\d{3}$/.test(String(error))) throw error;
      }
    }
  };
  return {
    directory,
    fetch: async () => `${await get(`${url}/`)}\n${(await get(picture)).toString('base64')}`,
    async [Symbol.asyncDispose]() {
      server.kill('SIGKILL');
      await server;
    },
  };
}
