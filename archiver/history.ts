// The history of a host's runs: small files that grow by a line a run. What was copied is never changed: a host that was
// broken into can't rewrite or shorten it here. What they tell goes into the catalog, each run once. Their lines are the
// host's word: those that are none are counted.
import {
  closeSync,
  constants,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { HISTORY_DIRECTORY, parseHistory, parseHistoryFile } from '../archive/history.ts';
import { syncDirectory, writeFully } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';
import { warn } from '../lib/log.ts';
import { formatSize, plural } from '../lib/text.ts';
import type { Store } from '../stores/store.ts';
import type { Catalog } from './catalog/catalog.ts';
import { checkSpace, fileSize } from './layout.ts';

/** Of all histories of a host, those that were put aside too: decades of hourly runs. */
const MAX_BYTES = 256 << 20;
const MAX_FILES = 1000;
/** How much of the end of a history is read at most, in one go. */
const MAX_IMPORT_BYTES = 8 << 20;
/** By how much of its end it is known that a host's file goes on from the copy: some lines, with their times. */
const SEAM_BYTES = 4096;

/**
 * Copies what is new of a host's `history/<application>[.<instance>]-<host>.jsonl`, and reads it. Where such a file does not
 * go on from its copy, the copy is put aside as `….jsonl.<time>`, and a new one is begun.
 * @param onWarning gets what somebody should look into
 * @throws store-limit where they are larger than any; no-space; what the store throws
 */
export async function copyHistory(
  { catalog, configuration: { root } }: { catalog: Catalog; configuration: { root: string } },
  store: Store,
  host: string,
  onWarning: (message: string) => void,
): Promise<void> {
  const entries = (await store.list(HISTORY_DIRECTORY)).filter(
    ({ name, kind }) => kind === 'file' && parseHistoryFile(name, host) !== undefined,
  );
  const directory = join(root, host, HISTORY_DIRECTORY);
  for (const { name, sizeBytes } of entries.slice(0, MAX_FILES)) {
    // one that a killed run has copied may not have been read
    const isNew = await copyOne(
      root,
      store,
      join(directory, name),
      `${HISTORY_DIRECTORY}/${name}`,
      sizeBytes,
      onWarning,
    );
    await importHistory(catalog, directory, name, host, isNew);
  }
}

/** @returns whether it is another file than before */
async function copyOne(
  root: string,
  store: Store,
  copy: string,
  path: string,
  sizeBytes: number,
  onWarning: (message: string) => void,
): Promise<boolean> {
  const keptBytes = fileSize(copy) ?? 0;
  if (keptBytes === sizeBytes) return false; // it only ever grows
  mkdirSync(dirname(copy), { recursive: true, mode: 0o700 });
  checkSpace(root, path, Math.max(0, sizeBytes - keptBytes));
  if (await append(store, path, copy)) return keptBytes === 0;
  const aside = `${copy}.${new Date().toISOString().replace(/[-:.]/g, '')}`;
  renameSync(copy, aside);
  onWarning(`its ${path} does not go on from what was copied before, which is kept as ${aside}`);
  await append(store, path, copy);
  return true;
}

/**
 * Adds to a copy what the host's file has more.
 * @returns false where that does not go on from the copy: nothing was added
 */
async function append(store: Store, path: string, copy: string): Promise<boolean> {
  const directory = dirname(copy);
  const keptBytes = fileSize(copy) ?? 0;
  const seam =
    keptBytes === 0 ? Buffer.alloc(0) : readPart(copy, Math.max(0, keptBytes - SEAM_BYTES), SEAM_BYTES);
  let roomBytes =
    MAX_BYTES - namesIn(directory).reduce((sum, file) => sum + (fileSize(join(directory, file)) ?? 0), 0);
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
  const fd = openSync(copy, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    let seen = Buffer.alloc(0);
    for await (const chunk of store.read(path, keptBytes - seam.length)) {
      const forSeam = chunk.subarray(0, seam.length - seen.length);
      seen = Buffer.concat([seen, forSeam]);
      if (!seam.subarray(0, seen.length).equals(seen)) return false;
      roomBytes -= chunk.length - forSeam.length;
      if (roomBytes < 0)
        throw cannot(
          'store-limit',
          'copy',
          path,
          `the histories of its host would take more than ${formatSize(MAX_BYTES)}`,
        );
      writeFully(fd, chunk.subarray(forSeam.length));
    }
    if (seen.length < seam.length) return false;
    fsyncSync(fd);
    syncDirectory(directory);
    return true;
  } finally {
    closeSync(fd);
  }
}

/** Reads what the copied histories of a host tell and the catalog does not know, of a lost one what was put aside too. */
export async function importHistories(catalog: Catalog, root: string, host: string): Promise<void> {
  const directory = join(root, host, HISTORY_DIRECTORY);
  const names = namesIn(directory)
    .filter((name) => fileSize(join(directory, name)) !== undefined)
    .toSorted();
  for (const name of names.filter((one) => !ASIDE.test(one))) {
    const aside = names.filter((one) => ASIDE.test(one) && one.replace(ASIDE, '') === name);
    const isLost = aside.length > 0 && !(await isRead(catalog, name, host));
    for (const one of isLost ? aside : []) await importHistory(catalog, directory, one, host, true);
    await importHistory(catalog, directory, name, host, isLost);
  }
}

/** What stands behind the name of a copy that was put aside. */
const ASIDE = /\.\d{8}T\d{9}Z$/;

/** @returns whether anything of a history was read before */
async function isRead(catalog: Catalog, name: string, host: string): Promise<boolean> {
  const group = parseHistoryFile(name, host);
  if (group === undefined) return true;
  const [application, instance = ''] = group.split('.') as [string, string?];
  return (await catalog.historyPosition({ host, application, instance })).readBytes > 0;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // the host has told nothing yet
  }
}

/** @param isNew nothing of this file was read yet, whatever was read of another of its name */
async function importHistory(
  catalog: Catalog,
  directory: string,
  name: string,
  host: string,
  isNew = false,
): Promise<void> {
  const group = parseHistoryFile(name.replace(ASIDE, ''), host);
  if (group === undefined) return;
  const [application, instance = ''] = group.split('.') as [string, string?];
  const series = { host, application, instance };
  const { readBytes, damagedCount } = await catalog.historyPosition(series);
  const sizeBytes = fileSize(join(directory, name)) ?? 0;
  if (!isNew && readBytes === sizeBytes) return;
  const known = !isNew && readBytes <= sizeBytes ? readBytes : 0; // shorter than it was: another file
  const from = Math.max(known, sizeBytes - MAX_IMPORT_BYTES);
  const tail = readPart(join(directory, name), from, sizeBytes - from);
  // of a line that begins before the tail nothing is known; one without an end may still get it
  const begin = from === known ? 0 : tail.indexOf('\n') + 1;
  const end = tail.lastIndexOf('\n') + 1;
  if (end <= begin) return;
  const { runs, damagedCount: damagedNow } = parseHistory(tail.subarray(begin, end));
  if (damagedNow > 0)
    warn(`${host}: ${plural(damagedNow, 'line')} of its history of ${group} are none and left out`, { host });
  await catalog.importRuns(series, runs, {
    readBytes: from + end,
    damagedCount: (known === 0 ? 0 : damagedCount) + damagedNow,
  });
}

function readPart(file: string, from: number, sizeBytes: number): Buffer {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const buffer = Buffer.alloc(sizeBytes);
    return buffer.subarray(0, readSync(fd, buffer, 0, sizeBytes, from));
  } finally {
    closeSync(fd);
  }
}
