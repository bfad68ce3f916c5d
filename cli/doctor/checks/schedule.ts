// Whether something starts each configured agent and the archiver, when agents ran last, how that ended, and whether they are late.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { formatDuration, formatMinute, shellWord } from '../../../lib/text.ts';
import { commandDirectory, cronHead } from '../../init/schedule.ts';
import { type ArchiverFile, readArchiverFile } from '../archiver-file.ts';
import { broken, type Check, type Finding, type Patient, type PatientAgent, warning } from '../check.ts';
import { lastRunOf } from '../last-run.ts';
import { isOf, readSchedules, runs, type Schedules } from '../schedules.ts';

const LOST = 'it is not backed up any more, and nobody may notice';

export const schedule: Check = {
  name: 'schedule',
  limitMs: 20_000,
  async run(patient) {
    const { agents, places } = patient;
    const archiver = readArchiverFile();
    const hasBuckets = existsSync(join(patient.configDirectory, 'buckets.yaml'));
    if (agents.length === 0 && archiver === undefined && !hasBuckets)
      return { summary: 'nothing is configured', findings: [], isSkipped: true };
    const schedules = readSchedules(places);
    const findings = [...ignoredFiles(schedules), ...judgeOthers(archiver, hasBuckets, schedules, patient)];
    const seen: string[] = [];
    for (const agent of agents) {
      findings.push(...judgeEntries(agent, schedules), ...(await judgeRuns(agent, patient)));
      const { run } = await lastRunOf(agent, patient.now);
      seen.push(
        `${agent.series} ${run === undefined ? 'never ran' : `ran ${since(run.finishedAt, patient.now)} ago`}`,
      );
    }
    const { scheduled } = schedules;
    const watches = scheduled.some(({ program, args }) => program === 'notify' && args[0] === 'overdue');
    if (scheduled.length > 0 && !watches) {
      const what = 'nothing runs `notify overdue`';
      findings.push(
        warning(
          what,
          'a backup that does not run at all is noticed by nobody on this host',
          'garner init --cron',
        ),
      );
    }
    const byCron = scheduled.some(({ by }) => by === 'cron');
    if (byCron && !runs(places, ['cron', 'crond', 'fcron', 'busybox'])) {
      const why = 'none of its lines is run';
      findings.push(broken('cron does not run', why, 'sudo apt-get install cron && sudo service cron start'));
    }
    const byTimer = scheduled.find(({ by }) => by === 'systemd');
    if (byTimer !== undefined && !existsSync(places.systemd)) {
      const why = 'none of its timers is started';
      findings.push(
        broken(`${byTimer.where} is enabled, and systemd does not run`, why, 'garner init --cron'),
      );
    }
    return { summary: seen.join(', ') || 'no agent is configured', findings };
  },
};

/** Of the archiver, and of points of buckets. */
function judgeOthers(
  archiver: ArchiverFile | undefined,
  hasBuckets: boolean,
  { scheduled }: Schedules,
  { beside, configDirectory }: Patient,
): Finding[] {
  const head = cronHead({
    bin: commandDirectory(beside),
    configDirectory: process.env.GARNER_CONFIG_DIR ? configDirectory : undefined,
  });
  const wanted = [
    {
      program: 'archiver',
      verb: 'pull',
      isWanted: (archiver?.hosts.length ?? 0) > 0,
      why: 'archives stay on the hosts that they are to outlive',
    },
    {
      program: 'archiver',
      verb: 'push',
      isWanted: (archiver?.targets.length ?? 0) > 0,
      why: 'archives stay on the host that they are to outlive',
    },
    {
      program: 'bucket',
      verb: 'snapshot',
      isWanted: hasBuckets,
      why: 'what is written to the buckets from now on is in no restoration point',
    },
  ];
  return wanted
    .filter(
      ({ program, verb, isWanted }) =>
        isWanted && !scheduled.some((one) => one.program === program && one.args.includes(verb)),
    )
    .map(({ program, verb, why }) => {
      const line = `0 6 * * *  root  notify --schedule "0 6 * * *" -- ${program} ${verb}`;
      return warning(
        `no cron line and no timer runs \`${program} ${verb}\``,
        why,
        `printf '%s\\n' ${[...head, line].map(shellWord).join(' ')} >> /etc/cron.d/garner-${program}`,
      );
    });
}

const since = (time: string, now: Date): string =>
  formatDuration(Math.max(0, now.getTime() - Date.parse(time)));

function ignoredFiles({ ignored }: Schedules): Finding[] {
  return ignored.map(({ file, because }) =>
    broken(
      `cron passes over "${file}": ${because}`,
      'nothing in it runs, and cron does not say so',
      'garner init --cron   # or mend the file',
    ),
  );
}

function judgeEntries({ series, application, instance }: PatientAgent, { scheduled }: Schedules): Finding[] {
  const own = scheduled.filter((entry) => isOf(entry, application, instance));
  if (own.length === 0)
    return [
      warning(
        `${series}: no cron line and no timer runs it`,
        'it is backed up only by hand, unless a script of yours does it',
        'garner init --cron',
      ),
    ];
  const untold = own.find(({ isTold }) => !isTold);
  if (untold === undefined) return [];
  const what = `${series}: ${untold.where} runs it without notify`;
  return [warning(what, 'nobody is told where it fails', `notify -- ${untold.program}   # in that line`)];
}

async function judgeRuns(agent: PatientAgent, { now }: Patient): Promise<Finding[]> {
  const { series, command } = agent;
  const again = `notify -- ${command}`;
  const { run, due } = await lastRunOf(agent, now);
  const findings: Finding[] = [];
  if (due.state === 'overdue') {
    const what = `${series}: its run of ${formatMinute(due.dueAt.toISOString())} UTC did not begin`;
    findings.push(broken(what, LOST, again));
  } else if (due.state === 'doubtful') {
    findings.push(warning(`${series}: ${due.cause}`, 'nobody can tell whether it is late', again));
  }
  if (run === undefined) {
    return [...findings, warning(`${series}: no run of it is known`, 'there may be no backup at all', again)];
  }
  if (run.result === 'failed') {
    const what = `${series}: its last run failed ${since(run.finishedAt, now)} ago: ${run.summary}`;
    findings.push(broken(what, 'there is no archive of that time', again));
  }
  return findings;
}
