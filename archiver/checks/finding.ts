// What a check finds. A check is a pure function of what is known: it looks at no clock, no disk and no host.
import type { Series } from '../series.ts';

/** All checks, in the order in which their findings are told: what others may come of is first. */
export const CHECKS = [
  'disk',
  'pull',
  'host-key',
  'failing',
  'missing',
  'late',
  'flood',
  'size',
  'unverified',
  'unknown',
  'stray',
  'quarantine',
  'catalog',
] as const;

export type Check = (typeof CHECKS)[number];

export interface Finding {
  check: Check;
  level: 'warning' | 'critical';
  /** `web1/mediawiki`, a host, or `archiver`. */
  subject: string;
  /** What many subjects can have in common, in a few words. */
  reason: string;
  /** What is so with this one; foreign text in it is escaped where it is shown. */
  detail: string;
}

/** @returns a finding about a series */
export function found(
  { host, name }: Pick<Series, 'host' | 'name'>,
  check: Check,
  level: Finding['level'],
  reason: string,
  detail: string,
): Finding {
  return { check, level, subject: `${host}/${name}`, reason, detail };
}
