// What an agent finds of its application on this host, without counting its files: where its databases and trees are, whether
// the servers answer, and what a backup would stop with.
import { statSync } from 'node:fs';
import type { AgentContext, AgentDefinition } from '../agents/toolkit/define-agent.ts';
import { databasesOf } from '../agents/toolkit/sources.ts';
import { leaveContainer } from '../databases/toolkit/container.ts';
import type { DatabaseSource, Engine } from '../databases/toolkit/engine.ts';
import { loadEngine } from '../databases/toolkit/engines.ts';
import { asGarnerError, cannot, type GarnerError } from '../lib/errors.ts';

export interface SurveyedDatabase {
  name: string;
  engine: string;
  /** For people, without a secret. */
  location: string;
  /** On its server. */
  databaseName: string;
  serverVersion: string;
  sizeBytes: number;
}

export interface Survey {
  /** undefined: nobody can tell. */
  version: string | undefined;
  databases: SurveyedDatabase[];
  trees: { name: string; root: string }[];
  /** Why the databases or trees can't be named: the application is not there, or not as it should be. */
  undeclared: GarnerError[];
  /** What was named and can't be used: a server that does not answer, a directory that is missing. */
  unusable: GarnerError[];
}

/** Asks more of a server that answers, while its container, where it has one, is entered. */
export type Ask = (
  engine: Engine,
  source: DatabaseSource,
  serverVersion: string,
  signal: AbortSignal,
) => Promise<void>;

/** One at a time: a container is entered by the whole process. */
export async function surveyAgent(agent: AgentDefinition, context: AgentContext, ask?: Ask): Promise<Survey> {
  const { signal } = context;
  const survey: Survey = { version: undefined, databases: [], trees: [], undeclared: [], unusable: [] };
  const attempt = async <T>(list: GarnerError[], work: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      list.push(asGarnerError(error));
      return undefined;
    }
  };
  try {
    const sources = (await attempt(survey.undeclared, () => databasesOf(agent, context))) ?? [];
    const trees = (await attempt(survey.undeclared, () => agent.trees(context))) ?? [];
    for (const { name, root } of trees) {
      if (isDirectory(root)) survey.trees.push({ name, root });
      else survey.unusable.push(cannot('io', 'find directory', root, 'there is none'));
    }
    // a server that does not answer need not be asked twice
    if (survey.undeclared.length === 0)
      survey.version = await attempt([], async () => agent.version(context));
    for (const source of sources.filter(({ absent }) => !absent)) {
      const surveyed = await attempt(survey.unusable, () => surveyDatabase(source, signal, ask));
      if (surveyed !== undefined) survey.databases.push(surveyed);
    }
    return survey;
  } finally {
    leaveContainer();
  }
}

async function surveyDatabase(
  source: DatabaseSource,
  signal: AbortSignal,
  ask: Ask | undefined,
): Promise<SurveyedDatabase> {
  const { name, connection } = source;
  const engine = await loadEngine(source.engine);
  const { serverVersion, sizeBytes } = await engine.inspect(connection, signal);
  await ask?.(engine, source, serverVersion, signal);
  const location = engine.describe(connection);
  const databaseName = engine.databaseName(connection);
  return { name, engine: engine.name, location, databaseName, serverVersion, sizeBytes };
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
