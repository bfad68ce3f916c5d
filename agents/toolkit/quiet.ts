// An application is quiet while it is backed up, and never for longer: what was done to it is undone after a failure and a
// signal too, and by the next start where the run was killed.
import type { Warning } from '../../archive/manifest.ts';
import { causeText } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { formatDuration } from '../../lib/text.ts';
import type { AgentContext, AgentDefinition } from './define-agent.ts';
import { hookEnvironment, runCommand } from './hooks.ts';
import type { UndoMark, UndoStep } from './undo-mark.ts';

/** How long the undoing of one step may take; systemd's own patience after SIGTERM is 90 s. */
const UNDO_LIMIT_MS = 60_000;

/**
 * Quiets the application, where its agent can.
 * @throws what the agent throws; what was remembered until then is in the mark
 */
export async function beginQuiet(
  agent: AgentDefinition,
  context: AgentContext,
  mark: UndoMark,
): Promise<void> {
  if (agent.quiet === undefined) return;
  let current: UndoStep | undefined;
  await agent.quiet.begin(context, (token) => {
    const step: UndoStep = { kind: 'quiet', token: token ?? null };
    if (current === undefined) mark.add(step);
    else mark.replace(current, step);
    current = step;
  });
  // one that is quiet already, or can't be told to be, is as it was
  if (current !== undefined) info(`${agent.title} is quieted`);
}

/**
 * Undoes steps, the last first. One that can't be undone stays in the mark, for the next start.
 * @returns a warning for each of these
 */
export async function undoSteps(
  agent: AgentDefinition,
  context: AgentContext,
  mark: UndoMark,
  steps: readonly UndoStep[],
): Promise<Warning[]> {
  const warnings: Warning[] = [];
  for (const step of steps.toReversed()) {
    try {
      await undoStep(agent, context, mark, step);
      mark.remove(step);
    } catch (error) {
      const what =
        step.kind === 'hook' ? `hook ${step.name} failed` : `${agent.title} can't be set to work again`;
      const message = `${what}: ${causeText(error)}; the next start tries again, see ${mark.file}`;
      warnings.push({ code: 'undo-failed', message });
    }
  }
  return warnings;
}

async function undoStep(
  agent: AgentDefinition,
  context: AgentContext,
  mark: UndoMark,
  step: UndoStep,
): Promise<void> {
  if (step.kind === 'hook') {
    const environment = hookEnvironment(agent, mark.owner);
    return runCommand(step.name, step.run, step.timeoutMs, environment);
  }
  if (agent.quiet === undefined) throw new Error('this version of the agent quiets nothing');
  // the run's own signal may have been aborted: that is when undoing matters most
  const fresh = new AbortController();
  const { promise: limit, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new Error(`it has not ended after ${formatDuration(UNDO_LIMIT_MS)}`);
    fresh.abort(error);
    reject(error);
  }, UNDO_LIMIT_MS);
  try {
    await Promise.race([agent.quiet.end({ ...context, signal: fresh.signal }, step.token), limit]);
  } finally {
    clearTimeout(timer);
  }
  info(`${agent.title} is at work again`);
}
