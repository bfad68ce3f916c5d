// A store is where archives lie: a directory, a host reached by SFTP. One file per kind; the URL's scheme picks it.
// A store moves bytes and names only; what an archive is, and whether it is whole, is not its business.

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
  write(chunk: Buffer): void | Promise<void>;
  /**
   * Makes all that was written durable and gives the file its final name.
   * @throws store-exists where the name is taken: nothing is ever overwritten
   */
  publish(): Promise<void>;
  /** Removes what was written. Safe to call after a failed publish; does nothing after a successful one. */
  abort(): Promise<void>;
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
   * @throws store-not-found; io where it is no regular file or ends before the size it had when it was opened
   */
  read(path: string): AsyncIterable<Buffer>;
  /** Starts a new file; directories above it are made. */
  create(path: string): Promise<Upload>;
  /** Removes a file; one that is gone already is no error. */
  remove(path: string): Promise<void>;
}
