// Which databases an agent means: those of the application's configuration, unless a setting names another.
import type { DatabaseSource } from '../../databases/toolkit/engine.ts';
import { connectionFromUrl } from '../../databases/toolkit/engines.ts';
import { cannot, causeText, type GarnerError } from '../../lib/errors.ts';
import type { AgentContext, AgentDefinition } from './define-agent.ts';
import { checkPlaces, placeClients } from './place-clients.ts';

/** The member's name for a database that only a URL names. */
export function memberName(database: string): string {
  const name = database
    .replace(/\.(sqlite3?|db)$/, '')
    .replace(/[^A-Za-z0-9_-]/g, '_')
    .slice(0, 60);
  return /^[A-Za-z0-9_]/.test(name) ? name : `db_${name}`;
}

/**
 * @returns the databases to back up; GARNER_DATABASE_URL replaces the application's own one
 * @throws application-configuration with the hint to set that, where the configuration can't be read literally
 */
export async function databasesOf(agent: AgentDefinition, context: AgentContext): Promise<DatabaseSource[]> {
  await placeClients(context);
  const databases = await declaredDatabases(agent, context);
  await checkPlaces(databases, context);
  return databases;
}

async function declaredDatabases(agent: AgentDefinition, context: AgentContext): Promise<DatabaseSource[]> {
  const url = context.settings.GARNER_DATABASE_URL;
  if (url === undefined) return agent.databases(context);
  const source = await sourceFromUrl(url, 'GARNER_DATABASE_URL');
  const { databaseServer } = agent;
  if (databaseServer === undefined) {
    const own = agent.narrow?.(context, source) ?? source;
    return [{ ...own, withoutRoutines: true }]; // an application's
  }
  const { engine, list } = databaseServer;
  if (source.engine !== engine) {
    throw cannot('configuration', 'use setting', 'GARNER_DATABASE_URL', `it is of ${source.engine}`, {
      hint: `agent-${agent.application} backs up ${agent.title}`,
    });
  }
  if ((context.settings as Record<string, unknown>)[list] !== undefined) {
    throw cannot('configuration', 'use setting', list, 'GARNER_DATABASE_URL names one database', {
      hint: `keep one of the two; for several databases, ${list} and the client's own option file`,
    });
  }
  return [source];
}

export async function sourceFromUrl(url: string, setting: string): Promise<DatabaseSource> {
  const { engine, connection } = await connectionFromUrl(url, setting);
  return { name: memberName(engine.databaseName(connection)), engine: engine.name, connection };
}

/** Makes names of members from names of databases or directories, each different. */
export function uniqueNames(names: readonly string[]): string[] {
  const seen = new Set<string>();
  return names.map((raw) => {
    const base = memberName(raw);
    let name = base;
    for (let n = 2; seen.has(name); n++) name = `${base}_${n}`;
    seen.add(name);
    return name;
  });
}

/**
 * Reads where a MySQL server is, as PHP applications write it: `h`, `h:3307`, `h:/path.sock`, `[::1]:3306`, `::1`.
 * @returns undefined where the port is none
 */
export function parseServer(
  server: string,
): { host: string | undefined; port: number | undefined; socket: string | undefined } | undefined {
  const [, name, rest] = /^(\[[^\]]*\]|[^:]*)(?::([^:]*))?$/.exec(server) ?? [undefined, server, undefined];
  const host = name?.replace(/^\[(.*)\]$/, '$1') || undefined;
  if (rest?.startsWith('/')) return { host, port: undefined, socket: rest };
  if (rest !== undefined && !/^\d{1,5}$/.test(rest)) return undefined;
  return { host, port: rest === undefined ? undefined : Number(rest), socket: undefined };
}

/** An application's configuration that garner will not guess at. */
export function notLiteral(file: string, what: string, cause?: unknown): GarnerError {
  const because = cause === undefined ? '' : ` (${causeText(cause)})`;
  return cannot(
    'application-configuration',
    `read ${what} from`,
    file,
    `it is not written there literally${because}`,
    {
      hint: 'set GARNER_DATABASE_URL to the database, e.g. mysql://user@host/name, in a file that only root can read',
    },
  );
}
