// The text of a restoration point, as backup-my-bucket writes it: `{"File", "Timestamp", "Contents": [{"Key", "LastModified",
// "Size", "VersionId"}]}`, read piece by piece, so that a million keys take no more memory than one. garner's own have one version
// a line, say which bucket the versions are of, and end in a line with their count and the SHA-256 of all lines before it.
// Only where an object of the list begins and ends is found here; all that is JSON is read by JSON.parse.
import { createHash } from 'node:crypto';

export interface PointVersion {
  key: string;
  versionId: string;
  sizeBytes: number;
  /** As the bucket said it: ISO 8601. */
  modified: string;
}

export interface PointHead {
  /** The bucket that the versions are of; undefined: one of the original, so the configured replica. */
  bucket: string | undefined;
}

export interface PointSummary extends PointHead {
  time: Date;
  count: number;
  sizeBytes: number;
  /** Whether a digest of its own proved it whole; the original's have none. */
  hasDigest: boolean;
}

/** Some versions of a point, in its order. */
export interface PointPiece extends PointHead {
  versions: PointVersion[];
}

/** Much longer than any object of the list, whose key has 1,024 bytes at most. */
const MAX_PENDING_CHARS = 1 << 20;
/** A string, a bracket; a quote alone is a string that has not ended yet. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]"]/gs;
/** The last line is shorter. */
const LAST_LINE_CHARS = 200;
const LAST_LINE = /\n\],"Count":(\d+),"Sha256":"([0-9a-f]{64})"\}\n$/;

/**
 * Reads a point.
 * @param chunks of its text
 * @yields its versions, some at a time
 * @returns what only its end tells; without it, nothing of it is proven
 * @throws a text that says why it is no point, or a damaged one
 */
export async function* readPointText(
  chunks: AsyncIterable<string>,
): AsyncGenerator<PointPiece, PointSummary> {
  const hash = createHash('sha256');
  let pending = '';
  let head: string | undefined;
  let bucket: string | undefined;
  let tail: string | undefined;
  let depth = 0;
  let itemStart = 0;
  /** Up to here all was understood. */
  let done = 0;
  let lastKey: string | undefined;
  let count = 0;
  let sizeBytes = 0;
  /** Whole chunks whose digest is not taken yet: the last line is not part of it. */
  const unhashed: string[] = [];
  let unhashedChars = 0;
  for await (const chunk of chunks) {
    unhashed.push(chunk);
    unhashedChars += chunk.length;
    while (unhashedChars - (unhashed[0] as string).length > LAST_LINE_CHARS) {
      const first = unhashed.shift() as string;
      hash.update(first);
      unhashedChars -= first.length;
    }
    if (tail !== undefined) {
      tail += chunk;
      if (tail.length > MAX_PENDING_CHARS) throw 'its end is too long';
      continue;
    }
    pending += chunk;
    const found: PointVersion[] = [];
    TOKEN.lastIndex = done;
    for (let match = TOKEN.exec(pending); match !== null; match = TOKEN.exec(pending)) {
      const [token] = match;
      if (token === '"') {
        TOKEN.lastIndex = match.index;
        break; // its end has not come yet
      }
      if (head === undefined) {
        if (token === '{' || token === '[') depth += 1;
        else if (token === '}' || token === ']') depth -= 1;
        else if (depth === 1) lastKey = token;
        if (token === '[' && depth === 2 && lastKey === '"Contents"') {
          head = pending.slice(0, match.index + 1);
          bucket = bucketOf(parse(`${head}]}`));
          depth = 0;
          itemStart = TOKEN.lastIndex;
        }
      } else if (token === '{' || token === '[') {
        depth += 1;
        if (depth === 1) {
          checkBetween(pending.slice(itemStart, match.index), count + found.length > 0);
          itemStart = match.index;
        }
      } else if (token === '}' || (token === ']' && depth > 0)) {
        depth -= 1;
        if (depth < 0) throw 'it is no JSON';
        if (depth > 0) continue;
        found.push(versionOf(parse(pending.slice(itemStart, TOKEN.lastIndex))));
        itemStart = TOKEN.lastIndex;
      } else if (token === ']') {
        if (pending.slice(itemStart, match.index).trim() !== '') throw 'it is no JSON';
        tail = pending.slice(match.index);
        break;
      }
      done = TOKEN.lastIndex;
    }
    if (found.length > 0) {
      count += found.length;
      for (const version of found) sizeBytes += version.sizeBytes;
      yield { versions: found, bucket };
    }
    if (tail !== undefined) continue;
    const consumed = head === undefined ? 0 : itemStart;
    pending = pending.slice(consumed);
    done = Math.max(0, done - consumed);
    itemStart = 0;
    if (pending.length > MAX_PENDING_CHARS) throw 'one of its parts is too long';
  }
  const isWhole = head !== undefined && tail !== undefined;
  // without a list there is no end of one: null, or another thing
  const frame = parse(isWhole ? `${head}${tail}` : pending) as Record<string, unknown>;
  if (!isWhole && frame?.Contents !== null) throw 'it has no "Contents"';
  const time = new Date(typeof frame.Timestamp === 'string' ? frame.Timestamp : Number.NaN);
  if (Number.isNaN(time.getTime())) throw 'its "Timestamp" is none';
  if (bucketOf(frame) !== bucket) throw 'its "Bucket" stands behind "Contents"';
  const hasDigest = frame.Sha256 !== undefined || frame.Count !== undefined;
  if (hasDigest) {
    const rest = unhashed.join('');
    const end = LAST_LINE.exec(rest);
    if (end === null) throw 'its last line is damaged';
    hash.update(rest.slice(0, end.index + 1));
    if (end[2] !== hash.digest('hex')) throw 'its SHA-256 is another';
    if (Number(end[1]) !== count) throw `it has ${count} versions, not ${end[1]}`;
  }
  return { time, bucket, count, sizeBytes, hasDigest };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw 'it is no JSON, or ends too early';
  }
}

