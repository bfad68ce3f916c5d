// Finds git repositories and looks at them with git itself. They belong to others: nothing that their configuration or
// their hooks name is run, nothing is fetched, nothing is written, and git sees no more than their owner may.
import {
  type Dirent,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Warning } from '../../archive/manifest.ts';
import { type Account, asAccount } from '../../lib/as-account.ts';
import { type Command, capture, describeExit } from '../../lib/process.ts';
import { findProgram } from '../../lib/program.ts';
import { oneOf, type SettingTable } from '../../lib/settings.ts';
import { formatDuration } from '../../lib/text.ts';
import type { TreeSource } from './define-agent.ts';
import { isRepository } from './git-tree.ts';
import { nameText } from './walk.ts';

/** The settings of every agent that has repositories. */
export const GIT_SETTINGS = {
  GIT_FSCK: {
    parse: oneOf('full', 'connectivity', 'none'),
    default: 'full',
    describe:
      'how repositories are checked after they were copied: `full` reads every object, `connectivity` only what leads to others',
  },
} as const satisfies SettingTable;

/** How many lines of git's complaints a warning has. */
const TOLD_LINES = 3;
/** How long git may look at one: a pipe in place of a file is waited for without end, and all others with it. */
const LIMIT_MS = 3_600_000;
/** How many times that all of them may take together; the backup waits for it. */
const LIMITS = 3;

const NOBODY = 65_534;

/** Names are bytes: latin1, as in walk.ts. */
const latin1 = (text: string): string => Buffer.from(text).toString('latin1');
const bytes = (path: string): Buffer => Buffer.from(path, 'latin1');

export interface FoundRepositories {
  /** The repositories themselves: bare ones, and `.git`. */
  repositories: string[];
  /** Repositories that only a link leads to: where they are, without links. */
  linked: string[];
  /** Where `.git` is a file: a worktree or a submodule, whose repository is elsewhere. */
  gitFiles: string[];
}

/**
 * Looks for repositories below a directory, in each other too; links are not followed.
 * @returns paths, latin1 but for `linked`; what can't be read is passed over: the backup will say so
 */
export function findRepositories(root: string): FoundRepositories {
  const found: FoundRepositories = { repositories: [], linked: [], gitFiles: [] };
  const visit = (directory: string): void => {
    const entries = entriesOf(directory);
    const isOne = isRepository(entries.map(({ name }) => name));
    if (isOne) found.repositories.push(directory);
    for (const entry of entries) {
      const path = `${directory}/${entry.name}`;
      // in a repository there are others only below `modules`
      if (entry.isDirectory() && (!isOne || entry.name === 'modules')) visit(path);
      else if (entry.isFile() && entry.name === '.git') found.gitFiles.push(path);
      else if (entry.isSymbolicLink() && !isOne && isRepositoryAt(path))
        found.linked.push(realpathSync(bytes(path), 'utf8'));
    }
  };
  visit(latin1(root));
  return found;
}

function entriesOf(directory: string): Dirent<string>[] {
  try {
    return readdirSync(bytes(directory), { encoding: 'latin1', withFileTypes: true });
  } catch {
    return [];
  }
}

const isRepositoryAt = (path: string): boolean =>
  [path, `${path}/.git`].some((candidate) => isRepository(entriesOf(candidate).map(({ name }) => name)));

/** @returns its owner; one of root's that a group can write is read as by a member of that */
function readerOf(repository: string): Account {
  const { uid, gid, mode } = statSync(repository);
  return { uid: uid === 0 && (mode & 0o022) !== 0 ? NOBODY : uid, gid };
}

/**
 * @returns git, so that it does what is asked and nothing that the repository asks for; as its owner, since a file of it may
 *   be a link to one of root's, and git tells what is odd in it
 */
