// Git repositories for tests, made and judged by git itself, whatever this machine's git is told elsewhere.
import { execa } from 'execa';

const env = {
  ...{ GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', HOME: '/nonexistent' },
  ...{ GIT_AUTHOR_NAME: 'A', GIT_AUTHOR_EMAIL: 'a@example.org' },
  ...{ GIT_COMMITTER_NAME: 'A', GIT_COMMITTER_EMAIL: 'a@example.org' },
};

/** Runs a shell script in a directory; `git` in it is nobody's. @returns stdout */
export async function gitScript(directory: string, script: string): Promise<string> {
  return (await execa('bash', ['-euo', 'pipefail', '-c', script], { cwd: directory, env })).stdout;
}

/** A bare repository with a branch, a tag and a packed object each, at `path` below the directory. */
export const makeRepository = (directory: string, path: string): Promise<string> =>
  gitScript(
    directory,
    `git init -q --bare -b main '${path}'; git clone -q '${path}' scratch 2>/dev/null; cd scratch
     echo one > file; git add .; git commit -qm one; git tag -a v1 -m v1; git push -q origin HEAD v1
     git -C '${directory}/${path}' repack -adq
     echo two > file; git commit -qam two; git push -q origin HEAD; cd ..; rm -rf scratch`,
  );

/**
 * @param repositories directories of repositories, bare or `.git`
 * @returns all that each has, as git tells: refs, what they lead to, and that nothing is missing or damaged
 */
export const repositoryState = (directory: string, ...repositories: string[]): Promise<string> =>
  gitScript(
    directory,
    repositories
      .map(
        (path) => `export GIT_DIR='${path}'; echo '${path}'; [ ! -d '${path}' ] || {
          git symbolic-ref HEAD; git for-each-ref; git rev-list --all --reflog --objects | sort; git log -g --format=%H refs/stash 2>/dev/null || :
          git fsck --full --no-dangling --strict; }`,
      )
      .join('\n'),
  );
