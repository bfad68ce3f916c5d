// What a pull has done, for a person: a line for each host that has something to say, one for all that have nothing, and
// one for all that failed for the same reason.
import { formatTable } from '../lib/table.ts';
import { formatDuration, formatSize, plural } from '../lib/text.ts';
import type { HostReport } from './pull-host.ts';

const NAMED_HOSTS = 10;

/** @returns lines; those that failed last, of a long text the end is read */
export function formatPull(reports: readonly HostReport[], dryRun: boolean): string {
  const quiet = reports.filter((report) => report.result === 'ok' && isIdle(report));
  const groups = failedAlike(reports);
  const alike = new Set([...groups.values()].flat());
  const shown = reports.filter((report) => !quiet.includes(report) && !alike.has(report));
  shown.sort((a, b) => Number(a.result === 'failed') - Number(b.result === 'failed'));
  const head = ['host', 'result', dryRun ? 'to fetch' : 'archives', 'size', 'time', 'rate', ''];
  const lines: string[] = [];
  if (shown.length > 0) lines.push(formatTable(head, shown.map(row)));
  if (quiet.length > 0) lines.push(`${plural(quiet.length, 'host')}: nothing new\n`);
  for (const [reason, hosts] of groups) {
    const names = hosts.slice(0, NAMED_HOSTS).map(({ host }) => host);
    const more = hosts.length - names.length;
    const named = names.join(', ') + (more > 0 ? ` and ${more} more` : '');
    lines.push(`${plural(hosts.length, 'host')} failed: ${reason}: ${named}\n`);
  }
  return lines.join('');
}

const isIdle = ({ pulled, pruned, warnings }: HostReport): boolean =>
  pulled.length + pruned.length + warnings.length === 0;

/** @returns hosts from which nothing came, by the reason, where several have the same */
function failedAlike(reports: readonly HostReport[]): Map<string, HostReport[]> {
  const idle = reports.filter((report) => report.result === 'failed' && isIdle(report));
  const groups = Map.groupBy(idle, ({ error }) => reasonOf(error?.message ?? ''));
  return new Map([...groups].filter(([, hosts]) => hosts.length > 1));
}

/** @returns `connection refused` of `cannot connect to "sftp://web1": connection refused` */
function reasonOf(message: string): string {
  return /^cannot [^"]*"[^"]*": (.+)$/s.exec(message)?.[1] ?? message;
}

function row(report: HostReport): string[] {
  const { host, result, pulled, pruned, warnings, failureCount, error, sizeBytes, durationMs } = report;
  const notes: string[] = [];
  if (pruned.length > 0) notes.push(`${pruned.length} pruned`);
  if (warnings.length > 0) notes.push(plural(warnings.length, 'warning'));
  if (failureCount > 1) notes.push(`${failureCount} failures, the first`);
  const cause = error === null ? '' : error.message;
  const perSecond = durationMs === 0 ? 0 : Math.round((sizeBytes / durationMs) * 1000);
  return [
    host,
    result,
    String(pulled.length),
    formatSize(sizeBytes),
    formatDuration(durationMs),
    sizeBytes === 0 ? '' : `${formatSize(perSecond)}/s`,
    [notes.join(', '), cause].filter((text) => text !== '').join(': '),
  ];
}
