// The headers of the outer tar: one 512-byte block before each member, readable by GNU tar above 8 GiB too.
import { Header } from 'tar/header'; // 'tar' itself loads what writes and unpacks, half the start of a command
import { cannot } from '../lib/errors.ts';

export const BLOCK_BYTES = 512;
const MAX_NAME_LENGTH = 100;
/** A tar ends with two empty blocks. */
export const END_OF_ARCHIVE = Buffer.alloc(2 * BLOCK_BYTES);

/** @returns how many bytes follow a member of this size, up to the next block */
export function paddingBytes(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
}

/** @returns the header block of a regular file that belongs to root and only its owner may read */
export function encodeHeader(name: string, sizeBytes: number, mtime: Date): Buffer {
  if (name.length > MAX_NAME_LENGTH) throw new Error(`member name too long: ${name}`);
  const block = Buffer.alloc(BLOCK_BYTES);
  const data = { path: name, mode: 0o600, uid: 0, gid: 0, size: sizeBytes, mtime, type: 'File' as const };
  // its result asks for a pax header above 8 GiB; the number is there in base 256 all the same, as GNU tar writes it
  new Header(data).encode(block);
  return block;
}

/**
 * Reads a header block.
 * @returns undefined where the block is empty: the archive's end
 * @throws not-an-archive where it is damaged or of anything but a regular file
 */
export function decodeHeader(
  block: Buffer,
  archive: string,
): { name: string; sizeBytes: number } | undefined {
  const refuse = (cause: string): Error => cannot('not-an-archive', 'read archive', archive, cause);
  if (block.length === BLOCK_BYTES && block.every((byte) => byte === 0)) return undefined;
  let header: Header;
  try {
    header = new Header(block);
  } catch (error) {
    throw cannot('not-an-archive', 'read archive', archive, error);
  }
  if (!header.cksumValid) throw refuse('a header of its tar is damaged');
  if (header.type !== 'File' || header.path === undefined || header.size === undefined) {
    throw refuse(`it has a member that is no regular file: ${header.path}`);
  }
  if (!Number.isSafeInteger(header.size) || header.size < 0) throw refuse('a member has an impossible size');
  return { name: header.path, sizeBytes: header.size };
}
