// One pass through an archive's file: the digests of the whole, and of every member its digest and what it decompresses
// to. It judges nothing, it may be of garbage: verify.ts compares it with the manifest, and looks closer at what differs.
import { createHash, type Hash } from 'node:crypto';
import { constants, createZstdDecompress, type ZstdDecompress } from 'node:zlib';
import type { Checksum } from './name.ts';
import { type FrameWalk, walkFrame } from './zstd-frame.ts';

const BLOCK_BYTES = 512;
const OUTPUT_BYTES = 64 << 10;
/** What it takes to decompress what agents write, and four times that; a host could ask for 128 MB a member. */
const WINDOW_LOG = 23;
/** Members that decompress to more than this in all, and to more than so many times themselves, are left to who knows their sizes. */
const FREE_ORIGINAL_BYTES = 2 ** 30;
export const MAX_RATIO = 100;
/** What garbage may look like at most; no archive has so many. */
const MAX_MEMBERS = 10_000;

export interface SurveyedMember {
  offsetBytes: number;
  sizeBytes: number;
  sha256: string;
  /** undefined where it is not one whole zstd frame, or implausibly large. */
  original: { sizeBytes: number; zeroCount: number } | undefined;
}

export interface Survey {
  sizeBytes: number;
  digests: Partial<Record<Checksum, string>>;
  /** By name, as far as the file reads like an archive. */
  members: Map<string, SurveyedMember>;
}

export interface SurveyOptions {
  algorithms: readonly Checksum[];
  /** Whether to look at the members. */
  members: boolean;
}

/**
 * @param chunks the file's bytes in order, each but the last a multiple of 512; each is used until the next is asked for
 */
export async function survey(
  chunks: AsyncIterable<Buffer>,
  { algorithms, members }: SurveyOptions,
): Promise<Survey> {
  const hashes = algorithms.map((name): [Checksum, Hash] => [name, createHash(name)]);
  const tar = members ? surveyMembers() : undefined;
  let sizeBytes = 0;
  try {
    for await (const chunk of chunks) {
      sizeBytes += chunk.length;
      // decompression runs in a thread of Node's own meanwhile
      const taken = tar?.take(chunk);
      for (const [, hash] of hashes) hash.update(chunk);
      await taken;
    }
    return {
      sizeBytes,
      digests: Object.fromEntries(hashes.map(([name, hash]) => [name, hash.digest('hex')])),
      members: tar?.found ?? new Map(),
    };
  } finally {
    tar?.stop();
  }
}

interface MembersSurvey {
  found: Map<string, SurveyedMember>;
  take(chunk: Buffer): Promise<void>;
  stop(): void;
}

function surveyMembers(): MembersSurvey {
  const found: MembersSurvey['found'] = new Map();
  let position = 0;
  let current: OpenMember | undefined;
  let isOver = false;
  const free = { bytes: FREE_ORIGINAL_BYTES };
  return {
    found,
    async take(chunk) {
      for (let at = 0; at < chunk.length && !isOver; ) {
        if (current === undefined) {
          const header = readHeader(chunk.subarray(at, at + BLOCK_BYTES));
          at += BLOCK_BYTES;
          if (header === undefined || found.has(header.name) || found.size === MAX_MEMBERS) isOver = true;
          else current = openMember(header, position + at, free);
        } else {
          const piece = chunk.subarray(at, at + current.leftBytes);
          at += piece.length;
          await current.take(piece);
        }
        if (current?.leftBytes === 0) {
          found.set(current.name, await current.end());
          at += (BLOCK_BYTES - (current.sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
          current = undefined;
        }
      }
      position += chunk.length;
    },
    stop: () => current?.stop(),
  };
}

/** What matters here of a header; whether it is a right one is for openArchive to say. */
function readHeader(block: Buffer): { name: string; sizeBytes: number } | undefined {
  if (block.length < BLOCK_BYTES || block[0] === 0) return undefined;
  const nul = block.indexOf(0);
  const name = block.toString('latin1', 0, Math.min(nul < 0 ? 100 : nul, 100));
  const size = block.subarray(124, 136);
  const isBinary = (size[0] as number) >= 128;
  const sizeBytes = isBinary
    ? Number(size.readBigUInt64BE(4))
    : Number.parseInt(size.toString('latin1').trim().replace(/\0.*$/s, ''), 8);
  return Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 ? { name, sizeBytes } : undefined;
}

interface OpenMember {
  name: string;
  sizeBytes: number;
  leftBytes: number;
  take(piece: Buffer): Promise<void>;
  end(): Promise<SurveyedMember>;
  stop(): void;
}

/** What members may still expand to beyond measure. */
interface Free {
  bytes: number;
}

function openMember(
  { name, sizeBytes }: { name: string; sizeBytes: number },
  offset: number,
  free: Free,
): OpenMember {
  const hash = createHash('sha256');
  const content = name.endsWith('.zst') ? openContent(name.endsWith('.list.zst'), free) : undefined;
  return {
    name,
    sizeBytes,
    leftBytes: sizeBytes,
    async take(piece) {
      this.leftBytes -= piece.length;
      const taken = content?.take(piece);
      hash.update(piece);
      await taken;
    },
    async end() {
      return { offsetBytes: offset, sizeBytes, sha256: hash.digest('hex'), original: await content?.end() };
    },
    stop: () => content?.stop(),
  };
}

interface OpenContent {
  take(piece: Buffer): Promise<void>;
  end(): Promise<SurveyedMember['original']>;
  stop(): void;
}

/** @param countsZeros a list has as many entries as NULs; of other members nobody asks */
function openContent(countsZeros: boolean, free: Free): OpenContent {
  const frame: FrameWalk = walkFrame();
  let decoder: ZstdDecompress | undefined = createZstdDecompress({
    chunkSize: OUTPUT_BYTES,
    params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG },
  });
  let [sizeBytes, zeroCount, storedBytes] = [0, 0, 0];
  let onSettled: () => void = () => {};
  const stop = (): void => {
    if (decoder !== undefined) free.bytes -= Math.max(sizeBytes - MAX_RATIO * storedBytes, 0);
    decoder?.destroy();
    decoder = undefined;
    onSettled();
  };
  let isEnding = false;
  decoder.on('error', stop);
  // behind the first of several frames it ends, and never calls back
  decoder.on('end', () => (isEnding ? onSettled() : stop()));
  decoder.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.length;
    if (sizeBytes > Math.max(free.bytes, 0) + MAX_RATIO * storedBytes) stop();
    if (!countsZeros) return;
    for (let at = chunk.indexOf(0); at >= 0; at = chunk.indexOf(0, at + 1)) zeroCount += 1;
  });
  const settle = (start: (decoder: ZstdDecompress) => void): Promise<void> =>
    new Promise((resolve) => {
      onSettled = resolve;
      if (decoder === undefined) resolve();
      else start(decoder);
    });
  return {
    take(piece) {
      storedBytes += piece.length;
      frame.take(piece);
      return settle((open) => open.write(piece, () => onSettled()));
    },
    async end() {
      isEnding = true;
      await settle((open) => open.end());
      const isWhole = decoder !== undefined && frame.isOneFrame();
      stop();
      return isWhole ? { sizeBytes, zeroCount } : undefined;
    },
    stop,
  };
}
