// Which age keys the kept archives need. A host encrypts for recipients and can't read what it made; who destroys the last
// identity that opens a kept archive has lost it. So a key is retired here first, and that is refused as long as it is
// needed. Manifests say whom an archive is encrypted for: a host that lies about it could as well encrypt garbage.
import { openArchive } from '../archive/read.ts';
import { asGarnerError, cannot } from '../lib/errors.ts';
import { plural } from '../lib/text.ts';
import { archiveFile } from './layout.ts';
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
      const recipients = recipientsOf(archiveFile(configuration.root, name));
      for (const key of recipients) useOf(key).archives += 1;
      const open = recipients.filter((key) => !retired.has(key));
      // one that came for retired keys alone is lost with any of them, for all that is known
      const last = open.length === 0 ? recipients : open.length === 1 ? open : [];
      for (const key of last) useOf(key).neededBy.push(name);
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
 * @throws usage where it is mistyped: no archive needs what is no key
 * @throws key-needed where a kept archive would be lost with it, or may be
 */
export async function retireKey(run: Run, key: string): Promise<void> {
  const { keys, unreadable } = await listKeys(run);
  if (!keys.some((use) => use.key === key) && !isRecipient(key)) {
    throw cannot('usage', 'use option', '--retire', 'that is no age recipient: mistyped?', {
      hint: 'archiver keys lists those that kept archives name',
    });
  }
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

const BECH32 = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
const GENERATORS = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];

/** @returns whether it is an age recipient by its checksum, which is Bech32's (BIP 173): a typo is none */
export function isRecipient(text: string): boolean {
  const [, prefix, data] = /^(age1?[a-z0-9-]*)1([a-z0-9]{6,})$/.exec(text) ?? [];
  if (prefix === undefined || data === undefined) return false;
  const codes = [...prefix].map((letter) => letter.charCodeAt(0));
  const values = [...data].map((letter) => BECH32.indexOf(letter));
  if (values.includes(-1)) return false;
  let sum = 1;
  for (const value of [...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31), ...values]) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    for (const [bit, generator] of GENERATORS.entries()) if ((top >> bit) & 1) sum ^= generator;
  }
  return sum === 1;
}
