// `garner archive list|show|verify|extract`: looks into one archive, or takes members out of it, without its application.
import { existsSync, mkdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { describeManifest, describeMember } from '../archive/describe.ts';
import { extractMember } from '../archive/extract.ts';
import { openArchive, readSidecar } from '../archive/read.ts';
import { verifyArchive } from '../archive/verify.ts';
import { type CommandContext, exampleText } from '../lib/command-line.ts';
import { cannot } from '../lib/errors.ts';
import { runSignal } from '../lib/interrupt.ts';
import { startProgress } from '../lib/progress.ts';
import { CORE_SETTINGS, loadSettings } from '../lib/settings.ts';
import { formatSize } from '../lib/text.ts';

interface JsonOption {
  json?: boolean;
}

const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

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
      for (const line of describeManifest(manifest, sizeBytes)) print(line);
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
        await extractMember(opened, member, target, { signal: run.signal, identityFile });
        print(target);
      }
    });
}
