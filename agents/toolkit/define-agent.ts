// What an agent file declares: what its application consists of on this host. Everything else (backup, restore, describe,
// locks, streaming, checksums, exit codes) is the same code for all.
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
  /** The settings that only this agent has. */
  settings: S;
  /** Where all databases are of one engine, which, and the setting that lists them: no URL of one stands beside it. */
  databaseServer?: { engine: string; list: string };
  /** @returns the application's version; a throw counts as `unknown`, with a warning */
  version(context: AgentContext<S>): Promise<string> | string;
  /** @returns the number of the build that the data belongs to, where an application has such a thing beside its version */
  build?(context: AgentContext<S>): string | undefined;
  databases(context: AgentContext<S>): Promise<DatabaseSource[]> | DatabaseSource[];
  trees(context: AgentContext<S>): Promise<TreeSource[]> | TreeSource[];
  /**
   * A tree that is not in the archive has no files: then every row's file is missing.
   * @param databases those that are backed up; with GARNER_DATABASE_URL not the application's own
   */
  crossChecks?(context: AgentContext<S>, databases: readonly DatabaseSource[]): CrossCheck[];
  /** What the administrator does after a restore, as commands. */
  nextSteps?(context: AgentContext<S>): string[];
}

/** Declares an agent; the identity function that lets TypeScript check it. */
export function defineAgent<const S extends SettingTable>(
  definition: AgentDefinition<S>,
): AgentDefinition<S> {
  return definition;
}
