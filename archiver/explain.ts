// Why an archive stays or goes, as a sentence for people; JSON has the bare reasons.
import type { PruneReport } from './prune.ts';

/** The reasons of lib/retention.ts, by their first word. */
const PHRASES: Record<string, (rest: string) => string> = {
  last: (rest) => `number ${rest} of the newest`,
  hourly: (rest) => `the newest of the hour ${rest.replace('T', ' ')}`,
  daily: (rest) => `the newest of ${rest}`,
  weekly: (rest) => `the newest of week ${rest}`,
  monthly: (rest) => `the newest of month ${rest}`,
  yearly: (rest) => `the newest of ${rest}`,
  within: (rest) => `younger than ${rest}`,
  minimum: () => 'among the newest good ones, which always stay (minimum)',
};

function phrase(reason: string): string {
  const [word = '', rest = ''] = reason.split(/ (.*)/);
  return PHRASES[word]?.(rest) ?? reason;
}

/** @returns why nothing of an application is pruned, and what prunes it all the same */
export function explainHeld({ subject, findings }: PruneReport['held'][number]): string {
  const why = findings.map(({ reason, detail }) => `${reason}: ${detail}`).join('; ');
  return `${subject} is not pruned: ${why} (hint: if it is right: archiver prune --allow-odd)`;
}

/** @returns whether somebody should look: that backups fail has been told where it happened */
export function isOdd({ findings }: PruneReport['held'][number]): boolean {
  return findings.some(({ check }) => check !== 'failing');
}

/** @returns one line for each archive, those that stay first */
export function explain({ keep, remove }: Pick<PruneReport, 'keep' | 'remove'>): string {
  const lines = [
    ...keep.map(({ name, reasons }) => `keep    ${name}  It stays: ${reasons.map(phrase).join('; ')}.`),
    ...remove.map(({ name, reason }) => `remove  ${name}  It goes: ${reason}.`),
  ];
  return lines.map((line) => `${line}\n`).join('');
}
