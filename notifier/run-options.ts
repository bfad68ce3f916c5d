// The options of notify that say how a command is run, in place of wrappers in a crontab: `--lock` for flock, `--timeout`
// for timeout, and so on.
import { type Command, Option } from 'commander';
import { cannot, causeText } from '../lib/errors.ts';
import { LONGEST_TIMER_MS } from '../lib/interrupt.ts';
import { parseDuration } from '../lib/text.ts';
import { type Priority, parseIonice, parseNice } from './priority.ts';
import { parseSchedule, type Schedule } from './schedule.ts';
import type { Retry } from './tries.ts';

/** Their names. */
export const RUN_OPTIONS = ['timeout', 'lock', 'jitter', 'nice', 'ionice', 'retry', 'schedule', 'every'];

/** The options as they are written. */
export interface RunOptionTexts {
  timeout?: string;
  lock?: boolean;
  jitter?: string;
  nice?: string;
  ionice?: string;
  retry?: string;
  schedule?: string;
  every?: string;
  debug?: boolean;
}

/** How a command is to be run. */
export interface Manner {
  /** A second run of the same name is not started. */
  lock: boolean;
  /** The longest wait before the run, in milliseconds. */
  jitterMs: number;
  priority: Priority;
  retry: Retry;
  /** What the next run goes by. */
  schedule: Schedule | undefined;
  /** --timeout as it is written: agents have a time limit of their own, GARNER_TIMEOUT, which it beats. */
  timeout: string | undefined;
  /** A wait before the run is said, where somebody may look at it. */
  saysWaits: boolean;
}

/** Declares the options. */
export function addRunOptions(program: Command): Command {
  return program
    .option('--timeout <time>', 'the longest that the command may run, such as 2h (default: GARNER_TIMEOUT)')
    .option('--lock', 'not while a run of the same name is under way: exit code 4')
    .option('--jitter <time>', 'wait before the run, at most so long; as long each time on this host')
    .option('--nice <n>', 'added to the priority: 1 to 19 lower it')
    .option('--ionice <class>', 'idle, best-effort, or best-effort:0 to best-effort:7')
    .option(
      '--retry <n[:delay]>',
      'up to n more tries where it fails, each a delay (1m) after the one before',
    )
    .addOption(
      new Option('--schedule <fields>', 'the crontab line that starts it, such as "15 2 * * *"').conflicts(
        'every',
      ),
    )
    .option('--every <time>', 'how often something starts it, such as 1d');
}

/** @throws usage, naming the option */
export async function readRunOptions(texts: RunOptionTexts): Promise<Manner> {
  const { timeout, jitter, nice, ionice, retry, schedule, every } = texts;
  return {
    lock: texts.lock === true,
    jitterMs: jitter === undefined ? 0 : readDuration('--jitter', jitter),
    priority: {
      nice: read('--nice', nice, parseNice, 'it is no whole number from -20 to 19'),
      ionice: read(
        '--ionice',
        ionice,
        parseIonice,
        'it is none of idle, best-effort, best-effort:0 to best-effort:7',
      ),
    },
    retry: read('--retry', retry, parseRetry, 'it is not like 3 or 3:5m') ?? { count: 0, delayMs: 0 },
    schedule:
      schedule !== undefined
        ? await readSchedule('--schedule', schedule, schedule)
        : every !== undefined
          ? await readSchedule('--every', every, `every ${every}`)
          : undefined,
    timeout,
    saysWaits: texts.debug === true || process.stderr.isTTY === true,
  };
}

/**
 * Reads an option that is a duration.
 * @returns milliseconds
 * @throws usage, naming the option
 */
export function readDuration(option: string, text: string): number {
  return read(option, text, parseWait, 'it is no duration of at most 24d, such as 15m') as number;
}

function read<T>(
  option: string,
  text: string | undefined,
  parse: (text: string) => T | undefined,
  otherwise: string,
): T | undefined {
  if (text === undefined) return undefined;
  const value = parse(text);
  if (value === undefined) throw cannot('usage', `use ${option}`, text, otherwise);
  return value;
}

async function readSchedule(option: string, text: string, schedule: string): Promise<Schedule> {
  try {
    return await parseSchedule(schedule);
  } catch (error) {
    throw cannot('usage', `use ${option}`, text, causeText(error));
  }
}

const DEFAULT_DELAY = '1m';
const MOST_TRIES = 100;

function parseRetry(text: string): Retry | undefined {
  const [, count, delay = DEFAULT_DELAY] = /^(\d{1,3})(?::(.+))?$/.exec(text) ?? [];
  const delayMs = parseWait(delay);
  if (count === undefined || delayMs === undefined || Number(count) > MOST_TRIES) return undefined;
  return { count: Number(count), delayMs };
}

function parseWait(text: string): number | undefined {
  const ms = parseDuration(text);
  return ms === undefined || ms > LONGEST_TIMER_MS ? undefined : ms;
}
