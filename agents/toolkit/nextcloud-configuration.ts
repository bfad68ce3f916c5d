// A Nextcloud's configuration: config.php and the *.config.php beside it, merged as Nextcloud merges them, and what it says of
// the database.
import { join } from 'node:path';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import { cannot } from '../../lib/errors.ts';
import type { HostView } from './host-view.ts';
import { type PhpSettings, type PhpValue, phpSettings, readPhp } from './php.ts';
import { isArray } from './php-values.ts';
import { memberName, notLiteral, parseServer } from './sources.ts';

export interface NextcloudConfiguration extends PhpSettings {
  /** Nextcloud's directory. */
  root: string;
  /** config.php. */
  file: string;
  dataDirectory: string;
}

/** Tables that every installation has: a prefix that has them too is another one's. */
const MARKS = ['appconfig', 'filecache', 'storages', 'users'];

/**
 * @param directory Nextcloud's
 * @throws application-configuration where it can't be read, or where the installation was never finished
 */
export function readNextcloud(
  directory: string,
  configDirectory: string,
  view: HostView,
): NextcloudConfiguration {
  const root = view.resolve(directory);
  const file = join(configDirectory, 'config.php');
  const more = view.names(configDirectory).filter((name) => /^[^.].*\.config\.php$/.test(name));
  const values = new Map<string, PhpValue>();
  for (const name of [file, ...more.map((each) => join(configDirectory, each))]) {
    const { variables } = readPhp(view.readText(name), view.resolve(name), {
      variables: { 'OC::$SERVERROOT': root },
    });
    const config = variables.get('CONFIG');
    // the last one wins, key by key
    if (isArray(config)) for (const [key, value] of config) values.set(key, value);
    else if (config !== undefined) throw notLiteral(name, '$CONFIG');
  }
  const settings = phpSettings(values, file, (name) => `"${name}"`);
  if (settings.value('installed') !== true) {
    const cause = 'it does not say that Nextcloud is installed';
    throw cannot('application-configuration', 'read configuration', file, cause, {
      hint: `finish the installation, or set NEXTCLOUD_DIR`,
    });
  }
  const data = settings.literal('datadirectory') ?? join(root, 'data');
  return { ...settings, root, file, dataDirectory: view.resolve(data) };
}

/** @returns a database of Nextcloud's, of which only the tables of its prefix are its own */
export function ofNextcloud(source: DatabaseSource, configuration: NextcloudConfiguration): DatabaseSource {
  const prefix = prefixOf(configuration);
  if (source.engine !== 'mysql' || prefix === '') return source;
  return { ...source, connection: { ...(source.connection as object), part: { prefix, marks: MARKS } } };
}

export const prefixOf = (configuration: NextcloudConfiguration): string =>
  configuration.value('dbtableprefix') === '' ? '' : (configuration.literal('dbtableprefix') ?? 'oc_');

/** @throws application-configuration where the database is not written literally, or of a kind that garner can't dump */
export function nextcloudDatabase(configuration: NextcloudConfiguration): DatabaseSource {
  const { file, dataDirectory, literal, value } = configuration;
  const type = literal('dbtype') ?? 'sqlite3';
  if (type === 'sqlite' || type === 'sqlite3') {
    const name = literal('dbname') ?? 'owncloud';
    return {
      name: memberName(name),
      engine: 'sqlite',
      connection: { file: join(dataDirectory, `${name}.db`) },
    };
  }
  if (type !== 'mysql' && type !== 'pgsql') {
    const cause = `its database type "${type}" is not supported`;
    throw cannot('application-configuration', 'back up', file, cause);
  }
  const unset = ['dbname', 'dbuser', 'dbpassword', 'dbhost'].find((name) => value(name) === undefined);
  const database = literal('dbname');
  if (unset !== undefined || database === undefined) throw notLiteral(file, `"${unset ?? 'dbname'}"`);
  // as in Nextcloud's ConnectionFactory: `h`, `h:3307`, `h:/socket`, `[::1]:3306`, `/directory of the socket`
  const host = literal('dbhost') ?? 'localhost';
  const server = host.startsWith('/') ? { host, port: undefined, socket: undefined } : parseServer(host);
  const port = literal('dbport') ?? server?.port?.toString();
  if (server === undefined || !/^\d{0,5}$/.test(port ?? '')) throw notLiteral(file, 'a port number');
  const account = { user: literal('dbuser'), password: literal('dbpassword'), database };
  const name = memberName(database);
  if (type === 'mysql') {
    const connection = { ...server, port: port === undefined ? undefined : Number(port), ...account };
    return ofNextcloud({ name, engine: 'mysql', connection, withoutRoutines: true }, configuration);
  }
  const ssl = value('pgsql_ssl');
  const mode = isArray(ssl) ? ssl.get('mode') : undefined;
  const connection = {
    ...account,
    host: server.socket ?? server.host ?? 'localhost',
    port: Number(port ?? 5432),
    sslmode: typeof mode === 'string' && mode !== '' ? mode : undefined,
  };
  return { name, engine: 'postgres', connection };
}
