// A backup of SQL Server in its container: read and written there by `exec`, whole to the byte, for `exec` may lose the end of an
// output. It is removed after its use; where that fails or the run was ended, by the guard of the container, and where the
// container itself was stopped, by the first run that finds it a day old.
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { cannot } from '../../lib/errors.ts';
import { type Command, capture, describeExit, type Ended, feed, startPipeline } from '../../lib/process.ts';
import { clientCommand, containerName, removeAtEnd } from './container.ts';
import type { Decode, Encode } from './engine.ts';
import { type BackupFile, checkWhole, MARK } from './mssql-backup-file.ts';
import { describeConnection, type MssqlConnection } from './mssql-client.ts';

/** Exits with 3 where there is no such directory. */
const SWEEP = `cd -- "$1" || exit 3
now=$(date +%s)
for file in garner-????????????????.bak; do
  [ -f "$file" ] && [ $((now - $(stat -c %Y "$file" || echo "$now"))) -gt 86400 ] && { rm -f "$file" || exit; }
done
:`;

/** Its size goes to stderr. */
const READ = 'wc -c <"$1" >&2 && exec cat -- "$1"';

/** As root it becomes the directory's owner's: the server's; by what is open, for the name may be another file by then. */
const WRITE = `set -C; umask 077
exec 3>"$1" || exit 1
said=$(cat 2>&1 >&3) || {
  echo "$said" >&2
  case $said in *"No space"*|*"quota exceeded"*) exit 28 ;; esac
  exit 1
}
[ "$(id -u)" -ne 0 ] || chown --reference="\${1%/*}" /proc/self/fd/3 || exit 1
wc -c <"$1"`;
/** What WRITE exits with where the disk is full: of a program that ends before its input, `exec` may lose the words. */
const NO_SPACE = 28;

const script = (text: string, path: string): Command =>
  clientCommand({ file: 'sh', args: ['-c', text, 'garner', path] });

/**
 * @param directory as the container calls it
 * @throws configuration where there is none
 */
export async function nameContainerFile(
  connection: MssqlConnection,
  directory: string,
  name: string,
  signal: AbortSignal,
): Promise<BackupFile> {
  const swept = await capture(script(SWEEP, directory), { signal });
  if (swept.code !== 0) {
    const cause = swept.code === 3 ? `it is not in the container ${containerName()}` : describeExit(swept);
    throw cannot('configuration', 'use backup directory', directory, cause, { hint: HINT });
  }
  const path = `${directory.replace(/\/+$/, '')}/${name}`;
  removeAtEnd(path);
  return {
    serverPath: path,
    hint: HINT,
    store: (encode) => store(path, encode, signal),
    fill: (decode) => fill(connection, path, decode, signal),
    async [Symbol.asyncDispose]() {
      // where it fails, the guard tries again
      if (!signal.aborted) await capture(script('rm -f -- "$1"', path), { signal }).catch(() => {});
    },
  };
}

const HINT =
  "GARNER_CONTAINER has to be the server's container; MSSQL_SERVER_BACKUP_DIR names another directory in there";

async function store(path: string, encode: Encode, signal: AbortSignal): Promise<number> {
  const reading = startPipeline([script(READ, path)], { signal });
  const storing = encode([], 'pipe');
  let head = Buffer.alloc(0);
  let sizeBytes = 0;
  async function* counted(): AsyncGenerator<Buffer> {
    for await (const chunk of reading.stdout as AsyncIterable<Buffer>) {
      if (head.length < MARK.length) head = Buffer.concat([head, chunk]).subarray(0, MARK.length);
      sizeBytes += chunk.length;
      yield chunk;
    }
  }
  await feed(storing.stdin as Writable, counted());
  const [ended] = (await reading.ended) as [Ended];
  await storing.ended;
  if (ended.code !== 0) throw new Error(`the server has written ${path}: ${describeExit(ended)}`);
  const there = /^\s*(\d+)$/m.exec(ended.stderr)?.[1];
  if (there !== `${sizeBytes}`) throw new Error(`${sizeBytes} of ${there} bytes came out of the container`);
  checkWhole(head, sizeBytes);
  return sizeBytes;
}

async function fill(
  connection: MssqlConnection,
  path: string,
  decode: Decode,
  signal: AbortSignal,
): Promise<void> {
  const writing = startPipeline([script(WRITE, path)], { stdin: 'pipe', signal });
  const stdin = writing.stdin as Writable;
  const closed = new Promise<void>((resolve) => stdin.once('close', resolve));
  let there = '';
  writing.stdout.setEncoding('utf8').on('data', (text: string) => {
    there += text;
  });
  let sizeBytes = 0;
  try {
    await decode(async (chunk) => {
      sizeBytes += chunk.length;
      if (stdin.destroyed) return; // its exit tells why
      if (!stdin.write(chunk)) await Promise.race([once(stdin, 'drain').catch(() => {}), closed]);
    });
  } finally {
    stdin.end();
  }
  const [ended] = (await writing.ended) as [Ended];
  const where = describeConnection(connection);
  if (ended.code !== 0) {
    const full = ended.code === NO_SPACE;
    const cause = full ? 'No space left on device' : describeExit(ended);
    throw cannot(full ? 'no-space' : 'database-restore', 'restore database', where, cause, {
      hint: `the dump is put into ${path} for the server; MSSQL_SERVER_BACKUP_DIR names another directory in the container`,
    });
  }
  if (Number(there) !== sizeBytes) {
    const cause = `${Number(there)} of ${sizeBytes} bytes came into the container`;
    throw cannot('database-restore', 'restore database', where, cause);
  }
}
