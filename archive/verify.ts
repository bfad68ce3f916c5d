// How good an archive is. `digest`: its bytes are those that its checksum file records. `content`: besides, every member
// was decompressed and is what the manifest says. (`restored`, the third level, is for a restore to record.)
import { closeSync, fstatSync } from 'node:fs';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { cannot } from '../lib/errors.ts';
import { type DecodeOptions, decodeMember } from './decode.ts';
import type { Manifest, Member } from './manifest.ts';
import { type ArchiveReader, openArchive, openRegularFile } from './read.ts';
import { MAX_RATIO, type Survey, type SurveyedMember, type SurveyOptions } from './survey.ts';
import { followFile, surveyFile } from './survey-file.ts';

/** Smaller archives are read member by member at once: their members are small too. */
export const SURVEY_MEMBERS_FROM_BYTES = 1 << 20;

/** For archives of others: half a minute of decompressing zeros, where a host could ask for hours. */
export const FREE_ORIGINAL_BYTES = 2 ** 36;

export interface VerifyOptions extends DecodeOptions {
  /** How much members may expand to, in all, beyond a hundred times themselves, in bytes; undefined: as they say. */
  freeOriginalBytes?: number | undefined;
}

export interface Verified {
  level: 'digest' | 'content';
  /** Members that were not decompressed, because of how far they would expand. */
  unread: string[];
  sha256: string;
  sizeBytes: number;
  manifest: Manifest;
}

/**
 * Verifies a local archive as far as it can be: to `content`, or to `digest` where members are encrypted and no identity
 * is given, or expand without measure.
 * @param expectedSha256 of the whole file, from its checksum file or the catalog; undefined: only the members are verified
 * @param name what it is called, where the path is not its own
 * @param bytesPerSecond how fast it is read at most
 * @throws checksum-mismatch, not-an-archive, content-mismatch
 */
export async function verifyArchive(
  file: string,
  options: VerifyOptions & {
    expectedSha256: string | undefined;
    bytesPerSecond?: number | undefined;
    name?: string;
  },
): Promise<Verified> {
  const sizeBytes = sizeOf(file);
  const members = sizeBytes >= SURVEY_MEMBERS_FROM_BYTES;
  const { bytesPerSecond, signal, name = file } = options;
  const what = { algorithms: ['sha256' as const], members };
  const survey =
    bytesPerSecond === undefined
      ? await surveyFile(file, sizeBytes, what, signal)
      : await surveySlowly(file, sizeBytes, what, bytesPerSecond, signal);
  const sha256 = survey.digests.sha256 as string;
  // before its structure: a copy that was damaged on its way or at rest is that, wherever the damage is
  if (options.expectedSha256 !== undefined && sha256 !== options.expectedSha256) {
    throw cannot(
      'checksum-mismatch',
      'verify',
      name,
      `its SHA-256 is ${sha256}, recorded is ${options.expectedSha256}`,
    );
  }
  return verifyContent(file, name, survey, options);
}

/** How often it is told that more may be read. */
const STEP_MS = 100;

/** Surveys a file as if it were being written at that rate. */
async function surveySlowly(
  file: string,
  sizeBytes: number,
  what: SurveyOptions,
  bytesPerSecond: number,
  signal: AbortSignal,
): Promise<Survey> {
  const following = followFile(file, what, signal);
  const started = performance.now();
  for (let may = 0; may < sizeBytes; may = ((performance.now() - started) / 1000) * bytesPerSecond) {
    following.grew(Math.floor(may));
    await sleep(STEP_MS, undefined, { signal });
  }
  return await following.finish(sizeBytes);
}

/**
 * Verifies the members of a local archive whose digests were found right.
 * @param name what it is called, where the file has another name for now
 * @param survey of the file as it is; members that it doesn't have, or has otherwise, are read again
 * @throws not-an-archive, content-mismatch
 */
export async function verifyContent(
  file: string,
  name: string,
  survey: Survey,
  options: VerifyOptions,
): Promise<Verified> {
  using archive = openArchive(file, name);
  const { sizeBytes, manifest } = archive;
  let level: Verified['level'] = 'content';
  const unread: string[] = [];
  let freeBytes = options.freeOriginalBytes ?? Number.POSITIVE_INFINITY;
  for (const member of manifest.members) {
    // small ones are read at one go: ten thousand of them would keep other hosts' answers waiting for as long
    await nextTurn();
    options.signal.throwIfAborted();
    const sealed = member.encoding.includes('age') && options.identityFile === undefined;
    const beyondBytes = sealed ? 0 : member.uncompressedSizeBytes - MAX_RATIO * member.sizeBytes;
    const isTooMuch = beyondBytes > freeBytes;
    if (isTooMuch) unread.push(member.name);
    else if (beyondBytes > 0) freeBytes -= beyondBytes;
    const byDigest = sealed || isTooMuch;
    if (byDigest) level = 'digest';
    const surveyed = survey.members.get(member.name);
    if (surveyed !== undefined && isAsRecorded(surveyed, member, manifest, byDigest)) {
      options.onBytes?.(member.sizeBytes);
    } else if (byDigest) {
      const asStored: Member = { ...member, encoding: [], uncompressedSizeBytes: member.sizeBytes };
      await decodeMember(archive, asStored, undefined, options);
    } else {
      await verifyMember(archive, member, options);
    }
  }
  return { level, unread, sha256: survey.digests.sha256 as string, sizeBytes, manifest };
}

function sizeOf(file: string): number {
  const fd = openRegularFile(file);
  const { size } = fstatSync(fd);
  closeSync(fd);
  return size;
}

/** @returns whether a member is just as the manifest says; of others a closer look tells more */
function isAsRecorded(found: SurveyedMember, member: Member, manifest: Manifest, byDigest: boolean): boolean {
  const { offsetBytes, sizeBytes, sha256, encoding, uncompressedSizeBytes, kind } = member;
  const sameBytes =
    found.offsetBytes === offsetBytes && found.sizeBytes === sizeBytes && found.sha256 === sha256;
  if (!sameBytes || byDigest) return sameBytes;
  if (encoding.length !== 1 || encoding[0] !== 'zst' || found.original === undefined) return false;
  if (found.original.sizeBytes !== uncompressedSizeBytes) return false;
  return (
    kind !== 'list' ||
    (fileCountOf(member, manifest) ?? found.original.zeroCount) === found.original.zeroCount
  );
}

/** @returns how many files a list must name, by the tree that it belongs to */
function fileCountOf({ name }: Member, { members }: Manifest): number | undefined {
  const treeName = name.replace(/\.list(\.zst)?(\.age)?$/, '.tar$1$2');
  return members.find((member) => member.name === treeName)?.tree?.fileCount;
}

async function verifyMember(archive: ArchiveReader, member: Member, options: DecodeOptions): Promise<void> {
  let entries = 0;
  const countEntries = (chunk: Buffer): void => {
    for (const byte of chunk) if (byte === 0) entries += 1;
  };
  await decodeMember(archive, member, member.kind === 'list' ? countEntries : undefined, options);
  if (member.kind !== 'list') return;
  const fileCount = fileCountOf(member, archive.manifest);
  if (fileCount !== undefined && fileCount !== entries) {
    throw cannot(
      'content-mismatch',
      'verify member',
      member.name,
      `it lists ${entries} files, the manifest says ${fileCount}`,
    );
  }
}
