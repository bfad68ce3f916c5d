// How much of the machine a command gets while others want it too. notify lowers itself, and what it starts inherits that: a
// wrapper such as nice(1) in between would hide why a command can't be run. Politeness is no condition of a backup: what
// can't be had is a warning.
import { spawnSync } from 'node:child_process';
import { constants, getPriority, setPriority } from 'node:os';
import { causeText } from '../lib/errors.ts';
import { warn } from '../lib/log.ts';
import { findProgram, programEnvironment } from '../lib/program.ts';

const { PRIORITY_LOW, PRIORITY_HIGHEST } = constants.priority;
const IONICE_LIMIT_MS = 10_000;

export interface Priority {
  /** Added to the priority that notify has, as nice(1) does: 19 is the lowest, below 0 is root's to give. */
  nice?: number | undefined;
  /** Arguments of ionice(1) that say a class. */
  ionice?: readonly string[] | undefined;
}

/** @returns a number as nice(1) takes it; undefined where it is none */
export function parseNice(text: string): number | undefined {
  const value = Number(text);
  return /^[+-]?\d{1,2}$/.test(text) && value >= PRIORITY_HIGHEST && value <= PRIORITY_LOW
    ? value
    : undefined;
}

/** @param text `idle`, `best-effort`, or `best-effort:0` to `best-effort:7`, the lowest; undefined where it is none */
export function parseIonice(text: string): readonly string[] | undefined {
  if (text === 'idle') return ['-c', '3'];
  const match = /^best-effort(?::([0-7]))?$/.exec(text);
  return match === null ? undefined : ['-c', '2', '-n', match[1] ?? '4'];
}

/** Changes the priority of this process, and of what it starts from now on. */
export function setOwnPriority({ nice, ionice }: Priority): void {
  try {
    if (nice !== undefined)
      setPriority(Math.max(PRIORITY_HIGHEST, Math.min(PRIORITY_LOW, getPriority() + nice)));
  } catch (error) {
    warn(`the priority stays as it is: ${causeText((error as { info?: unknown }).info ?? error)}`);
  }
  try {
    if (ionice !== undefined) runIonice(ionice);
  } catch (error) {
    warn(`the priority of reading and writing stays as it is: ${causeText(error)}`);
  }
}

function runIonice(args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(
    findProgram(['ionice'], 'util-linux'),
    [...args, '-p', String(process.pid)],
    { encoding: 'utf8', env: programEnvironment(), timeout: IONICE_LIMIT_MS },
  );
  if (error !== undefined) throw error;
  if (status !== 0) throw stderr.trim().split('\n').at(-1) || `ionice ended with ${status}`;
}
