// What is in an archive, in lines for people. What its host has written is escaped.
import { escapeControls, formatSize, plural } from '../lib/text.ts';
import type { Manifest, Member } from './manifest.ts';

/** @returns a member in one line */
export function describeMember({
  kind,
  name,
  sizeBytes,
  uncompressedSizeBytes,
  database,
  tree,
}: Member): string {
  const what =
    database !== undefined
      ? `${database.engine} ${database.name}, ${plural(Object.keys(database.tables).length, 'table')}, ${plural(
          Object.values(database.tables).reduce((sum, rows) => sum + rows, 0),
          'row',
        )}`
      : tree !== undefined
        ? `${tree.root}, ${plural(tree.fileCount, 'file')}`
        : '';
  return `${kind.padEnd(9)} ${name.padEnd(28)} ${formatSize(sizeBytes).padStart(9)} of ${formatSize(uncompressedSizeBytes).padStart(9)}  ${escapeControls(what)}`;
}

/** @returns all that a manifest tells: members, tables with their rows, what is left out, warnings */
export function describeManifest(manifest: Manifest, sizeBytes: number): string[] {
  const { application, host, version, startedAt, finishedAt, tool } = manifest;
  const instance = manifest.instance === null ? '' : `.${manifest.instance}`;
  const build = manifest.build === undefined ? '' : ` (build ${escapeControls(manifest.build)})`;
  const by = escapeControls(`${tool.name} ${tool.version}`);
  const lines = [
    `${application}${instance} ${escapeControls(version)}${build} of ${host}`,
    `made ${startedAt} to ${finishedAt} by ${by}, ${formatSize(sizeBytes)}`,
  ];
  for (const member of manifest.members) {
    lines.push(describeMember(member));
    for (const [table, rows] of Object.entries(member.database?.tables ?? {}))
      lines.push(`          ${escapeControls(table)}: ${plural(rows, 'row')}`);
  }
  for (const check of manifest.crossChecks ?? []) {
    const rows = `${plural(check.rowCount, 'row')}, ${check.missingCount} without a file`;
    const files = `${plural(check.fileCount, 'file')}, ${check.unnamedCount} without a row`;
    lines.push(`checked   ${escapeControls(`${check.database} and ${check.tree}: ${rows}; ${files}`)}`);
  }
  for (const recipient of manifest.recipients ?? []) lines.push(`encrypted for ${escapeControls(recipient)}`);
  for (const { what, remedy } of manifest.withheld ?? [])
    lines.push(`left out  ${escapeControls(`${what}: ${remedy}`)}`);
  for (const { message } of manifest.warnings) lines.push(`warning: ${escapeControls(message)}`);
  return lines;
}
