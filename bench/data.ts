// The data that is measured with: made anew in each place, always the same for the same size.

import { createCipheriv } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MariaDb } from '../test/helpers/mariadb.ts';

const MIB = 1 << 20;

/** Bytes that don't compress, the same each time. */
const noise = createCipheriv('aes-256-ctr', Buffer.alloc(32, 7), Buffer.alloc(16, 3));
const randomBytes = (size: number): Buffer => noise.update(Buffer.alloc(size));
const WORDS =
  'the quick brown fox jumps over the lazy dog while it rains in the garden of the old house '.repeat(64);

/** @returns bytes of which about 70 % don't compress */
function mixedBytes(size: number): Buffer {
  const compressible = Math.floor(size * 0.3);
  const text = Buffer.from(WORDS.repeat(Math.ceil(compressible / WORDS.length)).slice(0, compressible));
  return Buffer.concat([randomBytes(size - compressible), text]);
}

/** Makes a tree of files of one size, a hundred in a directory. */
export function makeTree(root: string, fileCount: number, fileBytes: number): void {
  for (let file = 0; file < fileCount; file += 1) {
    const directory = join(root, `d${Math.floor(file / 100)}`);
    if (file % 100 === 0) mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `f${file % 100}`), mixedBytes(fileBytes));
  }
}

/** Makes one large file. */
export function makeFile(path: string, bytes: number): void {
  for (let done = 0; done < bytes; done += 16 * MIB) {
    writeFileSync(path, mixedBytes(Math.min(16 * MIB, bytes - done)), { flag: 'a' });
  }
}

/** Fills a table as a wiki's texts would: rows of some hundred characters. */
export async function fillDatabase(server: MariaDb, database: string, rows: number): Promise<void> {
  await server.query(
    `CREATE TABLE text (id INT PRIMARY KEY, title VARCHAR(200), body TEXT, touched DATETIME, hits INT);
     INSERT INTO text SELECT seq, CONCAT('Page ', seq), CONCAT(MD5(seq), REPEAT(CONCAT(' ', SHA1(seq), ' it''s ', seq), 16)),
       '2026-01-01' + INTERVAL seq SECOND, seq % 977 FROM seq_1_to_${rows};`,
    database,
  );
}
