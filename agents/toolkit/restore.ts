// A restore: verify, version gate, look at what would be replaced, extract beside it, put what is there aside, database,
// files into place. What is refused is refused before anything is changed; where the database fails, the files that were
// put aside come back.
import { closeSync, existsSync, fsyncSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Writable } from 'node:stream';
import { type DecodeOptions, decodeMember } from '../../archive/decode.ts';
import { decoders, startEncoding } from '../../archive/encode.ts';
import { extractMember } from '../../archive/extract.ts';
import { groupName } from '../../archive/name.ts';
import { type ArchiveReader, openArchive, readSidecar } from '../../archive/read.ts';
import { verifyArchive } from '../../archive/verify.ts';
import type { Aside, Engine } from '../../databases/toolkit/engine.ts';
import { createFile, partPath, publish, writeFully } from '../../lib/durable.ts';
import { cannot, GarnerError } from '../../lib/errors.ts';
import { acquireLock } from '../../lib/lock.ts';
import { info, warn } from '../../lib/log.ts';
import { startProgress } from '../../lib/progress.ts';
import { formatDuration, formatSize, plural, shellWord } from '../../lib/text.ts';
import { openWorkDir } from '../../lib/work-dir.ts';
import type { AgentContext, AgentDefinition, Withheld } from './define-agent.ts';
import { hostView } from './host-view.ts';
import { undoSteps } from './quiet.ts';
import {
  checkVersion,
  type DatabaseTarget,
  describeTarget,
  occupiedDatabases,
  planDatabases,
  planTrees,
  type RestoreOptions,
  refuseOccupiedDatabases,
  refuseOccupiedTrees,
} from './restore-plan.ts';
import { archivedRoles } from './roles.ts';
import { scratchDump } from './scratch-dump.ts';
import {
  type Moved,
  putIntoPlace,
  removeStaged,
  type StagedTree,
  setAside,
  stageTree,
  sweepStaged,
} from './stage-tree.ts';
import { openUndoMark } from './undo-mark.ts';

export interface RestoreResult {
  /**
   * Whether nothing was left out (links outward, devices), the archive had its checksum file, and nothing is left that a
   * backup did to the application.
   */
  complete: boolean;
  /** What the archive lacks on purpose. */
  withheld: Withheld[];
  nextSteps: string[];
}

const lockName = (agent: AgentDefinition, instance: string | undefined): string =>
  `agent-${groupName(agent.application, instance)}`;

