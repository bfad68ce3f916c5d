// A restore: verify, version gate, look at what would be replaced, extract beside it, database, swap the files in. What
// is refused is refused before anything is changed; what is replaced is put aside first.
import { closeSync, existsSync, fsyncSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, isAbsolute, join, normalize, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { type DecodeOptions, decodeMember } from '../../archive/decode.ts';
import { startEncoding } from '../../archive/encode.ts';
import type { Manifest, Member } from '../../archive/manifest.ts';
import { groupName, parseSidecar } from '../../archive/name.ts';
import { type ArchiveReader, openArchive } from '../../archive/read.ts';
import { verifyArchive } from '../../archive/verify.ts';
import type { Aside, Engine } from '../../databases/toolkit/engine.ts';
import { loadEngine } from '../../databases/toolkit/engines.ts';
import { createFile, partPath, publish, writeFully } from '../../lib/durable.ts';
import { cannot, causeText, type GarnerError } from '../../lib/errors.ts';
import { acquireLock } from '../../lib/lock.ts';
import { info, warn } from '../../lib/log.ts';
import { startProgress } from '../../lib/progress.ts';
import { formatDuration, formatSize, plural } from '../../lib/text.ts';
import { openWorkDir } from '../../lib/work-dir.ts';
import type { AgentContext, AgentDefinition } from './define-agent.ts';
import { hostView } from './host-view.ts';
import { databasesOf, sourceFromUrl } from './sources.ts';
import {
  occupiedPaths,
  removeStaged,
  type StagedTree,
  stageTree,
  swapIn,
  type TreeTarget,
} from './stage-tree.ts';
import { compareVersions, readVersion } from './versions.ts';

export interface RestoreOptions {
  /** The archive's path. */
  file: string;
  only: 'database' | 'files' | undefined;
  /** A directory that gets everything; nothing outside it is written. */
  to: string | undefined;
  dryRun: boolean;
  force: boolean;
}

export interface RestoreResult {
  /** Whether something of the archive was left out (links outward, devices). */
  complete: boolean;
  nextSteps: string[];
}

/** One database of the archive and where it goes. */
interface DatabaseTarget {
  member: Member;
  engine: Engine;
  /** A file for the dump, or the database itself. */
  goesTo: { file: string } | { connection: unknown };
}

interface TreePlan {
  member: Member;
  target: TreeTarget;
}

const lockName = (agent: AgentDefinition, instance: string | undefined): string =>
  `agent-${groupName(agent.application, instance)}`;

const baseName = (member: Member): string => member.name.replace(/\.(sql|dump|tar)(\.zst)?(\.age)?$/, '');

/**
 * Restores an archive.
 * @throws not-an-archive, checksum-mismatch, content-mismatch before anything is changed; restore-refused where
 *   something would be replaced without `force`; version-gate
 */
export async function restore(
  agent: AgentDefinition,
  instance: string | undefined,
  options: RestoreOptions,
  context: AgentContext,
): Promise<RestoreResult> {
  const { settings, signal } = context;
  const { file } = options;
  const started = Date.now();
  // into a directory of its own a restore disturbs nobody, and writes nothing elsewhere
  using _lock =
    options.to === undefined ? acquireLock(settings.GARNER_RUN_DIR, lockName(agent, instance)) : undefined;
  using archive = openArchive(file);
  const { manifest } = archive;
  if (manifest.application !== agent.application) {
    throw cannot('usage', 'restore', file, `it is an archive of ${manifest.application}`, {
      hint: `agent-${manifest.application} restore ${file}`,
    });
  }
  const progress = startProgress('verify and restore', archive.sizeBytes * 3);
  const decoding: DecodeOptions = {
    signal,
    identityFile: settings.GARNER_AGE_IDENTITY_FILE,
    onBytes: progress.add,
  };
  const stagedTrees: StagedTree[] = [];
  try {
    info(
      `${basename(file)}: ${agent.title} ${manifest.version} of ${manifest.host}, ${manifest.startedAt}, ${formatSize(archive.sizeBytes)}`,
    );
    await verify(file, decoding);
    const treePlans = options.only === 'database' ? [] : await planTrees(agent, manifest, options, context);
    if (options.to === undefined) await checkVersion(agent, manifest, options, context);
    refuseOccupiedTrees(treePlans, options);
    if (options.to !== undefined && !options.dryRun) mkdirSync(options.to, { recursive: true, mode: 0o700 });
    if (options.dryRun) for (const { target } of treePlans) info(`would restore files to ${target.root}`);
    else {
      for (const { member, target } of treePlans)
        stagedTrees.push(await stageTree(archive, member, target, decoding));
    }

    const overlays = treePlans.flatMap(({ target }, index) => {
      const staged = stagedTrees[index];
      return staged === undefined ? [] : [{ root: target.root, staged: staged.directory }];
    });
    const restored = { ...context, view: hostView(overlays) };
    const databases = options.only === 'files' ? [] : await planDatabases(agent, manifest, options, restored);
    await refuseOccupiedDatabases(databases, options, signal);
    if (options.dryRun) {
      for (const { engine, goesTo } of databases)
        info(`would restore a database to ${describeTarget(engine, goesTo)}`);
      return { complete: true, nextSteps: [] };
    }

    // to the millisecond: what two restores put aside must not meet
    const stamp = new Date().toISOString().replace(/[-:.]/g, '');
    for (const target of databases) await restoreDatabase(archive, target, stamp, decoding, context);
    const refused: string[] = [];
    for (const [index, { target }] of treePlans.entries()) {
      const staged = stagedTrees[index] as StagedTree;
      const aside = swapIn(staged, target, stamp);
      info(`files: restored to ${target.root}`);
      if (aside !== undefined) info(`what was there before lies in ${aside}`);
      refused.push(...staged.refused);
    }
    for (const what of refused) warn(`left out, because an archive must not bring it: ${what}`);
    info(`restored in ${formatDuration(Date.now() - started)}`);
    const inPlace = options.to === undefined;
    return { complete: refused.length === 0, nextSteps: inPlace ? (agent.nextSteps?.(restored) ?? []) : [] };
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    progress.done();
    for (const staged of stagedTrees) removeStaged(staged);
  }
}

async function verify(file: string, decoding: DecodeOptions): Promise<void> {
  const sidecar = `${file}.sha256`;
  let expectedSha256: string | undefined;
  if (existsSync(sidecar))
    expectedSha256 = parseSidecar(readFileSync(sidecar, 'utf8'), basename(file), 'sha256');
  else
    warn(
      `${basename(sidecar)} is missing: only the members are verified, by the digests in the archive itself`,
    );
  const { level } = await verifyArchive(file, { ...decoding, expectedSha256 });
  info(
    `verified: ${level === 'content' ? 'every member is what the manifest says' : 'the bytes are those recorded'}`,
  );
}

/** Where each tree of the archive goes: into --to, to where the application has it on this host, or to where it was. */
async function planTrees(
  agent: AgentDefinition,
  manifest: Manifest,
  { to }: RestoreOptions,
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
    const plain = isAbsolute(wanted) && normalize(wanted) === wanted && wanted !== '/';
    if (!plain || includes?.some((path) => join('/', path) !== `/${path}` || path === '')) {
      throw cannot('not-an-archive', 'restore files to', wanted, 'the manifest names no plain absolute path');
    }
    return { member, target: { root: wanted, includes } };
  });
}

