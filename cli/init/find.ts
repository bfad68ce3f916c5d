// Which applications this host has: each agent looks where its application usually is, or where settings say. What it can't
// tell is said, not guessed.
import { prepareWith } from '../../agents/toolkit/command.ts';
import type { AgentDefinition } from '../../agents/toolkit/define-agent.ts';
import { asGarnerError, type GarnerError } from '../../lib/errors.ts';
import { loadModule, moduleNames } from '../../lib/modules.ts';
import type { KnownSettings } from '../../lib/settings.ts';
import { type Survey, surveyAgent } from '../survey-agent.ts';
import { within } from '../within.ts';

const AGENT_LIMIT_MS = 30_000;

export interface Found {
  definition: AgentDefinition;
  survey: Survey;
  /** An application found, all of whose databases these are: it need not be backed up by itself. */
  coveredBy: string[];
}

export interface Doubtful {
  application: string;
  /** Why it can't be told whether it is there. */
  error: GarnerError;
}

export interface Findings {
  found: Found[];
  doubtful: Doubtful[];
  /** The applications that are not there. */
  absent: string[];
}

/** Databases of any application: whose they are is known once the others have been found. */
const isServer = ({ databaseServer }: AgentDefinition): boolean => databaseServer !== undefined;

/** @throws the signal's reason */
export async function findApplications(known: KnownSettings, signal: AbortSignal): Promise<Findings> {
  const findings: Findings = { found: [], doubtful: [], absent: [] };
  const all = await Promise.all(
    moduleNames('agents').map((name) => loadModule<AgentDefinition>('agents', name)),
  );
  for (const definition of all.toSorted((a, b) => Number(isServer(a)) - Number(isServer(b)))) {
    const { application } = definition;
    try {
      const survey = await within(
        AGENT_LIMIT_MS,
        `looking for ${definition.title}`,
        signal,
        async (limited) => {
          using prepared = prepareWith(definition, known)({});
          return surveyAgent(definition, { ...prepared, signal: limited });
        },
      );
      const doubt = judge(definition, survey);
      if (doubt === 'there') findings.found.push({ definition, survey, coveredBy: [] });
      else if (doubt === 'absent') findings.absent.push(application);
      else findings.doubtful.push({ application, error: doubt });
    } catch (error) {
      signal.throwIfAborted();
      findings.doubtful.push({ application, error: asGarnerError(error) });
    }
  }
  for (const server of findings.found.filter(({ definition }) => isServer(definition))) {
    server.coveredBy = ownersOf(server, findings.found);
  }
  return findings;
}

function judge(agent: AgentDefinition, survey: Survey): 'there' | 'absent' | GarnerError {
  const { databases, trees, undeclared, unusable } = survey;
  if (undeclared.length > 0) return undeclared.find((error) => !isAbsence(error)) ?? 'absent';
  if (databases.length > 0 || trees.length > 0) return 'there';
  // a server that nobody installed has no client either, and no configuration
  return isServer(agent) ? (unusable.find((error) => !isAbsence(error)) ?? 'absent') : 'absent';
}

/** Whether an error says that there is nothing: no such file, no such program, or a setting without which nothing is meant. */
function isAbsence(error: GarnerError): boolean {
  if (error.code === 'program-missing' || error.code === 'configuration') return true;
  return (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

/** @returns the applications that have all databases of a server; none where one of these is nobody's */
function ownersOf({ survey }: Found, found: readonly Found[]): string[] {
  const owners = survey.databases.map(({ engine, databaseName }) =>
    found.find(
      (other) =>
        !isServer(other.definition) &&
        other.survey.databases.some((one) => one.engine === engine && one.databaseName === databaseName),
    ),
  );
  if (owners.includes(undefined)) return [];
  return [...new Set(owners.flatMap((owner) => owner?.definition.application ?? []))];
}
