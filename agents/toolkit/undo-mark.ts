// The mark of what a run must undo at the application: one small file in GARNER_STATE_DIR, on the disk before each step is
// taken and gone when all is undone. What is in it after a crash is this agent's, of this host, or it is refused.
import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { groupName } from '../../archive/name.ts';
import { makeDirectory, syncDirectory, writeFileDurably } from '../../lib/durable.ts';
import { cannot, GarnerError } from '../../lib/errors.ts';
import { checkTrusted } from '../../lib/trusted-file.ts';

const stepSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('quiet'), token: z.unknown() }),
  /** A command, with what messages call it. */
  z.strictObject({ kind: z.literal('hook'), name: z.string(), run: z.string(), timeoutMs: z.number() }),
]);

const markSchema = z.strictObject({
  format: z.literal(1),
  /** Of the run that wrote it. */
  token: z.uuid(),
  application: z.string(),
  instance: z.string().nullable(),
  host: z.string(),
  steps: z.array(stepSchema).min(1),
});

/** Something that was done, or was about to be, and has to be undone. */
export type UndoStep = z.infer<typeof stepSchema>;

export interface UndoMark {
  readonly owner: UndoOwner;
  readonly file: string;
  /** What is to be undone, in the order in which it was done; at first what an earlier run has left. */
  readonly steps: readonly UndoStep[];
  /** Writes a step down, before it is taken. */
  add(step: UndoStep): void;
  /** Writes another in its place. */
  replace(step: UndoStep, next: UndoStep): void;
  /** It has been undone. */
  remove(step: UndoStep): void;
}

/** Whose mark it is. */
export interface UndoOwner {
  application: string;
  instance: string | undefined;
  host: string;
}

/**
 * Opens an agent's mark; the caller holds its lock.
 * @throws undo-mark where there is a damaged one or another agent's, configuration-permissions where somebody else could
 *   have written it; both name the remedy
 */
export function openUndoMark(
  stateDir: string,
  { application, instance = undefined, host }: UndoOwner,
): UndoMark {
  const file = join(stateDir, 'undo', `agent-${groupName(application, instance)}.json`);
  const owner = { application, instance: instance ?? null, host };
  const refuse = (cause: unknown): GarnerError =>
    cannot('undo-mark', 'use the undo mark', file, cause, {
      hint: `undo by hand what it names (maintenance mode, a lock), then: rm '${file}'`,
    });
  const token = randomUUID();
  let onDisk: string | undefined;
  const steps: UndoStep[] = [];

  const read = (): z.infer<typeof markSchema> | undefined => {
    let text: string;
    try {
      checkTrusted(file); // commands in it are run; a pipe would be waited for without end
      text = readFileSync(file, 'utf8');
    } catch (error) {
      // where nothing may be read, nothing of ours was written
      if (['ENOENT', 'EACCES', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? ''))
        return undefined;
      if (!(error instanceof GarnerError)) throw refuse(error);
      // giving it to root would let its commands run
      const hint = `nothing of it was run: look at it, undo by hand what it should have, then: rm '${file}'`;
      throw new GarnerError(error.code, error.message, { cause: error, hint });
    }
    try {
      return markSchema.parse(JSON.parse(text));
    } catch {
      throw refuse('it is damaged');
    }
  };

  const erase = (): void => {
    if (onDisk === undefined) return;
    rmSync(file, { force: true });
    syncDirectory(dirname(file));
    onDisk = undefined;
  };

  const write = (): void => {
    // somebody with another directory of locks may be at work: its mark is not ours to replace
    if (read()?.token !== onDisk) throw refuse('another run has written it meanwhile');
    if (steps.length === 0) {
      erase();
      return;
    }
    try {
      makeDirectory(dirname(file));
    } catch (error) {
      throw cannot('undo-mark', 'write the undo mark', file, error, {
        hint: 'set GARNER_STATE_DIR to a directory of your own',
      });
    }
    writeFileDurably(file, `${JSON.stringify({ format: 1, token, ...owner, steps })}\n`, { replace: true });
    onDisk = token;
    try {
      checkTrusted(file);
    } catch (error) {
      erase(); // rather now, when nothing is done yet, than when it is needed
      throw error;
    }
  };

  const left = read();
  if (left !== undefined) {
    for (const [name, value] of Object.entries(owner)) {
      const theirs = left[name as keyof typeof owner];
      if (theirs !== value) throw refuse(`its ${name} is ${theirs ?? 'none'}, not ${value ?? 'none'}`);
    }
    onDisk = left.token;
    steps.push(...left.steps);
  }
  return {
    owner: { application, instance, host },
    file,
    steps,
    add(step) {
      steps.push(step);
      try {
        write();
      } catch (error) {
        steps.pop(); // it is not taken
        throw error;
      }
    },
    replace(step, next) {
      steps[steps.indexOf(step)] = next;
      write();
    },
    remove(step) {
      steps.splice(steps.indexOf(step), 1);
      write();
    },
  };
}
