// What a backup would hold, without making one: version, databases, trees with sizes, and what is left out, with the size of
// that too. No secret.
import { loadEngine } from '../../databases/toolkit/engines.ts';
import { causeText } from '../../lib/errors.ts';
import { formatSize, plural } from '../../lib/text.ts';
import type { AgentContext, AgentDefinition, Withheld } from './define-agent.ts';
import { databasesOf } from './sources.ts';
import { readVersion } from './versions.ts';
import { type Extent, walkTree } from './walk.ts';
import { withheldLines } from './withheld.ts';

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
    /** Each pattern, with how much it leaves out on this host. */
    leftOut: { pattern: string; fileCount: number; sizeBytes: number }[];
    fileCount: number;
    sizeBytes: number;
  }[];
  /** What a restore needs besides; null where the agent could not tell. */
  withheld: Withheld[] | null;
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
    const leftOut = new Map(
      tree.excludes?.map((pattern) => [pattern, { pattern, fileCount: 0, sizeBytes: 0 }]),
    );
    const onLeftOut = (pattern: string, extent: Extent): void => {
      const sum = leftOut.get(pattern);
      if (sum === undefined) return;
      sum.fileCount += extent.fileCount;
      sum.sizeBytes += extent.sizeBytes;
    };
    const notThese = [context.view.resolve(context.settings.GARNER_WORK_DIR)];
    for (const entry of walkTree(tree, notThese, { onLeftOut })) {
      if (!entry.isDirectory) fileCount += 1;
      sizeBytes += entry.sizeBytes;
    }
    const { name, root, includes = null } = tree;
    trees.push({ name, root, includes, leftOut: [...leftOut.values()], fileCount, sizeBytes });
  }
  return {
    application: agent.application,
    title: agent.title,
    instance: instance ?? null,
    host: context.settings.GARNER_HOST,
    version,
    databases,
    trees,
    withheld: withheldOf(agent, context),
  };
}

/** A pattern that only stands for empty directories leaves out nothing to speak of. */
const isThere = ({ fileCount }: { fileCount: number }): boolean => fileCount > 0;

function withheldOf(agent: AgentDefinition, context: AgentContext): Withheld[] | null {
  try {
    return agent.withheld?.(context) ?? [];
  } catch {
    return null; // a backup warns of it
  }
}

/** @returns the description as lines for people */
export function formatDescription(description: Description): string {
  const { title, version, host, databases, trees, withheld } = description;
  const lines = [`${title} ${version} on ${host}`];
  for (const { name, engine, location, serverVersion, tableCount, sizeBytes } of databases) {
    lines.push(
      `database ${name}: ${engine} ${serverVersion}, ${location}, ${plural(tableCount, 'table')}, ${formatSize(sizeBytes)}`,
    );
  }
  for (const { name, root, includes, leftOut, fileCount, sizeBytes } of trees) {
    lines.push(`files ${name}: ${root}, ${plural(fileCount, 'file')}, ${formatSize(sizeBytes)}`);
    if (includes !== null) lines.push(`  only: ${includes.join(', ')}`);
    const [there, absent] = [leftOut.filter(isThere), leftOut.filter((one) => !isThere(one))];
    for (const { pattern, fileCount, sizeBytes } of there)
      lines.push(`  left out: ${pattern}, ${plural(fileCount, 'file')}, ${formatSize(sizeBytes)}`);
    if (absent.length > 0)
      lines.push(`  would be left out: ${absent.map(({ pattern }) => pattern).join(', ')}`);
  }
  lines.push(...withheldLines(withheld ?? []));
  return `${lines.join('\n')}\n`;
}
