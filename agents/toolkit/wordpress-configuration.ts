// A WordPress's configuration: wp-config.php with what it includes, or the file that Debian's looks up by the host's name.
import { basename, dirname, join } from 'node:path';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import type { MysqlConnection } from '../../databases/toolkit/mysql-client.ts';
import { cannot } from '../../lib/errors.ts';
import type { HostView } from './host-view.ts';
import { type PhpSettings, phpSettings, readPhp } from './php.ts';
import { memberName, notLiteral, parseServer } from './sources.ts';

export interface WordpressPlaces {
  /** WordPress's directory. */
  root: string;
  /** What the settings say; undefined: the configuration does. */
  configFile: string | undefined;
  tablePrefix: string | undefined;
}

export interface WordpressConfiguration {
  /** The files that it stands in, the main one first. */
  files: [string, ...string[]];
  /** Of Debian's package: the program itself belongs to that. */
  isDebian: boolean;
  constants: PhpSettings;
  /** `$table_prefix`; undefined where it is not written literally. */
  prefix: string | undefined;
}

/** Tables that every installation has. */
const TABLES = [
  ...['options', 'users', 'usermeta', 'posts', 'postmeta', 'comments', 'commentmeta', 'links'],
  ...['terms', 'termmeta', 'term_relationships', 'term_taxonomy'],
];
/** Those of the oldest installations; sites of a network have no users of their own. */
const MARKS = ['options', 'users', 'usermeta', 'posts', 'postmeta', 'comments'];

const DEBIAN = '/etc/wordpress';
/** What Debian's wp-config.php defines where its configuration file does not. */
const DEBIAN_CONSTANTS = { DB_NAME: 'wordpress', DB_USER: 'wordpress', DB_HOST: 'localhost' };
const DEBIAN_CONTENT = '/var/lib/wordpress/wp-content';

/** @returns wp-config.php as WordPress finds it: in its directory, or one above that is no other WordPress's */
function configFileOf(root: string, view: HostView): string {
  const file = join(root, 'wp-config.php');
  const above = join(dirname(root), 'wp-config.php');
  const isAbove =
    !view.exists(file) && view.exists(above) && !view.exists(join(dirname(root), 'wp-settings.php'));
  return isAbove ? above : file;
}

/** @throws application-configuration where Debian's configuration is there for no host, or for several */
function debianFileOf(view: HostView): string {
  const files = view.names(DEBIAN).filter((name) => /^config-.*\.php$/.test(name));
  const [file] = files;
  if (files.length === 1 && file !== undefined) return join(DEBIAN, file);
  const cause = files.length === 0 ? 'there is no config-….php' : `there are ${files.join(', ')}`;
  throw cannot('application-configuration', 'read configuration in', DEBIAN, cause, {
    hint: 'set WORDPRESS_CONFIG_FILE to the one that is meant; for several, a file of settings each and --instance',
  });
}

/** @throws application-configuration where it can't be read */
export function readWordpress(places: WordpressPlaces, view: HostView): WordpressConfiguration {
  const root = view.resolve(places.root);
  let file = places.configFile ?? configFileOf(root, view);
  const isDebian = dirname(file) === DEBIAN || view.readText(file).includes(`'${DEBIAN}/config-'`);
  if (isDebian && dirname(file) !== DEBIAN) file = debianFileOf(view);
  const main = view.resolve(file);
  const files: WordpressConfiguration['files'] = [main];
  const isContainer = Object.keys(process.env).some((name) => name.startsWith('WORDPRESS_DB_'));
  const { variables, constants } = readPhp(view.readText(file), main, {
    constants: { ABSPATH: `${root}/` },
    ...(isContainer && { environment: process.env }),
    readIncluded(included) {
      if (basename(included) === 'wp-settings.php' || !view.exists(included)) return undefined;
      files.push(view.resolve(included));
      return view.readText(included);
    },
  });
  if (isDebian) {
    for (const [name, value] of Object.entries(DEBIAN_CONSTANTS))
      if (!constants.has(name)) constants.set(name, value);
    if (!constants.has('WP_CONTENT_DIR') && !constants.has('DONT_SET_WP_CONTENT_DIR'))
      constants.set('WP_CONTENT_DIR', DEBIAN_CONTENT);
    if (!variables.has('table_prefix')) variables.set('table_prefix', 'wp_');
  }
  const prefix = places.tablePrefix ?? variables.get('table_prefix');
  return {
    files,
    isDebian,
    constants: phpSettings(constants, file, (name) => name),
    prefix: typeof prefix === 'string' ? prefix : undefined,
  };
}

/** @returns a database of WordPress's, of which only the tables of its prefix are its own */
export function ofPrefix(source: DatabaseSource, prefix: string): DatabaseSource {
  if (source.engine !== 'mysql' || prefix === '') return source;
  const connection: MysqlConnection = {
    ...(source.connection as MysqlConnection),
    part: { prefix, marks: MARKS },
  };
  return { ...source, connection, expectedTables: TABLES.map((table) => `${prefix}${table}`) };
}

/** @throws application-configuration where the database is not written literally */
export function wordpressDatabase({
  files: [file],
  constants,
  prefix,
}: WordpressConfiguration): DatabaseSource {
  const unset = ['DB_NAME', 'DB_USER', 'DB_PASSWORD', 'DB_HOST'].find(
    (name) => constants.value(name) === undefined,
  );
  if (unset !== undefined) throw notLiteral(file, unset);
  const database = constants.literal('DB_NAME');
  if (database === undefined) throw notLiteral(file, 'DB_NAME');
  // as in wpdb::parse_db_host: `h`, `h:3307`, `h:/socket`, `h:3307:/socket`, `[::1]:3306`
  const host = constants.literal('DB_HOST') ?? 'localhost';
  const [, address = '', socket] = /^(.*?)(?::(\/.*))?$/.exec(host) ?? [];
  const server = parseServer(address);
  if (server === undefined) throw notLiteral(file, 'a port number');
  const account = { user: constants.literal('DB_USER'), password: constants.literal('DB_PASSWORD') };
  if (prefix === undefined) {
    const cause = 'it is not written there literally';
    throw cannot('application-configuration', 'read $table_prefix from', file, cause, {
      hint: 'set WORDPRESS_TABLE_PREFIX',
    });
  }
  const connection: MysqlConnection = { ...server, socket, ...account, database };
  return ofPrefix({ name: memberName(database), engine: 'mysql', connection, withoutRoutines: true }, prefix);
}
