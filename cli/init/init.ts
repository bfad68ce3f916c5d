// `garner init`: from nothing to a host that is backed up. It finds the applications, writes what is missing of the
// configuration, prints or installs the schedule, makes a first backup where asked, and says what is still to do. Run again, it
// adds what is missing and changes nothing else.
import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { CommandContext } from '../../lib/command-line.ts';
import { asGarnerError, cannot, EXIT } from '../../lib/errors.ts';
import { info, writeStderr } from '../../lib/log.ts';
import { capture } from '../../lib/process.ts';
import {
  CORE_SETTINGS,
  configDirectory,
  type KnownSettings,
  loadSettings,
  type SettingTable,
} from '../../lib/settings.ts';
import { shellWord } from '../../lib/text.ts';
import { TRANSPORTS } from '../../notifier/all-transports.ts';
import type { Transport } from '../../notifier/transport.ts';
import { agentCommand, type ConfiguredAgent, configuredAgents } from '../configured-agents.ts';
import { type Finding, warning } from '../doctor/check.ts';
import { examine } from '../doctor/doctor.ts';
import { isOf, type Places, readSchedules, SYSTEM_PLACES } from '../doctor/schedules.ts';
import { isThere, planFiles, unwrittenSecrets, writeFiles } from './files.ts';
import { type Findings, findApplications } from './find.ts';
import {
  CRON_FILE,
  commandDirectory,
  cronText,
  installCron,
  installTimers,
  nightly,
  timerUnits,
  UNIT_DIRECTORY,
} from './schedule.ts';

export interface InitOptions {
  mailTo?: string;
  dryRun?: boolean;
  /** A file, or true: the usual one. */
  cron?: string | true;
  /** A directory, or true: the usual one. */
  timer?: string | true;
  backup?: boolean;
}

/** Asks a person; without a terminal there is none, and nothing is asked. */
export interface Person {
  line(question: string): Promise<string>;
  agrees(question: string): Promise<boolean>;
}

export interface FirstBackup {
  application: string;
  result: 'ok' | 'warnings' | 'failed';
  archive: string | null;
}

export interface InitReport {
  result: 'ok' | 'warnings' | 'failed';
  dryRun: boolean;
  configDirectory: string;
  findings: Findings;
  /** Files of the configuration; with `dryRun` those that would be written. */
  written: string[];
  kept: string[];
  schedule: {
    /** A file for /etc/cron.d of the agents that nothing starts yet; empty: all are started. */
    cron: string;
    /** What was installed. */
    installed: string[];
  };
  backups: FirstBackup[];
  todo: Finding[];
}

/** @throws usage, configuration, io; the signal's reason */
export async function init(
  { known, beside = [] }: CommandContext,
  options: InitOptions,
  {
    signal,
    person,
    places = SYSTEM_PLACES,
  }: { signal: AbortSignal; person?: Person | undefined; places?: Places },
): Promise<InitReport> {
  const { dryRun = false } = options;
  const directory = configDirectory();
  if (options.mailTo !== undefined) checkMailTo(options.mailTo, known);
  const { GARNER_HOST: host } = loadSettings(CORE_SETTINGS, { known });

  info('looking for applications');
  const findings = await findApplications(known, signal);
  const own = findings.found.filter(({ coveredBy }) => coveredBy.length === 0);

  const main = join(directory, 'garner.env');
  const hasMain = isThere(main);
  const mailTo = options.mailTo ?? (hasMain ? undefined : await askForMail(person, known));
  const files = planFiles(directory, own, { mailTo });
  const names = [
    main,
    ...own.map(({ definition }) => join(directory, `agent-${definition.application}.env`)),
  ];
  const written = files.map(({ file }) => file);
  if (!dryRun) writeFiles(directory, files);

  const agents = dryRun ? await plannedAgents(directory, findings) : await configuredAgents(directory);
  const { scheduled } = readSchedules(places);
  const idle = agents.filter(
    (agent) => !scheduled.some((one) => isOf(one, agent.application, agent.instance)),
  );
  const bin = commandDirectory(beside);
  const schedulePlaces = {
    ...{ bin, host, user: userInfo().username },
    configDirectory: process.env.GARNER_CONFIG_DIR ? directory : undefined,
  };
  checkPlain([bin, directory]);
  const cron = idle.length === 0 ? '' : cronText(idle, schedulePlaces);
  const installed = dryRun || idle.length === 0 ? [] : await install();

  const backups: FirstBackup[] = [];
  const wanted = own.map(({ definition }) => definition.application);
  if (
    !dryRun &&
    wanted.length > 0 &&
    (options.backup || (await person?.agrees('Make a first backup now?')))
  ) {
    for (const application of wanted) {
      const isScheduled = installed.length > 0 || !idle.some((one) => one.series === application);
      const schedule = isScheduled ? ['--schedule', nightly(host, application)] : [];
      backups.push(await firstBackup(bin, application, schedule, signal));
    }
  }
  const todo = dryRun ? [] : await whatIsLeft();
  return {
    result: resultOf(findings, backups),
    dryRun,
    configDirectory: directory,
    findings,
    written,
    kept: names.filter((file) => !written.includes(file)),
    schedule: { cron, installed },
    backups,
    todo,
  };

  async function install(): Promise<string[]> {
    const { cron: cronOption, timer } = options;
    const isAsked = cronOption === undefined && timer === undefined;
    if (
      timer !== undefined ||
      (isAsked && existsSync(places.systemd) && (await agrees('timers of systemd')))
    ) {
      const units = timerUnits(idle, schedulePlaces);
      return installTimers(typeof timer === 'string' ? timer : UNIT_DIRECTORY, units, signal);
    }
    if (cronOption === undefined && !(isAsked && !existsSync(places.systemd) && (await agrees(CRON_FILE))))
      return [];
    const file = typeof cronOption === 'string' ? cronOption : CRON_FILE;
    installCron(file, cron);
    return [file];
  }

  async function agrees(what: string): Promise<boolean> {
    return (await person?.agrees(`Run them each night, by ${what}?`)) ?? false;
  }

  async function whatIsLeft(): Promise<Finding[]> {
    const left: Finding[] = [];
    if (options.mailTo !== undefined && hasMain) {
      const remedy = `echo NOTIFY_EMAIL_TO=${shellWord(options.mailTo)} >> ${shellWord(main)}   # unless it is there`;
      left.push(warning(`${main} stays as it is, without --mail-to`, 'it was there before', remedy));
    }
    for (const name of unwrittenSecrets(known)) {
      const remedy = `sensible-editor ${shellWord(directory)}/agent-APPLICATION.env   # mode 0600`;
      left.push(
        warning(`${name} is in the environment alone`, 'runs by cron or a timer do not have it', remedy),
      );
    }
    const { checks } = await examine({ program: 'garner', known, beside }, signal, places);
    return [...left, ...checks.flatMap((check) => check.findings)];
  }
}

