// `garner doctor`: looks at all that a backup of this host depends on, and says what to do. Each check has its time; one that
// fails or hangs is a finding, and keeps no other from being made.
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { AgentDefinition } from '../../agents/toolkit/define-agent.ts';
import type { CommandContext } from '../../lib/command-line.ts';
import { asGarnerError, EXIT, type GarnerError } from '../../lib/errors.ts';
import { loadModule } from '../../lib/modules.ts';
import { redact } from '../../lib/redact.ts';
import { CORE_SETTINGS, configDirectory, loadSettings } from '../../lib/settings.ts';
import { escapeControls, plural, shellWord } from '../../lib/text.ts';
import { loadNotifySettings } from '../../notifier/settings.ts';
import { configuredAgents } from '../configured-agents.ts';
import { within } from '../within.ts';
import { broken, type Check, type Finding, type Outcome, type Patient, type PatientAgent } from './check.ts';
import { applications } from './checks/applications.ts';
import { clock } from './checks/clock.ts';
import { configuration } from './checks/configuration.ts';
import { hostKeys } from './checks/host-keys.ts';
import { leftovers } from './checks/leftovers.ts';
import { messages } from './checks/messages.ts';
import { programs } from './checks/programs.ts';
import { pulls } from './checks/pulls.ts';
import { rights } from './checks/rights.ts';
import { schedule } from './checks/schedule.ts';
import { space } from './checks/space.ts';
import { type Places, SYSTEM_PLACES } from './schedules.ts';

/** In the order in which they are told. */
const CHECKS: Check[] = [
  ...[configuration, rights, space, programs, applications, clock],
  ...[hostKeys, messages, schedule, pulls, leftovers],
];

const UNREAD = 'the settings can not be read';

/** How long a disk may take to answer. */
const DISK_LIMIT_MS = 5000;

export interface Checked extends Outcome {
  name: string;
  state: 'ok' | 'warning' | 'broken' | 'skipped';
}

export interface Diagnosis {
  result: 'ok' | 'warnings' | 'failed';
  checks: Checked[];
  /** Something still waits for a disk or a host that does not answer: the process does not end by itself. */
  hangs: boolean;
}

export const EXIT_OF = {
  ok: EXIT.ok.code,
  warnings: EXIT.warnings.code,
  failed: EXIT.failed.code,
} as const;

/** @throws what the signal says; trouble is in the diagnosis */
export async function examine(
  { known, beside = [] }: CommandContext,
  signal: AbortSignal,
  places: Places = SYSTEM_PLACES,
): Promise<Diagnosis> {
  let hangs = false;
  const checks: Checked[] = [];
  const directory = configDirectory();
  const unread: Finding[] = [];
  const patient = await readPatient();
  for (const check of CHECKS) {
    // without settings nothing is known of the rest
    if (patient === undefined && check !== configuration) {
      checks.push({
        name: check.name,
        state: 'skipped',
        summary: UNREAD,
        findings: [],
      });
      continue;
    }
    checks.push(clean(check.name, await runCheck(check)));
  }
  return { result: resultOf(checks), checks, hangs };

  async function readPatient(): Promise<Patient | undefined> {
    try {
      const settings = loadSettings(CORE_SETTINGS, { known });
      const notify = loadNotifySettings({ known });
      const agents = await readAgents(directory, known, unread);
      const all = [settings, ...agents.map((agent) => agent.settings)].map((one) => one.GARNER_WORK_DIR);
      const workDirs: string[] = [];
      for (const workDir of new Set(all)) {
        if (await answers(workDir)) workDirs.push(workDir);
      }
      const common = { configDirectory: directory, known, places, beside, now: new Date(), signal };
      return { ...common, settings, notify, agents, workDirs };
    } catch (error) {
      signal.throwIfAborted();
      unread.push(unreadable(error));
      return undefined;
    }
  }

  async function answers(workDir: string): Promise<boolean> {
    try {
      await within(DISK_LIMIT_MS, 'looking at the disk', signal, () => firstAbove(workDir));
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (asGarnerError(error).code !== 'timeout') return true; // `rights` says what it is
      hangs = true;
      const why = 'every run that uses it waits for it, until its own limit';
      unread.push(
        broken(
          `the disk of "${workDir}" does not answer`,
          why,
          `mount | grep nfs; df ${shellWord(dirname(workDir))}`,
        ),
      );
      return false;
    }
  }

  async function runCheck(check: Check): Promise<Outcome> {
    try {
      const outcome = await within(check.limitMs, 'the check', signal, (limited) =>
        check.run({ ...(patient ?? ({ configDirectory: directory, known } as Patient)), signal: limited }),
      );
      return check === configuration ? { ...outcome, findings: join(outcome.findings, unread) } : outcome;
    } catch (caught) {
      signal.throwIfAborted();
      const error = asGarnerError(caught);
      if (error.code === 'timeout') hangs = true;
      const finding = broken(
        error.message,
        'what can not be checked may be broken',
        error.hint ?? 'garner doctor --debug',
      );
      return { summary: 'could not be checked', findings: [finding] };
    }
  }
}