/** Where a server tells the version, that is the server that the restore goes to. */
function atTarget(context: AgentContext): AgentContext {
  const { GARNER_DATABASE_URL, GARNER_RESTORE_DATABASE_URL = GARNER_DATABASE_URL } = context.settings;
  return { ...context, settings: { ...context.settings, GARNER_DATABASE_URL: GARNER_RESTORE_DATABASE_URL } };
}

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
  const undone = options.to !== undefined || options.dryRun || (await undoLeft(agent, instance, context));
  using archive = openArchive(file);
  const { manifest } = archive;
  const { withheld = [] } = manifest;
  if (manifest.application !== agent.application) {
    throw cannot('usage', 'restore', file, `it is an archive of ${manifest.application}`, {
      hint: `agent-${manifest.application} restore ${shellWord(file)}`,
    });
  }
  const progress = startProgress('verify and restore', archive.sizeBytes * 3);
  const decoding: DecodeOptions = {
    signal,
    identityFile: settings.GARNER_AGE_IDENTITY_FILE,
    onBytes: progress.add,
  };
  const stagedTrees: StagedTree[] = [];
  const databasePlans = async (where: AgentContext): Promise<DatabaseTarget[]> =>
    options.only === 'files' ? [] : planDatabases(agent, manifest, options, where);
  try {
    info(
      `${basename(file)}: ${agent.title} ${manifest.version} of ${manifest.host}, ${manifest.startedAt}, ${formatSize(archive.sizeBytes)}`,
    );
    // an identity that is missing is told before anything is made
    for (const { encoding } of manifest.members) decoders(encoding, settings.GARNER_AGE_IDENTITY_FILE);
    const hasChecksum = await verify(file, decoding);
    const treePlans = options.only === 'database' ? [] : await planTrees(agent, manifest, options, context);
    const wanted = options.only === 'files' ? 'tree' : options.only;
    if (wanted !== undefined && !manifest.members.some(({ kind }) => kind === wanted))
      warn(`nothing is restored: the archive has no ${options.only}`);
    if (options.to === undefined) await checkVersion(agent, manifest, options, atTarget(context));
    await refuseOccupiedTrees(treePlans, options, async () =>
      occupiedDatabases(await databasePlans(context), signal),
    );
    if (options.to !== undefined && !options.dryRun) mkdirSync(options.to, { recursive: true, mode: 0o700 });
    if (options.dryRun) for (const { target } of treePlans) info(`would restore files to ${target.root}`);
    else {
      const group = groupName(agent.application, instance);
      const roots = treePlans.map(({ target }) => target.root);
      if (options.to === undefined)
        sweepStaged(
          treePlans.map(({ target }) => target),
          group,
        );
      for (const { member, target } of treePlans)
        stagedTrees.push(await stageTree(archive, member, target, group, roots, decoding));
    }

    const overlays = treePlans.flatMap(({ target }, index) => {
      const staged = stagedTrees[index];
      return staged === undefined ? [] : [{ root: target.root, staged: staged.directory }];
    });
    const restored = { ...context, view: hostView(overlays) };
    let databases: DatabaseTarget[];
    try {
      databases = await databasePlans(restored);
    } catch (error) {
      // a dry run extracts nothing: the configuration that names the databases is still in the archive
      const inArchive = error instanceof GarnerError && error.code === 'application-configuration';
      if (!options.dryRun || treePlans.length === 0 || !inArchive) throw error;
      info("would restore the databases to where the archive's own configuration says");
      return { complete: hasChecksum, withheld, nextSteps: [] };
    }
    await refuseOccupiedDatabases(databases, options, signal);
    if (options.dryRun) {
      for (const { engine, goesTo } of databases)
        info(`would restore a database to ${describeTarget(engine, goesTo)}`);
      return { complete: hasChecksum, withheld, nextSteps: [] };
    }

    // to the millisecond: what two restores put aside must not meet
    const stamp = new Date().toISOString().replace(/[-:.]/g, '');
    const moved: Moved[] = [];
    try {
      for (const { target } of treePlans) {
        const one = setAside(target, stamp);
        moved.push(one);
        // said before anything else happens: however the run ends, it can be found
        if (one.aside !== undefined) info(`what was there before lies in ${one.aside}`);
      }
      for (const target of databases)
        await restoreDatabase(archive, target, { stamp, jobs: options.jobs }, decoding, context);
    } catch (error) {
      for (const { undo } of moved.reverse()) undo();
      throw error;
    }
    const leftOut: string[] = [];
    for (const [index, { target }] of treePlans.entries()) {
      const staged = stagedTrees[index] as StagedTree;
      putIntoPlace(staged, target);
      info(`files: restored to ${target.root}`);
      leftOut.push(...staged.refused);
    }
    for (const what of leftOut) warn(`left out, because an archive must not bring it: ${what}`);
    info(`restored in ${formatDuration(Date.now() - started)}`);
    const inPlace = options.to === undefined;
    return {
      complete: hasChecksum && undone && leftOut.length === 0,
      withheld,
      nextSteps: inPlace ? (agent.nextSteps?.(restored) ?? []) : [],
    };
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    progress.done();
    for (const staged of stagedTrees) removeStaged(staged);
  }
}

/** @returns whether all is undone that an earlier backup, cut off, did to the application */
async function undoLeft(
  agent: AgentDefinition,
  instance: string | undefined,
  context: AgentContext,
): Promise<boolean> {
  const { GARNER_STATE_DIR: stateDir, GARNER_HOST: host } = context.settings;
  const mark = openUndoMark(stateDir, { application: agent.application, instance, host });
  const warnings = await undoSteps(agent, context, mark, mark.steps);
  for (const { message } of warnings) warn(message);
  return warnings.length === 0;
}

