// Where a zstd frame ends, by its headers alone (RFC 8878, 3.1.1): Node's decoder may stop behind the first frame of
// several and say nothing, so its word is taken only for a member that is exactly one.

const MAGIC = 0xfd2fb528;
const MAX_HEADER_BYTES = 18;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;

export interface FrameWalk {
  /** Takes the next bytes, in order. */
  take(chunk: Buffer): void;
  /** @returns whether what was taken is one whole frame and nothing behind it */
  isOneFrame(): boolean;
}

export function walkFrame(): FrameWalk {
  /** The bytes of a header that has not come whole yet. */
  let header: Buffer = Buffer.alloc(0);
  let skipBytes = 0;
  let state: 'frame' | 'block' | 'last' | 'broken' = 'frame';
  let hasChecksum = false;

  /** @returns how long the header is, as far as its bytes tell; it is read once they are all there */
  const headerBytes = (): number => {
    if (state === 'block') return BLOCK_HEADER_BYTES;
    return header.length < 5 ? 5 : Math.min(frameHeaderBytes(header[4] as number), MAX_HEADER_BYTES);
  };
  const readHeader = (): void => {
    if (state === 'frame') {
      hasChecksum = ((header[4] as number) & 4) !== 0;
      state = header.readUInt32LE(0) === MAGIC ? 'block' : 'broken';
      return;
    }
    const value = header.readUIntLE(0, BLOCK_HEADER_BYTES);
    const type = (value >> 1) & 3;
    skipBytes = type === RLE_BLOCK ? 1 : value >> 3;
    if (type === RESERVED_BLOCK) state = 'broken';
    else if ((value & 1) === 1) {
      state = 'last';
      if (hasChecksum) skipBytes += CHECKSUM_BYTES;
    }
  };

  return {
    take(chunk) {
      for (let at = 0; at < chunk.length; ) {
        if (state === 'broken') return;
        if (skipBytes > 0) {
          const skipped = Math.min(skipBytes, chunk.length - at);
          skipBytes -= skipped;
          at += skipped;
        } else if (state === 'last') {
          state = 'broken'; // something is behind it
        } else {
          const piece = chunk.subarray(at, at + headerBytes() - header.length);
          header = Buffer.concat([header, piece]);
          at += piece.length;
          if (header.length < headerBytes()) continue;
          readHeader();
          header = Buffer.alloc(0);
        }
      }
    },
    isOneFrame: () => state === 'last' && skipBytes === 0,
  };
}

/** @param descriptor the byte behind the magic number */
function frameHeaderBytes(descriptor: number): number {
  const isSingleSegment = (descriptor & 32) !== 0;
  const contentSizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] as number;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] as number;
  return 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes + contentSizeBytes;
}