/** One trouble of a file is told once, however it was come upon. */
function join(found: Finding[], more: Finding[]): Finding[] {
  return [
    ...found,
    ...more.filter(({ what }) => !found.some((one) => one.what.includes(what) || what.includes(one.what))),
  ];
}

function unreadable(error: unknown): Finding {
  const { message, hint }: GarnerError = asGarnerError(error);
  return broken(message, 'commands that read it refuse to run', hint ?? 'garner config check');
}

async function readAgents(
  directory: string,
  known: CommandContext['known'],
  unread: Finding[],
): Promise<PatientAgent[]> {
  const agents: PatientAgent[] = [];
  for (const configured of await configuredAgents(directory)) {
    const definition = await loadModule<AgentDefinition>('agents', configured.application);
    try {
      const fileOf = `agent-${configured.series}`;
      const settings = loadSettings({ ...CORE_SETTINGS, ...definition.settings }, { known, fileOf });
      agents.push({ ...configured, definition, settings });
    } catch (error) {
      unread.push(unreadable(error));
    }
  }
  return agents;
}

/** Asks the disk of a directory, or of the next above it that there is. */
async function firstAbove(path: string): Promise<void> {
  try {
    await statfs(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || path === '/') throw error;
    await firstAbove(dirname(path));
  }
}

/** Names of files and what programs say are foreign. */
function clean(name: string, { summary, findings, isSkipped = false }: Outcome): Checked {
  const text = (one: string): string => escapeControls(redact(one));
  const state = isSkipped && findings.length === 0 ? 'skipped' : worst(findings);
  return {
    name,
    state,
    summary: text(summary),
    findings: findings.map(({ level, what, why, remedy }) => ({
      level,
      what: text(what),
      why: text(why),
      remedy: text(remedy),
    })),
  };
}

function worst(findings: readonly Finding[]): 'ok' | 'warning' | 'broken' {
  if (findings.some(({ level }) => level === 'broken')) return 'broken';
  return findings.length > 0 ? 'warning' : 'ok';
}

function resultOf(checks: readonly Checked[]): Diagnosis['result'] {
  const all = worst(checks.flatMap(({ findings }) => findings));
  return ({ ok: 'ok', warning: 'warnings', broken: 'failed' } as const)[all];
}

const MARKS = { ok: '[ ok ]', warning: '[warn]', broken: '[FAIL]', skipped: '[ -- ]' };

/** @returns one line for each check, and details of what is not well */
export function formatDiagnosis({ checks }: Diagnosis): string {
  const widest = Math.max(...checks.map(({ name }) => name.length));
  const line = (name: string, state: Checked['state'], summary: string): string =>
    `${MARKS[state]} ${name.padEnd(widest)}  ${summary}`;
  const lines = checks
    .filter(({ summary }) => summary !== UNREAD)
    .flatMap(({ name, state, summary, findings }) => [
      line(name, state, summary),
      ...findings.flatMap(formatFinding),
    ]);
  if (checks.some(({ summary }) => summary === UNREAD)) lines.push(line('the others', 'skipped', UNREAD));
  const count = (level: Finding['level']): number =>
    checks.flatMap(({ findings }) => findings).filter((finding) => finding.level === level).length;
  const [bad, odd] = [count('broken'), count('warning')];
  const parts = [bad > 0 ? `${bad} broken` : '', odd > 0 ? plural(odd, 'warning') : ''].filter(Boolean);
  return `${[...lines, parts.length === 0 ? 'all well' : parts.join(', ')].join('\n')}\n`;
}

/** @returns a finding as lines for people */
export function formatFinding({ level, what, why, remedy }: Finding): string[] {
  return [`  ${level === 'broken' ? '!' : '-'} ${what}`, `      why: ${why}`, `      do:  ${remedy}`];
}
