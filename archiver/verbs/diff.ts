import type { Command } from 'commander';
import { jsonPath, showPath } from '../../archive/listing.ts';
import type { CommandContext } from '../../lib/command-line.ts';
import { cannot } from '../../lib/errors.ts';
import { escapeControls, formatSize, plural } from '../../lib/text.ts';
import { type ArchiveDiff, type Count, diffArchives, type FileChange, type TreeDiff } from '../diff.ts';
import { type CommonOptions, setUp } from '../run.ts';
import { bareVerb, printJson } from './verb.ts';

const SHOWN_FILES = '20';

export function declareDiff(program: Command, context: CommandContext): void {
  bareVerb(
    program,
    'diff',
    'show what changed between two archives',
    'archiver diff mediawiki-web1-20260730T021500Z mediawiki-web1-20260731T021500Z',
  )
    .argument('<before>', 'the name of an archive, or its path')
    .argument('<after>', 'the same')
    .option('--files <n>', 'how many files of each tree are named; all are counted', SHOWN_FILES)
    .action(async (before: string, after: string, options: CommonOptions & { files: string }) => {
      if (!/^\d{1,5}$/.test(options.files))
        throw cannot('usage', 'show with --files', options.files, 'it is no number up to 99999');
      const diff = await diffArchives(setUp(context, options, []), [before, after]);
      if (options.json) printJson(jsonOf(diff));
      else process.stdout.write(formatDiff(diff, Number(options.files)));
    });
}

function jsonOf({ trees, ...diff }: ArchiveDiff): object {
  return {
    result: 'ok',
    ...diff,
    trees: trees.map(({ directories, files, ...tree }) => ({
      ...tree,
      directories: directories.map(({ path, ...count }) => ({ ...jsonPath(path), ...count })),
      files: files.map(({ path, ...change }) => ({ ...jsonPath(path), ...change })),
    })),
  };
}

const size = (bytes: number | undefined): string => (bytes === undefined ? 'none' : formatSize(bytes));
const count = ({ fileCount, sizeBytes }: Count): string =>
  `${plural(fileCount, 'file')}, ${formatSize(sizeBytes)}`;

function formatDiff({ before, after, members, tables, trees }: ArchiveDiff, shown: number): string {
  const lines = [before, after].map(
    ({ name, version, startedAt }, index) =>
      `${index === 0 ? 'before' : 'after '}  ${name}, ${escapeControls(version)}, ${startedAt}`,
  );
  for (const { name, before: a, after: b } of members)
    lines.push(`member  ${name}: ${size(a?.uncompressedSizeBytes)} -> ${size(b?.uncompressedSizeBytes)}`);
  for (const { database, table, before: a, after: b } of tables) {
    const rows = a === undefined ? `new, ${b}` : b === undefined ? `gone, had ${a}` : `${a} -> ${b}`;
    lines.push(`table   ${escapeControls(`${database}.${table}`)}: ${rows}`);
  }
  for (const tree of trees) lines.push(...formatTree(tree, shown));
  const isSame = members.length + tables.length === 0 && trees.every((tree) => changeCount(tree) === 0);
  if (isSame) lines.push('nothing that their manifests and lists tell has changed');
  return lines.map((line) => `${line}\n`).join('');
}

const changeCount = ({ added, removed, changed }: TreeDiff): number =>
  added.fileCount + removed.fileCount + changed.fileCount;

function formatTree(tree: TreeDiff, shown: number): string[] {
  const { root, notCompared, added, removed, changed, directories, files } = tree;
  const head = `files   ${escapeControls(root)}`;
  if (notCompared !== undefined) return [`${head}: ${notCompared}: not compared`];
  if (changeCount(tree) === 0) return [];
  const lines = [`${head}: added ${count(added)}; removed ${count(removed)}; changed ${count(changed)}`];
  if (directories.length > 1)
    for (const { path, ...what } of directories) lines.push(`  in ${showPath(path)}: ${count(what)}`);
  lines.push(...files.slice(0, shown).map(formatFile));
  const more = changeCount(tree) - Math.min(shown, files.length);
  if (more > 0) lines.push(`  and ${more} more`);
  return lines;
}

function formatFile({ path, before, after }: FileChange): string {
  const name = showPath(path);
  if (before === undefined) return `  + ${name}  ${size(after?.sizeBytes)}`;
  if (after === undefined) return `  - ${name}  ${size(before.sizeBytes)}`;
  return `  ~ ${name}  ${size(before.sizeBytes)} -> ${size(after.sizeBytes)}`;
}
