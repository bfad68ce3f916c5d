// Commands of the administrator's around a backup, from agent-<application>[.<instance>].hooks.yaml: `before` it, `after` it
// where it is good, `always`, also after a failure or a signal. They run from a file that only root and the caller can
// change, without a secret of garner's in their environment; what they print goes to the log.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Warning } from '../../archive/manifest.ts';
import { groupName } from '../../archive/name.ts';
import { cannot, GarnerError } from '../../lib/errors.ts';
import { LONGEST_TIMER_MS } from '../../lib/interrupt.ts';
import { info } from '../../lib/log.ts';
import { describeExit, type Ended, startPipeline } from '../../lib/process.ts';
import { durationSchema } from '../../lib/retention.ts';
import { configDirectory } from '../../lib/settings.ts';
import { formatDuration } from '../../lib/text.ts';
import { readTrustedText } from '../../lib/trusted-file.ts';
import type { AgentContext, AgentDefinition } from './define-agent.ts';
import type { UndoMark, UndoOwner } from './undo-mark.ts';

/** Of what a command prints, so many lines are logged. */
const MAX_LINES = 1000;

/** What ends the name of a file of hooks in the configuration's directory. */
export const HOOKS_SUFFIX = '.hooks.yaml';

const command = z
  .string()
  .regex(/\S/, 'it is empty')
  .refine((text) => !text.includes('\0'), 'it has a NUL');

const hookSchema = z.strictObject({
  run: command,
  on_failure: z
    .enum(['ignore', 'continue', 'break'], 'it is none of ignore, continue, break')
    .default('break'),
  timeout: durationSchema.refine((ms) => ms > 0, 'it is no time at all').default(300_000),
});
/** All that a hook may have. */
export const withUndo = hookSchema.extend({ undo: command.optional() });

/** A string is a command with all that has a default. */
const listOf = <T extends z.ZodType>(schema: T) =>
  z
    .array(z.preprocess((item) => (typeof item === 'string' ? { run: item } : item), schema))
    .max(100)
    .default([]);

const fileSchema = z.strictObject({
  before: listOf(withUndo),
  after: listOf(hookSchema),
  always: listOf(hookSchema),
});

type Phase = keyof z.output<typeof fileSchema>;
type Hook = z.output<typeof withUndo>;

/** What is known when the backup has ended. */
export interface HookFacts {
  GARNER_RESULT: 'ok' | 'warnings' | 'failed';
  GARNER_ARCHIVE: string | undefined;
}

export interface Hooks {
  /**
   * Runs the hooks of a phase in their order; after one that breaks the run only those of `always` go on.
   * @throws hook-failed; the abort reason, in `before` and `after`
   */
  run(phase: Phase, facts?: HookFacts): Promise<void>;
}

/** @returns what commands of hooks find in their environment: nothing of garner's but what the application is */
export function hookEnvironment(
  agent: AgentDefinition,
  { application, instance = '', host }: UndoOwner,
): Record<string, string | undefined> {
  const secrets = Object.entries(agent.settings).flatMap(([name, { secret }]) =>
    secret === true ? [name, `${name}_FILE`] : [],
  );
  return {
    ...Object.fromEntries(secrets.map((name) => [name, undefined])),
    LC_ALL: process.env.LC_ALL,
    GARNER_APPLICATION: application,
    GARNER_INSTANCE: instance,
    GARNER_HOST: host,
  };
}

/**
 * Reads an agent's hooks.
 * @throws configuration, naming file and key; configuration-permissions where others could have written it
 */
export async function readHooks(
  agent: AgentDefinition,
  { settings, signal }: AgentContext,
  mark: UndoMark,
  warnAbout: (warning: Warning) => void,
): Promise<Hooks> {
  const { GARNER_HOOKS_FILE: given } = settings;
  const { application, instance } = mark.owner;
  const file = given ?? join(configDirectory(), `agent-${groupName(application, instance)}${HOOKS_SUFFIX}`);
  const environment = hookEnvironment(agent, mark.owner);
  const hooks = given === undefined && !existsSync(file) ? fileSchema.parse({}) : await readHooksFile(file);

  const runOne = async (phase: Phase, number: number, hook: Hook, env: typeof environment): Promise<void> => {
    const name = `${phase} ${number}`;
    if (hook.undo !== undefined)
      mark.add({ kind: 'hook', name: `undo of ${name}`, run: hook.undo, timeoutMs: hook.timeout });
    try {
      await runCommand(name, hook.run, hook.timeout, env, phase === 'always' ? undefined : signal);
    } catch (error) {
      if (phase !== 'always') signal.throwIfAborted();
      const failure = cannot('hook-failed', `run hook "${name}" of`, file, error);
      if (hook.on_failure === 'break') throw failure;
      if (hook.on_failure === 'ignore') info(`${failure.message}; ignored`);
      else warnAbout({ code: 'hook-failed', message: failure.message });
    }
  };

  return {
    async run(phase, facts) {
      let failure: unknown;
      for (const [index, hook] of hooks[phase].entries()) {
        try {
          await runOne(phase, index + 1, hook, { ...environment, ...facts });
        } catch (error) {
          if (phase !== 'always') throw error;
          failure ??= error;
        }
      }
      if (failure !== undefined) throw failure;
    },
  };
}

/**
 * Reads a file of hooks.
 * @throws configuration, naming file and key; configuration-permissions where others could have written it
 */
export async function readHooksFile(file: string): Promise<z.output<typeof fileSchema>> {
  let text: string;
  try {
    text = readTrustedText(file);
  } catch (error) {
    if (error instanceof GarnerError) throw error;
    throw cannot('configuration', 'read', file, error);
  }
  const { parseYaml } = await import('../../lib/strict-yaml.ts'); // most hosts have no hooks
  return parseYaml(text, { file, schema: fileSchema, hint: 'docs/hooks.md describes every key' });
}

/**
 * Runs a command by the shell; each line that it prints is logged.
 * @param signal of the run; undefined: nothing but the time ends it
 * @throws what it came to, where that is no exit code 0; the abort reason
 */
export async function runCommand(
  name: string,
  run: string,
  timeoutMs: number,
  env: Record<string, string | undefined>,
  signal?: AbortSignal,
): Promise<void> {
  const limit = AbortSignal.timeout(Math.min(timeoutMs, LONGEST_TIMER_MS));
  let last = '';
  let lineCount = 0;
  const command = {
    file: '/bin/sh',
    args: ['-c', `exec >&2\n${run}`], // one stream, so that the order of what it prints stays
    env,
    leavesRunning: true, // `service … start`
    onStderrLine: (line: string) => {
      last = line;
      lineCount += 1;
      if (lineCount <= MAX_LINES) info(`hook ${name}: ${line}`);
    },
  };
  try {
    const { ended } = startPipeline([command], {
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    });
    const [exit] = await ended;
    if (exit?.code !== 0) throw new Error(describeExit({ ...(exit as Ended), stderr: last }));
  } catch (error) {
    signal?.throwIfAborted();
    if (limit.aborted) throw new Error(`it has not ended after ${formatDuration(timeoutMs)}`);
    throw error;
  } finally {
    if (lineCount > MAX_LINES) info(`hook ${name}: … ${lineCount - MAX_LINES} more lines`);
  }
}
