// `garner archive list|show|verify|extract`: looks into one archive, or takes members out of it, without its application.
import { closeSync, existsSync, fsyncSync, mkdirSync, rmSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { decodeMember } from '../archive/decode.ts';
import type { Member } from '../archive/manifest.ts';
import { openArchive, readSidecar } from '../archive/read.ts';
import { verifyArchive } from '../archive/verify.ts';
import { type CommandContext, exampleText } from '../lib/command-line.ts';
import { createFile, partPath, publish, writeFully } from '../lib/durable.ts';
import { cannot } from '../lib/errors.ts';
import { runSignal } from '../lib/interrupt.ts';
import { startProgress } from '../lib/progress.ts';
import { CORE_SETTINGS, loadSettings } from '../lib/settings.ts';
import { escapeControls, formatSize, plural } from '../lib/text.ts';

interface JsonOption {
  json?: boolean;
}

const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

function describeMember({ kind, name, sizeBytes, uncompressedSizeBytes, database, tree }: Member): string {
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

export function archiveCommands(program: Command, { known }: CommandContext): void {
  const example = (arguments_: string): string => exampleText(`garner archive ${arguments_}`);
  const archive = program
    .command('archive')
    .description('look into an archive file')
    .addHelpText('after', example('show /srv/<archive>.tar'));

  archive
    .command('list')
    .description('list its members')
    .argument('<archive>', 'the file that ends in .tar')
    .option('--json', 'print one JSON object')
    .addHelpText('after', example('list /srv/<archive>.tar'))
    .action((file: string, { json }: JsonOption) => {
      using opened = openArchive(resolve(file));
      const { members } = opened.manifest;
      if (json) return print(JSON.stringify({ members }));
      for (const member of members) print(describeMember(member));
    });

  archive
    .command('show')
    .description('show its manifest')
    .argument('<archive>', 'the file that ends in .tar')
    .option('--json', 'print the manifest itself')
    .addHelpText('after', example('show /srv/<archive>.tar'))
    .action((file: string, { json }: JsonOption) => {
      using opened = openArchive(resolve(file));
      const { manifest, sizeBytes } = opened;
      if (json) return print(JSON.stringify(manifest));
      const instance = manifest.instance === null ? '' : `.${manifest.instance}`;
      const build = manifest.build === undefined ? '' : ` (build ${escapeControls(manifest.build)})`;
      print(
        `${manifest.application}${instance} ${escapeControls(manifest.version)}${build} of ${manifest.host}`,
      );
      print(
        `made ${manifest.startedAt} to ${manifest.finishedAt} by ${escapeControls(`${manifest.tool.name} ${manifest.tool.version}`)}, ${formatSize(sizeBytes)}`,
      );
      for (const member of manifest.members) {
        print(describeMember(member));
        for (const [table, rows] of Object.entries(member.database?.tables ?? {})) {
          print(`          ${escapeControls(table)}: ${plural(rows, 'row')}`);
        }
      }
      for (const {
        database,
        tree,
        rowCount,
        fileCount,
        missingCount,
        unnamedCount,
      } of manifest.crossChecks ?? []) {
        const rows = `${plural(rowCount, 'row')}, ${missingCount} without a file`;
        const files = `${plural(fileCount, 'file')}, ${unnamedCount} without a row`;
        print(`checked   ${escapeControls(`${database} and ${tree}: ${rows}; ${files}`)}`);
      }
      for (const { what, remedy } of manifest.withheld ?? [])
        print(`left out  ${escapeControls(`${what}: ${remedy}`)}`);
      for (const { message } of manifest.warnings) print(`warning: ${escapeControls(message)}`);
    });

  archive
    .command('verify')
    .description('compare it with its checksum file and each member with its manifest')
    .argument('<archive>', 'the file that ends in .tar')
    .option('--json', 'print one JSON object')
    .addHelpText('after', example('verify /srv/<archive>.tar'))
    .action(async (given: string, { json }: JsonOption) => {
      const file = resolve(given);
      const expectedSha256 = readSidecar(file, 'sha256');
      if (expectedSha256 === undefined)
        throw cannot('checksum-missing', 'verify', file, `${basename(file)}.sha256 is missing`);
      using run = runSignal('verify');
      const identityFile = loadSettings(CORE_SETTINGS, { known }).GARNER_AGE_IDENTITY_FILE;
      const progress = startProgress('verify');
      const { level, sha256, sizeBytes } = await verifyArchive(file, {
        expectedSha256,
        signal: run.signal,
        identityFile,
        onBytes: progress.add,
      }).finally(progress.done);
      if (json) return print(JSON.stringify({ result: 'ok', archive: file, level, sha256, sizeBytes }));
      print(`${file}: good (${level}), ${formatSize(sizeBytes)}, sha256 ${sha256}`);
    });

  archive
    .command('extract')
    .description('take members out, decompressed; all, or those that are named')
    .argument('<archive>', 'the file that ends in .tar')
    .argument('[member...]', 'members as `list` names them')
    .requiredOption('--to <dir>', 'the directory that gets them; existing files are not replaced')
    .addHelpText('after', example('extract /srv/<archive>.tar VERSION --to /tmp/look'))
    .action(async (file: string, wanted: string[], { to }: { to: string }) => {
      using opened = openArchive(resolve(file));
      const { members } = opened.manifest;
      const names = members.map(({ name }) => name);
      const unknown = wanted.find((name) => !names.includes(name));
      if (unknown !== undefined) {
        throw cannot('usage', 'extract member', unknown, 'the archive has no such member', {
          hint: `it has ${names.join(', ')}`,
        });
      }
      using run = runSignal('extract');
      const identityFile = loadSettings(CORE_SETTINGS, { known }).GARNER_AGE_IDENTITY_FILE;
      mkdirSync(to, { recursive: true, mode: 0o700 });
      for (const member of members) {
        if (wanted.length > 0 && !wanted.includes(member.name)) continue;
        const target = join(resolve(to), member.name.replace(/\.age$/, '').replace(/\.zst$/, ''));
        if (existsSync(target)) throw cannot('store-exists', 'extract to', target, 'there is a file already');
        const part = partPath(target);
        const fd = createFile(part);
        try {
          await decodeMember(opened, member, (chunk) => writeFully(fd, chunk), {
            signal: run.signal,
            identityFile,
          });
          fsyncSync(fd);
          publish(part, target);
        } finally {
          closeSync(fd);
          rmSync(part, { force: true });
        }
        print(target);
      }
    });
}
