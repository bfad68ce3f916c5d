// A file for a client's secrets that has no name on the disk: nothing of it is left, however the run ends.
import { closeSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFile, partPath, writeFully } from '../../lib/durable.ts';

/** @returns its descriptor; a program that gets it as its third reads it as /dev/fd/3 */
export function openUnnamedFile(content: string): { fd: number } & Disposable {
  const path = partPath(join(tmpdir(), 'garner'));
  const written = createFile(path);
  rmSync(path);
  writeFully(written, Buffer.from(content));
  // a descriptor of its own: the file's position must not matter to who reads it
  const fd = openSync(`/proc/self/fd/${written}`, 'r');
  closeSync(written);
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}