async function checkVersion(
  agent: AgentDefinition,
  manifest: Manifest,
  { force }: RestoreOptions,
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
  const order = compareVersions(here, manifest.version);
  if (order === undefined || order === 0) return;
  const text = `${agent.title} here is ${here}, the archive is of ${manifest.version}`;
  if (order > 0) return warn(`${text}: the application may have to upgrade its data`);
  if (force) return warn(`${text}: restored all the same, because of --force`);
  throw cannot('version-gate', 'restore', basename(manifest.application), text, {
    hint: `install ${agent.title} ${manifest.version} first, or use --force`,
  });
}

function refused(archive: string, what: string[]): GarnerError {
  return cannot('restore-refused', 'restore', basename(archive), `it would replace ${what.join(', ')}`, {
    hint: 'with --force what is there is put aside first; --to DIR restores into another directory',
  });
}

function refuseOccupiedTrees(plans: readonly TreePlan[], { file, force }: RestoreOptions): void {
  const occupied = plans.flatMap(({ target }) => occupiedPaths(target));
  if (occupied.length > 0 && !force) throw refused(file, occupied);
  for (const path of occupied) info(`${path} will be put aside`);
}

async function planDatabases(
  agent: AgentDefinition,
  manifest: Manifest,
  { to }: RestoreOptions,
  context: AgentContext,
): Promise<DatabaseTarget[]> {
  const members = manifest.members.filter(({ kind }) => kind === 'database');
  const url = context.settings.GARNER_RESTORE_DATABASE_URL;
  // the URL is for the application's main database: the first
  const main = url === undefined ? undefined : await sourceFromUrl(url, 'GARNER_RESTORE_DATABASE_URL');
  const others =
    to === undefined && members.length > (main === undefined ? 0 : 1)
      ? await databasesOf(agent, context)
      : [];

  return Promise.all(
    members.map(async (member, index) => {
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
  );
}

function describeTarget(engine: Engine, goesTo: DatabaseTarget['goesTo']): string {
  return 'file' in goesTo ? goesTo.file : engine.describe(goesTo.connection);
}

async function refuseOccupiedDatabases(
  targets: readonly DatabaseTarget[],
  { file, force }: RestoreOptions,
  signal: AbortSignal,
): Promise<void> {
  for (const { engine, goesTo } of targets) {
    const there =
      'file' in goesTo
        ? existsSync(goesTo.file)
          ? 'a file'
          : undefined
        : await engine.occupied(goesTo.connection, signal);
    if (there === undefined) continue;
    const what = `${describeTarget(engine, goesTo)} (${there})`;
    if (!force) throw refused(file, [what]);
    info(`${what} will be put aside`);
  }
}

async function restoreDatabase(
  archive: ArchiveReader,
  { member, engine, goesTo }: DatabaseTarget,
  stamp: string,
  decoding: DecodeOptions,
  context: AgentContext,
): Promise<void> {
  const { signal } = context;
  if ('file' in goesTo) {
    if (existsSync(goesTo.file)) throw refused(archive.file, [goesTo.file]);
    await writeDump(archive, member, goesTo.file, decoding);
    return info(`database: dump put into ${goesTo.file}`);
  }
  const { connection } = goesTo;
  const occupied = await engine.occupied(connection, signal);
  const aside: Aside = {
    path: (file) => `${file}.before-restore-${stamp}`,
    dump: () => dumpAside(engine, connection, stamp, context),
  };
  const old = await engine.restore(connection, {
    decode: (sink) => decodeMember(archive, member, sink, decoding),
    aside: occupied === undefined ? undefined : aside,
    signal,
  });
  const tables = Object.keys(member.database?.tables ?? {}).length;
  info(`database: ${plural(tables, 'table')} restored to ${engine.describe(connection)}`);
  if (old !== undefined) info(`what was in it before lies in ${old}`);
}

/** Puts a dump, decompressed, into a directory: ready for the database's own client. */
async function writeDump(
  archive: ArchiveReader,
  member: Member,
  file: string,
  decoding: DecodeOptions,
): Promise<void> {
  const part = partPath(file);
  const fd = createFile(part);
  try {
    await decodeMember(archive, member, (chunk) => writeFully(fd, chunk), decoding);
    fsyncSync(fd);
    publish(part, file);
  } finally {
    closeSync(fd);
    rmSync(part, { force: true });
  }
}

/** Dumps what is about to be replaced into the work directory. */
async function dumpAside(
  engine: Engine,
  connection: unknown,
  stamp: string,
  { settings, signal }: AgentContext,
): Promise<string> {
  const workDir = await openWorkDir(settings.GARNER_WORK_DIR, settings.GARNER_GROUP, signal);
  const name = `before-restore-${basename(engine.databaseName(connection))}-${stamp}.${engine.dumpSuffix}.zst`;
  const file = join(workDir.path, name);
  const part = partPath(file);
  const fd = createFile(part);
  try {
    await engine.dump(connection, {
      encode: (commands, stdin) =>
        startEncoding(commands, (chunk) => writeFully(fd, chunk), {
          stdin,
          encoding: { recipients: [] },
          signal,
        }) as {
          stdin: Writable | undefined;
          ended: ReturnType<typeof startEncoding>['ended'];
        },
      signal,
      scratchPath: (suffix) => partPath(`${file}.${suffix}`),
      expectedTables: [],
      derivedTables: [],
      clientOptions: [],
    });
    fsyncSync(fd);
    publish(part, file);
    return file;
  } finally {
    closeSync(fd);
    rmSync(part, { force: true });
  }
}
