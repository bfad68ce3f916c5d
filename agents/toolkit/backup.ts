// One backup: the lock, what an earlier run has left to undo, hooks, the archive, and whatever happens: what was done to the
// application for it is undone.
import { readdirSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Warning } from '../../archive/manifest.ts';
import { ARCHIVE_SUFFIX, groupName, ORPHAN_MS, parseName } from '../../archive/name.ts';
import type { PublishedArchive } from '../../archive/write.ts';
import { sweepParts } from '../../lib/durable.ts';
import { causeText } from '../../lib/errors.ts';
import { acquireLock } from '../../lib/lock.ts';
import { info, warn } from '../../lib/log.ts';
import { openWorkDir } from '../../lib/work-dir.ts';
import type { AgentContext, AgentDefinition } from './define-agent.ts';
import { type HookFacts, readHooks } from './hooks.ts';
import { type BackupRun, makeArchive } from './make-archive.ts';
import { undoSteps } from './quiet.ts';
import { openUndoMark } from './undo-mark.ts';

export interface Backup {
  archive: PublishedArchive;
  /** Those of the manifest, and those that came after it was written. */
  warnings: Warning[];
  /** Where it was uploaded to, if it was. */
  uploaded?: string;
}

/**
 * Backs up one application.
 * @param make another way to make what is published
 * @throws locked, and whatever made the run fail: then nothing of it is left in the work directory
 */
export async function backUp(
  agent: AgentDefinition,
  instance: string | undefined,
  context: AgentContext,
  make: typeof makeArchive = makeArchive,
): Promise<Backup> {
  const { settings, signal } = context;
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
  const tried = new Set(mark.steps);
  const release = async (): Promise<void> => {
    const steps = mark.steps.filter((step) => !tried.has(step));
    for (const step of steps) tried.add(step);
    for (const warning of await undoSteps(agent, context, mark, steps)) warnAbout(warning);
  };
  const run: BackupRun = { agent, context, identity, mark, warnings, warnAbout, release };
  const hooks = await readHooks(agent, context, mark, warnAbout);
  const facts = (archive: PublishedArchive | undefined): HookFacts => ({
    GARNER_RESULT: archive === undefined ? 'failed' : warnings.length > 0 ? 'warnings' : 'ok',
    GARNER_ARCHIVE: archive?.path,
  });
  let archive: PublishedArchive | undefined;
  try {
    try {
      await hooks.run('before');
      const workDir = await openWorkDir(settings.GARNER_WORK_DIR, settings.GARNER_GROUP, signal);
      for (const directory of new Set([workDir.path, workDir.scratch])) sweep(directory, group);
      archive = await make(run, workDir);
    } finally {
      await release();
    }
    await hooks.run('after', facts(archive));
  } catch (error) {
    // what failed first is what to tell
    await hooks
      .run('always', { ...facts(archive), GARNER_RESULT: 'failed' })
      .catch((e) => warn(causeText(e)));
    throw error;
  }
  await hooks.run('always', facts(archive));
  return { archive, warnings };
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
