// The place that archives are pushed to: opened, known to be one, and what lies there.
import { dirname } from 'node:path';
import { cannot, type GarnerError } from '../lib/errors.ts';
import { openStore } from '../stores/open.ts';
import type { Store, StoreEntry } from '../stores/store.ts';
import { type Bandwidth, inTurn, startPace } from './bandwidth.ts';
import type { PushTarget } from './configuration.ts';
import { MARK } from './layout.ts';
import { archiveOf } from './push-source.ts';

/** An archive at a target. */
export interface Copy {
  path: string;
  entry: StoreEntry;
}

/** @returns what is to be told of a copy that was good and that nobody here has removed */
export function vanished(to: Store, name: string): GarnerError {
  return cannot('store-not-found', 'find copy of', name, `it was at ${to.url}, and is not there any more`, {
    hint: 'who removed it? What is still to be kept there is pushed again, as far as it is here',
  });
}

/** @param bandwidth of all targets; the target's own counts too */
export function openTarget(
  target: PushTarget,
  bandwidth: Bandwidth | undefined,
  signal: AbortSignal,
): Promise<Store> {
  return openStore(target.url, {
    identityFile: target.identityFile,
    hostKeys: target.hostKeys,
    credentialsFile: target.credentialsFile,
    pace: inTurn([startPace(target.bandwidth, signal), startPace(bandwidth, signal)]),
    signal,
  });
}

/**
 * An unmounted disk looks like an empty one: a copy of the archive store has its mark.
 * @param init marks one that has none
 * @throws archive-store
 */
export async function checkTarget(
  to: Store,
  { name }: PushTarget,
  { init, dryRun }: { init: boolean; dryRun: boolean },
): Promise<void> {
  if ((await to.stat(MARK))?.kind === 'file') return;
  if (!init) {
    throw cannot('archive-store', 'push to', to.url, `it has no ${MARK}: not mounted, or not set up`, {
      hint: `only where it is new: archiver push ${name} --init`,
    });
  }
  if (dryRun) return;
  const upload = await to.create(MARK);
  try {
    await upload.write(
      Buffer.from('Copies of archives of garner lie here. Without this file, none is pruned.\n'),
    );
    await upload.publish();
  } finally {
    await upload.abort();
  }
}

/**
 * @param paths where archives may lie: their directories are looked at
 * @returns the archives there that have a checksum file, by name
 */
export async function listTarget(to: Store, paths: readonly string[]): Promise<Map<string, Copy>> {
  const there = new Map<string, Copy>();
  for (const directory of new Set(paths.map((path) => dirname(path)))) {
    const below = directory === '.' ? '' : directory;
    const entries = await to.list(below);
    const names = new Set(entries.map(({ name }) => name));
    for (const entry of entries) {
      const archive = archiveOf(entry);
      if (archive === undefined || entry.kind !== 'file' || !names.has(`${entry.name}.sha256`)) continue;
      there.set(archive.name, { path: below === '' ? entry.name : `${below}/${entry.name}`, entry });
    }
  }
  return there;
}
