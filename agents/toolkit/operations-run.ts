// Runs one operation: its command fills a fresh folder in the work directory, which becomes an archive or a zip and is removed
// again, however the run ends. One that is cut off leaves it to the next run, which sweeps it. Where there is a bucket, the run
// has done well only when what it made is there too.
import { existsSync, mkdirSync, mkdtempSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { groupName } from '../../archive/name.ts';
import type { PublishedArchive } from '../../archive/write.ts';
import { PART_PREFIX, removeTree } from '../../lib/durable.ts';
import { cannot, causeText, type GarnerError } from '../../lib/errors.ts';
import { info, warn } from '../../lib/log.ts';
import { describeExit, type Ended, startPipeline } from '../../lib/process.ts';
import { formatSize, plural } from '../../lib/text.ts';
import { type Backup, backUp } from './backup.ts';
import type { AgentContext, AgentDefinition, TreeSource } from './define-agent.ts';
import { makeArchive } from './make-archive.ts';
import type { Operation } from './operations.ts';
import { fillIn, formatDate, withoutPasswords } from './operations-text.ts';
import { type UploadTarget, upload } from './operations-upload.ts';
import { zipInto, zipName } from './operations-zip.ts';
import { memberName } from './sources.ts';
import { walkTree } from './walk.ts';

/** More lines of a command than these are counted only: a log has an end. */
const LOGGED_LINES = 10_000;
const LONGEST_LINE_CHARS = 4000;

/**
 * Runs an operation and keeps what it made.
 * @param instance of its archives
 * @param target where it is uploaded to; undefined: nowhere
 * @throws program-failed where the command fails, or makes nothing; whatever makes a backup fail
 */
export async function backUpOperation(
  agent: AgentDefinition,
  operation: Operation,
  instance: string,
  context: AgentContext,
  target?: UploadTarget | undefined,
): Promise<Backup> {
  const { name, fileName, persianDate } = operation;
  const isZip = fileName !== undefined && /\.zip$/i.test(fileName);
  if (isZip && context.settings.GARNER_AGE_RECIPIENTS !== undefined) {
    throw cannot(
      'configuration',
      'run operation',
      name,
      'GARNER_AGE_RECIPIENTS is set, and a zip is not encrypted',
      {
        hint: 'without .zip at the end of its file name it becomes an archive, which is',
      },
    );
  }
  const fill = (text: string): string =>
    fillIn(text, { name, date: formatDate(new Date(), persianDate ? 'persian' : 'gregory') });
  // the moment is one for both: a command may name what it makes as the file is named
  const [command, file] = [fill(operation.command), fill(fileName ?? '')];
  let parent: string | undefined;
  /** On the work directory's disk, where its size fits; the caller holds the lock, and what earlier runs have left is swept. */
  const makeFolder = (scratch: string): TreeSource => {
    parent = mkdtempSync(join(scratch, `${PART_PREFIX}${groupName(agent.application, instance)}-`));
    const root = join(parent, name);
    mkdirSync(root, { mode: 0o700 });
    return { name: memberName(name), root };
  };
  const fillFolder = async (tree: TreeSource): Promise<void> => {
    await runCommand(operation, command, parent as string, context.signal);
    checkFilled(operation, tree);
  };
  let uploaded: string | undefined;
  const send = async (archive: PublishedArchive): Promise<PublishedArchive> => {
    if (target !== undefined)
      uploaded = await upload(archive, file || basename(archive.path), target, context.signal);
    return archive;
  };
  try {
    if (isZip) {
      const backup = await backUp(agent, instance, context, async (run, workDir) => {
        const path = zipName(file, workDir);
        const tree = makeFolder(workDir.scratch);
        await fillFolder(tree);
        return send(await zipInto(path, tree, run, workDir));
      });
      return { ...backup, ...(uploaded !== undefined && { uploaded }) };
    }
    let scratch: string | undefined;
    let tree: TreeSource | undefined;
    const archived: AgentDefinition = {
      ...agent,
      title: `operation ${name}`,
      trees() {
        tree ??= makeFolder(scratch as string);
        return [tree];
      },
      product: { make: () => fillFolder(tree as TreeSource), discard: async () => {} },
    };
    const backup = await backUp(archived, instance, context, async (run, workDir) => {
      scratch = workDir.scratch;
      return send(await makeArchive(run, workDir));
    });
    return { ...backup, ...(uploaded !== undefined && { uploaded }) };
  } finally {
    if (parent !== undefined) removeFolder(parent);
  }
}

function removeFolder(parent: string): void {
  try {
    removeTree(parent);
  } catch (error) {
    // files of another user, that a container has made
    warn(`${parent} could not be removed: ${causeText(error)}; the next run tries again`);
  }
}

/** @returns the shell that commands are written for: bash where there is one, as Hamster has it */
const shell = (): string => (existsSync('/bin/bash') ? '/bin/bash' : '/bin/sh');

async function runCommand(
  { name }: Operation,
  command: string,
  cwd: string,
  signal: AbortSignal,
): Promise<void> {
  info(`operation ${name}: ${withoutPasswords(command)}`);
  let count = 0;
  /** The last ones, to explain a failure. */
  let last: string[] = [];
  const onLine = (line: string): void => {
    count += 1;
    last = [...last.slice(-2), line];
    if (count <= LOGGED_LINES) info(`${name}: ${line}`);
  };
  const output = lineReader(onLine);
  const pipeline = startPipeline(
    [
      {
        file: shell(),
        args: ['-c', command],
        cwd,
        env: { LC_ALL: process.env.LC_ALL ?? '' }, // its own language: nothing reads its messages but people
        onStderrLine: onLine,
      },
    ],
    { signal, onOutput: output.write },
  );
  const [ended] = (await pipeline.ended) as [Ended];
  output.end();
  if (count > LOGGED_LINES)
    info(`${name}: and ${plural(count - LOGGED_LINES, 'more line')} that are not logged`);
  if (ended.code !== 0) {
    const how = describeExit({ ...ended, stderr: last.join('\n') });
    throw cannot('program-failed', 'run operation', name, how);
  }
}

/** Makes lines of chunks; of a very long one only its end. */
function lineReader(onLine: (line: string) => void): { write(chunk: Buffer): void; end(): void } {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  return {
    write(chunk) {
      const lines = (rest + decoder.write(chunk)).split(/\r?\n/);
      rest = (lines.pop() as string).slice(-LONGEST_LINE_CHARS);
      for (const line of lines) onLine(line.slice(-LONGEST_LINE_CHARS));
    },
    end() {
      rest += decoder.end();
      if (rest !== '') onLine(rest);
    },
  };
}

/** @throws program-failed where a command that says that it has done well has made nothing */
function checkFilled({ name }: Operation, tree: TreeSource): void {
  const failed = (what: string): GarnerError =>
    cannot('program-failed', 'run operation', name, `its command ${what}`, {
      hint: 'the command runs beside the folder $Name and writes into it: … > $Name/data.sql',
    });
  if (!statSync(tree.root, { throwIfNoEntry: false })?.isDirectory()) throw failed('removed its folder');
  let fileCount = 0;
  let sizeBytes = 0;
  for (const entry of walkTree(tree)) {
    if (!entry.isDirectory) fileCount += 1;
    sizeBytes += entry.sizeBytes;
  }
  if (sizeBytes === 0) throw failed(fileCount === 0 ? 'made no file' : 'made empty files only');
  info(`operation ${name}: ${plural(fileCount, 'file')}, ${formatSize(sizeBytes)}`);
}