/** @throws configuration */
function checkMailTo(mailTo: string, known: KnownSettings): void {
  const { settings } = TRANSPORTS.get('email') as Transport;
  const { NOTIFY_EMAIL_TO } = settings;
  loadSettings({ NOTIFY_EMAIL_TO } as SettingTable, { known, env: {}, options: { NOTIFY_EMAIL_TO: mailTo } });
}

/** A line of cron or of a unit ends at a line break. */
function checkPlain(directories: readonly string[]): void {
  const odd = directories.find((one) => /[\0-\x1f\x7f]/.test(one));
  if (odd !== undefined)
    throw cannot('usage', 'schedule commands with', odd, 'its name has a control character');
}

async function askForMail(person: Person | undefined, known: KnownSettings): Promise<string | undefined> {
  for (;;) {
    const answer = (await person?.line('Who is told by mail how backups end (empty: nobody)?'))?.trim();
    if (!answer) return undefined;
    try {
      checkMailTo(answer, known);
      return answer;
    } catch (error) {
      writeStderr(`${asGarnerError(error).message}\n`);
    }
  }
}

/** What would be configured. */
async function plannedAgents(directory: string, { found }: Findings): Promise<ConfiguredAgent[]> {
  const agents = await configuredAgents(directory);
  const more = found
    .filter(
      ({ coveredBy, definition }) =>
        coveredBy.length === 0 && !agents.some(({ series }) => series === definition.application),
    )
    .map(({ definition: { application } }) => ({
      ...{ application, instance: undefined, series: application },
      command: agentCommand(application, undefined),
    }));
  return [...agents, ...more];
}

/** By notify, as each later one: so the history begins, and a message shows that messages come. */
async function firstBackup(
  bin: string,
  application: string,
  schedule: readonly string[],
  signal: AbortSignal,
): Promise<FirstBackup> {
  info(`first backup of ${application}`);
  const own = Object.entries(process.env).filter(([name]) => /^(GARNER|NOTIFY)_/.test(name));
  const ran = await capture(
    {
      file: join(bin, 'notify'),
      args: [...schedule, '--', `agent-${application}`],
      // its own environment, as a caller would give it
      env: { ...Object.fromEntries(own), PATH: `${bin}:${process.env.PATH ?? ''}` },
      onStderrLine: (line) => writeStderr(`${line}\n`),
    },
    { signal },
  );
  const archive = ran.stdout.trim() || null;
  if (ran.code === EXIT.ok.code) return { application, result: 'ok', archive };
  return { application, result: ran.code === EXIT.warnings.code ? 'warnings' : 'failed', archive };
}

function resultOf({ found }: Findings, backups: readonly FirstBackup[]): InitReport['result'] {
  if (backups.some(({ result }) => result === 'failed')) return 'failed';
  const isOdd = found.length === 0 || found.some(({ survey }) => survey.unusable.length > 0);
  return isOdd || backups.some(({ result }) => result === 'warnings') ? 'warnings' : 'ok';
}
