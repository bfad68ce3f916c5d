// The history of a host's runs: small files that grow by a line a run. They are copied as they are and never removed;
// what they tell goes into the catalog, each run once. Their lines are the host's word: those that are none are counted.
import { closeSync, constants, mkdirSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { HISTORY_DIRECTORY, parseHistory, parseHistoryFile } from '../archive/history.ts';
import { writeFileDurably } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';
import { warn } from '../lib/log.ts';
import { plural } from '../lib/text.ts';
import type { Store } from '../stores/store.ts';
import type { Catalog } from './catalog/catalog.ts';
import { fileSize } from './layout.ts';

/** About a hundred years of hourly runs. */
const MAX_BYTES = 256 << 20;
const MAX_FILES = 1000;
/** How much of the end of a history is read at most, in one go. */
const MAX_IMPORT_BYTES = 8 << 20;

/** Copies a host's `history/<application>[.<instance>]-<host>.jsonl` where they have changed, and reads what is new. */
export async function copyHistory(
  { catalog, configuration }: { catalog: Catalog; configuration: { root: string } },
  store: Store,
  host: string,
): Promise<void> {
  const entries = (await store.list(HISTORY_DIRECTORY)).filter(
    ({ name, kind }) => kind === 'file' && parseHistoryFile(name, host) !== undefined,
  );
  const directory = join(configuration.root, host, HISTORY_DIRECTORY);
  for (const { name, sizeBytes } of entries.slice(0, MAX_FILES)) {
    const target = join(directory, name);
    if (fileSize(target) === sizeBytes) continue; // it only ever grows
    const content = await readWhole(store, `${HISTORY_DIRECTORY}/${name}`);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileDurably(target, content, { replace: true });
    await importHistory(catalog, directory, name, host);
  }
}

/** Reads what the copied histories of a host tell and the catalog does not know. */
export async function importHistories(catalog: Catalog, root: string, host: string): Promise<void> {
  const directory = join(root, host, HISTORY_DIRECTORY);
  for (const name of namesIn(directory))
    if (fileSize(join(directory, name)) !== undefined) await importHistory(catalog, directory, name, host);
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // the host has told nothing yet
  }
}

async function importHistory(catalog: Catalog, directory: string, name: string, host: string): Promise<void> {
  const group = parseHistoryFile(name, host);
  if (group === undefined) return;
  const [application, instance = ''] = group.split('.') as [string, string?];
  const series = { host, application, instance };
  const { readBytes, damagedCount } = await catalog.historyPosition(series);
  const sizeBytes = fileSize(join(directory, name)) ?? 0;
  const known = readBytes <= sizeBytes ? readBytes : 0; // shorter than it was: another file
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

async function readWhole(store: Store, path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of store.read(path)) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_BYTES) throw cannot('store-limit', 'copy', path, 'it is implausibly large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
