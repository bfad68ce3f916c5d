// Why an archive is unlike those before: which table or directory has changed most. Names of tables and directories are
// foreign text: they are escaped, and in quotes where they could be taken for more than a name.
import { showPath } from '../archive/listing.ts';
import { escapeControls, formatSize } from '../lib/text.ts';
import { type Contents, type Directory, MOST_KEPT } from './contents.ts';

/** How many changes are told. */
const MOST_CHANGES = 3;
/** A directory stands for the one above it where it has most of that one's change. */
const MOST_OF_IT = 0.8;
const LONGEST_NAME = 100;

/** What has varied: an archive or a part of it in size, a database in rows, a tree in files. */
export interface Varied {
  of: 'size' | 'rows' | 'files' | 'duration';
  /** The database or the tree; undefined: the archive. */
  member?: string | undefined;
}

/**
 * @param before what the last usual archive held
 * @returns the greatest changes, each a line, the most telling first; none where they explain nothing
 */
export function explainVariation({ of, member }: Varied, before: Contents, now: Contents): string[] {
  if (of === 'duration') return [];
  const databases = pairs(before.databases, now.databases);
  const trees = pairs(before.trees, now.trees);
  if (of === 'rows') return tableChanges(databases.find(({ name }) => name === member));
  if (of === 'files')
    return directoryChanges(
      trees.find(({ name }) => name === member),
      'fileCount',
    );
  const parts = [...databases, ...trees].filter(({ name }) => member === undefined || name === member);
  const [greatest] = parts.sort((a, b) => Math.abs(growth(b)) - Math.abs(growth(a)));
  if (greatest === undefined) return [];
  const changes =
    'tables' in (greatest.now ?? greatest.before ?? {})
      ? tableChanges(greatest as Pair<Database>)
      : directoryChanges(greatest as Pair<Tree>, 'sizeBytes');
  return changes.length > 0 ? changes : [`${shown(greatest.name)} ${changeOf(greatest, formatSize)}`];
}

type Database = Contents['databases'][number];
type Tree = Contents['trees'][number];

interface Pair<T> {
  name: string;
  before: T | undefined;
  now: T | undefined;
}

function pairs<T extends { name: string }>(before: readonly T[], now: readonly T[]): Pair<T>[] {
  const names = new Set([...before, ...now].map(({ name }) => name));
  const find = (all: readonly T[], wanted: string): T | undefined => all.find(({ name }) => name === wanted);
  return [...names].map((name) => ({ name, before: find(before, name), now: find(now, name) }));
}

function growth({ before, now }: Pair<{ sizeBytes: number }>): number {
  return (now?.sizeBytes ?? 0) - (before?.sizeBytes ?? 0);
}

interface Change {
  what: string;
  before: number | undefined;
  now: number | undefined;
  /** It may have been there before: small ones were not kept. */
  wasSmall?: boolean;
  /** It may still be there: a list has files, not directories. */
  mayBeEmpty?: boolean;
}

function tableChanges(pair: Pair<Database> | undefined): string[] {
  const before = new Map(pair?.before?.tables);
  const now = new Map(pair?.now?.tables);
  const changes = [...new Set([...before.keys(), ...now.keys()])].map((table) => ({
    what: `table ${shown(escapeControls(table))}`,
    before: before.get(table),
    now: now.get(table),
  }));
  return greatestOf(changes, (count) => countOf(count, 'row'));
}

function directoryChanges(pair: Pair<Tree> | undefined, by: 'sizeBytes' | 'fileCount'): string[] {
  if (pair?.before?.directories === null || pair?.now?.directories === null) {
    return [
      `which directory of ${shown(pair.name)} has changed is not known: its list is encrypted or too long`,
    ];
  }
  const before = byPath(pair?.before?.directories);
  const now = byPath(pair?.now?.directories);
  const change = (path: string): number => (now.get(path)?.[by] ?? 0) - (before.get(path)?.[by] ?? 0);
  const paths = [...new Set([...before.keys(), ...now.keys()])];
  const standsForAll = (path: string): boolean => {
    const above = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    return above !== '' && change(path) / change(above) >= MOST_OF_IT;
  };
  // one of two that say the same: the deeper where it explains the other, else the upper
  const lower = new Set(paths.filter(standsForAll));
  const upper = new Set([...lower].map((path) => path.slice(0, path.lastIndexOf('/'))));
  const telling = paths.filter((path) => (path.includes('/') ? lower.has(path) : !upper.has(path)));
  const wasSmall = before.size >= MOST_KEPT;
  const changes = telling.map((path) => ({
    wasSmall,
    mayBeEmpty: true,
    what: `directory ${shown(showPath(path))}`,
    before: before.get(path)?.[by],
    now: now.get(path)?.[by],
  }));
  return greatestOf(changes, by === 'sizeBytes' ? formatSize : (count) => countOf(count, 'file'));
}

function byPath(directories: readonly Directory[] = []): Map<string, Directory> {
  return new Map(directories.map((directory) => [directory.path, directory]));
}

function greatestOf(changes: readonly Change[], format: (value: number) => string): string[] {
  const extent = ({ before = 0, now = 0 }: Change): number => Math.abs(now - before);
  const sorted = changes.filter((change) => extent(change) > 0).sort((a, b) => extent(b) - extent(a));
  // what is a tenth of the greatest change explains nothing
  const telling = sorted.filter((change) => extent(change) > extent(sorted[0] as Change) / 10);
  return telling.slice(0, MOST_CHANGES).map((change) => {
    const { what, before, now, wasSmall, mayBeEmpty } = change;
    if (before === undefined && wasSmall) return `${what} was small, and has ${format(now as number)}`;
    if (before === undefined) return `${what} is new, with ${format(now as number)}`;
    if (now === undefined)
      return mayBeEmpty ? `${what} lost all ${format(before)}` : `${what} is gone, with ${format(before)}`;
    const by = format(extent(change));
    return now < before
      ? `${what} lost ${withoutUnit(by)} of ${format(before)}`
      : `${what} gained ${by}, and had ${format(before)}`;
  });
}

/** `98,000` of `98,000 rows`, where a number with the same unit follows. */
function withoutUnit(text: string): string {
  return text.replace(/ (row|file)s?$/, '');
}

function changeOf({ before, now }: Pair<{ sizeBytes: number }>, format: (value: number) => string): string {
  if (before === undefined) return `is new, with ${format(now?.sizeBytes ?? 0)}`;
  if (now === undefined) return `is gone, with ${format(before.sizeBytes)}`;
  return `went from ${format(before.sizeBytes)} to ${format(now.sizeBytes)}`;
}

/** @returns a count for people: `98,000` */
export function formatCount(value: number): string {
  return value.toLocaleString('en-US');
}

/** @returns a count of something: `1 row`, `98,000 rows` */
export function countOf(value: number, noun: string): string {
  return `${formatCount(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** @param name has no control characters */
function shown(name: string): string {
  const short = name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name;
  return /^[\p{L}\p{N}_.$@/+-]+…?$/u.test(short) ? short : `"${short.replaceAll('"', '\\"')}"`;
}
