// A file that goes by an archive's name, random inside, with checksum files by `sha256sum` and `sha1sum`: all that
// a transfer looks at.
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';

/** @param name without `.tar` */
export async function makeTransferable(
  directory: string,
  name: string,
  sizeBytes: number,
): Promise<{ sha256: string; sha1: string }> {
  const file = `${name}.tar`;
  writeFileSync(join(directory, file), randomBytes(sizeBytes));
  await execa('sh', ['-c', 'sha256sum "$1" > "$1.sha256" && sha1sum "$1" > "$1.sha1"', 'sh', file], {
    cwd: directory,
  });
  const digest = (checksum: string): string =>
    readFileSync(join(directory, `${file}.${checksum}`), 'utf8').split(' ')[0] as string;
  return { sha256: digest('sha256'), sha1: digest('sha1') };
}
