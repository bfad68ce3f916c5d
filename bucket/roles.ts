// Which of a set's two buckets is the master today. A file beside the points tells that they were switched, durably; without it they
// are as configured. Points tell the bucket of their versions themselves.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { makeDirectory, syncDirectory, writeFileDurably } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';
import type { BucketPlace, BucketSet } from './configuration.ts';

/** Hidden: a file that is not would count as a point. */
const FILE = '.garner-roles.json';

export interface Roles {
  /** What is written to by applications, and restored. */
  master: BucketPlace;
  /** What holds the copies; points are made of it. */
  replica: BucketPlace;
  /** Since when they are switched, ISO 8601; undefined: they are as configured. */
  switchedAt: string | undefined;
}

const schema = z.strictObject({
  format: z.literal(1),
  master: z.string(),
  replica: z.string(),
  switchedAt: z.iso.datetime(),
});

/** @throws configuration where the file is damaged, or of other buckets than the configuration's */
export function readRoles({ points, master, replica }: BucketSet): Roles {
  const file = join(points, FILE);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { master, replica, switchedAt: undefined };
    throw cannot('io', 'read', file, error);
  }
  let state: z.output<typeof schema>;
  try {
    state = schema.parse(JSON.parse(text));
  } catch {
    throw cannot('configuration', 'use', file, 'it is damaged', {
      hint: 'remove it where master and replica are as configured; else write it again: docs/buckets.md',
    });
  }
  if (state.master !== replica.bucket || state.replica !== master.bucket) {
    throw cannot('configuration', 'use', file, `it switches "${state.replica}" and "${state.master}"`, {
      hint: 'the configuration names other buckets: was it switched there too? Then remove this file',
    });
  }
  return { master: replica, replica: master, switchedAt: state.switchedAt };
}

/** Switches the roles; the caller holds the set's lock. @returns what holds now */
export function switchRoles(set: BucketSet, now: Date): Roles {
  const { points, master, replica } = set;
  const file = join(points, FILE);
  if (readRoles(set).switchedAt !== undefined) {
    rmSync(file);
    syncDirectory(points);
  } else {
    makeDirectory(points);
    const state = {
      format: 1,
      master: replica.bucket,
      replica: master.bucket,
      switchedAt: now.toISOString(),
    };
    writeFileDurably(file, `${JSON.stringify(state)}\n`);
  }
  return readRoles(set);
}
