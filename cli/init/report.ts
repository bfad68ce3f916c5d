// What `garner init` has done, for people and for machines. Names and messages come from elsewhere: they are escaped and
// redacted here.
import { redact } from '../../lib/redact.ts';
import { escapeControls, escapeControlsInLines, formatSize } from '../../lib/text.ts';
import { formatFinding } from '../doctor/doctor.ts';
import type { Found } from './find.ts';
import type { InitReport } from './init.ts';

const safe = (text: string): string => escapeControls(redact(text));

/** @returns one JSON object, without a secret */
export function jsonOf({ findings, ...report }: InitReport): string {
  const { found, doubtful, absent } = findings;
  const content = {
    ...report,
    found: found.map(({ definition, survey, coveredBy }) => ({
      application: definition.application,
      title: definition.title,
      version: survey.version ?? null,
      databases: survey.databases.map(({ name, engine, location, serverVersion, sizeBytes }) => ({
        ...{ name, engine, location, serverVersion, sizeBytes },
      })),
      trees: survey.trees,
      problems: survey.unusable.map(({ code, message, hint }) => ({ code, message, hint: hint ?? null })),
      coveredBy,
    })),
    doubtful: doubtful.map(({ application, error }) => ({
      application,
      code: error.code,
      message: error.message,
    })),
    absent,
  };
  const foreign = ['version', 'location', 'serverVersion', 'message', 'hint', 'what', 'remedy'];
  return `${JSON.stringify(content, (key, value) => (typeof value === 'string' && foreign.includes(key) ? safe(value) : value))}\n`;
}

/** @returns the report as lines for people */
export function formatReport(report: InitReport): string {
  const { findings, dryRun, written, kept, schedule, backups, todo } = report;
  const { found, doubtful, absent } = findings;
  const lines: string[] = [];
  const section = (title: string, entries: readonly string[]): void => {
    if (entries.length > 0)
      lines.push(...(lines.length > 0 ? [''] : []), title, ...entries.map((entry) => `  ${entry}`));
  };
  section('Found', found.flatMap(foundLines));
  if (found.length === 0) lines.push('No application was found.');
  section(
    'Could not tell (nothing is written for these)',
    doubtful.map(({ application, error }) => `${application.padEnd(12)} ${safe(error.message)}`),
  );
  section('Not here', absent.length > 0 ? [absent.join(', ')] : []);
  section('Configuration', [
    ...written.map((file) => `${dryRun ? 'would write' : 'written'}  ${escapeControls(file)}`),
    ...kept.map((file) => `kept     ${escapeControls(file)}`),
  ]);
  if (schedule.installed.length > 0)
    section(
      'Schedule',
      schedule.installed.map((file) => `installed  ${escapeControls(file)}`),
    );
  else if (schedule.cron !== '') {
    const title =
      'Schedule, for /etc/cron.d/garner (garner init --cron installs it, --timer timers of systemd)';
    section(title, escapeControlsInLines(schedule.cron).trimEnd().split('\n'));
  }
  section(
    'First backup',
    backups.map(({ application, result, archive }) =>
      `${application.padEnd(12)} ${result}  ${escapeControls(archive ?? '')}`.trimEnd(),
    ),
  );
  if (todo.length > 0) {
    const shown = todo.map((finding) => ({
      ...finding,
      what: safe(finding.what),
      why: safe(finding.why),
      remedy: safe(finding.remedy),
    }));
    lines.push('', 'Still to do (garner doctor says it again)', ...shown.flatMap(formatFinding));
  }
  return `${lines.join('\n')}\n`;
}

function foundLines({ definition, survey, coveredBy }: Found): string[] {
  const { application, title } = definition;
  const databases = survey.databases.map(
    ({ engine, location, sizeBytes }) => `${engine} ${location} (${formatSize(sizeBytes)})`,
  );
  const parts = [...databases, ...survey.trees.map(({ root }) => root)].map(safe).join(', ');
  const version = survey.version === undefined ? '' : ` ${safe(survey.version)}`;
  const covered = `all its databases are those of ${coveredBy.join(', ')}: nothing is written for it`;
  return [
    `${application.padEnd(12)} ${title}${version}: ${coveredBy.length > 0 ? covered : parts}`,
    ...survey.unusable.map(({ message }) => `${' '.repeat(13)}! ${safe(message)}`),
  ];
}
