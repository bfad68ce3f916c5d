// Database URLs of Java applications as connections of ours: `jdbc:mysql:…`, `jdbc:mariadb:…`, `jdbc:postgresql:…`; those of
// SQL Server are read in jdbc-sqlserver.ts. What the driver would do differently from the servers' own clients is said
// here; what garner can't follow is refused.
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import type { MysqlConnection } from '../../databases/toolkit/mysql-client.ts';
import type { PostgresConnection } from '../../databases/toolkit/postgres-client.ts';
import { cannot, type GarnerError } from '../../lib/errors.ts';
import { mssqlFromJdbc } from './jdbc-sqlserver.ts';
import { memberName, notLiteral } from './sources.ts';

export interface JdbcSettings {
  url: string;
  user: string | undefined;
  password: string | undefined;
  /** The file that they stand in, for messages. */
  file: string;
}

export interface JdbcDatabase {
  source: DatabaseSource;
  /** The schema that the application's tables are in; undefined: the account's own default. */
  schema: string | undefined;
}

const embedded = (name: string) => ({
  what: `the embedded database ${name}, which is for trying out`,
  hint: 'move the application to a database server',
});

/** Databases that garner has no engine for, by the word after `jdbc:`. */
const UNSUPPORTED: Record<string, { what: string; hint: string }> = {
  h2: embedded('H2'),
  hsqldb: embedded('HSQLDB'),
  derby: embedded('Derby'),
  oracle: {
    what: 'Oracle, which garner has no dump for',
    hint: 'dump it with expdp in a hook, and take dump and home with agent-directories',
  },
};

interface Place {
  host: string;
  port: number | undefined;
}

interface Parts {
  places: Place[];
  database: string;
  parameters: Map<string, string>;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray %: drivers take it as it is
  }
}

/** Connector/J's other way to name a server, which Jira's setup writes; the host may be IPv6 without brackets. */
const KEYED_PLACE = /^address=(?:\(protocol=tcp\))?\(host=\[?([^()[\],]+)\]?\)(?:\(port=(\d+)\))?$/i;

function plainPlace(place: string): string {
  const [, host, port = ''] = KEYED_PLACE.exec(place) ?? [];
  if (host === undefined) return place;
  return `${host.includes(':') ? `[${host}]` : host}${port && `:${port}`}`;
}

/** @returns undefined for forms that aren't `//host:port,host:port/database?name=value&…` or `database?…` */
function splitUrl(rest: string): Parts | undefined {
  const match = /^(?:\/\/([^/?]*))?\/?([^/?]*)(?:\?(.*))?$/s.exec(rest);
  if (match === null) return undefined;
  const [, authority = '', database = '', query = ''] = match;
  const parameters = new Map<string, string>();
  for (const item of query.split('&').filter(Boolean)) {
    const [name = '', value = ''] = item.split(/=(.*)/s);
    parameters.set(decode(name), decode(value.replaceAll('+', ' ')));
  }
  // Connector/J takes `user:password@` before the host
  const [, user, password, hosts = ''] = /^(?:([^:@]*)(?::(.*))?@)?([^@]*)$/s.exec(authority) ?? [];
  if (user !== undefined && !parameters.has('user')) parameters.set('user', decode(user));
  if (password !== undefined && !parameters.has('password')) parameters.set('password', decode(password));
  const places: Place[] = [];
  for (const place of hosts.split(',')) {
    const found = /^(\[[\da-fA-F:.]+(?:%\w+)?\]|[\w.-]*)(?::(\d{1,5}))?$/.exec(plainPlace(place));
    if (found === null) return undefined;
    const [, host = '', port] = found;
    places.push({
      host: host.replace(/^\[(.*)\]$/, '$1') || 'localhost',
      port: port === undefined ? undefined : Number(port),
    });
  }
  return { places, database: decode(database), parameters };
}

function mysqlConnection({ places, database, parameters }: Parts): MysqlConnection | undefined {
  const [place, ...others] = places;
  if (place === undefined || others.length > 0 || database === '') return undefined;
  return {
    // drivers never take a socket; for the clients the name `localhost` is one
    host: place.host === 'localhost' ? '127.0.0.1' : place.host,
    port: place.port ?? 3306,
    user: parameters.get('user'),
    password: parameters.get('password'),
    database,
  };
}

function postgresConnection({ places, database, parameters }: Parts): PostgresConnection {
  const ports = places.map(({ port }) => port ?? 5432);
  const user = parameters.get('user');
  const ssl = parameters.get('ssl');
  const strict = ssl !== undefined && ssl !== 'false';
  const unchecked = parameters.get('sslfactory')?.endsWith('NonValidatingFactory') === true;
  return {
    host: places.map(({ host }) => host).join(','),
    port: new Set(ports).size === 1 ? ports[0] : ports.join(','),
    user,
    password: parameters.get('password'),
    database: database || user || '',
    sslmode: parameters.get('sslmode') ?? (strict ? (unchecked ? 'require' : 'verify-full') : undefined),
    sslrootcert: parameters.get('sslrootcert'),
  };
}

/**
 * @returns the database that a JDBC URL means; user and password of the settings win over those in the URL
 * @throws application-configuration for databases that garner can't dump, and for URLs that it can't follow
 */
export function databaseFromJdbc({ url, user, password, file }: JdbcSettings): JdbcDatabase {
  const [, kind = '', rest = ''] = /^jdbc:([a-z0-9]+):(.*)$/is.exec(url.trim()) ?? [];
  const name = kind.toLowerCase();
  const unsupported = UNSUPPORTED[name];
  if (unsupported !== undefined) {
    const { what, hint } = unsupported;
    throw cannot('application-configuration', 'back up the database of', file, `it is ${what}`, { hint });
  }
  const refuse = (cause: string): GarnerError => notLiteral(file, 'the database', cause);
  if (name === 'sqlserver' || name === 'jtds') {
    const connection = mssqlFromJdbc(name, rest);
    if (connection === undefined) throw refuse('a form of JDBC URL that is not followed');
    const account = { user: user ?? connection.user, password: password ?? connection.password };
    const source = { name: memberName(connection.database), engine: 'mssql' };
    return { source: { ...source, connection: { ...connection, ...account } }, schema: undefined };
  }
  if (!['mysql', 'mariadb', 'postgresql'].includes(name)) {
    throw refuse(
      url.includes('${') ? 'a placeholder' : 'no JDBC URL of MySQL, MariaDB, PostgreSQL or SQL Server',
    );
  }
  const parts = splitUrl(rest);
  if (parts === undefined) throw refuse('a form of JDBC URL that is not followed');
  if (user !== undefined) parts.parameters.set('user', user);
  if (password !== undefined) parts.parameters.set('password', password);
  const isPostgres = name === 'postgresql';
  const connection = isPostgres ? postgresConnection(parts) : mysqlConnection(parts);
  if (connection === undefined) throw refuse('several servers, or no database name');
  return {
    source: {
      name: memberName(connection.database),
      engine: isPostgres ? 'postgres' : 'mysql',
      connection,
      withoutRoutines: true,
    },
    schema: isPostgres ? parts.parameters.get('currentSchema')?.split(',')[0] : undefined,
  };
}
