// Modules of garner that run apart from the rest: in a thread, or as a process that can be ended. In a bundle, which has no
// files of theirs, scripts/build.ts puts their sources in the place of this file.
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

/** From the top of the project, without `.ts`. */
export type Thread = 'archive/digest-worker' | 'archive/survey-worker';
export type Program = 'databases/toolkit/sqlite-program';

function urlOf(module: Thread | Program): URL {
  return new URL(`../${module}.ts`, import.meta.url);
}

export function startThread(module: Thread, workerData?: unknown): Worker {
  // options of this process may be for its own code: node --input-type=module -e …
  return new Worker(urlOf(module), { workerData, execArgv: [] });
}

/** @returns what runs a module as a process; its own arguments go after these */
export function ownProgram(module: Program): { file: string; args: string[] } {
  const args = ['--disable-warning=ExperimentalWarning', fileURLToPath(urlOf(module))];
  return { file: process.execPath, args };
}

/** @returns whether a first argument says that this process is to be a module: only in a bundle */
export const isProgram = (_word: string): boolean => false;

/** Starts what the first argument says, with the arguments behind it. */
export function startProgram(_word: string): void {}
