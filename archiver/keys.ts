// Which age keys the kept archives need. A host encrypts for recipients and can't read what it made; who destroys the last
// identity that opens a kept archive has lost it. So a key is retired here first, and that is refused as long as it is
// needed. Manifests say whom an archive is encrypted for: a host that lies about it could as well encrypt garbage.
import { join } from 'node:path';
import { type ArchiveName, parseName } from '../archive/name.ts';
import { openArchive } from '../archive/read.ts';
import { asGarnerError, cannot } from '../lib/errors.ts';
import { plural } from '../lib/text.ts';
import { archivePath } from './layout.ts';
import type { Failure, Run } from './run.ts';

/** Stands for the key of an archive whose manifest names none. */
export const UNKNOWN_KEY = 'unknown';

export interface KeyUse {
  /** The age recipient. */
  key: string;
  retired: boolean;
  /** How many kept archives it opens. */
  archives: number;
  /** Those that no other key opens that isn't retired. */
  neededBy: string[];
}

export interface KeysReport {
  keys: KeyUse[];
  /** Archives that can't be read: whom they need is not known. */
  unreadable: (Failure & { name: string })[];
}

/** @returns the keys of all kept archives, quarantined ones too, and those that are retired */
export async function listKeys(run: Run): Promise<KeysReport> {
  const { catalog, configuration, signal } = run;
  const retired = new Set(
    (await catalog.events()).filter(({ kind }) => kind === 'key-retired').map(({ subject }) => subject),
  );
  const uses = new Map<string, KeyUse>();
  const useOf = (key: string): KeyUse => {
    const use = uses.get(key) ?? { key, retired: retired.has(key), archives: 0, neededBy: [] };
    uses.set(key, use);
    return use;
  };
  for (const key of retired) useOf(key);
  const unreadable: KeysReport['unreadable'] = [];
  for (const { name, verified } of await catalog.list(['present', 'removing'])) {
    signal.throwIfAborted();
    if (verified === 'content') continue; // its members were read: they are not encrypted
    try {
      const recipients = recipientsOf(
        join(configuration.root, archivePath(parseName(name) as ArchiveName, name)),
      );
      for (const key of recipients) useOf(key).archives += 1;
      const open = recipients.filter((key) => !retired.has(key));
      if (open.length === 1) useOf(open[0] as string).neededBy.push(name);
    } catch (error) {
      const { code, message } = asGarnerError(error);
      unreadable.push({ name, code, message });
    }
  }
  return { keys: [...uses.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1)), unreadable };
}

function recipientsOf(path: string): string[] {
  using archive = openArchive(path);
  const { members, recipients = [] } = archive.manifest;
  if (!members.some(({ encoding }) => encoding.includes('age'))) return [];
  return recipients.length > 0 ? [...new Set(recipients)] : [UNKNOWN_KEY];
}

/**
 * Notes that a key will be destroyed.
 * @throws key-needed where a kept archive would be lost with it, or may be
 */
export async function retireKey(run: Run, key: string): Promise<void> {
  const { keys, unreadable } = await listKeys(run);
  const refuse = (cause: string, hint: string): Error =>
    cannot('key-needed', 'retire key', key, cause, { hint });
  const needed = keys.find((use) => use.key === key)?.neededBy ?? [];
  if (needed.length > 0) {
    throw refuse(
      `${plural(needed.length, 'kept archive')} can be opened by it alone, ${needed[0]} first`,
      'encrypt for a new key too, and retire this one when retention has let these go',
    );
  }
  const unclear = keys.find((use) => use.key === UNKNOWN_KEY)?.neededBy ?? [];
  if (unclear.length > 0) {
    throw refuse(
      `${plural(unclear.length, 'kept archive')} of an earlier garner may need it, ${unclear[0]} first`,
      'wait until retention has let these go',
    );
  }
  if (unreadable[0] !== undefined)
    throw refuse(`an archive can't be read: ${unreadable[0].message}`, 'archiver verify');
  await run.catalog.change([], {}, { kind: 'key-retired', subject: key, detail: {} });
}
