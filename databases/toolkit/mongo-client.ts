// Running MongoDB's tools and its shell: the URI, with the password in it, in a file that has no name on the disk.
import { cannot, type ErrorCode, type GarnerError } from '../../lib/errors.ts';
import { type Command, capture, describeExit, type Ended } from '../../lib/process.ts';
import { registerSecret } from '../../lib/redact.ts';
import { escapeControls } from '../../lib/text.ts';
import { clientCommand, containerSuffix, findClientProgram, serverAddress } from './container.ts';
import { openUnnamedFile } from './unnamed-file.ts';

export interface MongoConnection {
  /** `mongodb://…` or `mongodb+srv://…`, with the password. */
  uri: string;
  user: string | undefined;
  /** One or more, with ports. */
  hosts: string;
  /** Undefined: all databases of the server. */
  database: string | undefined;
  isReplicaSet: boolean;
}

/** @throws configuration; the message has no password */
export function readMongoUri(uri: string): MongoConnection {
  const match =
    /^mongodb(?:\+srv)?:\/\/(?:([^:@/?]*)(?::([^@/?]*))?@)?([^/?@]+)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(uri);
  if (match === null) {
    throw cannot('configuration', 'use database URL', 'mongodb:', 'it is no URI of MongoDB', {
      hint: 'mongodb://user:password@host:27017/?authSource=admin; in a password @ is %40, : is %3A, / is %2F',
    });
  }
  const [, user, password, hosts = '', database = '', query = ''] = match;
  registerSecret(password);
  if (password !== undefined) registerSecret(decodeURIComponent(password));
  const parameters = new URLSearchParams(query);
  return {
    uri,
    user: user ? decodeURIComponent(user) : undefined,
    hosts,
    database: decodeURIComponent(database) || undefined,
    isReplicaSet: parameters.has('replicaSet') || uri.startsWith('mongodb+srv:'),
  };
}

/** @returns `user@host/database`, as far as it is set */
export function describeConnection({ user, hosts, database }: MongoConnection): string {
  return `${user === undefined ? '' : `${user}@`}${hosts}${database === undefined ? '' : `/${database}`}${containerSuffix()}`;
}

/** @returns one of the database tools; it finds its configuration as descriptor 3 */
export function toolCommand(name: 'mongodump' | 'mongorestore', fd: number, args: string[]): Command {
  const file = findClientProgram([name], 'mongodb-database-tools (from MongoDB)');
  return clientCommand({ file, args: ['--config=/dev/fd/3', ...args], fds: [fd] });
}

/** @returns the URI as it leads to the server from where clients run */
function uriForClients({ uri }: MongoConnection): string {
  const [, before = '', hosts = '', after = ''] =
    /^(mongodb:\/\/(?:[^@/?]*@)?)([^/?@]+)(.*)$/s.exec(uri) ?? [];
  if (hosts === '') return uri; // a domain, which names its hosts itself
  const moved = hosts.split(',').map((place) => {
    const [, host = place, port] = /^(.*?)(?::(\d+))?$/.exec(place) ?? [];
    const to = serverAddress({ host: host.replace(/^\[(.*)\]$/, '$1'), port });
    if (to.host === undefined) return place;
    const name = to.host.includes(':') ? `[${to.host}]` : to.host;
    return to.port === undefined ? name : `${name}:${to.port}`;
  });
  return `${before}${moved.join(',')}${after}`;
}

/** A quoted text of JSON is one of YAML. */
export const openToolConfig = (connection: MongoConnection): { fd: number } & Disposable =>
  openUnnamedFile(`uri: ${JSON.stringify(uriForClients(connection))}\n`);

const CONNECT_ERRORS =
  /.*(?:AuthenticationFailed|auth error|could not connect|[Ss]erver selection|no reachable servers|ECONNREFUSED|ENOTFOUND|MongoServerSelectionError|MongoNetworkError).*/;
const RIGHTS_ERRORS = /.*(?:\(Unauthorized\)|[Nn]ot authorized).*/;

/** Turns what a client said into the error that tells what it means. */
export function clientError(
  code: ErrorCode,
  doWhat: string,
  connection: MongoConnection,
  ended: Pick<Ended, 'command' | 'code' | 'signal' | 'stderr'>,
): GarnerError {
  const where = describeConnection(connection);
  const clean = (line: string): string => escapeControls(line.replace(/^\S+T\S+\t|^Failed: /g, '').trim());
  const denied = RIGHTS_ERRORS.exec(ended.stderr)?.[0];
  const hint =
    'grant the role `backup` (for a restore `restore`) on admin; docs/databases.md has the statements';
  if (denied !== undefined) return cannot('database-rights', doWhat, where, clean(denied), { hint });
  const connecting = CONNECT_ERRORS.exec(ended.stderr)?.[0];
  if (connecting !== undefined) return cannot('database-connect', doWhat, where, clean(connecting));
  return cannot(code, doWhat, where, describeExit(ended));
}

/** The databases that are the server's own. */
const OWN = ['admin', 'config', 'local'];

/** What a script of ours finds: `db`, connected; `names`, the databases that are meant; and `tell(value)`. */
const PREPARE = `const db = connect(uri);
const names = database !== null ? [database]
  : db.adminCommand({ listDatabases: 1, nameOnly: true, authorizedDatabases: false }).databases
    .map(({ name }) => name).filter((name) => !own.includes(name));
const tell = (value) => print('garner ' + JSON.stringify(value));
`;

/**
 * Runs a script of ours in mongosh.
 * @returns what it tells
 * @throws program-missing where there is no mongosh
 */
export async function runScript<T>(
  connection: MongoConnection,
  script: string,
  signal: AbortSignal,
): Promise<T> {
  const { database = null } = connection;
  const values = Object.entries({ uri: uriForClients(connection), database, own: OWN });
  const constants = values.map(([name, value]) => `const ${name} = ${JSON.stringify(value)};\n`);
  using file = openUnnamedFile(`${constants.join('')}${PREPARE}${script}\n`);
  const shell = findClientProgram(['mongosh'], 'mongodb-mongosh (from MongoDB)');
  const args = ['--nodb', '--norc', '--quiet', '--file', '/dev/fd/3'];
  const command = clientCommand({ file: shell, args, fds: [file.fd] });
  const result = await capture(command, { signal, maxBytes: 64 << 20 });
  const answer = /^garner (.*)$/m.exec(result.stdout)?.[1];
  if (result.code === 0 && answer !== undefined) return JSON.parse(answer) as T;
  const stderr = `${result.stderr}\n${result.stdout}`;
  throw clientError('database-connect', 'use database', connection, { ...result, stderr });
}
