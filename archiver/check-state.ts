// What the last check found and whom it told, so that the same trouble is told once and then only as a reminder. Lost, it
// is told anew; it lies beside the catalog.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { writeFileDurably } from '../lib/durable.ts';
import { warn } from '../lib/log.ts';
import { CHECKS, type Finding } from './checks/finding.ts';

const time = z.iso.datetime();

const stateSchema = z.object({
  /** What somebody was told of and what is still so. */
  open: z.array(
    z.object({
      check: z.enum(CHECKS),
      level: z.enum(['warning', 'critical']),
      subject: z.string(),
      reason: z.string(),
      since: time,
      toldAt: time,
    }),
  ),
  /** What the disk of the archives held, a day each, oldest first. */
  disk: z.array(z.object({ at: time, usedBytes: z.number() })),
});

export type CheckState = z.infer<typeof stateSchema>;
export type Open = CheckState['open'][number];

/** What is to be told, and what is known from then on. */
export interface Telling {
  /** What is new, or worse than it was. */
  fresh: Finding[];
  /** What was told long ago and is still so. */
  reminders: (Finding & { since: string })[];
  /** What is over. */
  over: Open[];
  open: Open[];
}

const stateFile = (catalogFile: string): string => join(dirname(catalogFile), 'check.json');

/** @returns an empty one where there is none, or a damaged one */
export function readCheckState(catalogFile: string): CheckState {
  const file = stateFile(catalogFile);
  try {
    return stateSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      warn(`"${file}" can't be read; what was told before is told again`);
    return { open: [], disk: [] };
  }
}

/** @throws io, no-space */
export function writeCheckState(catalogFile: string, state: CheckState): void {
  writeFileDurably(stateFile(catalogFile), JSON.stringify(state), { replace: true });
}

/** What is late becomes missing: the same trouble. */
const keyOf = ({ check, subject }: Pick<Finding, 'check' | 'subject'>): string =>
  `${check === 'late' ? 'missing' : check} ${subject}`;

/**
 * Decides what is told.
 * @param covers whether a subject was looked at: of the others nothing is known
 * @param remindMs how long the same is not told again, in milliseconds; 0: each time
 */
export function decideTelling(
  open: readonly Open[],
  findings: readonly Finding[],
  covers: (subject: string) => boolean,
  remindMs: number,
  now: Date,
): Telling {
  const before = new Map(open.map((one) => [keyOf(one), one]));
  const telling: Telling = { fresh: [], reminders: [], over: [], open: [] };
  for (const finding of findings) {
    const known = before.get(keyOf(finding));
    before.delete(keyOf(finding));
    const { check, level, subject, reason } = finding;
    const isWorse = level === 'critical' && known?.level === 'warning';
    const ageMs = known === undefined ? Number.POSITIVE_INFINITY : now.getTime() - Date.parse(known.toldAt);
    const since = known?.since ?? now.toISOString();
    // a nightly check is some minutes early or late; a clock that went back must not keep it quiet
    const isDue = ageMs < 0 || ageMs >= remindMs * 0.9;
    if (known === undefined || isWorse) telling.fresh.push(finding);
    else if (isDue) telling.reminders.push({ ...finding, since });
    const toldAt = known === undefined || isWorse || isDue ? now.toISOString() : known.toldAt;
    telling.open.push({ check, level, subject, reason, since, toldAt });
  }
  for (const one of before.values()) (covers(one.subject) ? telling.over : telling.open).push(one);
  return telling;
}
