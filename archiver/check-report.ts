// What a check found, as it is read by people, by Nagios and by Prometheus. What hosts have said is in it: it is escaped
// here, as each of them needs it.

import { escapeControls, formatSize, plural } from '../lib/text.ts';
import { type Fact, type Message, makeMessage } from '../notifier/tell.ts';
import type { CheckReport } from './check.ts';
import type { Open, Telling } from './check-state.ts';
import type { Finding } from './checks/finding.ts';

/** More of a kind than anybody reads. */
const NAMED = 10;

/** Many subjects with one trouble are one thing to know. */
function grouped<T extends Pick<Finding, 'check' | 'reason' | 'subject'>>(findings: readonly T[]): T[][] {
  return [...Map.groupBy(findings, ({ check, reason }) => `${check} ${reason}`).values()];
}

function namesOf(group: readonly Pick<Finding, 'subject'>[], most: number): string {
  const named = group.slice(0, most).map(({ subject }) => subject);
  return named.join(', ') + (group.length > most ? ` and ${group.length - most} more` : '');
}

function inShort(findings: readonly Finding[]): string {
  return grouped(findings)
    .map((group) => `${group[0]?.reason}: ${namesOf(group, 3)}`)
    .join('; ');
}

/** @returns lines for people; what is worst first */
export function formatFindings({ findings, series, disk }: CheckReport): string {
  const lines = grouped(findings).flatMap((group) => [
    `${group[0]?.level === 'critical' ? 'CRITICAL' : 'WARNING '}  ${group[0]?.reason}`,
    ...group.slice(0, NAMED).map(({ subject, detail }) => `    ${subject}: ${detail}`),
    ...(group.length > NAMED ? [`    and ${group.length - NAMED} more`] : []),
  ]);
  const room = `${formatSize(disk.freeBytes)} free${disk.fullAt === undefined ? '' : `, full on ${disk.fullAt.slice(0, 10)} as it grows`}`;
  lines.push(`${plural(findings.length, 'problem')} with ${plural(series.length, 'application')}; ${room}`);
  return lines.map((line) => `${escapeControls(line)}\n`).join('');
}

/** @returns the line that Nagios shows, with its performance data */
export function formatNagios({ findings, series, disk }: CheckReport): string {
  const critical = findings.filter(({ level }) => level === 'critical').length;
  const warnings = findings.length - critical;
  const state = critical > 0 ? 'CRITICAL' : warnings > 0 ? 'WARNING' : 'OK';
  const text =
    findings.length === 0
      ? `nothing is wrong with ${plural(series.length, 'application')}`
      : inShort(findings);
  // everything behind a `|` would be taken for performance data
  const line = escapeControls(text).replaceAll('|', '/');
  const perfdata = `critical=${critical} warnings=${warnings} applications=${series.length} free=${disk.freeBytes}B;;;0;${disk.totalBytes}`;
  return `GARNER ${state} - ${line} | ${perfdata}\n`;
}

/** Of a series, what graphs and alarms are made of. */
const SERIES_METRICS: [
  name: string,
  help: string,
  of: (series: CheckReport['series'][number]) => number | undefined,
][] = [
  ['garner_archives', 'Archives that are kept.', ({ archives }) => archives.filter(isHere).length],
  [
    'garner_archives_size_bytes',
    'What they take on the disk.',
    ({ archives }) => archives.filter(isHere).reduce((sum, row) => sum + row.size_bytes, 0),
  ],
  [
    'garner_newest_archive_received_timestamp_seconds',
    'When the newest came.',
    ({ archives }) => seconds(archives.at(-1)?.received_at),
  ],
  [
    'garner_newest_archive_size_bytes',
    'The size of the newest.',
    ({ archives }) => archives.at(-1)?.size_bytes,
  ],
  [
    'garner_newest_archive_verified',
    '1 where the newest is known to be good.',
    ({ archives }) => (archives.length === 0 ? undefined : Number(archives.at(-1)?.verified !== null)),
  ],
];

const isHere = ({ state }: { state: string }): boolean => state === 'present' || state === 'removing';
const seconds = (time: string | undefined): number | undefined =>
  time === undefined ? undefined : Date.parse(time) / 1000;

