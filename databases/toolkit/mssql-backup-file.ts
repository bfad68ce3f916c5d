// The file by which SQL Server gives and takes a backup, and what tells that it is whole. Where it lies: mssql-shared-file.ts,
// mssql-container-file.ts.
import type { Decode, Encode } from './engine.ts';

/** How a backup begins, and what its size is a multiple of (Microsoft Tape Format). */
export const MARK = Buffer.from('TAPE');
const BLOCK_BYTES = 512;

export interface BackupFile extends AsyncDisposable {
  /** As the server calls it. */
  serverPath: string;
  /** What to set where the server's file is not found. */
  hint: string;
  /**
   * Stores what the server has written.
   * @returns its size in bytes
   * @throws a text where it is not there, or no whole backup
   */
  store(encode: Encode): Promise<number>;
  /** Puts a dump where the server finds it, readable by the server's account. */
  fill(decode: Decode): Promise<void>;
}

/** @throws a text where this is no whole backup */
export function checkWhole(head: Buffer, sizeBytes: number): void {
  if (head.equals(MARK) && sizeBytes % BLOCK_BYTES === 0) return;
  throw new Error(sizeBytes === 0 ? 'the server wrote nothing' : 'the backup is cut off, or none');
}