/** @returns whether there is a checksum file that it was compared with */
async function verify(file: string, decoding: DecodeOptions): Promise<boolean> {
  const expectedSha256 = readSidecar(file, 'sha256');
  if (expectedSha256 === undefined)
    warn(
      `${basename(file)}.sha256 is missing: only the members are verified, by the digests in the archive itself`,
    );
  const { level } = await verifyArchive(file, { ...decoding, expectedSha256 });
  info(
    `verified: ${level === 'content' ? 'every member is what the manifest says' : 'the bytes are those recorded'}`,
  );
  return expectedSha256 !== undefined;
}

async function restoreDatabase(
  archive: ArchiveReader,
  { member, engine, goesTo }: DatabaseTarget,
  { stamp, jobs }: { stamp: string; jobs: number | undefined },
  decoding: DecodeOptions,
  context: AgentContext,
): Promise<void> {
  const { settings, signal } = context;
  if ('file' in goesTo) {
    if (existsSync(goesTo.file)) {
      const aside = `${goesTo.file}.before-restore-${stamp}`;
      info(`what was there before lies in ${aside}`);
      renameSync(goesTo.file, aside);
    }
    await extractMember(archive, member, goesTo.file, decoding);
    return info(`${member.kind}: dump put into ${goesTo.file}`);
  }
  const { connection } = goesTo;
  const { application, instance } = archive.manifest;
  const groupOfFile = groupName(application, instance ?? undefined);
  const occupied = await engine.occupied(connection, signal);
  const aside: Aside = {
    path(file) {
      const path = `${file}.before-restore-${stamp}`;
      info(`what was in it before lies in ${path}`);
      return path;
    },
    dump: async () => {
      const file = await dumpAside(
        engine,
        connection,
        `${groupOfFile}-before-restore-${member.name.split('.')[0]}-${stamp}`,
        context,
      );
      // said before it is emptied: however the run ends, it can be found
      info(`what was in it before lies in ${file}`);
      return file;
    },
  };
  if (jobs !== undefined && engine.restoresInParallel !== true)
    info(`--jobs: a database of ${engine.name} is restored by one connection`);
  await engine.restore(connection, {
    decode: (sink) => decodeMember(archive, member, sink, decoding),
    decodeToFile: async () => {
      const { scratch } = await openWorkDir(settings.GARNER_WORK_DIR, settings.GARNER_GROUP, signal);
      return scratchDump(archive, member, { directory: scratch, prefix: `${groupOfFile}-restore` }, decoding);
    },
    tables: Object.keys(member.database?.tables ?? {}),
    aside: occupied === undefined ? undefined : aside,
    roles: archivedRoles(archive, member, decoding),
    jobs,
    signal,
  });
  const tables = Object.keys(member.database?.tables ?? {}).length;
  info(`database: ${plural(tables, 'table')} restored to ${engine.describe(connection)}`);
}

/**
 * Dumps what is about to be replaced into the work directory.
 * @param name its file's name, without the suffix
 */
async function dumpAside(
  engine: Engine,
  connection: unknown,
  name: string,
  { settings, signal }: AgentContext,
): Promise<string> {
  const workDir = await openWorkDir(settings.GARNER_WORK_DIR, settings.GARNER_GROUP, signal);
  // its unfinished form is swept like those of backups
  const file = join(workDir.path, `${name}.${engine.dumpSuffix}.zst`);
  const part = partPath(file);
  const fd = createFile(part);
  try {
    const { warnings } = await engine.dump(connection, {
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
      scratchPath: (suffix) => partPath(join(workDir.scratch, `${basename(file)}.${suffix}`)),
      expectedTables: [],
      derivedTables: [],
      withoutRoutines: false,
      clientOptions: [],
      queries: [],
    });
    for (const { message } of warnings) warn(`what was in it before: ${message}`);
    fsyncSync(fd);
    publish(part, file);
    return file;
  } finally {
    closeSync(fd);
    rmSync(part, { force: true });
  }
}
