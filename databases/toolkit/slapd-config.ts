// Which databases a slapd has and where they lie, from its configuration: a directory (slapd.d) or a file (slapd.conf).
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { cannot } from '../../lib/errors.ts';

export interface SlapdDatabase {
  suffix: string;
  directory: string;
}

/** @returns the values of one entry, by attribute in lower case */
function readEntry(ldif: string): Map<string, string[]> {
  const values = new Map<string, string[]>();
  for (const line of ldif.replaceAll(/\r?\n /g, '').split(/\r?\n/)) {
    const [, name, colons, value = ''] = /^([^:#\s]+)(::?) *(.*)$/.exec(line) ?? [];
    if (name === undefined) continue;
    const text = colons === '::' ? Buffer.from(value, 'base64').toString('utf8') : value;
    values.set(name.toLowerCase(), [...(values.get(name.toLowerCase()) ?? []), text]);
  }
  return values;
}

function readDirectory(config: string): SlapdDatabase[] {
  const entries = join(config, 'cn=config');
  const names = readdirSync(entries).filter((name) => /^olcDatabase=\{\d+\}.*\.ldif$/i.test(name));
  return names.sort().flatMap((name) => {
    const entry = readEntry(readFileSync(join(entries, name), 'utf8'));
    const [suffix] = entry.get('olcsuffix') ?? [];
    const [directory] = entry.get('olcdbdirectory') ?? [];
    return suffix === undefined || directory === undefined ? [] : [{ suffix, directory }];
  });
}

function* wordsOf(file: string, depth = 0): Generator<string[]> {
  const text = readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
  for (const line of text.replaceAll(/\r?\n[ \t]+/g, ' ').split(/\r?\n/)) {
    const words = [...line.matchAll(/"((?:\\.|[^"\\])*)"|(\S+)/g)].map(
      ([, quoted, plain]) => quoted?.replaceAll(/\\(.)/g, '$1') ?? (plain as string),
    );
    if (words[0]?.startsWith('#') || words.length < 2) continue;
    if (words[0]?.toLowerCase() === 'include' && depth < 8) yield* wordsOf(words[1] as string, depth + 1);
    else yield words;
  }
}

function readFile(config: string): SlapdDatabase[] {
  const databases: Partial<SlapdDatabase>[] = [];
  for (const [name = '', value = ''] of wordsOf(config)) {
    const database = databases.at(-1);
    const key = name.toLowerCase();
    if (key === 'database') databases.push({});
    else if (key === 'suffix' && database !== undefined) database.suffix ??= value;
    else if (key === 'directory' && database !== undefined) database.directory = value;
  }
  return databases.filter(
    (database): database is SlapdDatabase =>
      database.suffix !== undefined && database.directory !== undefined,
  );
}

/**
 * @param config slapd.d or slapd.conf
 * @returns the databases that keep something on this host's disk
 * @throws application-configuration where it can't be read
 */
export function readSlapdConfig(config: string): SlapdDatabase[] {
  try {
    return statSync(config).isDirectory() ? readDirectory(config) : readFile(config);
  } catch (error) {
    throw cannot('application-configuration', 'read configuration', config, error);
  }
}
