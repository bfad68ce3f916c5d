// Whether a good run is unlike those before it, in size, duration, rows or files, and why. Each crossing is told once: the
// run's line in the history has what was beyond, and what the line before has too is no news.
import type { HistoryRun } from '../archive/history.ts';
import { causeText } from '../lib/errors.ts';
import { warn } from '../lib/log.ts';
import { formatDuration, formatSize } from '../lib/text.ts';
import { type Measure, variationOf } from '../lib/variation.ts';
import { durationOf } from './chart.ts';
import { keepContents, readContents, readKeptContents, subjectOfMember } from './contents.ts';
import { countOf, explainVariation, formatCount } from './explain-variation.ts';
import type { Verdict } from './judge.ts';

export type Variation = NonNullable<HistoryRun['variations']>[number];

/** How many are kept of a run, the most telling ones. */
const MOST_VARIATIONS = 20;
/** A list of members that is as long may be cut: what is not in it may be there all the same. */
const CUT_MEMBERS = 200;

interface Measured {
  of: Measure;
  /** The database or tree, where it is not all of the archive. */
  member?: string;
  value: number;
}

/**
 * Compares a run with its history.
 * @param run a good one; of others nothing is known
 * @param earlier oldest first
 * @returns what is beyond the usual, the most telling first, and whether it is news
 */
export function findVariations(
  run: HistoryRun,
  earlier: readonly HistoryRun[],
): { variations: Variation[]; news: Variation[] } {
  const hasArchive = run.archives.length > 0;
  const good = earlier.filter((one) => isGood(one) && one.archives.length > 0 === hasArchive);
  const measured = good.map((one) => ({ time: Date.parse(one.startedAt), values: measure(one) }));
  const now = measure(run);
  const last = good.at(-1);
  const isListed = run.members !== undefined && run.members.length < CUT_MEMBERS;
  for (const [key, value] of measured.at(-1)?.values ?? []) {
    // a database that is no longer there has lost all its rows
    if (isListed && value.member !== undefined && !now.has(key)) now.set(key, { ...value, value: 0 });
  }
  const variations: Variation[] = [];
  for (const [key, { of, member, value }] of now) {
    const samples = measured.flatMap(({ time, values }) => {
      const then = values.get(key);
      return then === undefined ? [] : [{ time, value: then.value }];
    });
    const found = variationOf(of, samples, { time: Date.parse(run.startedAt), value });
    if (found?.beyond === undefined) continue;
    variations.push({
      of,
      ...(member !== undefined && { member }),
      beyond: found.beyond,
      value,
      usual: found.usual,
    });
  }
  variations.sort((a, b) => Number(b.beyond === 'collapse') - Number(a.beyond === 'collapse'));
  const kept = variations.slice(0, MOST_VARIATIONS);
  const known = new Set(last?.variations?.flatMap(crossings));
  const news = kept.filter(
    (variation) => !known.has(crossings(variation)[0] as string) && !isSaidAlready(variation, kept),
  );
  return { variations: kept, news };
}

/** A database that is smaller says no more than its rows, or than the archive that is smaller. */
function isSaidAlready({ of, member }: Variation, all: readonly Variation[]): boolean {
  if (of !== 'size' || member === undefined) return false;
  return all.some((other) => (other.of === 'size' ? other.member === undefined : other.member === member));
}

function isGood({ result }: HistoryRun): boolean {
  return result === 'ok' || result === 'warnings';
}

/** @returns what was crossed; who has lost nearly all has lost much, too */
function crossings({ of, member, beyond }: Variation): string[] {
  const all = beyond === 'collapse' ? [beyond, 'drop'] : [beyond];
  return all.map((one) => `${of} ${one} ${member ?? ''}`);
}

/** In the order in which they tell most. */
function measure(run: HistoryRun): Map<string, Measured> {
  const measured = new Map<string, Measured>();
  const add = (of: Measure, value: number | undefined, member?: string): void => {
    if (value === undefined) return;
    const key = `${of} ${member ?? ''}`;
    const before = measured.get(key)?.value ?? 0;
    measured.set(key, { of, value: before + value, ...(member !== undefined && { member }) });
  };
  add('size', run.sizeBytes);
  for (const { name, uncompressedSizeBytes } of run.members ?? [])
    add('size', uncompressedSizeBytes, subjectOfMember(name));
  for (const { name, rowCount } of run.members ?? []) add('rows', rowCount, subjectOfMember(name));
  for (const { name, fileCount } of run.members ?? []) add('files', fileCount, subjectOfMember(name));
  add('duration', durationOf(run));
  return measured;
}

/** @returns `1.2 MB, usually 300.0 MB` */
export function describeVariation({ of, member, value, usual }: Variation): string {
  switch (of) {
    case 'size': {
      const what = member === undefined ? '' : ` in ${member}`;
      return `${formatSize(value)}${what}, usually ${formatSize(usual)}`;
    }
    case 'duration':
      return `it took ${formatDuration(value)}, usually ${formatDuration(usual)}`;
    default:
      return `${countOf(value, of === 'rows' ? 'row' : 'file')} in ${member}, usually ${formatCount(usual)}`;
  }
}

/**
 * Judges a run by its history: one that is unlike those before is no more OK than one with warnings.
 * @param run its line, as it is without that
 * @param file where what archives of the series hold is kept
 * @returns the verdict, and what the line is to have besides
 */
export async function judgeVariation(
  verdict: Verdict,
  run: HistoryRun,
  earlier: readonly HistoryRun[],
  { file, signal }: { file: string; signal: AbortSignal },
): Promise<{ verdict: Verdict; variations?: Variation[] }> {
  if (!isGood(run)) return { verdict };
  const { variations, news } = findVariations(run, earlier);
  const why = await compareContents(file, verdict, variations, news, signal);
  if (variations.length === 0) return { verdict };
  const [first] = news;
  if (first === undefined) return { verdict, variations };
  const [reason] = why[0] ?? [];
  const summary = `${describeVariation(first)}${reason === undefined ? '' : `: ${reason}`}`;
  const causes = [...news.map(describeVariation), ...new Set(why.flat()), ...verdict.causes];
  const withWarnings = verdict.result === 'WARNINGS' ? `${summary}, with warnings` : summary;
  return { verdict: { ...verdict, result: 'WARNINGS', summary: withWarnings, causes }, variations };
}

/**
 * Keeps what a usual archive holds, and compares what an unusual one holds with it.
 * @returns for each that is new the changes that explain it
 */
async function compareContents(
  file: string,
  { archives }: Verdict,
  variations: readonly Variation[],
  news: readonly Variation[],
  signal: AbortSignal,
): Promise<string[][]> {
  const [archive] = archives;
  // of several archives each has members of the same names
  if (archive?.manifest === undefined || archives.length > 1) return [];
  if (variations.length > 0 && news.length === 0) return [];
  try {
    const contents = await readContents(archive.path, signal);
    if (variations.length === 0) {
      keepContents(file, contents);
      return [];
    }
    const before = readKeptContents(file);
    if (before === undefined) return [];
    return news.map((one) => explainVariation(one, before, contents));
  } catch (error) {
    warn(`what is in the archive can't be compared with those before: ${causeText(error)}`);
    return [];
  }
}
