// When a run is due, as crontab lines and intervals say it, in the local time zone. What cron does when clocks are changed is
// done here: a time that is skipped is made up for at once, one that comes twice is used once.
import { createHash } from 'node:crypto';
import { GarnerError } from '../lib/errors.ts';
import { parseDuration } from '../lib/text.ts';

export interface Schedule {
  /** `15 2 * * *`, `@daily` or `every 1d`: reading it again gives the same schedule. */
  text: string;
  /** The time that follows the one of a run that began and ended then. */
  after(run: { startedAt: Date; finishedAt: Date }): Date;
}

const EVERY = /^every /;
/** What messages and histories have a place for. */
const LONGEST_TEXT = 100;
const LONGEST_INTERVAL_MS = 10 * 365 * 86_400_000;

/**
 * Reads a schedule.
 * @param text five fields or a name as in a crontab, or `every` and a duration
 * @throws usage where it is none, or one that never comes
 */
export async function parseSchedule(text: string): Promise<Schedule> {
  if (text.length > LONGEST_TEXT) throw problem(`it is longer than ${LONGEST_TEXT} characters`);
  return EVERY.test(text) ? parseInterval(text) : await parseCrontab(text.trim().replace(/\s+/g, ' '));
}

const problem = (cause: string): GarnerError => new GarnerError('usage', cause);

function parseInterval(text: string): Schedule {
  const ms = parseDuration(text.replace(EVERY, ''));
  if (ms === undefined || ms === 0) throw problem('it is no duration such as 15m, 6h, 1d');
  if (ms > LONGEST_INTERVAL_MS) throw problem('it is longer than 10 years');
  return {
    text,
    // a run that took longer than that has used up what came meanwhile
    after({ startedAt, finishedAt }) {
      const tookMs = Math.max(0, finishedAt.getTime() - startedAt.getTime());
      return new Date(startedAt.getTime() + (Math.floor(tookMs / ms) + 1) * ms);
    },
  };
}

const FIELDS = /^([\w*?,/#-]+ ){4}[\w*?,/#-]+$/;
const NAMES = /^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$/i;

async function parseCrontab(text: string): Promise<Schedule> {
  if (!FIELDS.test(text) && !NAMES.test(text)) {
    throw problem(
      'it has not the five fields of a crontab line, such as 15 2 * * *, and is no @daily or the like',
    );
  }
  const [, , day = '*', , weekday = '*'] = text.split(' ');
  const { Cron } = await import('croner');
  const cron = ((): InstanceType<typeof Cron> => {
    try {
      // cron takes either of the two days, but both where one of them begins with a star
      return new Cron(text, { mode: '5-part', domAndDow: day.startsWith('*') || weekday.startsWith('*') });
    } catch (error) {
      throw problem((error as Error).message.replace(/^CronPattern: /, ''));
    }
  })();
  const next = (from: Date): Date => {
    const date = cron.nextRun(from);
    if (date === null) throw problem('that time never comes');
    return date;
  };
  next(new Date());
  return { text, after: ({ finishedAt }) => next(finishedAt) };
}

/**
 * Computes when the next run is due to begin.
 * @param jitterMs how long a run waits after its time before it begins
 */
export function nextDue(
  schedule: Schedule,
  { startedAt, finishedAt }: { startedAt: Date; finishedAt: Date },
  jitterMs = 0,
): Date {
  const back = (time: Date): Date => new Date(time.getTime() - jitterMs);
  const due = schedule.after({ startedAt: back(startedAt), finishedAt: back(finishedAt) });
  return new Date(due.getTime() + jitterMs);
}

/**
 * Spreads runs of many hosts and names. The same host and name always wait as long: intervals stay even, and when the next run
 * is due is known to the second.
 * @returns milliseconds, less than `longestMs`
 */
export function jitterOf(host: string, name: string, longestMs: number): number {
  const digest = createHash('sha256').update(`${host}\0${name}`).digest();
  return Math.floor((digest.readUIntBE(0, 6) / 2 ** 48) * longestMs);
}
