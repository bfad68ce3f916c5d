// Writes one archive: members one by one into an unfinished file, then manifest, sync, read-back, checksum files,
// and last the archive under its final name. Whatever fails before that leaves nothing behind.
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, fsyncSync, ftruncateSync, lstatSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import {
  createFile,
  partPath,
  publish,
  startEarlySync,
  syncDirectory,
  writeFileDurably,
  writeFully,
} from '../lib/durable.ts';
import { cannot, GarnerError, isNoSpace } from '../lib/errors.ts';
import type { WorkDir } from '../lib/work-dir.ts';
import { digestFile } from './digest.ts';
import { MANIFEST_NAME, type Manifest, type Member, parseManifest, VERSION_NAME } from './manifest.ts';
import { ARCHIVE_SUFFIX, type ArchiveName, type Checksum, formatName, formatSidecar } from './name.ts';
import { BLOCK_BYTES, END_OF_ARCHIVE, encodeHeader, paddingBytes } from './tar-header.ts';

/** What is known of a member only when all of it has been written. */
export type MemberFacts = Pick<Member, 'uncompressedSizeBytes' | 'encoding' | 'database' | 'roles' | 'tree'>;

export interface MemberWriter {
  /** Appends bytes as they are to be stored. */
  write(chunk: Uint8Array): void;
  /** Forgets what was written to this member, to begin it again. */
  rewind(): void;
  end(facts: MemberFacts): void;
}

/** What the run has to say of the archive as a whole. */
export type Findings = Pick<Manifest, 'build' | 'crossChecks' | 'recipients' | 'withheld' | 'warnings'>;

export interface PublishedArchive {
  path: string;
  sizeBytes: number;
  digests: Partial<Record<Checksum, string>>;
  manifest: Manifest;
}

export interface ArchiveWriter extends Disposable {
  readonly name: string;
  readonly startedAt: Date;
  /** Begins the next member; the one before must have ended. */
  begin(name: string, kind: Member['kind']): MemberWriter;
  /** @throws no-space or io; checksum-mismatch where the disk gives back other bytes than were written */
  publish(findings: Findings, signal?: AbortSignal): Promise<PublishedArchive>;
}

/**
 * Starts an archive. Its name's second is taken now; where an archive of this second exists, the next one is waited for.
 * The caller holds the lock of this application. Disposing an unpublished writer removes what it wrote.
 */
