// The git agent: the contract, and repositories that are pushed to, packed, damaged or hostile while they are backed up.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { beforeEach, describe, expect, it } from 'vitest';
import { examineRepositories } from '../../agents/toolkit/git-repositories.ts';
import { openTips } from '../../agents/toolkit/git-tips.ts';
import { walkTree } from '../../agents/toolkit/walk.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { fakeClients } from '../helpers/fake-clients.ts';
import { gitScript, makeRepository, repositoryState } from '../helpers/git.ts';
import { type Bench, makeBench } from '../helpers/run.ts';

agentContract('git', 'bare and other repositories', async (directory) => {
  const root = join(directory, 'räpositories');
  mkdirSync(join(root, 'team'), { recursive: true });
  await makeRepository(root, 'team/app.git');
  await gitScript(
    root,
    `cd team/app.git
     git notes add -m 'a note' main; git replace main main~1
     echo 'Räksmörgås' > description; git config receive.denyDeletes true
     printf '#!/bin/sh\\nexit 0\\n' > hooks/pre-receive; chmod +x hooks/pre-receive
     mkdir -p lfs/objects/ab/cd; echo large > lfs/objects/ab/cd/abcd; git pack-refs --all; cd ../..
     git clone -q team/app.git work; cd work; git config core.logAllRefUpdates true
     echo changed > file; git stash -q; echo again > file; git stash -q
     echo staged > staged; git add staged; echo mine > yarn.lock; git worktree add -q ../tree v1
     ln -s team/app.git ../link.git; echo beside > ../authorized_keys`,
  );
  return {
    settings: { GIT_ROOTS: `${root}:${join(root, 'team')}` },
    places: [root],
    members: [
      `${root
        .slice(1)
        .replace(/[^A-Za-z0-9_-]/g, '_')
        .slice(0, 60)}`,
    ].flatMap((name) => [`${name}.tar`, `${name}.list`]),
    version: /^2$/,
    secrets: [],
    treeFind: {},
    dumpDatabases: async () => '',
    async wipe() {
      rmSync(root, { recursive: true });
      mkdirSync(root);
    },
    broken: { settings: { GIT_ROOTS: join(directory, 'absent') }, error: /absent": no such directory/ },
    remove: async () => {},
  };
});

describe('agent-git', () => {
  let bench: Bench;
  let root: string;
  beforeEach(() => {
    bench = makeBench();
    root = join(bench.directory, 'gït');
    mkdirSync(root);
    return () => bench.remove();
  });
  const backup = async (env: Record<string, string> = {}) => {
    const ran = await bench.run('agent-git', ['--json'], { env: { GIT_ROOTS: root, ...env } });
    return { ...ran, ...JSON.parse(ran.stdout) };
  };
  /** Restores beside. @returns where the root is now */
  const restored = async (archive: string, exitCode = 0): Promise<string> => {
    const to = join(bench.directory, 'restored');
    await bench.backup('agent-git', { args: ['restore', archive, '--to', to], exitCode });
    return join(to, root.slice(1).replace(/[^A-Za-z0-9_-]/g, '_'));
  };

  it('brings back every ref, object, reflog and stash', async () => {
    await makeRepository(root, 'a.git');
    await gitScript(
      root,
      `git -C a.git notes add -m note main; git -C a.git replace main main~1; git clone -q a.git b; cd b
       echo 1 > file; git stash -q; echo 2 > file; git stash -q; git reset -q --hard HEAD~1`,
    );
    const before = await repositoryState(root, 'a.git', 'b/.git');
    const { archive, exitCode } = await backup();
    expect(exitCode).toBe(0);
    expect(await repositoryState(await restored(archive), 'a.git', 'b/.git')).toBe(before);
  });

  it('reads what names objects before all objects, and packs last, since forks borrow from each other', async () => {
    for (const name of ['a.git', 'b.git']) await makeRepository(root, name);
    await gitScript(root, 'git --git-dir=a.git pack-refs --all; git --git-dir=a.git branch x main');
    const paths = [...walkTree({ name: 'git', root, git: true })].map(({ path }) => path);
    const kinds = paths.map((path) => (/objects\/pack/.test(path) ? 3 : /objects(\/|$)/.test(path) ? 2 : 1));
    expect(kinds).toEqual(kinds.toSorted());
    const refs = paths.filter((path) => /^a\.git\/(packed-)?refs/.test(path));
    expect(refs[0]).toBe('a.git/refs');
    expect(refs.at(-1)).toBe('a.git/packed-refs'); // refs move from the first to the second
    expect(walkTree({ name: 'git', root: join(root, 'a.git'), git: false }).toArray()).toHaveLength(
      paths.filter((path) => path.startsWith('a.git')).length,
    );
  });

  it('reads again what git has packed while it was read, and refs before objects are listed', async () => {
    await makeRepository(root, 'a.git');
    await makeRepository(root, 'b.git');
    // by the time that tar looks, everything that was listed is somewhere else
    const tar = `case " $* " in *' --create '*) sleep 0.3; git --git-dir=${root}/a.git gc -q --prune=now
         export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_DIR=${root}/b.git
         git update-ref refs/heads/main $(git commit-tree -p main -m new $(echo new | git hash-object -w --stdin | xargs printf '100644 blob %s\\tx\\n' | git mktree));; esac
       exec "$REAL" "$@"`;
    const { archive, exitCode, stderr } = await backup({ PATH: fakeClients(bench.directory, { tar }) });
    expect(exitCode, stderr).toBe(0);
    expect(stderr).toContain('read again, because git has packed or pruned it: a.git\n');
    const before = await repositoryState(root, 'a.git', 'b.git');
    expect(await repositoryState(await restored(archive), 'a.git', 'b.git')).toBe(before);
  });

  it('names refs whose objects git prunes while they are read', async () => {
    await makeRepository(root, 'a.git');
    await makeRepository(root, 'b.git');
    const tar = `export GIT_DIR=${root}/a.git
       case " $* " in *' --create '*) sleep 0.3; git update-ref refs/heads/main v1^0; git prune --expire=now;; esac
       exec "$REAL" "$@"`;
    const { exitCode, warnings } = await backup({ PATH: fakeClients(bench.directory, { tar }) });
    expect(exitCode).toBe(3);
    expect(warnings).toMatchObject([{ code: 'git-pruned' }]);
    expect(warnings[0].message).toContain(
      `while ${root}/a.git was read, git pruned what 1 ref named: refs/heads/main;`,
    );
  });

  it('knows a ref that has only moved, or was packed, from one that leads nowhere by now', async () => {
    await makeRepository(root, 'a.git');
    await gitScript(
      root,
      `cd a.git; new() { echo $1 | git commit-tree main^{tree}; }
       for ref in loose deleted moved vanished; do git update-ref refs/heads/$ref $(new $ref); done
       git update-ref refs/heads/packed $(new packed); git pack-refs --all
       for ref in loose deleted moved vanished; do git update-ref refs/heads/$ref $(new $ref-2); done`,
    );
    using tips = openTips(root, join(bench.directory, 'scratch'));
    const repositories = new Set<string>();
    for (const { path, isDirectory } of walkTree({ name: 'root', root, git: true }, [], { repositories })) {
      if (!isDirectory && /^a.git\/(refs|HEAD|packed-refs)/.test(path)) tips.record(path, 'a.git');
    }
    const { signal } = new AbortController();
    expect(await tips.lost(signal)).toEqual([]);
    await gitScript(root, 'cd a.git; git pack-refs --all; git update-ref refs/heads/moved main');
    expect(await tips.lost(signal)).toEqual([]); // what they named is still there
    await gitScript(
      root,
      'cd a.git; for ref in deleted vanished packed; do git update-ref -d refs/heads/$ref; done; git gc -q --prune=now',
    );
    tips.forget('a.git/refs/heads/vanished', 'a.git');
    const [lost] = await tips.lost(signal);
    expect(lost?.repository).toBe('a.git');
    // those that the loose refs stood before have been unreachable all the time
    expect(lost?.refs).toEqual(
      expect.arrayContaining(['refs/heads/deleted', 'refs/heads/moved', 'refs/heads/packed']),
    );
    expect(lost?.refs).not.toContain('refs/heads/main');
  });

  it('copies each repository whole while others push, delete and pack', async () => {
    await makeRepository(root, 'a.git');
    await gitScript(bench.directory, 'git clone -q "gït/a.git" clone');
    const stop = join(bench.directory, 'stop');
    const pushing = gitScript(
      join(bench.directory, 'clone'),
      `for ((i = 0; ; i++)); do
         [ ! -e ${stop} ] || exit 0
         echo $i > file; git commit -qam $i; git push -q origin HEAD HEAD:refs/heads/b$i
         [ $((i % 5)) != 4 ] || { git push -q origin :b$((i - 2)); git --git-dir=${root}/a.git gc -q --prune=now; }
       done`,
    );
    try {
      for (let n = 1; n <= 2; n++) {
        const { archive, exitCode, stderr } = await backup({ GIT_FSCK: 'none' });
        expect(exitCode, stderr).toBe(0);
        const copy = await restored(archive);
        expect(await repositoryState(copy, 'a.git')).toContain('refs/heads/main');
        rmSync(copy, { recursive: true });
      }
    } finally {
      writeFileSync(stop, '');
      await pushing;
    }
  });

  it('tells nothing of what the owner of a repository links to, and does not wait for a pipe', async () => {
    const secret = join(bench.directory, 'secret');
    writeFileSync(secret, 'root:$canary$:1\n', { mode: 0o600 });
    const links = { 'a.git': 'packed-refs', 'b.git': 'shallow', 'c.git': 'objects/info/alternates' };
    for (const name of [...Object.keys(links), 'd.git', 'e.git', 'f.git']) await makeRepository(root, name);
    for (const [name, path] of Object.entries(links))
      await gitScript(root, `ln -sf ${secret} ${name}/${path}`);
    await gitScript(
      root,
      `git -C d.git config fsck.skipList ${secret}; rm e.git/HEAD; mkfifo e.git/HEAD; mkdir f.git/refs/heads/x
       chown -R 65534:65534 .; chown 0 f.git; chmod 777 f.git; ln -sf ${secret} f.git/packed-refs; chmod 755 ${bench.directory} .`,
    );
    const tree = { name: 'git', root, git: true };
    const warnings = await examineRepositories([tree], 'full', new AbortController().signal, 2000);
    expect(JSON.stringify(warnings)).not.toContain('canary');
    const told = warnings.map(({ code, message }) => `${code} ${/([a-f])\.git is/.exec(message)?.[1]}`);
    expect(told).toEqual(expect.arrayContaining(['git-unchecked a', 'git-unchecked e', 'git-unchecked f']));
  });

  it('names what is damaged or elsewhere, runs nothing of it, and leaves out what belongs to a process', async () => {
    const canary = join(bench.directory, 'canary');
    for (const name of ['good.git', 'bad.git', 'hostile.git']) await makeRepository(root, name);
    await gitScript(
      root,
      `f=$(find bad.git/objects/?? -type f | head -1); chmod u+w "$f"; echo damage > "$f"
       cd hostile.git; printf '#!/bin/sh\\ntouch ${canary}\\n' | tee hooks/reference-transaction > hooks/post-index-change
       chmod +x hooks/*
       for key in core.fsmonitor core.pager core.sshCommand core.alternateRefsCommand core.editor; do
         git config $key 'touch ${canary}'
       done; git config alias.fsck '!touch ${canary}'; chown -R nobody .; chmod 755 ${bench.directory}
       cd ..; git clone -q --shared good.git ../fork.git --bare; mv ../fork.git .
       mkdir ../outside; git clone -q --bare good.git ../outside/far.git; ln -s ../outside/far.git far.git
       git clone -q --bare --shared ../outside/far.git borrows.git
       git init -q ../outside/main; cd ../outside/main; git commit -q --allow-empty -m x
       git worktree add -q ${root}/tree; cd ${root}
       git clone -q --bare --shared ../outside/main lone.git; cp -r fork.git $'caf\\xe9.git'
       git -C good.git commit-graph write; git -C good.git multi-pack-index write
       touch good.git/gc.pid good.git/refs/heads/x.lock good.git/objects/pack/tmp_pack_1 good.git/packed-refs.lock
       echo kept > tree/yarn.lock`,
    );
    const { archive, exitCode, warnings } = await backup();
    expect(exitCode).toBe(3);
    expect(warnings.map(({ code }: { code: string }) => code).sort()).toEqual([
      'git-alternates',
      'git-damaged',
      'git-elsewhere',
      'git-unchecked',
    ]);
    const text = JSON.stringify(warnings);
    expect(text).toContain(
      `${root}/lone.git borrows objects from ${bench.directory}/outside/main/.git/objects`,
    );
    expect(text).toContain(`${root}/bad.git is damaged; its copy is as it is: error: `);
    expect(text).toContain(
      `${root}/tree belongs to the repository ${bench.directory}/outside/main/.git/worktrees/tree`,
    );
    expect(existsSync(canary)).toBe(false);

    const list = 'for m in $(tar tf "$1" | grep "tar.zst$"); do tar xOf "$1" "$m" | zstd -dc | tar t; done';
    const files = (await execa('bash', ['-c', list, 'bash', archive])).stdout;
    expect(files).toMatch(/^\.\/far\.git$|^far\.git$/m);
    expect(files).toMatch(/^tree\/yarn\.lock$/m);
    expect(files).not.toMatch(
      /gc\.pid|refs\/heads\/x\.lock|tmp_pack|packed-refs\.lock|commit-graph|multi-pack/,
    );
    const copy = await restored(archive, 3); // without the link: into a directory of its own it would lead out
    const state = await repositoryState(copy, 'good.git', 'hostile.git');
    expect(state).toBe(await repositoryState(root, 'good.git', 'hostile.git'));
    // the repository that only a link leads to
    const far = `${bench.directory}/outside/far.git`
      .slice(1)
      .replaceAll(/[^\w-]/g, '_')
      .slice(0, 60);
    expect(await repositoryState(join(copy, '..', far), '.')).toContain('refs/heads/main');
  });
});
