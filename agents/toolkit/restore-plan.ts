// What a restore will do, decided and refused before anything is changed: where each tree and each database goes, whether
// the version fits, and what would be replaced.
import { existsSync } from 'node:fs';
import { basename, isAbsolute, join, normalize, resolve } from 'node:path';
import type { Manifest, Member } from '../../archive/manifest.ts';
import type { DatabaseSource, Engine } from '../../databases/toolkit/engine.ts';
import { loadEngine } from '../../databases/toolkit/engines.ts';
import { cannot, causeText, type GarnerError } from '../../lib/errors.ts';
import { info, warn } from '../../lib/log.ts';
import type { AgentContext, AgentDefinition } from './define-agent.ts';
import { placeClients } from './place-clients.ts';
import { databasesOf, sourceFromUrl } from './sources.ts';
import { occupiedPaths, type TreeTarget } from './stage-tree.ts';
import { compareVersions, readVersion } from './versions.ts';

export interface RestoreOptions {
  /** The archive's path. */
  file: string;
  only: 'database' | 'files' | undefined;
  /** A directory that gets everything; nothing outside it is written. */
  to: string | undefined;
  dryRun: boolean;
  force: boolean;
  /** How many connections restore one database at once, where its engine can. */
  jobs?: number | undefined;
}

/** One database of the archive and where it goes. */
export interface DatabaseTarget {
  member: Member;
  engine: Engine;
  /** A file for the dump, or the database itself. */
  goesTo: { file: string } | { connection: unknown };
}

/** One tree of the archive and where it goes. */
export interface TreePlan {
  member: Member;
  target: TreeTarget;
}

/** @returns what the member was stored as, without suffixes */
export const baseName = (member: Member): string =>
  member.name.replace(/\.(sql|dump|tar)(\.zst)?(\.age)?$/, '');

/** Where each tree of the archive goes: into --to, to where the application has it on this host, or to where it was. */
export async function planTrees(
  agent: AgentDefinition,
  manifest: Manifest,
  { to, force }: RestoreOptions,
  context: AgentContext,
): Promise<TreePlan[]> {
  const members = manifest.members.filter(({ kind }) => kind === 'tree');
  let here: Map<string, string> = new Map();
  if (to === undefined) {
    try {
      here = new Map((await agent.trees(context)).map(({ name, root }) => [name, root]));
    } catch (error) {
      info(
        `the application is not found on this host (${causeText(error)}); its files go to where they were`,
      );
    }
  }
  return members.map((member) => {
    const name = baseName(member);
    const { root = '', includes } = member.tree ?? {};
    if (to !== undefined) return { member, target: { root: join(resolve(to), name), includes: undefined } };
    const wanted = here.get(name) ?? root;
    const isKnown = here.size === 0 || [...here.values()].some((own) => `${wanted}/`.startsWith(`${own}/`));
    const plain = isAbsolute(wanted) && normalize(wanted) === wanted && wanted !== '/';
    if (!plain || includes?.some((path) => join('/', path) !== `/${path}` || path === '')) {
      throw cannot('not-an-archive', 'restore files to', wanted, 'the manifest names no plain absolute path');
    }
    if (!isKnown && !force) {
      // an archive of a host that somebody has broken into must not choose where root writes on this one
      throw cannot(
        'restore-refused',
        'restore files to',
        wanted,
        'the application has nothing there on this host',
        {
          hint: '--to DIR restores into another directory; with --force they go to where they were',
        },
      );
    }
    return { member, target: { root: wanted, includes } };
  });
}

/** @returns the build here, where it can be told: the home that has it may be gone */
function buildHere(agent: AgentDefinition, context: AgentContext): string | undefined {
  try {
    return agent.build?.(context);
  } catch {
    return undefined;
  }
}

/** @throws version-gate where the application here is older than the archive's, or has to be the same, without `force` */
export async function checkVersion(
  agent: AgentDefinition,
  manifest: Manifest,
  { file, force }: RestoreOptions,
  context: AgentContext,
): Promise<void> {
  let here: string;
  try {
    here = await readVersion(agent, context);
  } catch (error) {
    warn(
      `the version of ${agent.title} on this host is unknown (${causeText(error)}); the archive is of ${manifest.version}`,
    );
    return;
  }
  let order = agent.exactVersion && here !== manifest.version ? -1 : compareVersions(here, manifest.version);
  let text = `${agent.title} here is ${here}, the archive is of ${manifest.version}`;
  let wanted = manifest.version;
  if (order === undefined || order === 0) {
    // a build says more of the data than a version that is the same, or that somebody has set
    const build = buildHere(agent, context);
    order = compareVersions(build ?? '', manifest.build ?? '');
    text = `${agent.title} ${here} here is of build ${build}, the archive is of ${manifest.build}`;
    wanted = `of build ${manifest.build}`;
  }
  if (order === undefined || order === 0) return;
  if (order > 0) return warn(`${text}: the application may have to upgrade its data`);
  if (force) return warn(`${text}: restored all the same, because of --force`);
  throw cannot('version-gate', 'restore', basename(file), text, {
    hint: `install ${agent.title} ${wanted} first, or use --force`,
  });
}

