// Archives as somebody else would make them: an honest one, taken apart, lied about in its tar, its manifest or its members,
// and put together again. Written by hand from what POSIX says of a tar, so that it owes nothing to archive/.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { oddText, oddValue } from './properties.ts';

const BLOCK_BYTES = 512;

/** A member as it is written. */
interface Entry {
  name: string;
  body: Buffer;
  prefix?: string;
  type?: string;
  /** What its header says instead of the body's size. */
  size?: Buffer;
  /** Added to the header's checksum. */
  off?: number;
}

export interface Parts {
  /** All but the manifest. */
  entries: Entry[];
  manifest: { members: object[]; [key: string]: unknown };
}

type Lie = (parts: Parts) => void;

function header({ name, body, prefix = '', type = '0', size, off = 0 }: Entry): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  block.write(name, 0, 100, 'latin1');
  for (const at of [100, 108, 116]) block.write('0000600', at);
  if (size === undefined) block.write(body.length.toString(8).padStart(11, '0'), 124);
  else size.copy(block, 124, 0, 12);
  block.write('00000000000', 136);
  block.write(' '.repeat(8), 148);
  block.write(type, 156, 'latin1');
  block.write('ustar\u000000', 257, 'latin1');
  block.write(prefix, 345, 155, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, off);
  block.write(`${sum.toString(8).padStart(6, '0')}\0`, 148);
  return block;
}

const padded = (body: Buffer): Buffer =>
  Buffer.concat([body, Buffer.alloc((BLOCK_BYTES - (body.length % BLOCK_BYTES)) % BLOCK_BYTES)]);

function build({ entries, manifest }: Parts): Buffer {
  const all = [...entries, { name: 'manifest.json', body: Buffer.from(JSON.stringify(manifest)) }];
  const blocks = all.flatMap((entry) => [header(entry), padded(entry.body)]);
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK_BYTES)]);
}

/** Makes the manifest say what the tar has, so that the lies that follow are all there is to find. */
function agree({ entries, manifest }: Parts): void {
  let offsetBytes = BLOCK_BYTES;
  for (const [index, { name, body }] of entries.entries()) {
    const sha256 = createHash('sha256').update(body).digest('hex');
    Object.assign(manifest.members[index] ?? {}, { name, offsetBytes, sizeBytes: body.length, sha256 });
    offsetBytes += padded(body).length + BLOCK_BYTES;
  }
}

/** @returns an honest archive of these members */
export function buildTar(parts: Parts): Buffer {
  agree(parts);
  return build(parts);
}

const where = fc.nat({ max: 1000 });

/** @returns all objects and arrays in it */
function containers(value: unknown): Record<string, unknown>[] {
  if (typeof value !== 'object' || value === null) return [];
  return [value as Record<string, unknown>, ...Object.values(value).flatMap(containers)];
}

const ofEntry =
  (at: number, change: (entry: Entry) => Partial<Entry>): Lie =>
  ({ entries }) => {
    const entry = entries[at % entries.length];
    if (entry !== undefined) Object.assign(entry, change(entry));
  };

