// What all commands of the archiver begin with: configuration, hosts, lock, mark and catalog, in this order.
import type { CommandContext } from '../lib/command-line.ts';
import { asGarnerError, cannot, GarnerError } from '../lib/errors.ts';
import { runSignal } from '../lib/interrupt.ts';
import { log, setLogFormat } from '../lib/log.ts';
import { CORE_SETTINGS, loadSettings, type SettingValues } from '../lib/settings.ts';
import { openFileStore } from '../stores/file.ts';
import type { Store } from '../stores/store.ts';
import { type Catalog, openCatalog } from './catalog/catalog.ts';
import {
  type ArchiverConfiguration,
  configurationFile,
  type HostConfiguration,
  readConfiguration,
  selectHosts,
} from './configuration.ts';
import { checkMark } from './layout.ts';
import { lockStore, type StoreLock } from './store-lock.ts';

/** Options that every command has. */
export interface CommonOptions {
  config?: string;
  json?: boolean;
}

export interface Setup {
  configuration: ArchiverConfiguration;
  /** Those that the command is about. */
  hosts: HostConfiguration[];
  settings: SettingValues<typeof CORE_SETTINGS>;
}

export interface Run {
  configuration: ArchiverConfiguration;
  catalog: Catalog;
  /** Where the archives lie. */
  archives: Store;
  signal: AbortSignal;
  /** When the run began. */
  now: Date;
  /** undefined: the run changes nothing, or somebody else sees to it that no other does. */
  lock?: StoreLock | undefined;
}

/** @returns whether a run was ended by its time limit: then it still tells what it did */
export function isOverdue({ aborted, reason }: AbortSignal): boolean {
  return aborted && reason instanceof GarnerError && reason.code === 'timeout';
}

/** Why something was not done, as `--json` shows it. */
export interface Failure {
  code: string;
  message: string;
  hint?: string;
}

/** Reads settings and configuration, and picks the hosts; touches nothing. */
export function setUp(context: CommandContext, options: CommonOptions, hostNames: string[]): Setup {
  const settings = loadSettings(CORE_SETTINGS, { known: context.known });
  setLogFormat(settings.GARNER_LOG);
  const configuration = readConfiguration(configurationFile(options.config));
  return { configuration, hosts: selectHosts(configuration, hostNames), settings };
}

/**
 * Runs what changes the archive store: alone, on a store that is there, with a catalog that is whole.
 * @param what for messages: `pull`
 * @param lock another one, for what takes that lock only when it has to
 * @throws locked, archive-store, catalog, and what the action throws
 */
export async function withStore<T>(
  setup: Setup,
  what: string,
  action: (run: Run) => Promise<T>,
  lock: (setup: Setup) => StoreLock | Disposable = lockStore,
): Promise<T> {
  const { configuration, settings } = setup;
  using running = runSignal(what, settings.GARNER_TIMEOUT);
  checkMark(configuration.root);
  using held = lock(setup);
  await using catalog = openCatalog(configuration.catalog);
  await using archives = openFileStore(configuration.root);
  const run = { configuration, catalog, archives, signal: running.signal, now: new Date() };
  return await action({ ...run, ...('narrow' in held && { lock: held }) });
}

/** Tells of a failure that doesn't end the run, and makes what `--json` shows of it. */
export function tellFailure(subject: string, caught: unknown, level: 'warn' | 'error' = 'error'): Failure {
  const { code, message, hint } = asGarnerError(caught);
  log(level, `${subject}: ${message}${hint === undefined ? '' : ` (hint: ${hint})`}`, { subject, code });
  return { code, message, ...(hint !== undefined && { hint }) };
}

/** The results of a run, from good to bad. */
export type Result = 'ok' | 'warnings' | 'failed';

export function worst(results: Result[]): Result {
  if (results.includes('failed')) return 'failed';
  return results.includes('warnings') ? 'warnings' : 'ok';
}

/** Refuses to go on where a clock can't be right: what is deleted, and when things were received, hangs on it. */
export async function checkClock({ catalog, now }: Run): Promise<void> {
  const last = await catalog.lastReceived();
  if (last === undefined) return;
  const since = now.getTime() - new Date(last).getTime();
  const refuse = (cause: string, hint: string): Error =>
    cannot('prune-refused', 'prune at', now.toISOString(), cause, { hint: `set the clock right; ${hint}` });
  if (since < -CLOCK_SLACK_MS) {
    throw refuse(
      `the newest archive was received at ${last}, later than now`,
      'if it is right now, archiver rescan brings times of the future back',
    );
  }
  if (since > YEAR_MS) {
    throw refuse(
      `nothing was received since ${last}`,
      'if it is right, it goes on once something was received',
    );
  }
}

/** A clock that is being adjusted goes back by less. */
const CLOCK_SLACK_MS = 60_000;
const YEAR_MS = 366 * 86_400_000;
