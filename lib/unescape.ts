// Text as it was before a program escaped it: in a URL, JSON, HTML, quoted-printable, for a shell or a terminal. It is for
// looking, not for reading: what only looks like an escape is undone as well. Each byte knows where it came from.

/** Bytes, one in each character, and where in the original text each of them stands. */
export interface Traced {
  bytes: string;
  /** For each byte the offset of what it was made of; one more at the end. */
  offsets: Int32Array;
}

/** @returns the UTF-8 of a text */
export function traceText(text: string): Traced {
  const bytes = Buffer.from(text).toString('latin1');
  const offsets = new Int32Array(bytes.length + 1);
  let at = 0;
  let offset = 0;
  for (const char of bytes.length === text.length ? '' : text) {
    const code = char.codePointAt(0) as number;
    const length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x1_0000 ? 3 : 4;
    offsets.fill(offset, at, at + length);
    at += length;
    offset += char.length;
  }
  for (; at <= bytes.length; at += 1, offset += 1) offsets[at] = offset;
  return { bytes, offsets };
}

const HEX = '[0-9a-fA-F]';
const OTHERS = [
  `[%=](?<byte>${HEX}{2})`,
  `&#(?<decimal>\\d{1,7});`,
  `&#[xX](?<hex>${HEX}{1,6});`,
  `&(?<entity>amp|lt|gt|quot|apos);`,
  `(?<quote>'\\\\''|'"'"')`,
  `(?<soft>=\\r?\\n)`,
];
const BACKSLASHES = [
  `\\\\x(?<x>${HEX}{2})`,
  `(?<units>(?:\\\\u${HEX}{4})+)`,
  `\\\\(?<control>[nrtbf])`,
  `\\\\(?<plain>[^\\w])`,
];
/** A backslash is one, or it escapes: nobody can tell. */
export const ESCAPES = {
  all: new RegExp([...OTHERS, ...BACKSLASHES].join('|'), 'g'),
  butBackslashes: new RegExp(OTHERS.join('|'), 'g'),
};
const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
const CONTROLS: Record<string, string> = { n: '\n', r: '\r', t: '\t', b: '\b', f: '\f' };

/** @returns the text with escapes undone, once; undefined where there are none */
export function undoEscapes({ bytes, offsets }: Traced, escapes: RegExp): Traced | undefined {
  const pieces: string[] = [];
  const traced = new Int32Array(bytes.length + 1);
  let length = 0;
  let copied = 0;
  const add = (piece: string, from: number, step: 0 | 1): void => {
    pieces.push(piece);
    for (let i = 0; i < piece.length; i += 1) traced[length + i] = offsets[from + i * step] as number;
    length += piece.length;
  };
  for (const { 0: written, index, groups = {} } of bytes.matchAll(escapes)) {
    add(bytes.slice(copied, index), copied, 1);
    add(meaningOf(groups), index, 0);
    copied = index + written.length;
  }
  if (copied === 0) return undefined;
  add(bytes.slice(copied), copied, 1);
  traced[length] = offsets[bytes.length] as number;
  return { bytes: pieces.join(''), offsets: traced.subarray(0, length + 1) };
}

function meaningOf(groups: Record<string, string | undefined>): string {
  const { byte, x, units, decimal, hex, entity, quote, control, plain } = groups;
  const code = byte ?? x;
  if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
  if (units !== undefined) {
    const codes = units.split('\\u').slice(1);
    return utf8(String.fromCharCode(...codes.map((one) => Number.parseInt(one, 16))));
  }
  const point = decimal !== undefined ? Number(decimal) : Number.parseInt(hex ?? '-1', 16);
  if (point >= 0) return point <= 0x10ffff ? utf8(String.fromCodePoint(point)) : '';
  if (entity !== undefined) return ENTITIES[entity] as string;
  if (quote !== undefined) return "'";
  if (control !== undefined) return CONTROLS[control] as string;
  return plain ?? '';
}

/** @returns the text without line breaks, in the usual alphabet of base64 */
export function joinBase64({ bytes, offsets }: Traced): Traced {
  const joined = bytes
    .replace(/[\r\n]/g, '')
    .replaceAll('-', '+')
    .replaceAll('_', '/');
  if (joined.length === bytes.length) return { bytes: joined, offsets };
  const traced = new Int32Array(joined.length + 1);
  let length = 0;
  for (let i = 0; i < bytes.length; i += 1) {
    if (bytes[i] === '\r' || bytes[i] === '\n') continue;
    traced[length] = offsets[i] as number;
    length += 1;
  }
  traced[length] = offsets[bytes.length] as number;
  return { bytes: joined, offsets: traced };
}

function utf8(text: string): string {
  return Buffer.from(text).toString('latin1');
}
