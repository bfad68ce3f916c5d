// A backup of SQL Server in a directory that the server and this host share.
import {
  closeSync,
  constants,
  existsSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { createFile, writeFully } from '../../lib/durable.ts';
import { cannot } from '../../lib/errors.ts';
import type { Decode } from './engine.ts';
import { type BackupFile, checkWhole, MARK } from './mssql-backup-file.ts';

const NAME = /^garner-[0-9a-f]{16}\.bak$/;
/** A run that was killed leaves its file; a day later it is nobody's. */
const ABANDONED_MS = 24 * 3600_000;

/**
 * @param directory as this host calls it
 * @param serverDirectory the same as the server calls it
 * @throws configuration where this host has none
 */
export function nameSharedFile(directory: string, serverDirectory: string, name: string): BackupFile {
  if (!existsSync(directory)) {
    throw cannot('configuration', 'use backup directory', directory, 'it is not on this host', {
      hint: "set MSSQL_BACKUP_DIR to a directory of this host, and MSSQL_SERVER_BACKUP_DIR to the server's name for it",
    });
  }
  sweep(directory);
  const path = join(directory, name);
  const separator = /^[A-Za-z]:|\\/.test(serverDirectory) ? '\\' : '/';
  const serverPath = `${serverDirectory.replace(/[\\/]+$/, '')}${separator}${name}`;
  return {
    serverPath,
    hint: 'MSSQL_BACKUP_DIR and MSSQL_SERVER_BACKUP_DIR have to be the same directory',
    async store(encode) {
      if (!existsSync(path))
        throw new Error(`the server has written ${serverPath}, and ${path} is not there`);
      using file = openFile(path);
      await encode([], file.fd).ended;
      return file.sizeBytes;
    },
    fill: (decode) => fill(path, decode),
    [Symbol.asyncDispose]: async () => rmSync(path, { force: true }),
  };
}

function sweep(directory: string): void {
  for (const name of readdirSync(directory).filter((one) => NAME.test(one))) {
    const file = join(directory, name);
    const stat = statSync(file, { throwIfNoEntry: false });
    if (stat !== undefined && Date.now() - stat.mtimeMs > ABANDONED_MS) rmSync(file, { force: true });
  }
}

function openFile(path: string): { fd: number; sizeBytes: number } & Disposable {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const sizeBytes = fstatSync(fd).size;
    const head = Buffer.alloc(MARK.length);
    readSync(fd, head, 0, head.length, 0);
    checkWhole(head, sizeBytes);
    return { fd, sizeBytes, [Symbol.dispose]: () => closeSync(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

async function fill(path: string, decode: Decode): Promise<void> {
  const { uid, gid } = statSync(join(path, '..'));
  const fd = createFile(path, { mode: 0o640 });
  try {
    await decode((chunk) => writeFully(fd, chunk));
    // what is open: in a directory of the server's account the name may be another file by now
    if (process.getuid?.() === 0) fchownSync(fd, uid, gid);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
