// A dump, decoded into a file of the work directory for a client that has to seek in it.
import { closeSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { type DecodeOptions, decodeMember } from '../../archive/decode.ts';
import type { Member } from '../../archive/manifest.ts';
import type { ArchiveReader } from '../../archive/read.ts';
import { createFile, partPath, writeFully } from '../../lib/durable.ts';
import { cannot, isNoSpace } from '../../lib/errors.ts';
import { formatSize } from '../../lib/text.ts';

/**
 * Decodes a member.
 * @param prefix what the file's name begins with, by which a later run sweeps what one that was killed has left
 * @returns the file, which is gone when it is disposed
 * @throws no-space, before anything is written where that can be told
 */
export async function scratchDump(
  archive: ArchiveReader,
  member: Member,
  { directory, prefix }: { directory: string; prefix: string },
  decoding: DecodeOptions,
): Promise<{ path: string } & Disposable> {
  const { bavail, bsize } = statfsSync(directory);
  const noSpace = (cause: unknown): Error =>
    cannot('no-space', 'decode the dump in', directory, cause, {
      hint: 'free space there, set GARNER_WORK_DIR to another disk, or restore without --jobs',
    });
  if (bavail * bsize < member.uncompressedSizeBytes) {
    throw noSpace(
      `it needs ${formatSize(member.uncompressedSizeBytes)}, ${formatSize(bavail * bsize)} are free`,
    );
  }
  const path = partPath(join(directory, `${prefix}.${member.name}`));
  const remove = (): void => rmSync(path, { force: true });
  const fd = createFile(path);
  try {
    await decodeMember(archive, member, (chunk) => writeFully(fd, chunk), decoding);
  } catch (error) {
    remove();
    throw isNoSpace(error) ? noSpace(error) : error;
  } finally {
    closeSync(fd);
  }
  return { path, [Symbol.dispose]: remove };
}
