// A Trac environment: its trac.ini with what that inherits, its database's URL, its repositories, where attachments lie. As
// in Trac's own config.py, db/api.py and attachment.py.
import { createHash } from 'node:crypto';
import { basename, dirname, join, resolve } from 'node:path';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import { cannot } from '../../lib/errors.ts';
import type { CrossCheck } from './define-agent.ts';
import type { HostView } from './host-view.ts';
import { type IniFile, parsePythonIni } from './ini.ts';
import { memberName, notLiteral } from './sources.ts';

export interface TracConfiguration {
  /** trac.ini, then the files that it inherits from, in the order in which Trac looks into them. */
  files: { path: string; ini: IniFile }[];
  /** @returns undefined where no file has it, or only as an empty text */
  value(section: string, key: string): string | undefined;
}

/** How deep files inherit from files: more is a circle. */
const MAX_INHERITANCE = 10;
/** How many there may be: each of a circle may name all of them, again and again. */
const MAX_FILES = 200;

/** @throws application-configuration where trac.ini, or a file that it inherits from, can't be read */
export function readTracConfiguration(environment: string, view: HostView): TracConfiguration {
  let count = 0;
  const read = (path: string, depth: number): TracConfiguration['files'] => {
    count += 1;
    if (count > MAX_FILES) {
      const cause = `it inherits from more than ${MAX_FILES} files: from itself?`;
      throw cannot('application-configuration', 'read configuration', path, cause);
    }
    const ini = parsePythonIni(view.readText(path), path);
    const inherited = depth > 0 ? (ini.value('inherit', 'file') ?? '') : '';
    const parents = inherited
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean);
    return [{ path, ini }, ...parents.flatMap((name) => read(resolve(dirname(path), name), depth - 1))];
  };
  const files = read(join(environment, 'conf/trac.ini'), MAX_INHERITANCE);
  return {
    files,
    value: (section, key) =>
      files.map(({ ini }) => ini.value(section, key)).find((value) => value !== undefined) || undefined,
  };
}

interface DatabaseUrl {
  scheme: string;
  user: string | undefined;
  password: string | undefined;
  host: string | undefined;
  port: number | undefined;
  path: string;
  parameters: Map<string, string>;
}

const DEFAULT_DATABASE = 'sqlite:db/trac.db';

function unquote(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray %: Python takes it as it is
  }
}

/** @returns undefined for what Trac itself refuses */
function parseDatabaseUrl(url: string): DatabaseUrl | undefined {
  const [, scheme = '', authority, tail = ''] =
    /^(\w+):(?:\/\/(?!\/)([^/]*)\/?|\/\/\/|\/(?!\/))?(.*)$/s.exec(url) ?? [];
  const isAbsolute = /^\w+:\//.test(url);
  if (scheme === '' || (!isAbsolute && scheme !== 'sqlite')) return undefined;
  const [, user, password, place = authority ?? ''] =
    /^([^@:]*)(?::([^@]*))?@(.*)$/s.exec(authority ?? '') ?? [];
  const [host, port] = place.split(/:(.*)/s);
  if (port !== undefined && !/^\d{1,5}$/.test(port)) return undefined;
  const [path = '', query = ''] = tail.split(/\?(.*)/s);
  const parameters = new Map<string, string>();
  for (const item of query.split('&').filter(Boolean)) {
    const [name = '', value] = item.split(/=(.*)/s);
    if (value === undefined) return undefined;
    parameters.set(name, unquote(value));
  }
  return {
    scheme,
    user: user === undefined || user === '' ? undefined : unquote(user),
    password: password === undefined || password === '' ? undefined : unquote(password),
    host: host || undefined,
    port: port === undefined ? undefined : Number(port),
    path: isAbsolute ? `/${path}` : path,
    parameters,
  };
}

export interface TracDatabase {
  source: DatabaseSource;
  /** PostgreSQL: the schema that its tables are in. */
  schema: string;
}

/** @throws application-configuration where trac.ini names no database that Trac could use */
export function tracDatabase(configuration: TracConfiguration, environment: string): TracDatabase {
  const url = configuration.value('trac', 'database') ?? DEFAULT_DATABASE;
  const file = configuration.files[0]?.path ?? '';
  const parsed = parseDatabaseUrl(url);
  if (parsed === undefined) throw notLiteral(file, '[trac] database', 'a form that is not followed');
  const { scheme, user, password, host, port, path, parameters } = parsed;
  const name = path.replace(/^\//, '');
  const source = { name: scheme === 'sqlite' ? 'trac' : memberName(name), withoutRoutines: true };
  if (scheme === 'sqlite') {
    const connection = { file: resolve(environment, path) };
    return { source: { ...source, engine: 'sqlite', connection }, schema: '' };
  }
  if (name === '') throw notLiteral(file, '[trac] database', 'it names no database');
  if (scheme === 'postgres') {
    const connection = { host: parameters.get('host') ?? host, port, user, password, database: name };
    const schema = parameters.get('schema') ?? 'public';
    return { source: { ...source, engine: 'postgres', connection }, schema };
  }
  if (scheme === 'mysql') {
    const socket = parameters.get('unix_socket');
    // for the client `localhost` is a socket, and a port nothing
    const server = host === 'localhost' && port !== undefined ? '127.0.0.1' : host;
    const connection = { host: server, port, socket, user, password, database: name };
    return { source: { ...source, engine: 'mysql', connection }, schema: '' };
  }
  throw cannot('application-configuration', 'back up', file, `its database is of kind "${scheme}"`, {
    hint: 'garner knows sqlite, postgres and mysql',
  });
}

/** @returns the repositories that trac.ini names, absolute: `[repositories]` and the older `[trac] repository_dir` */
export function configuredRepositories({ files, value }: TracConfiguration, environment: string): string[] {
  const keys = new Set(
    files.flatMap(({ ini }) =>
      ini
        .entries('repositories')
        .map(([key]) => key)
        .filter((key) => key === 'dir' || key.endsWith('.dir')),
    ),
  );
  const named = [...keys].map((key) => value('repositories', key));
  const directories = [value('trac', 'repository_dir'), ...named].filter((path) => path !== undefined);
  return [...new Set(directories.map((path) => resolve(environment, path)))];
}

const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex');

/** As Python's urllib.quote: what JavaScript leaves is quoted, slashes are not. */
const quote = (text: string): string =>
  encodeURIComponent(text)
    .replace(/[!~*'()]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%2F', '/');

/**
 * How rows name attachments: since Trac 1.0 by digests below files/attachments, before that by names below attachments.
 * @param below the directory of each of the two, below the tree's root, with a slash; undefined: not in this tree
 */
export function attachmentFiles(
  table: string,
  below: { hashed: string | undefined; named: string | undefined },
): Pick<CrossCheck, 'sql' | 'pathsOf' | 'concerns'> {
  const places = [below.hashed, below.named].filter((place) => place !== undefined);
  return {
    sql: `SELECT type, id, filename FROM ${table}`,
    pathsOf: ([realm = '', id = '', filename = '']) => {
      const hash = sha1(id);
      const extension = /\.[A-Za-z0-9]+$/.exec(filename)?.[0] ?? '';
      const hashed = `${realm}/${hash.slice(0, 3)}/${hash}/${sha1(filename)}${extension}`;
      const named = `${realm}/${quote(id)}/${quote(filename)}`;
      return [
        ...(below.hashed === undefined ? [] : [`${below.hashed}${hashed}`]),
        ...(below.named === undefined ? [] : [`${below.named}${named}`]),
      ];
    },
    concerns: (path) => places.some((place) => path.startsWith(place)) && !basename(path).startsWith('.'),
  };
}
