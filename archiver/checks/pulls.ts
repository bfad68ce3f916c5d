// Whether the archiver itself does its work: pulls run, hosts can be reached, and they are those that they were.
import { formatDuration } from '../../lib/text.ts';
import type { HostRow } from '../catalog/schema.ts';
import type { HostConfiguration } from '../configuration.ts';
import type { Finding } from './finding.ts';

/** A host that is being started again can't be reached for a while. */
const AWAY_MS = 3 * 3_600_000;

/**
 * @param known what the catalog knows of hosts
 * @param everyMs how long nobody may be asked; 0: for ever
 */
export function checkPulls(
  hosts: readonly Pick<HostConfiguration, 'name'>[],
  known: readonly HostRow[],
  everyMs: number,
  now: Date,
): Finding[] {
  const rows = new Map(known.map((row) => [row.name, row]));
  const last = known
    .map(({ polled_at }) => polled_at ?? '')
    .toSorted()
    .at(-1);
  const isOld = (at: string | null | undefined, ms: number): boolean =>
    !at || now.getTime() - Date.parse(at) > ms;
  const isLate = (at: string | null | undefined): boolean => everyMs > 0 && isOld(at, everyMs);
  if (hosts.length > 0 && isLate(last)) {
    const detail = last ? `the last was ${ago(last, now)} ago` : 'it never did';
    return [{ check: 'pull', level: 'critical', subject: 'archiver', reason: 'no pull has run', detail }];
  }
  return hosts.flatMap(({ name }): Finding[] => {
    const row = rows.get(name);
    const finding = { check: 'pull', subject: name } as const;
    if (isLate(row?.polled_at)) {
      const detail = row?.polled_at ? `the last time was ${ago(row.polled_at, now)} ago` : 'it never was';
      return [{ ...finding, level: 'warning', reason: 'the host was not asked for news', detail }];
    }
    if (row?.result !== 'failed') return row === undefined ? [] : nextKeyFindings(row);
    const message = row.error_message ?? '';
    if (row.error_code === 'host-key') {
      const reason = "the host's key is not the one that was recorded";
      return [{ check: 'host-key', level: 'critical', subject: name, reason, detail: message }];
    }
    if (!isOld(row.succeeded_at, AWAY_MS)) return [];
    const level = isLate(row.succeeded_at) ? 'critical' : 'warning';
    // `cannot connect to "sftp://…": connection refused`
    const reason = `pulls fail: ${message.slice(message.lastIndexOf('": ') + 1).replace(/^: /, '')}`;
    return [{ ...finding, level, reason, detail: message }];
  });
}

function nextKeyFindings({ name, next_keys }: HostRow): Finding[] {
  if (next_keys === '') return [];
  const reason = "the host's key is about to change";
  const detail = `it has ${next_keys} too: compare it on the host, and add it to hostKeys before the old one goes`;
  return [{ check: 'host-key', level: 'warning', subject: name, reason, detail }];
}

const ago = (at: string, now: Date): string => formatDuration(Math.max(0, now.getTime() - Date.parse(at)));
