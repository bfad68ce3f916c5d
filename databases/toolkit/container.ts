// The clients of databases inside a container, by `docker exec` or `podman exec`. Credentials go in as the first lines of a
// client's input, and there into a file without a name: no argument, no variable of `exec` and no file that is left behind has
// them. `exec` passes no signal on: a guard in the container sees garner end, however it ends, ends the clients and removes
// the files that they were to have in there.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { cannot, type GarnerError } from '../../lib/errors.ts';
import { type Command, describeExit, type Ended, startPipeline } from '../../lib/process.ts';
import { findProgram } from '../../lib/program.ts';
import { escapeControls } from '../../lib/text.ts';

/** What GARNER_CONTAINER and its companions say. */
export interface ContainerPlace {
  name: string;
  /** `docker` or `podman`; undefined: whichever is there. */
  engine: 'docker' | 'podman' | undefined;
  /** Where the server is, as seen in the container: `host`, `host:port` or the path of a socket. */
  server: string | undefined;
}

interface Container extends ContainerPlace {
  /** The engine's own program. */
  file: string;
  /** Marks the processes that this run has started in there. */
  token: string;
  /** The paths of the clients, in the container. */
  programs: readonly string[];
}

const CLIENTS = [
  ...['mariadb', 'mysql', 'mariadb-dump', 'mysqldump'],
  ...['psql', 'pg_dump', 'pg_dumpall', 'pg_restore'],
  ...['redis-cli', 'valkey-cli', 'mongodump', 'mongorestore', 'mongosh'],
  // of Microsoft's images, on no PATH
  ...['sqlcmd', '/opt/mssql-tools18/bin/sqlcmd', '/opt/mssql-tools/bin/sqlcmd'],
];

/** Tells which clients there are, takes paths to the end of its input, then ends what bears the token and removes these files. */
const GUARD = `token=$1; shift
for client; do command -v "$client"; done
echo ready
exec >/dev/null 2>&1
end() {
  found=
  for process in /proc/[0-9]*; do
    tr '\\0' '\\n' <"$process/environ" | grep -qx "GARNER_CLIENT=$token" && kill -s "$1" "\${process#/proc/}" && found=yes
  done
  [ "$found" ]
}
set --
while IFS= read -r path; do set -- "$@" "$path"; done
for second in 1 2 3 4 5; do end TERM && sleep 1 || break; done
end KILL
rm -f -- "$@"`;

/** Puts the first lines of the input, up to an empty one, into a file without a name, as descriptor 3. */
const WITH_FILE = `umask 077
file=$(mktemp /dev/shm/garner.XXXXXX 2>/dev/null || mktemp) && exec 3<>"$file" && rm -f "$file" || exit 125
while IFS= read -r line || exit 125; [ "$line" ]; do printf '%s\\n' "$line" >&3; done
exec "$@"`;

/** Makes the first lines of the input, up to an empty one, variables of the program alone. */
const WITH_VARIABLES = `while IFS= read -r line || exit 125; [ "$line" ]; do export "$line"; done
exec "$@"`;

/** One process serves one application: where its databases' clients run. Undefined: on this host. */
let inside: (Container & { tellGuard(line: string): void; leave(): void }) | undefined;

/** @returns the container's name where clients run in one */
export const containerName = (): string | undefined => inside?.name;

/** @returns ` in container NAME` where clients run in one, to be added to where a database is */
export const containerSuffix = (): string => (inside === undefined ? '' : ` in container ${inside.name}`);

function findEngine(engine: ContainerPlace['engine']): string {
  if (engine !== undefined) return findProgram([engine], engine === 'docker' ? 'docker.io' : 'podman');
  const file = findProgram(['docker', 'podman'], 'podman');
  try {
    findProgram([file.endsWith('/podman') ? 'docker' : 'podman'], '');
  } catch {
    return file;
  }
  // containers of one name in both would be one server's backup in place of another's
  throw cannot('configuration', 'use setting', 'GARNER_CONTAINER', 'this host has docker and podman', {
    hint: 'set GARNER_CONTAINER_ENGINE to one of them',
  });
}

/** What runs in a container may be anybody's by now. */
const MAX_ANSWER_CHARS = 65_536;

/** @returns the first lines, up to `ready`; undefined where the output ended before */
async function readReady(output: Readable): Promise<string[] | undefined> {
  let text = '';
  for await (const chunk of output.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    text += chunk;
    if (/^ready\n/m.test(text)) return text.split('\n').slice(0, -2);
    if (text.length > MAX_ANSWER_CHARS) break;
  }
  output.destroy(); // where it goes on it loses its reader, and ends
  return undefined;
}

function refusal({ name, engine }: ContainerPlace, file: string, ended: Ended | undefined): GarnerError {
  const program = engine ?? (file.endsWith('/podman') ? 'podman' : 'docker');
  const stderr = ended?.stderr ?? '';
  const said = /^(?:Error response from daemon|Error): (?:runc: |crun: )?(.*)$/m.exec(stderr)?.[1];
  const hint = /cannot connect|permission denied/i.test(stderr)
    ? `is ${program} running, and may this account use it?`
    : /executable|not found in/i.test(stderr)
      ? 'the image has no shell: back up by a client on this host, through a port that the container publishes'
      : `\`${program} ps\` names the containers that run`;
  const cause = said !== undefined ? escapeControls(said) : ended ? describeExit(ended) : 'it ended';
  return cannot('container', 'use container', name, cause, { hint });
}