/** @returns the error that says what would be replaced */
export function refused(archive: string, what: string[]): GarnerError {
  return cannot('restore-refused', 'restore', basename(archive), `it would replace ${what.join(', ')}`, {
    hint: 'with --force what is there is put aside first; --to DIR restores into another directory',
  });
}

/**
 * @param databases tells what restoring the databases would replace, as far as that is known before files are there
 * @throws restore-refused where files would be replaced, without `force`
 */
export async function refuseOccupiedTrees(
  plans: readonly TreePlan[],
  { file, force }: RestoreOptions,
  databases: () => Promise<string[]>,
): Promise<void> {
  const occupied = plans.flatMap(({ target }) => occupiedPaths(target));
  // whoever decides on --force has to know of both
  if (occupied.length > 0 && !force)
    throw refused(file, [...occupied, ...(await databases().catch(() => []))]);
  for (const path of occupied) info(`${path} will be put aside`);
}

/** Where each database of the archive goes: into GARNER_RESTORE_DATABASE_URL, into --to, or to where the application has it. */
export async function planDatabases(
  agent: AgentDefinition,
  manifest: Manifest,
  { file, to }: RestoreOptions,
  context: AgentContext,
): Promise<DatabaseTarget[]> {
  const members = manifest.members.filter(({ kind }) => kind === 'database');
  const url = context.settings.GARNER_RESTORE_DATABASE_URL;
  const onServers = members.filter(({ database }) => database?.engine !== 'sqlite');
  if (url !== undefined && to === undefined && onServers.length > 1) {
    // the others would go to where they are in use
    throw cannot(
      'usage',
      'restore',
      basename(file),
      `it has ${onServers.length} databases, GARNER_RESTORE_DATABASE_URL names one`,
      { hint: 'restore with --to DIR: the first goes to the URL, the others become files to load by hand' },
    );
  }
  if (url !== undefined) await placeClients(context);
  // the URL is for the application's main database: the first
  const main =
    url === undefined
      ? undefined
      : narrowed(agent, context, await sourceFromUrl(url, 'GARNER_RESTORE_DATABASE_URL'));
  const others =
    to === undefined && members.length > (main === undefined ? 0 : 1)
      ? await databasesOf(agent, context)
      : [];

  const rolesFiles = manifest.members.filter(({ kind }) => kind === 'roles' && to !== undefined);
  return Promise.all([
    ...members.map(async (member, index): Promise<DatabaseTarget> => {
      const engine = await loadEngine(member.database?.engine ?? '');
      const only = members.length === 1 && others.length === 1 ? others[0] : undefined;
      const named = others.find(({ name }) => name === baseName(member)) ?? only;
      const source = index === 0 && main !== undefined ? main : named;
      if (source === undefined && to !== undefined) {
        return {
          member,
          engine,
          goesTo: { file: join(resolve(to), `${baseName(member)}.${engine.fileSuffix}`) },
        };
      }
      if (source === undefined) {
        throw cannot(
          'application-configuration',
          'restore database',
          baseName(member),
          "this host's application has no such database",
          {
            hint: 'set GARNER_RESTORE_DATABASE_URL, or restore with --to DIR',
          },
        );
      }
      if (source.engine !== engine.name) {
        throw cannot(
          'usage',
          'restore database',
          baseName(member),
          `it is of ${engine.name}, the target is ${source.engine}`,
        );
      }
      return { member, engine, goesTo: { connection: source.connection } };
    }),
    ...rolesFiles.map(async (member): Promise<DatabaseTarget> => {
      const engine = await loadEngine(member.roles?.engine ?? '');
      return { member, engine, goesTo: { file: join(resolve(to as string), `${baseName(member)}.sql`) } };
    }),
  ]);
}

/** Another host need not have the configuration that tells it. */
function narrowed(agent: AgentDefinition, context: AgentContext, source: DatabaseSource): DatabaseSource {
  try {
    return agent.narrow?.(context, source) ?? source;
  } catch (error) {
    info(`the whole of the database is taken for ${agent.title}'s: ${causeText(error)}`);
    return source;
  }
}

/** @returns where a database goes, for people */
export function describeTarget(engine: Engine, goesTo: DatabaseTarget['goesTo']): string {
  return 'file' in goesTo ? goesTo.file : engine.describe(goesTo.connection);
}

/** @returns what restoring the databases would replace, for people */
export async function occupiedDatabases(
  targets: readonly DatabaseTarget[],
  signal: AbortSignal,
): Promise<string[]> {
  const occupied: string[] = [];
  for (const { engine, goesTo } of targets) {
    const fileThere = 'file' in goesTo && existsSync(goesTo.file) ? 'a file' : undefined;
    const there = 'file' in goesTo ? fileThere : await engine.occupied(goesTo.connection, signal);
    if (there !== undefined) occupied.push(`${describeTarget(engine, goesTo)} (${there})`);
  }
  return occupied;
}

/** @throws restore-refused where a database isn't empty, without `force` */
export async function refuseOccupiedDatabases(
  targets: readonly DatabaseTarget[],
  { file, force }: RestoreOptions,
  signal: AbortSignal,
): Promise<void> {
  const occupied = await occupiedDatabases(targets, signal);
  if (occupied.length > 0 && !force) throw refused(file, occupied);
  for (const what of occupied) info(`${what} will be put aside`);
}
