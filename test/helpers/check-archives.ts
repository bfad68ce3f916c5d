// What holds whatever was broken: an archive that has its final name is whole.
import { execa } from 'execa';
import { expect } from 'vitest';

const CHECK =
  'cd "$(dirname "$1")"; sha256sum -c --quiet --strict "$1.sha256"; sha1sum -c --quiet --strict "$1.sha1"; tar -tf "$1"';

/**
 * Checks each archive in a directory and below, but not those in quarantine: its checksum files agree, and tar reads it.
 * @param context told where one isn't
 * @returns their paths
 */
export async function checkArchives(directory: string, context = ''): Promise<string[]> {
  const names = ['-name', '*.tar', '!', '-name', '.part-*', '!', '-path', '*/.quarantine/*'];
  const { stdout } = await execa('find', [directory, ...names]);
  const archives = stdout.split('\n').filter((line) => line !== '');
  for (const archive of archives) {
    const { exitCode, stderr } = await execa('bash', ['-euc', CHECK, 'bash', archive], { reject: false });
    expect({ exitCode, stderr }, `${archive}\n${context}`).toMatchObject({ exitCode: 0 });
  }
  return archives;
}
