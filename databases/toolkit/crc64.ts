// CRC-64 as Redis (Jones) and mongodump (ECMA-182) use it, over halves of 32 bits: BigInt would be a hundred times slower.

export interface Crc64 {
  /** Takes further bytes. */
  update(bytes: Uint8Array): void;
  /** @returns what has come so far, as 8 bytes, the lowest first */
  digest(): Buffer;
}

type Table = { low: Uint32Array; high: Uint32Array };

/** @param polynomial with its bits reversed */
function makeTable(polynomial: bigint): Table {
  const low = new Uint32Array(256);
  const high = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let value = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) value = value & 1n ? (value >> 1n) ^ polynomial : value >> 1n;
    low[byte] = Number(value & 0xffffffffn);
    high[byte] = Number(value >> 32n);
  }
  return { low, high };
}

/** @param inverted whether it begins with ones, and its result is turned over */
function start({ low, high }: Table, inverted: boolean): Crc64 {
  const ones = inverted ? 0xffffffff : 0;
  let crcLow = ones;
  let crcHigh = ones;
  return {
    update(bytes) {
      let l = crcLow;
      let h = crcHigh;
      for (let i = 0; i < bytes.length; i++) {
        const index = (l ^ (bytes[i] as number)) & 0xff;
        l = ((l >>> 8) | (h << 24)) ^ (low[index] as number);
        h = (h >>> 8) ^ (high[index] as number);
      }
      crcLow = l;
      crcHigh = h;
    },
    digest() {
      const bytes = Buffer.alloc(8);
      bytes.writeUInt32LE((crcLow ^ ones) >>> 0, 0);
      bytes.writeUInt32LE((crcHigh ^ ones) >>> 0, 4);
      return bytes;
    },
  };
}

const JONES = makeTable(0x95ac9329ac4bc9b5n);
const ECMA = makeTable(0xc96c5795d7870f42n);

export const startJonesCrc64 = (): Crc64 => start(JONES, false);
export const startEcmaCrc64 = (): Crc64 => start(ECMA, true);
