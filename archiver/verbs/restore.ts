import type { Command } from 'commander';
import { ARCHIVE_SUFFIX } from '../../archive/name.ts';
import type { CommandContext } from '../../lib/command-line.ts';
import { cannot, EXIT } from '../../lib/errors.ts';
import { runSignal } from '../../lib/interrupt.ts';
import { info, warn } from '../../lib/log.ts';
import { startProgress } from '../../lib/progress.ts';
import { escapeControls, escapeControlsInLines, formatSize, plural, shellWord } from '../../lib/text.ts';
import { type Picked, pickArchive, restoreTo } from '../restore.ts';
import { parseSshUrl, restoreVia } from '../restore-via.ts';
import { type CommonOptions, type Setup, setUp } from '../run.ts';
import { bareVerb, EXIT_OF, printJson } from './verb.ts';

interface RestoreOptions extends CommonOptions {
  at?: string;
  file: string[];
  to?: string;
  dryRun?: boolean;
  via?: string;
  sudo?: boolean;
  only?: string;
  force?: boolean;
}

const EXAMPLE = `archiver restore web1 mediawiki --to /tmp/look
archiver restore web1 mediawiki --at 2026-07-31 --file LocalSettings.php --to /tmp/look
archiver restore web1 mediawiki --via ssh://admin@web1 --sudo`;

export function declareRestore(program: Command, context: CommandContext): void {
  bareVerb(program, 'restore', 'get data back from the newest good archive, here or on a host', EXAMPLE)
    .argument('<host>', 'whose archive it is')
    .argument('<application>', 'such as mediawiki, or mediawiki.blue')
    .option('--at <date>', 'the archive of that time or before it: 2026-07-31, 2026-07-31T02:15 (UTC)')
    .option('--file <path>', 'only this file, directory or pattern; may be given several times', collect, [])
    .option('--to <dir>', 'the directory that gets everything; with --via, on the host')
    .option('--dry-run', 'verify, and say what would be done')
    .option('--via <url>', 'carry the archive to ssh://user@host and run its restore there')
    .option('--sudo', 'with --via: run it by sudo')
    .option('--only <part>', 'with --via: `database` or `files`')
    .option('--force', 'with --via: replace what is there, after putting it aside')
    .action(async (host: string, group: string, options: RestoreOptions) => {
      checkOptions(options);
      const setup = setUp(context, options, []);
      const picked = await pickArchive(
        setup,
        host,
        group,
        options.at === undefined ? undefined : timeOf(options.at),
      );
      const { name, time, size_bytes: sizeBytes, verified, verified_at: verifiedAt } = picked.row;
      info(`${name}: ${time}, ${formatSize(sizeBytes)}, found good (${verified}) at ${verifiedAt}`);
      using running = runSignal('restore', setup.settings.GARNER_TIMEOUT);
      await (options.via === undefined ? here : there)(setup, picked, options, running.signal);
    });
}

const collect = (value: string, before: string[]): string[] => [...before, value];

function checkOptions({ to, via, file, sudo, only, force }: RestoreOptions): void {
  const refuse = (option: string, cause: string): Error => cannot('usage', 'restore with', option, cause);
  if (to === '') throw refuse('--to', 'it is empty');
  if (via !== undefined) parseSshUrl(via);
  if (via === undefined) {
    if (to === undefined) throw refuse('no --to', 'say which directory gets the data, or --via which host');
    for (const [option, given] of Object.entries({ sudo, only, force }))
      if (given !== undefined) throw refuse(`--${option}`, 'it is for --via');
  } else if (file.length > 0)
    throw refuse('--file', 'with --via all is restored; restore the file with --to and copy it');
  if (only !== undefined && !['database', 'files'].includes(only))
    throw refuse(`--only ${only}`, 'it is neither `database` nor `files`');
  if (file.some((one) => /^\/*$/.test(one))) throw refuse('--file', 'it names no file');
}

/** @returns the end of a day that is given alone, else that moment; in UTC where no zone is given */
function timeOf(text: string): string {
  const match = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(?::\d\d)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(text);
  const [, day, clock = '23:59:59.999', zone = 'Z'] = match ?? [];
  const time = new Date(`${day}T${clock}${zone}`);
  if (!Number.isNaN(time.getTime())) return time.toISOString();
  throw cannot('usage', 'restore --at', text, 'it is no date such as 2026-07-31 or 2026-07-31T02:15');
}

async function here(
  setup: Setup,
  picked: Picked,
  options: RestoreOptions,
  signal: AbortSignal,
): Promise<void> {
  const { row } = picked;
  const { file: files, to = '', dryRun = false } = options;
  const progress = startProgress('verify and restore', row.size_bytes * 2);
  const identityFile = setup.settings.GARNER_AGE_IDENTITY_FILE;
  const report = await restoreTo(
    picked,
    { to, files, dryRun },
    { signal, identityFile, onBytes: progress.add },
  ).finally(progress.done);
  const { restored, fileCount, leftOut, manifest } = report;
  const command = `agent-${row.application} restore ${shellWord(row.name + ARCHIVE_SUFFIX)}`;
  const result = leftOut.length > 0 ? 'warnings' : 'ok';
  const { withheld = [] } = manifest;
  if (options.json) {
    printJson({
      result,
      dryRun,
      archive: row.name,
      path: picked.path,
      restored,
      fileCount,
      leftOut,
      withheld,
      command,
    });
  } else {
    const lines = restored.map((path) => (dryRun ? `would restore ${path}` : path));
    lines.push(...withheld.map(({ what, remedy }) => `left out of the archive: ${what}: ${remedy}`));
    process.stdout.write(lines.map((line) => `${escapeControls(line)}\n`).join(''));
  }
  if (fileCount !== undefined) info(`${plural(fileCount, 'file')} ${dryRun ? 'found' : 'restored'}`);
  info(`to put all of it back: copy ${picked.path} and its .sha256 to ${row.host}, and there: ${command}`);
  process.exitCode = EXIT_OF[result];
}

async function there(_: Setup, picked: Picked, options: RestoreOptions, signal: AbortSignal): Promise<void> {
  const { to, via = '', only, dryRun, force, sudo = false, json = false } = options;
  const target = parseSshUrl(via);
  const arguments_ = [
    ...(to === undefined ? [] : ['--to', to]),
    ...(only === undefined ? [] : ['--only', only]),
    ...(dryRun ? ['--dry-run'] : []),
    ...(force ? ['--force'] : []),
    ...(json ? ['--json'] : []),
  ];
  const { exitCode, stdout } = await restoreVia(target, picked, arguments_, { sudo, signal });
  const result = exitCode === EXIT.ok.code ? 'ok' : exitCode === EXIT.warnings.code ? 'warnings' : 'failed';
  if (json)
    printJson({ result, archive: picked.row.name, host: target.host, exitCode, agent: parsed(stdout) });
  else process.stdout.write(escapeControlsInLines(stdout));
  if (exitCode !== 0) warn(`the restore on ${target.host} ended with exit code ${exitCode}`);
  process.exitCode = exitCode;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
