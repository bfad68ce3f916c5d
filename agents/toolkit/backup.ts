// One backup: lock, version, databases, files, manifest, publish. Databases come first: a file that a row does not name
// yet is harmless, a row whose file is missing is not.
import { readdirSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { encodedName, encodingNames, startEncoding } from '../../archive/encode.ts';
import type { Manifest, Warning } from '../../archive/manifest.ts';
import { ARCHIVE_SUFFIX, groupName, ORPHAN_MS, parseName } from '../../archive/name.ts';
import { type ArchiveWriter, type PublishedArchive, startArchive } from '../../archive/write.ts';
import type { DatabaseSource, DumpContext } from '../../databases/toolkit/engine.ts';
import { loadEngine } from '../../databases/toolkit/engines.ts';
import { parseClientOptions } from '../../databases/toolkit/mysql-options.ts';
import { garnerVersion } from '../../lib/command-line.ts';
import { partPath, sweepParts } from '../../lib/durable.ts';
import { cannot, causeText } from '../../lib/errors.ts';
import { acquireLock } from '../../lib/lock.ts';
import { info, warn } from '../../lib/log.ts';
import { startProgress } from '../../lib/progress.ts';
import { formatDuration, formatSize, plural } from '../../lib/text.ts';
import { openWorkDir } from '../../lib/work-dir.ts';
import { startCrossCheck } from './cross-check.ts';
import type { AgentContext, AgentDefinition, CrossCheck, Withheld } from './define-agent.ts';
import { beginQuiet, undoSteps } from './quiet.ts';
import { storeRoles } from './roles.ts';
import { databasesOf } from './sources.ts';
import { type StoreContext, storeTree } from './store-tree.ts';
import { openUndoMark } from './undo-mark.ts';
import { readVersion } from './versions.ts';
import { checkRoot } from './walk.ts';

/**
 * Backs up one application.
 * @returns the published archive; its manifest carries the warnings
 * @throws locked, and whatever made the run fail: then nothing of it is left in the work directory
 */
export async function backUp(
  agent: AgentDefinition,
  instance: string | undefined,
  context: AgentContext,
): Promise<PublishedArchive> {
  const { settings, signal } = context;
  const started = Date.now();
  const group = groupName(agent.application, instance);
  const identity = { application: agent.application, instance, host: settings.GARNER_HOST };
  using _lock = acquireLock(settings.GARNER_RUN_DIR, `agent-${group}`);
  const warnings: Warning[] = [];
  const warnAbout = (warning: Warning): void => {
    warnings.push(warning);
    warn(warning.message);
  };
  const mark = openUndoMark(settings.GARNER_STATE_DIR, identity);
  for (const warning of await undoSteps(agent, context, mark, mark.steps)) warnAbout(warning);
  const notOurs = [...mark.steps];
  const workDir = await openWorkDir(settings.GARNER_WORK_DIR, settings.GARNER_GROUP, signal);
  sweep(workDir.path, group);

  const clientOptions = parseClientOptions(settings.MYSQLDUMP_PARAMS);
  const databases = (await databasesOf(agent, context)).filter(({ absent }) => !absent);
  const trees = await agent.trees(context);
  for (const tree of trees) checkRoot(tree); // rather than after hours of a dump
  const version = await probeVersion(agent, context, warnAbout);
  info(
    `${agent.title} ${version}: ${plural(databases.length, 'database')}, ${plural(trees.length, 'file tree')}`,
  );

  const tool: Manifest['tool'] = { name: 'garner', version: garnerVersion() };
  const build = agent.build?.(context);
  const withheld = listWithheld(agent, context, warnAbout);
  using writer = await startArchive(workDir, identity, version, tool, settings.GARNER_CHECKSUMS);
  const progress = startProgress(group);
  const storing: StoreContext & Pick<DumpContext, 'clientOptions'> = {
    encoding: { recipients: settings.GARNER_AGE_RECIPIENTS ?? [] },
    signal,
    notThese: [context.view.resolve(workDir.path)],
    scratchPath: (name) => partPath(join(workDir.path, `${writer.name}.${name}`)),
    onBytes: progress.add,
    clientOptions,
  };
  try {
    using resources = new DisposableStack();
    const checks = declareCrossChecks(agent, context, databases, warnAbout).map((check) =>
      resources.use(startCrossCheck(check, storing.scratchPath('cross-check'))),
    );
    const limits = {
      missing: settings.GARNER_MISSING_FILES_LIMIT,
      unnamed: settings.GARNER_UNNAMED_FILES_LIMIT,
    };
    try {
      await beginQuiet(agent, context, mark);
      for (const database of databases) {
        const queries = checks
          .filter(({ check }) => check.database === database.name)
          .map(({ query }) => query);
        for (const warning of await storeDatabase(writer, database, { ...storing, queries }))
          warnAbout(warning);
      }
      for (const warning of await storeRoles(writer, databases, storing)) warnAbout(warning);
      for (const tree of trees) {
        const listeners = checks.filter(({ check }) => check.tree === tree.name);
        for (const warning of await storeTree(writer, tree, { ...storing, listeners })) warnAbout(warning);
      }
    } finally {
      // all is read: what follows needs no quiet
      const ours = mark.steps.filter((step) => !notOurs.includes(step));
      for (const warning of await undoSteps(agent, context, mark, ours)) warnAbout(warning);
    }
    const concluded = checks.map((check) => check.conclude(limits));
    for (const warning of concluded.flatMap((check) => check.warnings)) warnAbout(warning);
    const crossChecks = concluded.flatMap(({ counts }) => counts ?? []);
    signal.throwIfAborted();
    const findings = {
      ...(build !== undefined && { build }),
      ...(checks.length > 0 && { crossChecks }),
      ...(withheld.length > 0 && { withheld }),
      warnings,
    };
    const archive = await writer.publish(findings, signal);
    info(`${archive.path}: ${formatSize(archive.sizeBytes)} in ${formatDuration(Date.now() - started)}`);
    return archive;
  } catch (error) {
    // what a signal or the time limit has ended looks like a failure of whatever was running
    signal.throwIfAborted();
    throw error;
  } finally {
    progress.done();
  }
}

async function storeDatabase(
  writer: ArchiveWriter,
  source: DatabaseSource,
  {
    encoding,
    signal,
    scratchPath,
    onBytes,
    clientOptions,
    queries,
  }: StoreContext & Pick<DumpContext, 'clientOptions' | 'queries'>,
): Promise<Warning[]> {
  const engine = await loadEngine(source.engine);
  const member = writer.begin(encodedName(`${source.name}.${engine.dumpSuffix}`, encoding), 'database');
  const facts = await engine.dump(source.connection, {
    encode: (commands, stdin) =>
      startEncoding(
        commands,
        (chunk) => {
          member.write(chunk);
          onBytes(chunk.length);
        },
        { stdin, encoding, signal },
      ),
    signal,
    scratchPath,
    expectedTables: source.expectedTables ?? [],
    derivedTables: source.derivedTables ?? [],
    withoutRoutines: source.withoutRoutines === true,
    clientOptions,
    queries,
  });
  member.end({
    uncompressedSizeBytes: facts.uncompressedSizeBytes,
    encoding: encodingNames(encoding),
    database: {
      engine: engine.name,
      serverVersion: facts.serverVersion,
      name: engine.databaseName(source.connection),
      tables: facts.tables,
      roles: facts.roles,
    },
  });
  const rows = Object.values(facts.tables).reduce((sum, count) => sum + count, 0);
  info(
    `database ${engine.describe(source.connection)}: ${plural(Object.keys(facts.tables).length, 'table')}, ${plural(rows, 'row')}, ${formatSize(facts.uncompressedSizeBytes)}`,
  );
  return facts.warnings;
}

/** A version that can't be told is no reason to have no backup. */
async function probeVersion(
  agent: AgentDefinition,
  context: AgentContext,
  warnAbout: (warning: Warning) => void,
): Promise<string> {
  try {
    return await readVersion(agent, context);
  } catch (error) {
    context.signal.throwIfAborted();
    const message = `the version of ${agent.title} is unknown: ${causeText(error)}`;
    warnAbout({ code: 'version-unknown', message });
    return 'unknown';
  }
}

/**
 * What the archive will lack: no warning, it would come every night.
 * @throws withheld where there is something, with GARNER_STRICT
 */
function listWithheld(
  agent: AgentDefinition,
  context: AgentContext,
  warnAbout: (warning: Warning) => void,
): Withheld[] {
  let withheld: Withheld[];
  try {
    withheld = agent.withheld?.(context) ?? [];
  } catch (error) {
    if (context.settings.GARNER_STRICT) throw error;
    warnAbout({
      code: 'withheld-unknown',
      message: `what is left out on purpose is unknown: ${causeText(error)}`,
    });
    return [];
  }
  for (const { what, remedy } of withheld) info(`left out on purpose: ${what} (${remedy})`);
  if (!context.settings.GARNER_STRICT || withheld.length === 0) return withheld;
  const names = withheld.map(({ what }) => what).join(', ');
  throw cannot('withheld', 'back up', agent.title, `a restore needs what is left out on purpose: ${names}`, {
    hint: withheld.map(({ what, remedy }) => `${what}: ${remedy}`).join('; '),
  });
}

/** Neither is a comparison that can't be made. */
function declareCrossChecks(
  agent: AgentDefinition,
  context: AgentContext,
  databases: readonly DatabaseSource[],
  warnAbout: (warning: Warning) => void,
): CrossCheck[] {
  try {
    return agent.crossChecks?.(context, databases) ?? [];
  } catch (error) {
    const message = `rows and files could not be compared: ${causeText(error)}`;
    warnAbout({ code: 'cross-check-failed', message });
    return [];
  }
}

/** Removes what ended runs of this application have left; the lock says that none is alive. */
function sweep(directory: string, group: string): void {
  const mine = (file: string): boolean => file.startsWith(`${group}-`);
  for (const name of sweepParts(directory, mine)) info(`removed ${name}, left by a run that was cut off`);
  for (const file of readdirSync(directory)) {
    const archive = file.replace(/\.sha(256|1)$/, '');
    if (archive === file || !archive.endsWith(ARCHIVE_SUFFIX) || !mine(file)) continue;
    if (parseName(basename(archive, ARCHIVE_SUFFIX)) === undefined) continue;
    const orphan = statSync(join(directory, archive), { throwIfNoEntry: false }) === undefined;
    const stat = statSync(join(directory, file), { throwIfNoEntry: false });
    if (orphan && stat !== undefined && Date.now() - stat.mtimeMs > ORPHAN_MS) {
      rmSync(join(directory, file), { force: true });
      info(`removed ${file}, whose archive is gone`);
    }
  }
}
