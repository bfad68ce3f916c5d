// What a database engine offers: one file per engine in databases/, each with this as its default export.
import type { Command, Ended } from '../../lib/process.ts';

export interface DumpFacts {
  serverVersion: string;
  /** Rows of each table, counted in the dump's own snapshot. */
  tables: Record<string, number>;
  /** The server's accounts that the database names, where they are in no dump. */
  roles?: string[];
  uncompressedSizeBytes: number;
  warnings: { code: string; message: string }[];
}

/** Stores bytes, or what a file or commands give, encoded; see archive/encode.ts. */
export type Encode = (
  commands: readonly Command[],
  stdin: 'pipe' | 'ignore' | number,
) => { stdin: NodeJS.WritableStream | undefined; ended: Promise<Ended[]> };

/** Gives the original bytes of a dump to a program or a function; see archive/decode.ts. */
export type Decode = (sink: Command | ((chunk: Buffer) => void | Promise<void>)) => Promise<number>;

/** A question that is answered from the same data as the dump. */
export interface SnapshotQuery {
  /** One SELECT, without a semicolon; no column is NULL. */
  sql: string;
  /** @param values the columns of one row, as texts */
  onRow(values: string[]): void;
  /** It can't be answered; the dump goes on. */
  onFailure(error: unknown): void;
}

export interface DumpContext {
  encode: Encode;
  signal: AbortSignal;
  /** Makes the path of a scratch file in the work directory; what is left there is swept. */
  scratchPath: (name: string) => string;
  /** Tables that the application has, where it knows them: to name those that the account can't see. */
  expectedTables: readonly string[];
  /** Tables that the application can make anew from the others: that they are in no snapshot does not matter. */
  derivedTables: readonly string[];
  /** The application has no stored routines: that the account may see none is no reason to warn. */
  withoutRoutines: boolean;
  /** More options for the client, from MYSQLDUMP_PARAMS. */
  clientOptions: readonly string[];
  /** Answered in the dump's own snapshot; MySQL: in one that is taken a moment before. */
  queries: readonly SnapshotQuery[];
}

export interface Engine<Connection = unknown> {
  /** What the manifest calls it. */
  name: string;
  /** The URL schemes that name it. */
  schemes: readonly string[];
  /** The member's suffix before encoding: text that a client reads, or the engine's own form. */
  dumpSuffix: 'sql' | 'dump';
  /** The suffix of a dump that is put into a directory. */
  fileSuffix: string;
  /** @throws configuration where the URL lacks what is needed */
  connectionFromUrl(url: URL): Connection;
  /** For an engine whose URLs are more than the standard knows, in its place: several hosts with ports. */
  connectionFromText?(url: string): Connection;
  /** Names the database for people, without a secret. */
  describe(connection: Connection): string;
  /** The name of the database itself. */
  databaseName(connection: Connection): string;
  /** @returns how large the database is on its server, for a look before the backup */
  inspect(
    connection: Connection,
    signal: AbortSignal,
  ): Promise<{ serverVersion: string; sizeBytes: number; tables: string[] }>;
  /** Dumps one snapshot and proves that the dump is whole. */
  dump(connection: Connection, context: DumpContext): Promise<DumpFacts>;
  /** @returns what a restore would replace (`12 tables`), or undefined where the database is empty or missing */
  occupied(connection: Connection, signal: AbortSignal): Promise<string | undefined>;
  /** Puts a dump into the database. @returns where what was replaced lies now, if anything was */
  restore(connection: Connection, context: RestoreContext): Promise<string | undefined>;
  /** Whether its clients can run in the server's container, see container.ts. */
  runsInContainer?: boolean;
  /** Whether a restore may use several connections. */
  restoresInParallel?: boolean;
  /** What is the server's and in no dump: its roles. */
  roles?: {
    /** @returns the same for databases whose roles are the same */
    serverOf(connection: Connection): string;
    /** @returns all roles as SQL */
    dump(connection: Connection, signal: AbortSignal): Promise<string>;
  };
}

export interface RestoreContext {
  decode: Decode;
  /** Decodes the dump into a scratch file, which is gone when it is disposed. */
  decodeToFile: () => Promise<{ path: string } & Disposable>;
  /** The tables that the dump brings, where they are known. */
  tables?: readonly string[];
  /** Undefined: the database is empty; else what is in it is first put aside. */
  aside: Aside | undefined;
  /** Undefined: the archive has none. */
  roles: ArchivedRoles | undefined;
  /** How many connections restore at once, where the engine can; undefined: one, and all or nothing. */
  jobs: number | undefined;
  signal: AbortSignal;
}

export interface ArchivedRoles {
  /** Those that the database names. */
  names: readonly string[];
  /** @returns what makes all roles of the server */
  readSql(): Promise<string>;
}

/** The two ways to keep what a restore replaces. */
export interface Aside {
  /** @returns the path to move a file to, beside it */
  path: (file: string) => string;
  /** Dumps the database into the work directory. @returns the dump's path */
  dump: () => Promise<string>;
}

/** A database that an application uses. */
export interface DatabaseSource {
  /** How its member is called in the archive, without a suffix. */
  name: string;
  engine: string;
  connection: unknown;
  expectedTables?: readonly string[];
  derivedTables?: readonly string[];
  withoutRoutines?: boolean;
  /** Not on this host (yet): a backup passes it over, a restore may make it. */
  absent?: boolean;
}
