// How good an archive is. `digest`: its bytes are those that its checksum file records. `content`: besides, every member
// was decompressed and is what the manifest says. (`restored`, the third level, is for a restore to record.)
import { closeSync, fstatSync } from 'node:fs';
import { cannot } from '../lib/errors.ts';
import { type DecodeOptions, decodeMember } from './decode.ts';
import { digestFile } from './digest.ts';
import type { Manifest, Member } from './manifest.ts';
import { type ArchiveReader, openArchive, openRegularFile } from './read.ts';

export interface Verified {
  level: 'digest' | 'content';
  sha256: string;
  sizeBytes: number;
  manifest: Manifest;
}

/**
 * Verifies a local archive as far as it can be: to `content`, or to `digest` where members are encrypted and no identity
 * is given.
 * @param expectedSha256 of the whole file, from its checksum file or the catalog; undefined: only the members are verified
 * @throws checksum-mismatch, not-an-archive, content-mismatch
 */
export async function verifyArchive(
  file: string,
  options: DecodeOptions & { expectedSha256: string | undefined },
): Promise<Verified> {
  // before its structure: a copy that was damaged on its way or at rest is that, wherever the damage is
  const sha256 = await digestWhole(file, options.signal);
  if (options.expectedSha256 !== undefined && sha256 !== options.expectedSha256) {
    throw cannot(
      'checksum-mismatch',
      'verify',
      file,
      `its SHA-256 is ${sha256}, recorded is ${options.expectedSha256}`,
    );
  }
  using archive = openArchive(file);
  const { sizeBytes, manifest } = archive;
  let level: Verified['level'] = 'content';
  for (const member of manifest.members) {
    if (member.encoding.includes('age') && options.identityFile === undefined) {
      await decodeMember(
        archive,
        { ...member, encoding: [], uncompressedSizeBytes: member.sizeBytes },
        undefined,
        options,
      );
      level = 'digest';
    } else {
      await verifyMember(archive, member, options);
    }
  }
  return { level, sha256, sizeBytes, manifest };
}

async function digestWhole(file: string, signal: AbortSignal): Promise<string> {
  const fd = openRegularFile(file);
  try {
    const { sha256 } = await digestFile(fd, fstatSync(fd).size, ['sha256'], () => signal.throwIfAborted());
    return sha256 as string;
  } finally {
    closeSync(fd);
  }
}

async function verifyMember(archive: ArchiveReader, member: Member, options: DecodeOptions): Promise<void> {
  let entries = 0;
  const countEntries = (chunk: Buffer): void => {
    for (const byte of chunk) if (byte === 0) entries += 1;
  };
  await decodeMember(archive, member, member.kind === 'list' ? countEntries : undefined, options);
  if (member.kind !== 'list') return;
  const treeName = member.name.replace(/\.list(\.zst)?(\.age)?$/, '.tar$1$2');
  const tree = archive.manifest.members.find(({ name }) => name === treeName);
  if (tree?.tree !== undefined && tree.tree.fileCount !== entries) {
    throw cannot(
      'content-mismatch',
      'verify member',
      member.name,
      `it lists ${entries} files, the manifest says ${tree.tree.fileCount}`,
    );
  }
}