function bucketOf(frame: unknown): string | undefined {
  const { Bucket } = frame as { Bucket?: unknown };
  if (Bucket !== undefined && typeof Bucket !== 'string') throw 'its "Bucket" is no name';
  return Bucket;
}

function checkBetween(text: string, afterAnother: boolean): void {
  if (text.trim() !== (afterAnother ? ',' : '')) throw 'it is no JSON';
}

function versionOf(item: unknown): PointVersion {
  const { Key, Size, LastModified, VersionId, VersionID } = item as Record<string, unknown>;
  const versionId = VersionId ?? VersionID; // its first releases wrote the second
  if (typeof Key !== 'string' || Key === '' || !Key.isWellFormed()) throw 'a "Key" is none';
  if (typeof versionId !== 'string' || versionId === '') throw 'a "VersionId" is none';
  if (!Number.isSafeInteger(Size) || (Size as number) < 0) throw 'a "Size" is none';
  if (typeof LastModified !== 'string') throw 'a "LastModified" is none';
  return { key: Key, versionId, sizeBytes: Size as number, modified: LastModified };
}

/** How much text is handed on at once. */
const PIECE_CHARS = 1 << 16;

/**
 * Writes a point.
 * @param file its path, which the original notes in it
 * @yields its text, in pieces
 */
export async function* writePointText(
  { file, time, bucket }: { file: string; time: Date; bucket: string },
  versions: AsyncIterable<PointVersion>,
): AsyncGenerator<string> {
  const hash = createHash('sha256');
  let count = 0;
  let text = `{"File":${JSON.stringify(file)},"Timestamp":${JSON.stringify(time)},"Bucket":${JSON.stringify(bucket)},"Contents":[`;
  for await (const { key, modified, sizeBytes, versionId } of versions) {
    const line = { Key: key, LastModified: modified, Size: sizeBytes, VersionId: versionId };
    text += `${count === 0 ? '\n' : ',\n'}${JSON.stringify(line)}`;
    count += 1;
    if (text.length < PIECE_CHARS) continue;
    hash.update(text);
    yield text;
    text = '';
  }
  text += '\n';
  hash.update(text);
  yield `${text}],"Count":${count},"Sha256":"${hash.digest('hex')}"}\n`;
}
