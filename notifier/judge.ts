// What a run came to. OK is said only of exit code 0, and of a garner agent only once its archive is there and
// its bytes are those of its checksum file.
import { closeSync, fstatSync, lstatSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { digestFile } from '../archive/digest.ts';
import type { Manifest } from '../archive/manifest.ts';
import { openArchive, openRegularFile, readSidecar } from '../archive/read.ts';
import { cannot, causeText, EXIT, GarnerError } from '../lib/errors.ts';
import { redact } from '../lib/redact.ts';
import { escapeControls, formatDuration, formatSize, plural } from '../lib/text.ts';
import type { ChildRun } from './run-child.ts';
import type { WrappedCommand } from './wrapped-command.ts';

export type Result = 'OK' | 'WARNINGS' | 'FAILED' | 'LOCKED' | 'MISSED';

export interface Archive {
  path: string;
  sizeBytes: number;
  sha256: string;
  /** undefined: it can't be read; an archive is judged by its digest. */
  manifest: Manifest | undefined;
}

export interface Verdict {
  result: Result;
  /** Size of the archive, or the cause, in one short line. */
  summary: string;
  /** What explains it, in lines; empty where all is well. */
  causes: string[];
  /** Those that are good. */
  archives: Archive[];
}

export interface Said {
  /** The end of what the command wrote to stdout and stderr. */
  stdout: string;
  stderr: string;
}

/**
 * Judges a run.
 * @param warningCodes exit codes 3 and 4 mean warnings and locked, whatever the command is
 */
export async function judge(
  run: ChildRun,
  said: Said,
  command: WrappedCommand,
  { warningCodes, timeoutMs }: { warningCodes: boolean; timeoutMs: number },
): Promise<Verdict> {
  const complaint = findComplaint(said.stderr);
  const failed = (how: string, summary = complaint.line ?? how): Verdict => ({
    result: 'FAILED',
    summary,
    causes: [how, ...complaint.lines],
    archives: [],
  });
  if (run.notStarted !== undefined) return failed(`it cannot be run: ${run.notStarted}`);
  if (run.timedOut) {
    const how = `the time limit of ${formatDuration(timeoutMs)} has passed`;
    return failed(how, how);
  }
  const codesMean = command.isGarner || warningCodes;
  if (codesMean && run.exitCode === EXIT.locked.code) {
    const { line: summary = 'another run is under way', lines: causes } = complaint;
    return { result: 'LOCKED', summary, causes, archives: [] };
  }
  const warned = codesMean && run.exitCode === EXIT.warnings.code;
  if (run.signal !== undefined) return failed(`it was ended by ${run.signal}`, `ended by ${run.signal}`);
  if (run.exitCode !== 0 && !warned) return failed(`exit code ${run.exitCode}`);
  if (command.makesArchive) return judgeArchives(said, command.makesSeveral, warned ? complaint : undefined);
  if (run.interruptedBy !== undefined) {
    const how = `interrupted by ${run.interruptedBy}`;
    return failed(how, how);
  }
  const done = `done in ${formatDuration(run.durationMs)}`;
  return warned
    ? { result: 'WARNINGS', summary: complaint.line ?? done, causes: complaint.lines, archives: [] }
    : { result: 'OK', summary: done, causes: [], archives: [] };
}

/** @param warning what it complained of, where it ended with warnings */
async function judgeArchives(
  said: Said,
  makesSeveral: boolean,
  warning: Complaint | undefined,
): Promise<Verdict> {
  try {
    const archives: Archive[] = [];
    for (const path of archivePaths(said.stdout, makesSeveral)) archives.push(await checkArchive(path));
    const size = formatSize(archives.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
    const summary = archives.length === 1 ? size : `${size} in ${plural(archives.length, 'archive')}`;
    return warning === undefined
      ? { result: 'OK', summary, causes: [], archives }
      : { result: 'WARNINGS', summary: `${summary}, with warnings`, causes: warning.lines, archives };
  } catch (error) {
    const how = redact(causeText(error));
    // an archive that it named and that is not good is no backup, whatever it ended with
    const result = warning !== undefined && error === NONE_NAMED ? 'WARNINGS' : 'FAILED';
    return { result, summary: how, causes: [how, ...(warning?.lines ?? [])], archives: [] };
  }
}

const NONE_NAMED = new GarnerError('not-an-archive', 'it said that it is done, but named no archive');

/** @returns the paths that an agent has printed: its last line (of several archives all lines), or those of its JSON object */
function archivePaths(stdout: string, makesSeveral: boolean): string[] {
  const lines: unknown[] = stdout.trimEnd().split('\n');
  let paths = makesSeveral ? lines : lines.slice(-1);
  if (stdout.trimStart().startsWith('{')) {
    try {
      const answer = JSON.parse(stdout);
      paths = (makesSeveral && answer.operations ? answer.operations : [answer]).map(
        ({ archive }: { archive: unknown }) => archive,
      );
    } catch {
      throw new GarnerError('not-an-archive', 'it said that it is done, but its JSON is damaged');
    }
  }
  const isPath = (path: unknown): path is string =>
    typeof path === 'string' && isAbsolute(path) && !path.includes('\0');
  if (paths.length === 0 || !paths.every(isPath)) throw NONE_NAMED;
  return paths;
}

/** Whoever may pull may put anything in place of these files, at any moment: nothing but a regular file is opened. */
async function checkArchive(path: string): Promise<Archive> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw cannot('not-an-archive', 'find archive', path, 'it is not there');
  if (!stat.isFile() || stat.size === 0) {
    throw cannot(
      'not-an-archive',
      'use archive',
      path,
      stat.isFile() ? 'it is empty' : 'it is no regular file',
    );
  }
  const sha256 = readSidecar(path, 'sha256');
  if (sha256 === undefined)
    throw cannot('checksum-missing', 'read checksum file', `${path}.sha256`, 'it is not there');
  if ((await sha256Of(path)) !== sha256) {
    throw cannot('checksum-mismatch', 'verify archive', path, 'its bytes are not those of its checksum file');
  }
  return { path, sizeBytes: stat.size, sha256, manifest: manifestOf(path) };
}

async function sha256Of(path: string): Promise<string | undefined> {
  const fd = openRegularFile(path);
  try {
    return (await digestFile(fd, fstatSync(fd).size, ['sha256'])).sha256;
  } finally {
    closeSync(fd);
  }
}

function manifestOf(path: string): Manifest | undefined {
  try {
    using archive = openArchive(path);
    return archive.manifest;
  } catch {
    return undefined;
  }
}

const MOST_LINES = 5;
const LONGEST_LINE = 1000;

interface Complaint {
  /** The most telling line; undefined where nothing was said. */
  line: string | undefined;
  /** What to show of it in full. */
  lines: string[];
}

/** Finds what explains a failure: garner's own `cannot …` line with its hint, else the last lines. */
function findComplaint(stderr: string): Complaint {
  const lines = redact(stderr)
    .split(/[\r\n]+/)
    .map((line) => escapeControls(line.trim()).slice(0, LONGEST_LINE))
    .filter((line) => line !== '');
  const at = lines.findLastIndex((line) => /^[\w.-]+: cannot /.test(line));
  if (at === -1) return { line: lines.at(-1), lines: lines.slice(-MOST_LINES) };
  const line = (lines[at] as string).replace(/^[\w.-]+: /, '');
  const hint = lines[at + 1];
  return { line, lines: hint?.startsWith('hint: ') ? [line, hint] : [line] };
}