export function gitCommand(repository: string, args: readonly string[]): Command {
  const harmless = [
    'core.hooksPath=/dev/null',
    'core.fsmonitor=false',
    'core.pager=cat',
    'protocol.allow=never',
  ];
  return asAccount(readerOf(repository), {
    file: findProgram(['git'], 'git'),
    args: [
      '--no-pager',
      ...harmless.flatMap((setting) => ['-c', setting]),
      `--git-dir=${repository}`, // one that is named may be of another owner
      ...args,
    ],
    env: {
      ...{ GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', GIT_TERMINAL_PROMPT: '0' },
      ...{ GIT_OPTIONAL_LOCKS: '0', GIT_NO_LAZY_FETCH: '1', GIT_ALLOW_PROTOCOL: 'none' },
    },
  });
}

/**
 * Checks the repositories of trees by `git fsck`, and whether all that they need is in the trees.
 * @returns a warning for each that is damaged, borrows objects from elsewhere, or can't be checked
 */
export async function examineRepositories(
  trees: readonly TreeSource[],
  check: 'full' | 'connectivity' | 'none',
  signal: AbortSignal,
  limitMs = LIMIT_MS,
): Promise<Warning[]> {
  const roots = trees.filter(({ git }) => git).map(({ root }) => root);
  const warnings: Warning[] = [];
  const until = performance.now() + LIMITS * limitMs;
  for (const root of roots) {
    const { repositories, gitFiles } = findRepositories(root);
    for (const repository of repositories) {
      for (const place of alternatesOf(repository).filter((path) => !isBelow(path, roots))) {
        const message = `the repository ${nameText(repository)} borrows objects from ${place}, which is not in the archive`;
        warnings.push({ code: 'git-alternates', message });
      }
      if (check === 'none') continue;
      const leftMs = Math.floor(Math.min(limitMs, until - performance.now()));
      warnings.push(...(await checkRepository(repository, check, leftMs, signal)));
    }
    for (const file of gitFiles) {
      const place = repositoryOfGitFile(file);
      if (place === undefined || isBelow(place, roots)) continue;
      const message = `${nameText(dirname(file))} belongs to the repository ${place}, which is not in the archive`;
      warnings.push({ code: 'git-elsewhere', message });
    }
  }
  return warnings;
}

function isBelow(path: string, roots: readonly string[]): boolean {
  const real = existsSync(path) ? realpathSync(path) : path;
  return roots.some((root) => `${real}/`.startsWith(`${root}/`));
}

/** A link is not followed: messages have the text, and it may lead to what only root can read. */
function textOf(path: string): string | undefined {
  try {
    return lstatSync(bytes(path)).isFile() ? readFileSync(bytes(path), 'utf8') : undefined;
  } catch {
    return undefined;
  }
}

/** @returns the directories of objects, absolute, that a repository borrows from */
export function alternatesOf(repository: string): string[] {
  return (textOf(`${repository}/objects/info/alternates`) ?? '')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => resolve(join(nameText(repository), 'objects'), line));
}

function repositoryOfGitFile(file: string): string | undefined {
  const named = /^gitdir: (.+?)\n*$/.exec(textOf(file) ?? '')?.[1];
  return named === undefined ? undefined : resolve(dirname(nameText(file)), named);
}

async function checkRepository(
  repository: string,
  check: 'full' | 'connectivity',
  limitMs: number,
  signal: AbortSignal,
): Promise<Warning[]> {
  const path = nameText(repository);
  const unchecked = (why: string): Warning[] => [
    { code: 'git-unchecked', message: `the repository ${path} is not checked: ${why}` },
  ];
  if (latin1(path) !== repository) return unchecked('its name is not UTF-8');
  if (limitMs <= 0) return unchecked('others took all the time there is; GIT_FSCK=connectivity is faster');
  const args = [
    'fsck',
    '--no-dangling',
    '--no-progress',
    check === 'full' ? '--full' : '--connectivity-only',
  ];
  for (let attempt = 1; ; attempt++) {
    const limit = AbortSignal.timeout(limitMs);
    let ended: Awaited<ReturnType<typeof capture>>;
    try {
      ended = await capture(gitCommand(path, args), { signal: AbortSignal.any([signal, limit]) });
    } catch (error) {
      signal.throwIfAborted();
      if (!existsSync(path)) return [];
      if (!limit.aborted) throw error;
      return unchecked(`git has not ended after ${formatDuration(limitMs)}; GIT_FSCK=connectivity is faster`);
    }
    if (ended.code === 0 || !existsSync(path)) return [];
    // what is packed while git reads it looks damaged once
    if (attempt < 2) continue;
    const denied = /^.*Permission denied$/m.exec(ended.stderr)?.[0];
    if (denied !== undefined)
      return unchecked(`user ${readerOf(path).uid}, whose it is, may not read all of it: ${denied}`);
    const lines = `${ended.stderr}\n${ended.stdout}`.split('\n').filter((line) => line.trim() !== '');
    const said = lines.slice(0, TOLD_LINES).join('; ') || describeExit(ended);
    const message = `the repository ${path} is damaged; its copy is as it is: ${said}`;
    return [{ code: 'git-damaged', message }];
  }
}
