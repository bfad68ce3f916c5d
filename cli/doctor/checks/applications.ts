// Each configured application, as a backup would find it: its configuration can be read, its servers answer, its directories
// are there, and the clients know what the servers have.
import { prepareWith } from '../../../agents/toolkit/command.ts';
import { findDumpClient } from '../../../databases/toolkit/mysql-client.ts';
import { judgePair, probeClient, readVersion } from '../../../databases/toolkit/mysql-versions.ts';
import { checkClient, type PostgresConnection } from '../../../databases/toolkit/postgres-client.ts';
import { asGarnerError, cannot } from '../../../lib/errors.ts';
import { plural } from '../../../lib/text.ts';
import { type Ask, surveyAgent } from '../../survey-agent.ts';
import { within } from '../../within.ts';
import { broken, type Check, type Finding, type Patient, type PatientAgent, warning } from '../check.ts';

/** A server far away may take its time; one that hangs must not take that of all. */
const AGENT_LIMIT_MS = 20_000;

export const applications: Check = {
  name: 'applications',
  limitMs: 120_000,
  async run(patient) {
    const findings: Finding[] = [];
    const seen: string[] = [];
    for (const agent of patient.agents) {
      try {
        const found = await within(AGENT_LIMIT_MS, `looking at ${agent.series}`, patient.signal, (signal) =>
          look(agent, { ...patient, signal }),
        );
        seen.push(found.summary);
        findings.push(...found.findings);
      } catch (error) {
        patient.signal.throwIfAborted();
        findings.push(failing(agent, error));
      }
    }
    const summary = seen.length === 0 ? 'none is configured' : seen.join('; ');
    return { summary, findings, isSkipped: patient.agents.length === 0 };
  },
};

function failing({ series, command }: PatientAgent, error: unknown): Finding {
  const { message, hint } = asGarnerError(error);
  const describe = command.replace(/^\S+/, '$& describe');
  return broken(`${series}: ${message}`, 'its backup fails', hint ?? describe);
}

async function look(
  agent: PatientAgent,
  { known, signal }: Patient,
): Promise<{ summary: string; findings: Finding[] }> {
  const { definition, series, instance } = agent;
  using prepared = prepareWith(definition, known)({ ...(instance !== undefined && { instance }) });
  const findings: Finding[] = [];
  const clients: string[] = [];
  const ask: Ask = async (engine, { connection }, serverVersion, limited) => {
    if (engine.name === 'postgres') {
      const major = Number.parseInt(serverVersion, 10);
      await checkClient('pg_dump', connection as PostgresConnection, major, 'database-dump', {}, limited);
    } else if (engine.name === 'mysql') {
      const client = await probeClient(findDumpClient(), limited);
      for (const { message } of judgePair(client, readVersion(serverVersion))) {
        const [what = message, remedy = 'apt-get install mariadb-client'] = message.split('; install ');
        const why = 'the dump may lack what only the server knows';
        findings.push(warning(`${series}: ${what}`, why, `install ${remedy}`));
      }
    } else return;
    clients.push(engine.name);
  };
  const survey = await surveyAgent(definition, { ...prepared, signal }, ask);
  for (const error of [...survey.undeclared, ...survey.unusable]) {
    const finding = failing(agent, error);
    // what names the databases often names the trees too
    if (!findings.some(({ what }) => what === finding.what)) findings.push(finding);
  }
  const isEmpty = survey.databases.length === 0 && survey.trees.length === 0;
  if (isEmpty && findings.length === 0 && definition.application !== 'command') {
    findings.push(
      failing(agent, cannot('application-configuration', 'back up', series, 'nothing of it is there')),
    );
  }
  const version = survey.version === undefined ? '' : ` ${survey.version}`;
  const parts = [
    survey.databases.length > 0 ? plural(survey.databases.length, 'database') : '',
    survey.trees.length > 0 ? plural(survey.trees.length, 'tree') : '',
  ].filter(Boolean);
  return { summary: `${series}${version}${parts.length > 0 ? ` (${parts.join(', ')})` : ''}`, findings };
}