/**
 * Lets the clients of databases run in a container from now on.
 * @param place undefined: on this host
 * @param signal ends the clients in the container too
 * @throws container where it is not there, is stopped or has no shell
 */
export async function enterContainer(place: ContainerPlace | undefined, signal: AbortSignal): Promise<void> {
  if (place?.name === inside?.name) return;
  leaveContainer();
  if (place === undefined) return;
  const file = findEngine(place.engine);
  const token = randomUUID();
  const args = ['exec', '--interactive', '--', place.name, 'sh', '-c', GUARD, 'garner', token, ...CLIENTS];
  const guard = startPipeline([{ file, args }], { stdin: 'pipe', signal });
  const programs = await readReady(guard.stdout);
  if (programs === undefined) {
    const [ended] = await guard.ended;
    throw refusal(place, file, ended);
  }
  guard.stdout.resume(); // its end is heard of
  inside = {
    ...place,
    ...{ file, token, programs },
    tellGuard: (line) => guard.stdin?.write(`${line}\n`),
    leave: () => guard.stdin?.end(),
  };
}

/** Lets the guard remove a file of the container when the run has ended, however it ends. @param path without a line break */
export function removeAtEnd(path: string): void {
  inside?.tellGuard(path);
}

/** Ends what still runs in the container; clients run on this host from now on. */
export function leaveContainer(): void {
  inside?.leave();
  inside = undefined;
}

/**
 * Finds a client where clients run.
 * @param names alternative names of one program, preferred first
 * @throws program-missing
 */
export function findClientProgram(names: readonly string[], debianPackage: string): string {
  if (inside === undefined) return findProgram(names, debianPackage);
  for (const name of names) {
    const path = inside.programs.find((program) => program.endsWith(`/${name}`));
    if (path !== undefined) return path;
  }
  const cause = `it is not in the container ${inside.name}`;
  throw cannot('program-missing', 'find program', names.join('" or "'), cause, {
    hint: 'GARNER_CONTAINER is the container of the database server: its image has the clients',
  });
}

/**
 * @param secrets variables that its environment alone may have, for a client that takes a password by no other way
 * @returns the command that runs a client where clients run; a file that it gets as descriptor 3, or secrets, go in by its input
 * @throws configuration where a secret has a line break
 */
export function clientCommand(command: Command, secrets: Record<string, string> = {}): Command {
  if (inside === undefined) return { ...command, env: { ...command.env, ...secrets } };
  const { file, args, env = {}, fds = [], ...rest } = command;
  const variables = { LC_ALL: 'C', ...env, GARNER_CLIENT: inside.token };
  const own = Object.entries(variables).flatMap(([name, value]) =>
    value === undefined ? [] : ['--env', `${name}=${value}`],
  );
  const [fd] = fds;
  const secretLines = Object.entries(secrets).map(([name, value]) => `${name}=${value}`);
  if (secretLines.some((line) => /[\r\n]/.test(line))) {
    throw cannot('configuration', 'use', 'the password', 'a container takes none with a line break');
  }
  const script = fd !== undefined ? WITH_FILE : secretLines.length > 0 ? WITH_VARIABLES : undefined;
  const start = script === undefined ? [] : ['sh', '-c', script, 'garner'];
  const lines =
    fd === undefined ? secretLines.join('\n') : readFileSync(`/proc/self/fd/${fd}`, 'utf8').trimEnd();
  return {
    ...rest,
    file: inside.file,
    args: ['exec', '--interactive', ...own, '--', inside.name, ...start, file, ...args],
    ...(script !== undefined && { preface: `${lines}\n\n` }),
  };
}

/** Names of this host, in the configuration of an application that comes through a published port. */
const THIS_HOST =
  /^(localhost|127\.[\d.]+|::1|0\.0\.0\.0|host\.docker\.internal|host\.containers\.internal)$/;

export interface ServerAddress {
  host?: string | undefined;
  port?: number | string | undefined;
  /** Undefined too for engines whose `host` may be a path. */
  socket?: string | undefined;
}

/**
 * @returns where a client finds the server: what GARNER_CONTAINER_SERVER says; the container itself where the configuration
 *   says this host, whose ports and sockets are others there; any other name as it is
 */
export function serverAddress(address: ServerAddress): ServerAddress {
  if (inside === undefined) return address;
  const { host, port, socket } = address;
  if (inside.server !== undefined) {
    if (inside.server.startsWith('/')) return { host: undefined, port: undefined, socket: inside.server };
    const [, name = '', ownPort] = /^(.*?)(?::(\d+))?$/.exec(inside.server) ?? [];
    return { host: name.replace(/^\[(.*)\]$/, '$1'), port: ownPort, socket: undefined };
  }
  if (socket !== undefined || host?.startsWith('/')) return {};
  return host !== undefined && THIS_HOST.test(host) ? { host: '127.0.0.1' } : { host, port };
}
