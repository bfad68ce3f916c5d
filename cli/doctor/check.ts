// What a check of `garner doctor` is: one file of checks/, which looks at one thing, changes nothing, and says of each trouble
// what it is, why it matters and which command remedies it.
import type { AgentDefinition } from '../../agents/toolkit/define-agent.ts';
import type { CORE_SETTINGS, KnownSettings, SettingValues } from '../../lib/settings.ts';
import type { NotifySettings } from '../../notifier/settings.ts';
import type { ConfiguredAgent } from '../configured-agents.ts';
import type { Places } from './schedules.ts';

export interface Finding {
  /** `broken`: backups fail, or nobody would know. */
  level: 'warning' | 'broken';
  what: string;
  why: string;
  /** A command, as it can be typed. */
  remedy: string;
}

export interface Outcome {
  /** What was looked at, in some words: `3 files`. */
  summary: string;
  findings: Finding[];
  /** There was nothing to look at. */
  isSkipped?: boolean;
}

export interface Check {
  name: string;
  /** How long it may take, in milliseconds. */
  limitMs: number;
  run(patient: Patient): Promise<Outcome>;
}

export interface PatientAgent extends ConfiguredAgent {
  definition: AgentDefinition;
  settings: SettingValues<typeof CORE_SETTINGS>;
}

/** The host as its configuration has it. */
export interface Patient {
  configDirectory: string;
  known: KnownSettings;
  settings: SettingValues<typeof CORE_SETTINGS>;
  notify: NotifySettings;
  /** Those whose settings can be read. */
  agents: PatientAgent[];
  /** Each once; only those whose disk answers. */
  workDirs: string[];
  /** Where schedules are. */
  places: Places;
  /** The directories of garner's commands. */
  beside: readonly string[];
  now: Date;
  signal: AbortSignal;
}

export const broken = (what: string, why: string, remedy: string): Finding => ({
  level: 'broken',
  what,
  why,
  remedy,
});

export const warning = (what: string, why: string, remedy: string): Finding => ({
  level: 'warning',
  what,
  why,
  remedy,
});