export async function startArchive(
  workDir: Pick<WorkDir, 'path' | 'access'>,
  identity: Omit<ArchiveName, 'time'>,
  version: string,
  tool: Manifest['tool'],
  checksums: readonly Checksum[],
): Promise<ArchiveWriter> {
  const { startedAt, name } = await freeName(workDir.path, identity);
  const finalPath = join(workDir.path, `${name}${ARCHIVE_SUFFIX}`);
  const part = partPath(finalPath);
  const members: Member[] = [];
  /** A cheap digest of each stretch that was written, compared when it is read back. */
  const stretches: { untilBytes: number; crc: number }[] = [];
  let position = 0;
  let open = true;
  let fd: number;
  try {
    fd = createFile(part, workDir.access);
  } catch (error) {
    throw diskError(error, part);
  }

  const early = startEarlySync(fd);

  const put = (data: Uint8Array, at: number): void => {
    // a program that is being ended may still have output on its way, and the descriptor may be another file's by now
    if (!open) return;
    try {
      writeFully(fd, data, at);
      early.wrote(data.length);
    } catch (error) {
      throw diskError(error, part);
    }
  };

  function begin(memberName: string, kind: Member['kind']): MemberWriter {
    const headerAt = position;
    const offsetBytes = headerAt + BLOCK_BYTES;
    let hash = createHash('sha256');
    let crc = 0;
    position = offsetBytes;
    return {
      write(chunk) {
        hash.update(chunk);
        crc = crc32(chunk, crc);
        put(chunk, position);
        position += chunk.length;
      },
      rewind() {
        ftruncateSync(fd, headerAt);
        hash = createHash('sha256');
        crc = 0;
        position = offsetBytes;
      },
      end(facts) {
        const sizeBytes = position - offsetBytes;
        const header = encodeHeader(memberName, sizeBytes, startedAt);
        const padding = Buffer.alloc(paddingBytes(sizeBytes));
        put(header, headerAt);
        put(padding, position);
        position += padding.length;
        stretches.push({ untilBytes: offsetBytes, crc: crc32(header) });
        stretches.push({ untilBytes: offsetBytes + sizeBytes, crc });
        stretches.push({ untilBytes: position, crc: crc32(padding) });
        if (memberName !== MANIFEST_NAME) {
          members.push({
            name: memberName,
            kind,
            offsetBytes,
            sizeBytes,
            sha256: hash.digest('hex'),
            ...facts,
          });
        }
      },
    };
  }

  function addText(memberName: string, kind: Member['kind'], text: string): void {
    const data = Buffer.from(text);
    const member = begin(memberName, kind);
    member.write(data);
    member.end({ uncompressedSizeBytes: data.length, encoding: [] });
  }

  function discard(): void {
    if (!open) return;
    open = false;
    closeSync(fd);
    rmSync(part, { force: true });
    try {
      syncDirectory(workDir.path);
    } catch {
      // the disk fails: why the archive is discarded says more
    }
  }

  /** Takes back the final name, where this file has got it: an archive without its checksum files is none. */
  function withdraw(sidecars: readonly string[]): void {
    if (lstatSync(finalPath, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) rmSync(finalPath);
    for (const sidecar of sidecars) rmSync(sidecar, { force: true });
  }

  try {
    addText(VERSION_NAME, 'version', `${version}\n`);
  } catch (error) {
    discard();
    throw error;
  }

  return {
    name,
    startedAt,
    begin,
    async publish(findings, signal) {
      const { application, instance = null, host } = identity;
      const manifest: Manifest = {
        format: 1,
        application,
        instance,
        host,
        version,
        startedAt: startedAt.toISOString(),
        finishedAt: new Date().toISOString(),
        tool,
        members,
        ...findings,
      };
      const text = `${JSON.stringify(manifest, null, 1)}\n`;
      parseManifest(text, name); // an archive that nobody could open must not look finished
      addText(MANIFEST_NAME, 'version', text);
      put(END_OF_ARCHIVE, position);
      position += END_OF_ARCHIVE.length;
      stretches.push({ untilBytes: position, crc: crc32(END_OF_ARCHIVE) });

      const sidecars: string[] = [];
      try {
        await early.settled();
        fsyncSync(fd);
        const digests = await readBack(fd, position, checksums, stretches, part, signal);
        for (const checksum of checksums) {
          const sidecar = `${finalPath}.${checksum}`;
          const text = formatSidecar(digests[checksum] as string, `${name}${ARCHIVE_SUFFIX}`);
          sidecars.push(sidecar);
          writeFileDurably(sidecar, text, { access: workDir.access });
        }
        publish(part, finalPath);
        open = false;
        closeSync(fd);
        return { path: finalPath, sizeBytes: position, digests, manifest };
      } catch (error) {
        if (open) withdraw(sidecars);
        throw error instanceof GarnerError ? error : diskError(error, finalPath);
      }
    },
    [Symbol.dispose]: discard,
  };
}

async function freeName(
  directory: string,
  identity: Omit<ArchiveName, 'time'>,
): Promise<{ startedAt: Date; name: string }> {
  for (;;) {
    const startedAt = new Date();
    const name = formatName({ ...identity, time: startedAt });
    const taken = ['', '.sha256', '.sha1'].some(
      (suffix) =>
        lstatSync(join(directory, `${name}${ARCHIVE_SUFFIX}${suffix}`), { throwIfNoEntry: false }) !==
        undefined,
    );
    if (!taken) return { startedAt, name };
    await sleep(1000 - startedAt.getMilliseconds());
  }
}

/** Hashes the file as the disk has it, and compares each stretch with what was written. */
async function readBack(
  fd: number,
  sizeBytes: number,
  checksums: readonly Checksum[],
  stretches: readonly { untilBytes: number; crc: number }[],
  path: string,
  signal: AbortSignal | undefined,
): Promise<Partial<Record<Checksum, string>>> {
  let at = 0;
  let index = 0;
  let crc = 0;
  const settle = (): void => {
    while (stretches[index]?.untilBytes === at) {
      if (stretches[index]?.crc !== crc) {
        throw cannot(
          'checksum-mismatch',
          'verify',
          path,
          `the disk gave back other bytes than were written before byte ${at}`,
        );
      }
      index += 1;
      crc = 0;
    }
  };
  const digests = await digestFile(fd, sizeBytes, checksums, (chunk) => {
    signal?.throwIfAborted();
    let rest = chunk;
    while (rest.length > 0) {
      const until = stretches[index]?.untilBytes ?? sizeBytes;
      const piece = rest.subarray(0, until - at);
      crc = crc32(piece, crc);
      at += piece.length;
      rest = rest.subarray(piece.length);
      settle();
    }
  });
  if (index !== stretches.length || fstatSync(fd).size !== sizeBytes) {
    throw cannot('checksum-mismatch', 'verify', path, 'it has another size than was written');
  }
  return digests;
}

function diskError(error: unknown, path: string): GarnerError {
  return cannot(isNoSpace(error) ? 'no-space' : 'io', 'write archive', path, error, {
    ...(isNoSpace(error) ? { hint: 'free space there, or set GARNER_WORK_DIR to another disk' } : {}),
  });
}