const size = fc.oneof(
  fc.uint8Array({ minLength: 12, maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
  // base 256: large ones and negative ones
  fc
    .tuple(fc.constantFrom(0x80, 0xff), fc.uint8Array({ minLength: 11, maxLength: 11 }))
    .map(([first, bytes]) => Buffer.from([first, ...bytes])),
  fc
    .constantFrom('77777777777\0', '-0000000001\0', '000000 0001\0', '8', ' '.repeat(12), '+1', '1e3', '0x1')
    .map((text) => Buffer.from(text.padEnd(12, '\0'))),
);

const tarLie: fc.Arbitrary<Lie> = fc.oneof(
  fc.tuple(where, oddText).map(([at, name]) => ofEntry(at, () => ({ name }))),
  fc.tuple(where, oddText).map(([at, prefix]) => ofEntry(at, () => ({ prefix }))),
  // links, devices, directories, sparse files, pax and GNU headers
  fc
    .tuple(where, fc.constantFrom(...'\u00001234567xgSLKDVAN '))
    .map(([at, type]) => ofEntry(at, () => ({ type }))),
  fc.tuple(where, fc.constantFrom(-1, 1, 256)).map(([at, off]) => ofEntry(at, () => ({ off }))),
  fc.tuple(where, size).map(([at, said]) => ofEntry(at, () => ({ size: said }))),
  fc.tuple(where, where).map(
    ([from, to]): Lie =>
      ({ entries }) => {
        const copied = entries[from % entries.length];
        if (copied !== undefined) entries.splice(to % entries.length, 0, { ...copied });
      },
  ),
  where.map(
    (at): Lie =>
      ({ entries }) =>
        entries.splice(at % (entries.length + 1), 1),
  ),
);

const manifestLie: fc.Arbitrary<Lie> = fc.oneof(
  fc.tuple(where, where, oddValue).map(
    ([at, which, value]): Lie =>
      ({ manifest }) => {
        const all = containers(manifest);
        const inside = all[at % all.length] ?? {};
        const keys = Object.keys(inside);
        inside[keys[which % keys.length] ?? ''] = structuredClone(value);
      },
  ),
  fc.tuple(where, oddText, oddValue).map(
    ([at, key, value]): Lie =>
      ({ manifest }) => {
        const all = containers(manifest);
        // also where the key is __proto__
        Object.defineProperty(all[at % all.length], key, {
          value: structuredClone(value),
          enumerable: true,
          configurable: true,
          writable: true,
        });
      },
  ),
  fc.tuple(where, where).map(
    ([at, which]): Lie =>
      ({ manifest }) => {
        const all = containers(manifest);
        const inside = all[at % all.length] ?? {};
        const keys = Object.keys(inside);
        delete inside[keys[which % keys.length] ?? ''];
      },
  ),
);

/** What the tar and the manifest agree on. */
const memberLie: fc.Arbitrary<Lie> = fc.oneof(
  fc.tuple(where, oddText).map(([at, name]) => ofEntry(at, () => ({ name }))),
  fc
    .tuple(where, fc.uint8Array({ maxLength: 3000 }))
    .map(([at, body]) => ofEntry(at, () => ({ body: Buffer.from(body) }))),
  fc.tuple(where, where, where).map(([at, position, byte]) =>
    ofEntry(at, ({ body }) => {
      const changed = Buffer.from(body);
      changed[position % body.length] = byte;
      return { body: changed };
    }),
  ),
  fc
    .tuple(where, where)
    .map(([at, length]) =>
      ofEntry(at, ({ body }) => ({ body: body.subarray(0, length % (body.length + 1)) })),
    ),
);

/** @param honest stays as it is */
export const lyingArchive = (honest: () => Parts): fc.Arbitrary<Buffer> =>
  fc
    .tuple(fc.array(memberLie, { maxLength: 2 }), fc.array(fc.oneof(tarLie, manifestLie), { maxLength: 3 }))
    .map(([before, after]) => {
      const { entries, manifest } = honest();
      const parts = { entries: entries.map((entry) => ({ ...entry })), manifest: structuredClone(manifest) };
      for (const lie of before) lie(parts);
      agree(parts);
      for (const lie of after) lie(parts);
      return build(parts);
    });

/** Bytes that were flipped, cut out, brought in and moved, with no regard to what they were. */
export const damagedBytes = (whole: () => Buffer): fc.Arbitrary<Buffer> =>
  fc
    .array(
      fc.record({
        kind: fc.constantFrom('flip', 'cut', 'insert', 'move'),
        from: fc.nat(),
        to: fc.nat(),
        bytes: fc.uint8Array({ maxLength: 600 }),
      }),
      { minLength: 1, maxLength: 3 },
    )
    .map((steps) => {
      let damaged = Buffer.from(whole());
      for (const { kind, bytes, ...step } of steps) {
        const [from, to] = [step.from % (damaged.length + 1), step.to % (damaged.length + 1)];
        const [before, after] = [damaged.subarray(0, from), damaged.subarray(from)];
        if (kind === 'flip') damaged[from] = (damaged[from] ?? 0) ^ (1 << (to % 8));
        else if (kind === 'cut') damaged = Buffer.concat([before, after.subarray(to)]);
        else if (kind === 'insert') damaged = Buffer.concat([before, bytes, after]);
        else damaged.copyWithin(to, from, from + 700);
      }
      return damaged;
    });
