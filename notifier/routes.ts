// Who gets a message: by its level, for each channel; fallbacks where all others have failed.
import type { Level } from './decide.ts';
import type { Message } from './message.ts';
import type { Channel } from './transport.ts';

/** What a channel is used for. */
export interface Route {
  levels: ReadonlySet<Level>;
  /** Where it leads, as a digest: an application's own settings may lead elsewhere than those of another. */
  destination: string;
  /** `always`, or only where all others have failed. */
  runs: 'always' | 'fallback' | 'never';
  digests: boolean;
  /** It watches over runs. */
  everyRun: boolean;
}

/** A `repetition` tells what was told not long ago. */
export type Occasion = 'news' | 'repetition' | 'digest';

export interface Recipients {
  first: string[];
  /** Those for where all of the first have failed. */
  fallback: string[];
}

/** @returns the names of the channels that a message goes to */
export function recipientsOf(
  message: Message,
  occasion: Occasion,
  channels: ReadonlyMap<string, Channel>,
  routes: ReadonlyMap<string, Route>,
): Recipients {
  const isOfRun = message.run !== undefined || message.result === 'MISSED';
  const wants = (name: string): boolean => {
    const { levels, digests, runs, everyRun } = routes.get(name) as Route;
    if (occasion === 'digest') return digests;
    if (everyRun) return runs !== 'never' && isOfRun;
    return occasion === 'news' && runs !== 'never' && takes(levels, message);
  };
  const wanting = [...channels.keys()].filter(wants);
  const isFallback = (name: string): boolean => routes.get(name)?.runs === 'fallback';
  return {
    first: wanting.filter((name) => !isFallback(name)),
    fallback: wanting.filter(isFallback),
  };
}

/** Whoever heard of the trouble hears that it is over; others only where they ask for that and for no trouble at all. */
export function takes(levels: ReadonlySet<Level>, { level, ended }: Message): boolean {
  if (level !== 'recovered') return levels.has(level);
  const heardOf = (one: Level): boolean => levels.has(one);
  return (ended ?? TROUBLE).some(heardOf) || (levels.has('recovered') && !TROUBLE.some(heardOf));
}

const TROUBLE: readonly Level[] = ['warnings', 'failed', 'missed'];
