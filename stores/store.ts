// A store is where archives lie: a directory, a host reached by SFTP. One file per kind; the URL's scheme picks it.
// A store moves bytes and names only; what an archive is, and whether it is whole, is not its business.
import { PART_PREFIX } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';

/** More entries than this in one directory are no archives of ours. */
export const MAX_ENTRIES = 100_000;
/** The longest name that file systems have, in bytes. */
export const MAX_NAME_BYTES = 255;

export interface StoreEntry {
  /** The last part of the path, exactly as the store has it: hostile until checked. */
  name: string;
  /** `other` is a link, a device, a fifo, a socket: never followed or opened. */
  kind: 'file' | 'directory' | 'other';
  sizeBytes: number;
  modifiedMs: number;
}

/** A file on its way into a store: unfinished and unseen until it is published. */
export interface Upload {
  /** How much an earlier upload has left, where this one goes on from it: writing begins behind that. */
  readonly resumedBytes: number;
  /** The unfinished file, where it lies on this host and can be read back. */
  readonly local?: { file: string; writtenBytes(): number };
  /** Writes on; the chunk is not the caller's to change any more. An error may be told by the next call. */
  write(chunk: Buffer): Promise<void>;
  /** Makes all that was written durable. */
  flush(): Promise<void>;
  /** Reads what was flushed from where it lies, where another host has it and lets it be read before it is published. */
  readBack?(): AsyncIterable<Buffer>;
  /** The store compares what arrives with a digest of it, and `publish` ends when it has said what it holds. */
  readonly confirms?: boolean;
  /**
   * Makes all that was written durable and gives the file its final name.
   * @param path another one than that it was created for; directories above it are made
   * @throws store-exists where the name is taken: nothing is ever overwritten
   */
  publish(path?: string): Promise<void>;
  /**
   * Ends it: removes what was written. Safe to call after a failed publish; does nothing after a successful one.
   * @param keep leaves what was written for an upload that resumes it, where the store can
   */
  abort(keep?: boolean): Promise<void>;
}

/** Paths are relative to the store's root, with `/` between their parts, `''` for the root itself. */
export interface Store extends AsyncDisposable {
  /** The store's URL for messages, without a password. */
  readonly url: string;
  /**
   * Lists one directory, not those below it. Unfinished files (`.part-…`) are left out.
   * @returns nothing where the directory does not exist
   * @throws store-limit where there are more entries than is plausible
   */
  list(directory: string): Promise<StoreEntry[]>;
  /** @returns undefined where there is nothing of that name; never follows a link */
  stat(path: string): Promise<StoreEntry | undefined>;
  /**
   * Reads a regular file in order, memory bounded.
   * @param fromBytes where to begin
   * @param lends a chunk is the reader's only until it asks for the next but one: its memory may be used again then
   * @throws store-not-found; io where it is no regular file or ends before the size it had when it was opened
   */
  read(path: string, fromBytes?: number, lends?: boolean): AsyncIterable<Buffer>;
  /**
   * Starts a new file; directories above it are made, and what an ended run left of the file is swept, and what ended runs left
   * beside it, days ago.
   * @param source names exactly what is uploaded, by 8 hexadecimal digits: what an upload of the same source has left is
   *   resumed, where the store can. What was left is foreign: the caller reads it back before it trusts it
   */
  create(path: string, source?: string): Promise<Upload>;
  /** Removes a file; one that is gone already is no error. */
  remove(path: string): Promise<void>;
}

/** @returns whether a name is one part of a path and nothing else; foreign bytes that are no UTF-8 arrive as U+FFFD */
export function isPlainName(name: string): boolean {
  const odd = name === '' || name === '.' || name === '..' || /[/\0\ufffd]/.test(name);
  return !odd && name.isWellFormed() && Buffer.byteLength(name) <= MAX_NAME_BYTES;
}

/**
 * Checks a path before a store uses it: relative, of plain names only.
 * @throws usage where it could lead out of the store
 */
export function checkStorePath(path: string): void {
  if (path === '' || path.split('/').every(isPlainName)) return;
  throw cannot('usage', 'use path', path, 'it is no relative path of plain names');
}

/** @returns whether a name is that of an unfinished file: of any, or of that with this final name */
export function isPart(name: string, finalName?: string): boolean {
  if (finalName === undefined) return name.startsWith(PART_PREFIX);
  const stem = `${PART_PREFIX}${finalName}.`;
  return name.startsWith(stem) && /^[0-9a-f]{8}$/.test(name.slice(stem.length));
}

/** As long as a pull waits to go on with what was cut. */
const STALE_MS = 3 * 86_400_000;

/** @returns whether it is an unfinished file that nobody goes on with any more, though its archive may never come again */
export function isStalePart(name: string, modifiedMs: number): boolean {
  return isPart(name) && /.\.[0-9a-f]{8}$/.test(name) && Date.now() - modifiedMs > STALE_MS;
}
