// What a backup would hold, without making one: version, databases, trees with sizes, what is left out. No secret.
import { loadEngine } from '../../databases/toolkit/engines.ts';
import { causeText } from '../../lib/errors.ts';
import { formatSize, plural } from '../../lib/text.ts';
import type { AgentContext, AgentDefinition } from './define-agent.ts';
import { databasesOf } from './sources.ts';
import { readVersion } from './versions.ts';
import { walkTree } from './walk.ts';

export interface Description {
  application: string;
  title: string;
  instance: string | null;
  host: string;
  version: string;
  databases: {
    name: string;
    engine: string;
    location: string;
    serverVersion: string;
    tableCount: number;
    sizeBytes: number;
  }[];
  trees: {
    name: string;
    root: string;
    includes: string[] | null;
    leftOut: string[];
    fileCount: number;
    sizeBytes: number;
  }[];
}

/** @throws what a backup would stop with: unreadable configuration, a database that can't be reached, a missing directory */
export async function describeAgent(
  agent: AgentDefinition,
  instance: string | undefined,
  context: AgentContext,
): Promise<Description> {
  let version: string;
  try {
    version = await readVersion(agent, context);
  } catch (error) {
    version = `unknown (${causeText(error)})`;
  }
  const databases: Description['databases'] = [];
  for (const { name, engine: engineName, connection, absent } of await databasesOf(agent, context)) {
    if (absent) continue;
    const engine = await loadEngine(engineName);
    const { serverVersion, sizeBytes, tables } = await engine.inspect(connection, context.signal);
    databases.push({
      name,
      engine: engineName,
      location: engine.describe(connection),
      serverVersion,
      tableCount: tables.length,
      sizeBytes,
    });
  }
  const trees: Description['trees'] = [];
  for (const tree of await agent.trees(context)) {
    let fileCount = 0;
    let sizeBytes = 0;
    for (const entry of walkTree(tree, [context.view.resolve(context.settings.GARNER_WORK_DIR)])) {
      if (!entry.isDirectory) fileCount += 1;
      sizeBytes += entry.sizeBytes;
    }
    const { name, root, includes = null, excludes = [] } = tree;
    trees.push({ name, root, includes, leftOut: excludes, fileCount, sizeBytes });
  }
  return {
    application: agent.application,
    title: agent.title,
    instance: instance ?? null,
    host: context.settings.GARNER_HOST,
    version,
    databases,
    trees,
  };
}

/** @returns the description as lines for people */
export function formatDescription({ title, version, host, databases, trees }: Description): string {
  const lines = [`${title} ${version} on ${host}`];
  for (const { name, engine, location, serverVersion, tableCount, sizeBytes } of databases) {
    lines.push(
      `database ${name}: ${engine} ${serverVersion}, ${location}, ${plural(tableCount, 'table')}, ${formatSize(sizeBytes)}`,
    );
  }
  for (const { name, root, includes, leftOut, fileCount, sizeBytes } of trees) {
    lines.push(`files ${name}: ${root}, ${plural(fileCount, 'file')}, ${formatSize(sizeBytes)}`);
    if (includes !== null) lines.push(`  only: ${includes.join(', ')}`);
    if (leftOut.length > 0) lines.push(`  left out: ${leftOut.join(', ')}`);
  }
  return `${lines.join('\n')}\n`;
}
