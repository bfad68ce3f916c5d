// Makes one archive: version, databases, files, manifest, publish. Databases come first: a file that a row does not name
// yet is harmless, a row whose file is missing is not.
import { join } from 'node:path';
import type { Manifest, Warning } from '../../archive/manifest.ts';
import { type ArchiveName, groupName } from '../../archive/name.ts';
import { type PublishedArchive, startArchive } from '../../archive/write.ts';
import type { DatabaseSource, DumpContext } from '../../databases/toolkit/engine.ts';
import { parseClientOptions } from '../../databases/toolkit/mysql-options.ts';
import { garnerVersion } from '../../lib/command-line.ts';
import { partPath } from '../../lib/durable.ts';
import { causeText } from '../../lib/errors.ts';
import { info, warn } from '../../lib/log.ts';
import { startProgress } from '../../lib/progress.ts';
import { formatDuration, formatSize, plural } from '../../lib/text.ts';
import type { WorkDir } from '../../lib/work-dir.ts';
import { startCrossCheck } from './cross-check.ts';
import type { AgentContext, AgentDefinition, CrossCheck, TreeSource } from './define-agent.ts';
import { beginQuiet } from './quiet.ts';
import { storeRoles } from './roles.ts';
import { databasesOf } from './sources.ts';
import { storeDatabase } from './store-database.ts';
import { type StoreContext, storeTree } from './store-tree.ts';
import type { UndoMark } from './undo-mark.ts';
import { readVersion } from './versions.ts';
import { checkRoot } from './walk.ts';
import { gateOfCompleteness } from './withheld.ts';

export interface BackupRun {
  agent: AgentDefinition;
  context: AgentContext;
  identity: Omit<ArchiveName, 'time'>;
  /** What was done to the application for the time of the backup. */
  mark: UndoMark;
  warnings: Warning[];
  /** Adds to the warnings, and says so. */
  warnAbout(warning: Warning): void;
  /** Lets the application go on: all has been read. */
  release(): Promise<void>;
}

/**
 * Archives one application; the caller holds its lock.
 * @returns the published archive; its manifest carries the warnings so far
 * @throws whatever made the run fail: then nothing of it is left in the work directory
 */
export async function makeArchive(run: BackupRun, workDir: WorkDir): Promise<PublishedArchive> {
  const { agent, context, identity, warnings, warnAbout } = run;
  const { settings, signal } = context;
  const started = Date.now();
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
  const withheld = gateOfCompleteness(agent, context, warnAbout);
  using writer = await startArchive(workDir, identity, version, tool, settings.GARNER_CHECKSUMS);
  const progress = startProgress(groupName(identity.application, identity.instance));
  const recipients = settings.GARNER_AGE_RECIPIENTS ?? [];
  const storing: StoreContext & Pick<DumpContext, 'clientOptions'> = {
    encoding: { recipients },
    signal,
    notThese: [workDir.path, workDir.scratch].map((path) => context.view.resolve(path)),
    scratchPath: (name) => partPath(join(workDir.scratch, `${writer.name}.${name}`)),
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
    await agent.product?.make(context);
    await beginQuiet(agent, context, run.mark);
    for (const database of databases) {
      const queries = checks
        .filter(({ check }) => check.database === database.name)
        .map(({ query }) => query);
      const mayBeEmpty = agent.databaseServer !== undefined;
      for (const warning of await storeDatabase(writer, database, mayBeEmpty, { ...storing, queries }))
        warnAbout(warning);
    }
    for (const warning of await storeRoles(writer, databases, storing)) warnAbout(warning);
    for (const tree of trees) {
      const listeners = checks.filter(({ check }) => check.tree === tree.name);
      for (const warning of await storeTree(writer, tree, { ...storing, listeners })) warnAbout(warning);
    }
    await run.release(); // what follows needs no quiet
    for (const warning of await examine(agent, context, trees)) warnAbout(warning);
    const concluded = checks.map((check) => check.conclude(limits));
    for (const warning of concluded.flatMap((check) => check.warnings)) warnAbout(warning);
    const crossChecks = concluded.flatMap(({ counts }) => counts ?? []);
    signal.throwIfAborted();
    const findings = {
      ...(build !== undefined && { build }),
      ...(checks.length > 0 && { crossChecks }),
      ...(recipients.length > 0 && { recipients }),
      ...(withheld.length > 0 && { withheld }),
      warnings: [...warnings],
    };
    const archive = await writer.publish(findings, signal);
    // what is in the archive by now is no reason to fail
    await agent.product?.discard(context).catch((error) => warn(causeText(error)));
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

/** A look that can't be taken is no reason to have no backup. */
async function examine(
  agent: AgentDefinition,
  context: AgentContext,
  trees: readonly TreeSource[],
): Promise<Warning[]> {
  try {
    return (await agent.examine?.(context, trees)) ?? [];
  } catch (error) {
    context.signal.throwIfAborted();
    const message = `what was backed up could not be examined: ${causeText(error)}`;
    return [{ code: 'examine-failed', message }];
  }
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
