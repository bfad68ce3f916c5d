// Which runs are expected on this host: the first scheduled run leaves a note of where its history is. So a history that is
// gone, with the disk that it lay on, is missed too. To expect a run no more, its note is removed.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { makeDirectory, writeFileDurably } from '../lib/durable.ts';

const noteSchema = z.object({
  name: z.string(),
  history: z.string(),
  /** When somebody was told last that nothing is known of it. */
  toldAt: z.iso.datetime().optional(),
});

export interface Expected {
  series: string;
  /** What messages call it. */
  name: string;
  /** Its history's file. */
  history: string;
  toldAt?: string | undefined;
}

const NOTE = /^([a-z][a-z0-9]*(?:\.[a-z0-9_]+)?)\.json$/;

/** @returns the file of a note */
export function notePath(stateDir: string, series: string): string {
  return join(stateDir, 'expected', `${series}.json`);
}

/**
 * Leaves a note, where there is none like it.
 * @throws io, no-space
 */
export function expectRun(stateDir: string, { series, name, history, toldAt }: Expected): void {
  const path = notePath(stateDir, series);
  const note = `${JSON.stringify({ name, history, toldAt })}\n`;
  if (readText(path) === note) return;
  makeDirectory(join(stateDir, 'expected'));
  writeFileDurably(path, note, { replace: true });
}

/** @returns all notes, in alphabetical order; a damaged one has no history, which is then missed */
export function listExpected(stateDir: string): Expected[] {
  let files: string[] = [];
  try {
    files = readdirSync(join(stateDir, 'expected'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return files
    .flatMap((file) => NOTE.exec(file)?.[1] ?? [])
    .sort()
    .map((series) => ({ series, ...readNote(stateDir, series) }));
}

function readNote(stateDir: string, series: string): Omit<Expected, 'series'> {
  try {
    return noteSchema.parse(JSON.parse(readText(notePath(stateDir, series)) ?? ''));
  } catch {
    return { name: series, history: '' };
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
