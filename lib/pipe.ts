// A kernel pipe between a child and this process, read into one buffer again and again. Node's own 'pipe' is a socket:
// a script that writes to /dev/stderr, or a `tee /dev/stdout`, fails on it, and each chunk that is read from it is a
// buffer of its own.
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What is read at once. */
const CHUNK_BYTES = 64 << 10;

export interface Pipe {
  reader: Socket;
  /** For the child; close ours once it has started, else the end is never seen. */
  writeFd: number;
  closeWriteEnd(): void;
}

/**
 * Makes a pipe that is read into one buffer again and again: a gigabyte costs no more memory than a line.
 * @param take gets what was read, valid until `reader.resume()`; returns false to be called again only after that
 * @returns undefined where none can be made (no writable temporary directory): a socket has to do then
 */
export function openPipe(take: (chunk: Buffer) => boolean): Pipe | undefined {
  let directory: string | undefined;
  try {
    directory = mkdtempSync(join(tmpdir(), 'garner-pipe-'));
    const path = join(directory, 'pipe');
    execFileSync('mkfifo', ['-m', '600', path], { stdio: 'ignore', env: { PATH: process.env.PATH } });
    // without O_NONBLOCK this would wait for a writer
    const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writeFd = openSync(path, constants.O_WRONLY);
    const onread = {
      buffer: Buffer.alloc(CHUNK_BYTES),
      callback: (bytes: number, buffer: Uint8Array) => take((buffer as Buffer).subarray(0, bytes)),
    };
    const reader = new Socket({ fd: readFd, readable: true, writable: false, onread });
    return { reader, writeFd, closeWriteEnd: () => closeSync(writeFd) };
  } catch {
    return undefined;
  } finally {
    if (directory !== undefined) removeName(directory);
  }
}

/** The pipe itself is open; that its name stays is no reason to fail. */
function removeName(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch {
    // a disk that fails: an empty file stays in the temporary directory
  }
}