/** @returns the text format of Prometheus, version 0.0.4 */
export function formatPrometheus({ findings, series, pulled, disk }: CheckReport, now: Date): string {
  const lines: string[] = [];
  const metric = (
    name: string,
    help: string,
    samples: [Record<string, string>, number | undefined][],
  ): void => {
    const known = samples.filter(([, value]) => value !== undefined);
    if (known.length === 0) return;
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`);
    for (const [labels, value] of known) {
      const text = Object.entries(labels).map(([label, of]) => `${label}="${escapeLabel(of)}"`);
      lines.push(`${name}${text.length === 0 ? '' : `{${text.join(',')}}`} ${value}`);
    }
  };
  for (const [name, help, of] of SERIES_METRICS)
    metric(
      name,
      help,
      series.map((one) => [{ host: one.host, application: one.name }, of(one)]),
    );
  metric(
    'garner_problem',
    '1 for each problem that a check found.',
    findings.map(({ check, level, subject }) => [{ check, level, subject }, 1]),
  );
  metric(
    'garner_problems',
    'How many problems a check found.',
    (['critical', 'warning'] as const).map((level) => [
      { level },
      findings.filter((one) => one.level === level).length,
    ]),
  );
  metric(
    'garner_host_pulled_timestamp_seconds',
    'When a host was last asked for news without a failure.',
    [...pulled].map(([host, at]) => [{ host }, seconds(at)]),
  );
  metric('garner_store_free_bytes', 'What is free on the disk of the archives.', [[{}, disk.freeBytes]]);
  metric('garner_store_size_bytes', 'The size of the disk of the archives.', [[{}, disk.totalBytes]]);
  metric('garner_store_full_timestamp_seconds', 'When that disk is full as it grows.', [
    [{}, seconds(disk.fullAt)],
  ]);
  metric('garner_check_timestamp_seconds', 'When this was found.', [[{}, now.getTime() / 1000]]);
  return `${lines.join('\n')}\n`;
}

const escapeLabel = (text: string): string =>
  escapeControls(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"');

/** @returns what people are told; undefined where nothing has changed */
export function messageOf({ fresh, reminders, over, open }: Telling, host: string): Message | undefined {
  const trouble = [...fresh, ...reminders];
  if (trouble.length === 0 && over.length === 0) return undefined;
  const facts: Fact[] = grouped(trouble).map((group) => ({
    label: `${group[0]?.level === 'critical' ? 'Critical' : 'Warning'}`,
    value: [
      `${group[0]?.reason}:`,
      ...few(group, ({ subject, detail, ...more }) => `${subject}: ${detail}${since(more)}`),
    ].join('\n'),
  }));
  facts.push(
    ...grouped(over).map((group) => ({
      label: 'Over',
      value: [`${group[0]?.reason}:`, ...few(group, ({ subject }) => subject)].join('\n'),
    })),
  );
  const others = open.length - trouble.length;
  if (others > 0)
    facts.push({ label: 'Besides', value: `${plural(others, 'problem')} told before: archiver check` });
  const isMissed = fresh.some(({ check }) => check === 'missing');
  const isFailed = trouble.some(({ level }) => level === 'critical');
  const about = { name: 'archiver check', host, facts };
  if (trouble.length > 0) {
    const result = isMissed ? 'MISSED' : isFailed ? 'FAILED' : 'WARNINGS';
    return makeMessage({ ...about, result, summary: inShort(trouble) });
  }
  const summary = `over: ${grouped(over)
    .map((group) => `${group[0]?.reason}: ${namesOf(group, 3)}`)
    .join('; ')}`;
  // one of several that is over is no all-clear
  return open.length === 0
    ? makeMessage({ ...about, result: 'OK', level: 'recovered', summary })
    : makeMessage({ ...about, result: 'WARNINGS', summary });
}

function few<T>(group: readonly T[], show: (one: T) => string): string[] {
  const lines = group.slice(0, NAMED).map(show);
  return group.length > NAMED ? [...lines, `and ${group.length - NAMED} more`] : lines;
}

const since = (one: object): string =>
  'since' in one ? ` (since ${String((one as Open).since).slice(0, 10)})` : '';
