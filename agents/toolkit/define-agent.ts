// What an agent file declares: what its application consists of on this host. Everything else (backup, restore, describe,
// locks, streaming, checksums, exit codes) is the same code for all.
import type { Warning } from '../../archive/manifest.ts';
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import type { CORE_SETTINGS, SettingTable, SettingValues } from '../../lib/settings.ts';
import type { HostView } from './host-view.ts';

/** A file tree that belongs into the archive. */
export interface TreeSource {
  /** How its member is called, without a suffix: `[a-z0-9_]+`. */
  name: string;
  /** The directory; not a link (use realpath). */
  root: string;
  /** Paths below the root; only these are kept, and those that don't exist are passed over. Absent: all of it. */
  includes?: string[];
  /** Patterns of paths below the root that are left out; `*` stands for anything but `/`. */
  excludes?: string[];
  /** It may hold git repositories, which others push to meanwhile: they are copied whole, see git-tree.ts. */
  git?: boolean;
  /**
   * Patterns of paths below the root where work goes on all the time: that a file there, or below, changes or vanishes while
   * it is read is a line of the log, and no warning of every night.
   */
  underWay?: string[];
}

/** How rows of a database name files of a tree. */
export interface CrossCheck {
  /** The database's and the tree's names. */
  database: string;
  tree: string;
  /** One SELECT, without a semicolon: a row for each file that the database knows; no column is NULL. */
  sql: string;
  /** @returns paths below the tree's root, any one of which holds the row's file; none: the row is passed over */
  pathsOf(row: string[]): string[];
  /** @returns whether a row should name this file of the tree */
  concerns(path: string): boolean;
}

/** What a restore needs and the archive leaves out on purpose: a key that must not lie beside what it opens. */
export interface Withheld {
  /** A file, or what it is, for people: `secrets/master.key`. */
  what: string;
  /** What the administrator does about it, before and after the disaster. */
  remedy: string;
}

/** How an application is made to hold still while it is backed up. */
export interface Quiet<S extends SettingTable = SettingTable> {
  /**
   * Quiets it. An application that is quiet already is left so, without a `remember`: then it is not ours to undo.
   * @param remember writes down, on the disk, what `end` will need; to be called before a step with what is known, and
   *   again with what the step gave (the token of a lock). The last one counts.
   */
  begin(context: AgentContext<S>, remember: (token: unknown) => void): Promise<void>;
  /**
   * Undoes it as soon as databases and trees are read; also after a failure, a signal, or by the next start after a crash.
   * So the step may never have been taken, or be undone already: then there is nothing to do.
   * @param context its signal is a fresh one: the run's may have been aborted
   * @param token the last that was remembered, as JSON gives it back
   */
  end(context: AgentContext<S>, token: unknown): Promise<void>;
}

/** A backup that the application makes itself, as files that the trees then hold. */
export interface Product<S extends SettingTable = SettingTable> {
  /** Makes it, before anything is read; what an ended run has left of it is replaced. */
  make(context: AgentContext<S>): Promise<void>;
  /** Removes it: the archive that holds it is published. After a failed run it stays, until the next. */
  discard(context: AgentContext<S>): Promise<void>;
}

export interface AgentContext<S extends SettingTable = SettingTable> {
  settings: SettingValues<typeof CORE_SETTINGS & S>;
  /** Reads the application's configuration: from the host, or while restoring from what is being restored. */
  view: HostView;
  signal: AbortSignal;
}

export interface AgentDefinition<S extends SettingTable = SettingTable> {
  /** `[a-z][a-z0-9]*`, the same as the file's name. */
  application: string;
  /** The application's name for people. */
  title: string;
  /** For docs/agents.md: the real application, or what stands for it. */
  testedWith?: string;
  /** The settings that only this agent has. */
  settings: S;
  /** Where all databases are of one engine, which, and the setting that lists them: no URL of one stands beside it. */
  databaseServer?: { engine: string; list: string };
  /** @returns the application's version; a throw counts as `unknown`, with a warning */
  version(context: AgentContext<S>): Promise<string> | string;
  /** What one version has written no other one reads: a restore refuses a higher version here as well as a lower one. */
  exactVersion?: boolean;
  /** @returns the number of the build that the data belongs to, where an application has such a thing beside its version */
  build?(context: AgentContext<S>): string | undefined;
  databases(context: AgentContext<S>): Promise<DatabaseSource[]> | DatabaseSource[];
  /** @returns a database that a setting names, with what of it is the application's: only the tables of a prefix */
  narrow?(context: AgentContext<S>, source: DatabaseSource): DatabaseSource;
  trees(context: AgentContext<S>): Promise<TreeSource[]> | TreeSource[];
  /**
   * A tree that is not in the archive has no files: then every row's file is missing.
   * @param databases those that are backed up; with GARNER_DATABASE_URL not the application's own
   */
  crossChecks?(context: AgentContext<S>, databases: readonly DatabaseSource[]): CrossCheck[];
  /** Quiets the application for the time of the backup, where a copy of a running one is none. */
  quiet?: Quiet<S>;
  product?: Product<S>;
  /**
   * Looks at what was backed up: what is damaged there, and would be after a restore.
   * @param trees those that were read
   * @returns warnings
   */
  examine?(context: AgentContext<S>, trees: readonly TreeSource[]): Promise<Warning[]>;
  /** What `describe`, the manifest, a restore and the notification name; with GARNER_STRICT it fails a backup. */
  withheld?(context: AgentContext<S>): Withheld[];
  /** What the administrator does after a restore, as commands. */
  nextSteps?(context: AgentContext<S>): string[];
}

/** Declares an agent; the identity function that lets TypeScript check it. */
export function defineAgent<const S extends SettingTable>(
  definition: AgentDefinition<S>,
): AgentDefinition<S> {
  return definition;
}
