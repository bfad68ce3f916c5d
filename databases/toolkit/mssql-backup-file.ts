// The file by which SQL Server gives and takes a backup: written by the server, read here, in a directory that both have.
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { createFile, writeFully } from '../../lib/durable.ts';
import { cannot } from '../../lib/errors.ts';
import type { Decode } from './engine.ts';
import { asHex, fromHex, type MssqlConnection, query } from './mssql-client.ts';

const NAME = /^garner-[0-9a-f]{16}\.bak$/;
/** A run that was killed leaves its file; a day later it is nobody's. */
const ABANDONED_MS = 24 * 3600_000;
/** How a backup begins, and what its size is a multiple of (Microsoft Tape Format). */
const MARK = 'TAPE';
const BLOCK_BYTES = 512;

export interface BackupFile extends Disposable {
  /** As this host calls it. */
  path: string;
  /** As the server calls it. */
  serverPath: string;
}

/** @returns a fresh name, for the server or for us to write; the file is gone when it is disposed */
export async function nameBackupFile(connection: MssqlConnection, signal: AbortSignal): Promise<BackupFile> {
  let { backupDir, serverBackupDir = backupDir } = connection;
  if (serverBackupDir === undefined) {
    const property = asHex("SERVERPROPERTY('InstanceDefaultBackupPath')");
    const [[hex] = []] = await query(connection, `SELECT ${property};`, signal, { database: 'master' });
    serverBackupDir = (hex === undefined || hex === 'NULL' ? '' : fromHex(hex)) || '/var/opt/mssql/data';
  }
  backupDir ??= serverBackupDir;
  if (!existsSync(backupDir)) {
    throw cannot('configuration', 'use backup directory', backupDir, 'it is not on this host', {
      hint: "set MSSQL_BACKUP_DIR to a directory of this host, and MSSQL_SERVER_BACKUP_DIR to the server's name for it",
    });
  }
  for (const name of readdirSync(backupDir).filter((one) => NAME.test(one))) {
    const file = join(backupDir, name);
    const stat = statSync(file, { throwIfNoEntry: false });
    if (stat !== undefined && Date.now() - stat.mtimeMs > ABANDONED_MS) rmSync(file, { force: true });
  }
  const path = join(backupDir, `garner-${randomBytes(8).toString('hex')}.bak`);
  const separator = /^[A-Za-z]:|\\/.test(serverBackupDir) ? '\\' : '/';
  return {
    path,
    serverPath: `${serverBackupDir.replace(/[\\/]+$/, '')}${separator}${basename(path)}`,
    [Symbol.dispose]: () => rmSync(path, { force: true }),
  };
}

/**
 * Opens what the server has written.
 * @throws a text where it is not there, or no whole backup
 */
export function openBackupFile({
  path,
  serverPath,
}: BackupFile): { fd: number; sizeBytes: number } & Disposable {
  if (!existsSync(path)) throw new Error(`the server has written ${serverPath}, and ${path} is not there`);
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const sizeBytes = fstatSync(fd).size;
  const head = Buffer.alloc(MARK.length);
  readSync(fd, head, 0, head.length, 0);
  if (head.toString('latin1') !== MARK || sizeBytes % BLOCK_BYTES !== 0) {
    closeSync(fd);
    throw new Error(sizeBytes === 0 ? 'the server wrote nothing' : 'the backup is cut off, or none');
  }
  return { fd, sizeBytes, [Symbol.dispose]: () => closeSync(fd) };
}

/** Puts a dump where the server finds it, readable by the account that the directory belongs to. */
export async function writeBackupFile({ path }: BackupFile, decode: Decode): Promise<void> {
  const { uid, gid } = statSync(join(path, '..'));
  const fd = createFile(path, { mode: 0o640 });
  try {
    await decode((chunk) => writeFully(fd, chunk));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  if (process.getuid?.() === 0) chownSync(path, uid, gid);
}
