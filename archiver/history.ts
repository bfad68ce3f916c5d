// The history of a host's runs: small files that grow by a line a run. They are copied as they are and never removed.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurably } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';
import type { Store } from '../stores/store.ts';
import { fileSize } from './layout.ts';

const DIRECTORY = 'history';
/** About a hundred years of hourly runs. */
const MAX_BYTES = 256 << 20;
const MAX_FILES = 1000;

/**
 * Copies a host's `history/<application>[.<instance>]-<host>.jsonl` where they have changed.
 * @param hostDirectory where the host's archives are: `<root>/<host>`
 */
export async function copyHistory(store: Store, hostDirectory: string, host: string): Promise<void> {
  const entries = (await store.list(DIRECTORY)).filter(
    ({ name, kind }) => kind === 'file' && isHistoryOf(host, name),
  );
  for (const { name, sizeBytes } of entries.slice(0, MAX_FILES)) {
    const target = join(hostDirectory, DIRECTORY, name);
    if (fileSize(target) === sizeBytes) continue; // it only ever grows
    const content = await readWhole(store, `${DIRECTORY}/${name}`);
    mkdirSync(join(hostDirectory, DIRECTORY), { recursive: true, mode: 0o700 });
    writeFileDurably(target, content, { replace: true });
  }
}

function isHistoryOf(host: string, name: string): boolean {
  const group = name.slice(0, -`-${host}.jsonl`.length);
  return name === `${group}-${host}.jsonl` && /^[a-z][a-z0-9]*(\.[a-z0-9_]+)?$/.test(group);
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
