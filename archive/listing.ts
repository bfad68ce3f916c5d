// The lists of files that archives have beside their trees: NUL-separated `path TAB size TAB mtime`. A path is bytes that
// need not be UTF-8: it is held as a latin1 string, one character per byte, and becomes text for people and for JSON only.
import { isUtf8 } from 'node:buffer';
import { escapeControls } from '../lib/text.ts';

export interface ListedFile {
  /** Below the tree's root, latin1. */
  path: string;
  sizeBytes: number;
  /** Whole seconds since 1970. */
  mtimeSeconds: number;
}

/** @returns an entry of a list, from its bytes as a latin1 string; undefined where it is none */
export function parseListed(entry: string): ListedFile | undefined {
  // a path may have tabs of its own
  const beforeTime = entry.lastIndexOf('\t');
  const beforeSize = entry.lastIndexOf('\t', beforeTime - 1);
  if (beforeSize < 1) return undefined;
  const sizeBytes = Number(entry.slice(beforeSize + 1, beforeTime));
  const mtimeSeconds = Number(entry.slice(beforeTime + 1));
  if (!Number.isSafeInteger(sizeBytes) || !Number.isSafeInteger(mtimeSeconds)) return undefined;
  return { path: entry.slice(0, beforeSize), sizeBytes, mtimeSeconds };
}

/** @returns all entries of a list as they come; what is no entry is left out */
export function* listedFiles(list: Buffer): Generator<ListedFile> {
  for (let start = 0; start < list.length; ) {
    const end = list.indexOf(0, start);
    const file = parseListed(list.toString('latin1', start, end === -1 ? list.length : end));
    if (file !== undefined) yield file;
    if (end === -1) return;
    start = end + 1;
  }
}

/** @returns a path in latin1 form for people: controls escaped, bytes that are no UTF-8 as `\xff` */
export function showPath(path: string): string {
  const bytes = Buffer.from(path, 'latin1');
  if (isUtf8(bytes)) return escapeControls(bytes.toString());
  let shown = '';
  for (let at = 0; at < bytes.length; ) {
    // the longest that is a character: 1 to 4 bytes
    const length = [1, 2, 3, 4].find((count) => isUtf8(bytes.subarray(at, at + count))) ?? 0;
    const byte = (bytes[at] as number).toString(16).padStart(2, '0');
    shown += length > 0 ? bytes.toString('utf8', at, at + length) : `\\x${byte}`;
    at += Math.max(length, 1);
  }
  return escapeControls(shown);
}

/** @returns a path in latin1 form as JSON has it: exact as text, or, where it is no UTF-8, in base64 beside what can be shown */
export function jsonPath(path: string): { path: string; pathBase64?: string } {
  const bytes = Buffer.from(path, 'latin1');
  if (isUtf8(bytes)) return { path: bytes.toString() };
  return { path: showPath(path), pathBase64: bytes.toString('base64') };
}

/** @returns a text as a path in latin1 form */
export function latin1Path(text: string): string {
  return Buffer.from(text).toString('latin1');
}
