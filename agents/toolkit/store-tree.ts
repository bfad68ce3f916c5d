// Puts one tree into the archive: GNU tar reads the files, garner says which, and every word that tar says is read.
import { closeSync, existsSync, ftruncateSync, openSync, readSync, rmSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import type { Writable } from 'node:stream';
import { type Encoding, encodedName, encodingNames, startEncoding } from '../../archive/encode.ts';
import type { Warning } from '../../archive/manifest.ts';
import type { ArchiveWriter, MemberWriter } from '../../archive/write.ts';
import { createFile, writeFully } from '../../lib/durable.ts';
import { cannot, causeText } from '../../lib/errors.ts';
import { info } from '../../lib/log.ts';
import { type Command, describeExit, type Ended, feed } from '../../lib/process.ts';
import { findProgram } from '../../lib/program.ts';
import { formatSize, plural } from '../../lib/text.ts';
import type { TreeListener } from './cross-check.ts';
import type { TreeSource } from './define-agent.ts';
import { alternatesOf } from './git-repositories.ts';
import { type GitTips, openTips } from './git-tips.ts';
import { isRefStore, maySafelyChange, repositoryOf } from './git-tree.ts';
import { names, newTarReport, pathOf, readTarLine, type TarReport } from './tar-report.ts';
import { meantBy, nameText, type WalkEntry, walkTree } from './walk.ts';

/** How much of the list of paths is handed over at once. */
const LIST_CHUNK_CHARS = 65_536;
/** How often what was packed or pruned in repositories while they were read is looked at again. */
const GIT_ROUNDS = 8;

export interface StoreContext {
  encoding: Encoding;
  signal: AbortSignal;
  scratchPath: (name: string) => string;
  /** Directories that are never archived: the work directory. */
  notThese: readonly string[];
  onBytes: (count: number) => void;
  /** Who is told which files are stored. */
  listeners?: readonly TreeListener[];
}

/**
 * @param links keeps several names of a file as such. Tar then takes a file for one that it has read before wherever the number
 *   of the inode is the same, though that one has been removed meanwhile and the number given to another.
 */
function tarCommand(root: string, links: boolean, report: TarReport): Command {
  return {
    file: findProgram(['tar'], 'tar'),
    args: [
      '--create',
      '--file=-',
      `--directory=${root}`,
      '--null',
      '--verbatim-files-from',
      '--no-recursion',
      '--files-from=-',
      '--format=posix',
      '--pax-option=delete=atime,delete=ctime',
      '--sparse',
      ...(links ? [] : ['--hard-dereference']),
      '--quoting-style=escape',
      '--totals',
    ],
    onStderrLine: (line) => readTarLine(report, line),
  };
}

/**
 * Stores a tree and its list of files as two members.
 * @returns warnings about files that changed or vanished while they were read
 * @throws file-changed where a file shrank twice, file-unreadable
 */
export async function storeTree(
  writer: ArchiveWriter,
  tree: TreeSource,
  context: StoreContext,
): Promise<Warning[]> {
  const { encoding, signal } = context;
  const listPath = context.scratchPath(`${tree.name}.list`);
  const list = createFile(listPath);
  rmSync(listPath); // without a name, nothing is left of it however the run ends
  try {
    const member = writer.begin(encodedName(`${tree.name}.tar`, encoding), 'tree');
    const read = async (links: boolean): Promise<StoredFiles> => {
      member.rewind();
      ftruncateSync(list);
      return storeFiles(member, tree, list, links, context);
    };
    let stored = await read(false);
    const links = stored.hasLinks;
    if (links) stored = await read(true);
    if (stored.report.shrunk.length > 0) {
      info(`files of ${tree.root} shrank while they were read; reading the tree once more`);
      stored = await read(links);
    }
    const { report, fileCount, listBytes } = stored;
    if (report.shrunk.length > 0) {
      const cause = `files shrank while they were read, twice: ${names(report.shrunk)}`;
      throw cannot('file-changed', 'archive', tree.root, cause);
    }
    member.end({
      uncompressedSizeBytes: report.writtenBytes,
      encoding: encodingNames(encoding),
      tree: { root: tree.root, fileCount, ...(tree.includes && { includes: tree.includes }) },
    });

    const listMember = writer.begin(encodedName(`${tree.name}.list`, encoding), 'list');
    const listFd = openSync(`/proc/self/fd/${list}`, 'r');
    try {
      await startEncoding([], (chunk) => listMember.write(chunk), { stdin: listFd, encoding, signal }).ended;
    } finally {
      closeSync(listFd);
    }
    listMember.end({ uncompressedSizeBytes: listBytes, encoding: encodingNames(encoding) });
    info(`files ${tree.root}: ${plural(fileCount, 'file')}, ${formatSize(report.writtenBytes)}`);
    return [...warningsOf(tree, report), ...stored.lostRefs];
  } finally {
    closeSync(list);
  }
}

interface StoredFiles {
  report: TarReport;
  fileCount: number;
  listBytes: number;
  /** A file with several names was met, and nothing behind it was read. */
  hasLinks: boolean;
  /** Refs in it that lead nowhere. */
  lostRefs: Warning[];
}

/** Walks the tree, tells tar each path, and writes the list beside. */
async function storeFiles(
  member: MemberWriter,
  tree: TreeSource,
  list: number,
  links: boolean,
  { encoding, signal, notThese, onBytes, scratchPath, listeners = [] }: StoreContext,
): Promise<StoredFiles> {
  using tips = openTips(tree.root, scratchPath(`${tree.name}.tips`));
  for (const listener of listeners) listener.begin();
  const report = newTarReport();
  const repositories = new Set<string>();
  let fileCount = 0;
  let listBytes = 0;
  let hasLinks = false;

  /** Waits until tar has read all that it was told. */
  async function* caughtUp(): AsyncGenerator<Buffer> {
    const { promise, resolve } = Promise.withResolvers<void>();
    report.onMark = resolve;
    yield Buffer.from(`${report.mark}\0`);
    await Promise.race([promise, storing.ended]);
  }

  /** @param again what was listed before, and the repositories whose refs are to be read once more; undefined: nothing was */
  async function* chunksOf(
    entries: Iterable<WalkEntry>,
    again?: { listed: ReadonlySet<string>; refsOf: ReadonlySet<string> },
  ): AsyncGenerator<Buffer> {
    let paths = '';
    let lines = '';
    let isLate = false;
    const flush = (): Buffer => {
      const listed = Buffer.from(lines, 'latin1');
      writeFully(list, listed, listBytes);
      listBytes += listed.length;
      const chunk = Buffer.from(paths, 'latin1');
      paths = lines = '';
      return chunk;
    };
    for (const entry of entries) {
      const { path, isDirectory, sizeBytes, mtimeMs } = entry;
      if (entry.isLinked && !links && tree.git !== true) {
        hasLinks = true; // objects of git's have several names for a moment, and are well kept as copies
        return;
      }
      if (entry.isLate && !isLate) {
        isLate = true;
        yield flush();
        yield* caughtUp(); // a ref that is read later may name an object that was not there to be listed
      }
      const isListed = again?.listed.has(path) ?? false;
      if (again !== undefined && (isDirectory || (isListed && !isRefOfOne(path, again.refsOf)))) continue;
      paths += `${path}\0`;
      const repository = isDirectory ? undefined : repositoryOf(path, repositories);
      if (repository !== undefined && isRefStore(path, repository)) tips.record(path, repository);
      if (!isDirectory && !isListed) {
        fileCount += 1;
        for (const listener of listeners) listener.file(path);
        lines += `${path}\t${sizeBytes}\t${Math.floor(mtimeMs / 1000)}\0`;
      }
      if (paths.length > LIST_CHUNK_CHARS) yield flush();
    }
    yield flush();
  }

  /** Tar reads behind the walk: objects that were packed meanwhile are looked for where they are now. */
  async function* pathsForTar(): AsyncGenerator<Buffer> {
    yield* chunksOf(walkTree(tree, notThese, { repositories }));
    for (let round = 0; repositories.size > 0; round++) {
      yield* caughtUp();
      forgetVanished(tips, report, repositories);
      const { again, refsOf } = repositoriesToReadAgain(tree.root, report, repositories);
      if (again.size === 0) return;
      const named = [...again].map(nameText).join(', ');
      if (round === GIT_ROUNDS) {
        const cause = `they were packed again while they were read, ${GIT_ROUNDS} times: ${named}`;
        throw cannot('file-changed', 'archive the repositories of', tree.root, cause);
      }
      info(`read again, because git has packed or pruned it: ${named}`);
      const listed = listedIn(list, listBytes, again);
      yield* chunksOf(walkTree(tree, notThese, { from: [...again] }), { listed, refsOf });
    }
  }

  const storing = startEncoding(
    [tarCommand(tree.root, links, report)],
    (chunk) => {
      member.write(chunk);
      onBytes(chunk.length);
    },
    { stdin: 'pipe', encoding, signal },
  );
  const stdin = storing.stdin as Writable;
  const fed = feed(stdin, pathsForTar()).catch((error) => {
    stdin.destroy();
    return error;
  });
  const [tar] = await storing.ended;
  const walkError = await fed;
  if (walkError !== undefined) throw walkError;
  judge(tree, tar as Ended, report, repositories.size > 0);
  for (const listener of listeners) for (const message of report.vanished) listener.gone(pathOf(message));
  return { report, fileCount, listBytes, hasLinks, lostRefs: await lostRefs(tree.root, tips, signal) };
}

function forgetVanished(tips: GitTips, { vanished }: TarReport, repositories: ReadonlySet<string>): void {
  for (const path of vanished.map(pathOf)) {
    const repository = repositoryOf(path, repositories);
    if (repository !== undefined) tips.forget(path, repository);
  }
}

/** @returns a warning for each repository whose copy has refs that lead nowhere */
async function lostRefs(root: string, tips: GitTips, signal: AbortSignal): Promise<Warning[]> {
  try {
    return (await tips.lost(signal)).map(({ repository, refs }) => {
      const place = nameText(`${Buffer.from(root).toString('latin1')}/${repository}`);
      const shown = `${refs.slice(0, 20).map(nameText).join(', ')}${refs.length > 20 ? ', …' : ''}`;
      const message = `while ${place} was read, git pruned what ${plural(refs.length, 'ref')} named: ${shown}; after a restore: git update-ref -d, or back up again`;
      return { code: 'git-pruned', message };
    });
  } catch (error) {
    signal.throwIfAborted();
    const message = `whether git has pruned what refs below ${root} named could not be told: ${causeText(error)}`;
    return [{ code: 'git-unchecked', message }];
  }
}

/** @returns the paths in the list that are in one of the repositories; the list may be too long to be held whole */
function listedIn(list: number, sizeBytes: number, repositories: ReadonlySet<string>): Set<string> {
  const paths = new Set<string>();
  const chunk = Buffer.alloc(1 << 20);
  let rest = '';
  for (let at = 0; at < sizeBytes; ) {
    const count = readSync(list, chunk, 0, chunk.length, at);
    if (count === 0) break;
    at += count;
    const lines = (rest + chunk.toString('latin1', 0, count)).split('\0');
    rest = lines.pop() as string;
    for (const line of lines) {
      const path = line.replace(/\t\d+\t-?\d+$/, '');
      if (repositoryOf(path, repositories) !== undefined) paths.add(path);
    }
  }
  return paths;
}

const isRefOfOne = (path: string, repositories: ReadonlySet<string>): boolean => {
  const repository = repositoryOf(path, repositories);
  return repository !== undefined && isRefStore(path, repository);
};

/**
 * Takes from the report what is no loss in a repository: what has moved into a pack, and files that only grow.
 * @returns the repositories from which files vanished, and which are still there, with those that they borrow from; and
 *   those whose refs have moved
 */
function repositoriesToReadAgain(
  root: string,
  report: TarReport,
  repositories: ReadonlySet<string>,
): { again: Set<string>; refsOf: Set<string> } {
  const top = Buffer.from(root).toString('latin1');
  const again = new Set<string>();
  const refsOf = new Set<string>();
  const add = (repository: string): void => {
    if (again.has(repository)) return;
    again.add(repository);
    for (const objects of alternatesOf(`${top}/${repository}`)) {
      const lender = Buffer.from(relative(root, dirname(objects)) || '.').toString('latin1');
      if (repositories.has(lender)) add(lender);
    }
  };
  report.vanished = report.vanished.filter((message) => {
    const path = pathOf(message);
    const repository = repositoryOf(path, repositories);
    if (repository === undefined || !existsSync(Buffer.from(`${top}/${repository}`, 'latin1'))) return true;
    add(repository);
    if (isRefStore(path, repository)) refsOf.add(repository);
    return false;
  });
  report.changed = report.changed.filter((message) => {
    const repository = repositoryOf(pathOf(message), repositories);
    return repository === undefined || !maySafelyChange(pathOf(message), repository);
  });
  return { again, refsOf };
}

/** Exit codes 1 and 2 of tar are fine only where each of its words is understood and harmless. */
function judge(tree: TreeSource, tar: Ended, report: TarReport, wasMarked: boolean): void {
  if (report.other.length > 0) throw cannot('file-unreadable', 'archive', tree.root, names(report.other));
  const explained = wasMarked || report.changed.length + report.vanished.length + report.shrunk.length > 0;
  if (tar.code === 0 || (explained && (tar.code === 1 || tar.code === 2))) return;
  throw cannot('program-failed', 'archive', tree.root, `tar: ${describeExit(tar)}`);
}

function warningsOf(tree: TreeSource, { changed, vanished }: TarReport): Warning[] {
  const isUnderWay = meantBy(tree.underWay ?? []);
  const isLoss = (message: string): boolean => !isUnderWay(pathOf(message));
  const atWork = [...changed, ...vanished].filter((message) => !isLoss(message));
  if (atWork.length > 0) {
    info(`${plural(atWork.length, 'file')} of ${tree.root} changed while at work: ${names(atWork)}`);
  }
  const warning = (code: string, messages: string[], verb: string): Warning[] =>
    messages.length === 0
      ? []
      : [
          {
            code,
            message: `${plural(messages.length, 'file')} of ${tree.root} ${verb} while read: ${names(messages)}`,
          },
        ];
  return [
    ...warning('file-changed', changed.filter(isLoss), 'changed'),
    ...warning('file-vanished', vanished.filter(isLoss), 'vanished'),
  ];
}
