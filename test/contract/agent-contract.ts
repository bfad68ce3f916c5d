// What every agent promises, whatever its application: one suite that all files of agents/ run through. A test of an
// agent calls it with a fixture: a small application of that kind, which the suite backs up, wipes and gets back.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Bench, makeBench, type Ran, snapshot } from '../helpers/run.ts';

export interface AgentFixture {
  /** The settings that lead the agent to the application. */
  settings: Record<string, string>;
  /** The environment besides. */
  env?: Record<string, string>;
  /** The directories and files that a restore has to bring back; none: only databases. */
  places: string[];
  /** All members but VERSION and manifest.json, without `.zst`, in order: `wiki.sql`, `images.tar`, `images.list`. */
  members: string[];
  /** What a database's `.dump` is called in a directory, without the dot; unset: `sqlite`. */
  dumpFileSuffix?: string;
  /** The line in VERSION. */
  version: RegExp;
  /** What must stand in no output and no file. */
  secrets: string[];
  /** Where the files of a tree member lie, and what of it is in the archive, in `find`'s words: for its list. */
  treeFind: Record<string, string[]>;
  /** @returns all databases as text, by the database's own client */
  dumpDatabases(): Promise<string>;
  /** Removes all that the application has; databases stay, empty. */
  wipe(): Promise<void>;
  /** The instance of its archives, where that isn't what --instance names. */
  instanceOf?(given: string | undefined): string;
  /** Where a restore puts it, where what was backed up has no place of its own. */
  restoresTo?: string;
  /** Settings that the agent can't work with, and what its one error has to name. */
  broken: { settings: Record<string, string>; error: RegExp };
  remove(): Promise<void>;
}

interface ManifestMember {
  name: string;
  kind: string;
  offsetBytes: number;
  sizeBytes: number;
  sha256: string;
}

const run = async (script: string, ...args: string[]): Promise<string> =>
  (await execa('bash', ['-euo', 'pipefail', '-c', script, 'bash', ...args])).stdout;

const manifestOf = async (archive: string) => JSON.parse(await run('tar -xOf "$1" manifest.json', archive));

/**
 * Declares the suite.
 * @param application the agent's file name
 * @param makeFixture gets a fresh directory
 */
export function agentContract(
  application: string,
  variant: string,
  makeFixture: (directory: string) => Promise<AgentFixture>,
): void {
  const agent = `agent-${application}`;

  describe(`${agent} (${variant})`, () => {
    let home: Bench;
    let bench: Bench;
    let fixture: AgentFixture;
    let env: Record<string, string>;
    /** One for all tests that only read it; made under a umask that keeps nothing from others. */
    let archive: string;
    /** What another one was answered with. */
    let answered: Ran;
    /** `<application>[.<instance>]` and the instance of archives. */
    const groupOf = (given?: string): { group: string; instance: string | null } => {
      const instance = fixture.instanceOf?.(given) ?? given;
      return instance === undefined
        ? { group: application, instance: null }
        : { group: `${application}\\.${instance}`, instance };
    };
    const restore = (...args: string[]): string[] =>
      fixture.restoresTo === undefined
        ? ['restore', ...args]
        : ['restore', ...args, '--to', fixture.restoresTo];
    const state = async (): Promise<string> =>
      `${await snapshot(...fixture.places)}\n${await fixture.dumpDatabases()}`;

    beforeAll(async () => {
      home = makeBench();
      fixture = await makeFixture(home.directory);
      env = { ...fixture.settings, ...fixture.env };
      archive = await home.backup(agent, { env, wrap: ['sh', '-c', 'umask 000; exec "$0" "$@"'] });
      answered = await home.run(agent, ['backup', '--json'], { env });
    });
    afterAll(async () => {
      await fixture?.remove();
      home.remove();
    });
    beforeEach(() => {
      bench = makeBench();
      return () => bench.remove();
    });

    it('prints the absolute path of the archive and nothing else, with checksum files that agree', async () => {
      expect(isAbsolute(archive)).toBe(true);
      expect(basename(archive)).toMatch(
        new RegExp(`^${groupOf().group}-web1\\.example\\.org-\\d{8}T\\d{6}Z\\.tar$`),
      );
      await run(
        'cd "$1"; sha256sum -c "$2.sha256"; sha1sum -c "$2.sha1"',
        dirname(archive),
        basename(archive),
      );
      expect(readFileSync(`${archive}.sha256`, 'utf8')).toMatch(
        new RegExp(`^[0-9a-f]{64} {2}${basename(archive)}\n$`),
      );
      expect(home.workFiles()).toHaveLength(6);
    });

    it('has the members that tar lists, at the offsets and with the digests of the manifest', async () => {
      const manifest = await manifestOf(archive);
      const inTar = (await run('tar -tf "$1"', archive)).split('\n');
      const expected = fixture.members.map((name) => `${name}.zst`);
      expect(inTar).toEqual(['VERSION', ...expected, 'manifest.json']);
      expect(manifest.members.map(({ name }: ManifestMember) => name)).toEqual(inTar.slice(0, -1));
      for (const { name, offsetBytes, sizeBytes, sha256 } of manifest.members as ManifestMember[]) {
        const cut = 'dd if="$1" iflag=skip_bytes,count_bytes skip=$2 count=$3 status=none | sha256sum';
        expect(await run(cut, archive, `${offsetBytes}`, `${sizeBytes}`), name).toBe(`${sha256}  -`);
        if (name.endsWith('.zst')) await run('tar -xOf "$1" "$2" | zstd -t -q', archive, name);
      }
      expect(await run('tar -xOf "$1" VERSION', archive)).toMatch(fixture.version);
      expect(manifest).toMatchObject({
        format: 1,
        application,
        instance: groupOf().instance,
        host: 'web1.example.org',
      });
      expect(manifest.version).toMatch(fixture.version);
    });

    it('lists the files of each tree as find does', async () => {
      for (const [tree, find] of Object.entries(fixture.treeFind)) {
        const listed = await run(
          'tar -xOf "$1" "$2" | zstd -dc | sort -z | tr "\\0" "\\n"',
          archive,
          `${tree}.list.zst`,
        );
        const [root = '', ...expression] = find;
        const script = `cd "$1"; shift; find "$@" ! -type d ! -type s \\
          \\( -type f -printf '%p\\t%s\\t%Ts\\0' -o -printf '%p\\t0\\t%Ts\\0' \\) | sed -z 's|^\\./||' | sort -z | tr "\\0" "\\n"`;
        expect(listed).toBe(await run(script, root, ...expression));
        const fileCount = listed === '' ? 0 : listed.split('\n').length;
        const { members } = await manifestOf(archive);
        const member = members.find(({ name }: ManifestMember) => name === `${tree}.tar.zst`);
        if (!listed.includes('line\nbreak')) expect(member.tree.fileCount).toBe(fileCount);
      }
    });

    it('prints one JSON object with --json, also when it fails', async () => {
      const { exitCode, stdout } = answered;
      expect(exitCode).toBe(0);
      const answer = JSON.parse(stdout);
      const sha256 = (await run('sha256sum "$1"', answer.archive)).slice(0, 64);
      const sha1 = (await run('sha1sum "$1"', answer.archive)).slice(0, 40);
      const manifest = await manifestOf(answer.archive);
      const {
        instance,
        host,
        version,
        startedAt,
        finishedAt,
        members,
        crossChecks = [],
        withheld = [],
        warnings,
      } = manifest;
      expect(answer).toEqual({
        result: 'ok',
        archive: answer.archive,
        sizeBytes: statSync(answer.archive).size,
        sha256,
        sha1,
        application,
        instance,
        host,
        version,
        startedAt,
        finishedAt,
        members,
        crossChecks,
        withheld,
        warnings,
        error: null,
      });

      const failed = await bench.run(agent, ['backup', '--json'], {
        env: { ...env, ...fixture.broken.settings },
      });
      expect(failed.exitCode).not.toBe(0);
      const failure = JSON.parse(failed.stdout);
      expect(Object.keys(failure)).toEqual(Object.keys(answer));
      expect(failure).toMatchObject({ result: 'failed', archive: null, application, members: [] });
      expect(failure.error.message).toMatch(fixture.broken.error);
    });

    it('says in one clear error what is wrong with a configuration, and leaves nothing', async () => {
      const { exitCode, stdout, stderr } = await bench.run(agent, [], {
        env: { ...env, ...fixture.broken.settings },
      });
      expect([1, 2]).toContain(exitCode);
      expect(stdout).toBe('');
      expect(stderr).toMatch(fixture.broken.error);
      const errors = stderr.split('\n').filter((line) => line.startsWith(`${agent}: `));
      expect(errors).toHaveLength(1);
      expect(errors[0]).toMatch(/^agent-\w+: cannot /);
      expect(stderr).not.toMatch(/\n {4}at |--debug/);
      expect(bench.workFiles()).toEqual([]);
    });

    it('describes what an archive would hold, and tells no secret anywhere', async () => {
      const text = await bench.run(agent, ['describe'], { env });
      expect(text).toMatchObject({ exitCode: 0 });
      const json = await bench.run(agent, ['describe', '--json'], { env });
      const { databases, trees, version } = JSON.parse(json.stdout);
      const names = [...databases, ...trees].map(({ name }) => name);
      expect(version).toMatch(fixture.version);
      expect(names).toEqual([
        ...new Set(
          fixture.members
            .filter((member) => member !== 'roles.sql')
            .map((member) => member.replace(/\.(sql|dump|tar|list)$/, '')),
        ),
      ]);
      expect(bench.workFiles()).toEqual([]);

      const manifest = await run('tar -xOf "$1" manifest.json', archive);
      for (const secret of fixture.secrets) {
        for (const out of [text, json, answered]) expect(out.stdout + out.stderr).not.toContain(secret);
        expect(manifest).not.toContain(secret);
      }
    });

    it('keeps archive and checksum files to their owner: 0600 in 0700', async () => {
      const modes = await run('cd "$1"; stat -c %a . "$2"*', dirname(archive), basename(archive));
      expect(modes).toBe('700\n600\n600\n600');
    });

    it('refuses to restore over what is there, and changes nothing', async () => {
      const before = await state();
      const { exitCode, stdout, stderr } = await bench.run(agent, restore(archive), { env });
      expect(stderr).toContain('it would replace');
      expect(stderr).toContain('--force');
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
      expect(await state()).toBe(before);
      expect(bench.workFiles()).toEqual([]);
    });

    it('changes nothing with --dry-run', async () => {
      const before = await state();
      const { exitCode, stderr } = await bench.run(agent, restore('--dry-run', '--force', archive), {
        env,
      });
      expect({ exitCode, stderr }).toMatchObject({
        exitCode: 0,
        stderr: expect.stringContaining('would restore'),
      });
      expect(await state()).toBe(before);
      expect(bench.workFiles()).toEqual([]);
    });

    it('writes nothing outside DIR with --to DIR, and every part into it', async () => {
      const target = join(home.directory, `to-${basename(bench.directory)}`);
      const before = `${await state()}\n${await snapshot(bench.directory)}`;
      const { exitCode, stderr } = await bench.run(agent, ['restore', archive, '--to', target], { env });
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
      expect(`${await state()}\n${await snapshot(bench.directory)}`).toBe(before);
      const parts = fixture.members.filter((member) => !member.endsWith('.list'));
      const entries = (await run('ls -A "$1"', target)).split('\n');
      expect(entries).toEqual(
        parts
          .map((member) => member.replace(/\.tar$/, ''))
          .map((member) => member.replace(/\.dump$/, `.${fixture.dumpFileSuffix ?? 'sqlite'}`))
          .sort(),
      );
      expect(await run('stat -c %a "$1"', target)).toBe('700');
    });

    it('F72 brings back everything after it was wiped, file for file and row for row', async () => {
      const before = await state();
      await fixture.wipe();
      expect(await state()).not.toBe(before);
      const { exitCode, stderr } = await bench.run(agent, restore(archive), { env });
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
      expect(await state()).toBe(before);
    });

    it('restores only files, or only databases, with --only', async () => {
      const files = await snapshot(...fixture.places);
      const rows = await fixture.dumpDatabases();
      await fixture.wipe();
      const emptyRows = await fixture.dumpDatabases();
      expect(await bench.run(agent, restore('--only', 'files', archive), { env })).toMatchObject({
        exitCode: 0,
      });
      if (fixture.members.some((member) => member.endsWith('.tar')))
        expect(await snapshot(...fixture.places)).toBe(files);
      expect(await fixture.dumpDatabases()).toBe(emptyRows);
      expect(await bench.run(agent, restore('--only', 'database', archive), { env })).toMatchObject({
        exitCode: 0,
      });
      expect(await fixture.dumpDatabases()).toBe(rows);
      expect(await snapshot(...fixture.places)).toBe(files);
    });

    it('puts aside with --force what a restore replaces, and says where', async () => {
      const before = await state();
      const { exitCode, stderr } = await bench.run(agent, restore('--force', archive), { env });
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
      expect(await state()).toBe(before);
      const aside = [...stderr.matchAll(/before lies in (\S+)$/gm)].map(([, path]) => path as string);
      expect(aside.length).toBe(fixture.members.filter((member) => !/\.list$|^roles/.test(member)).length);
      for (const path of aside) expect(existsSync(path), path).toBe(true);
      await run('rm -rf -- "$@"', ...aside);
    });

    it('refuses the archive of another application, and a damaged one', async () => {
      const other = application === 'sqlite' ? 'agent-directories' : 'agent-sqlite';
      const wrong = await bench.run(other, ['restore', archive, '--to', join(bench.directory, 'x')]);
      expect(wrong).toMatchObject({
        exitCode: 2,
        stderr: expect.stringContaining(`an archive of ${application}`),
      });
      const copy = join(bench.directory, basename(archive));
      await run('cp "$1" "$2"; cp "$1.sha256" "$2.sha256"', archive, copy);
      await run('printf x | dd of="$1" bs=1 seek=1100 conv=notrunc status=none', copy);
      const damaged = await bench.run(agent, restore('--force', copy), { env });
      expect(damaged.exitCode).toBe(5);
      const absent = await bench.run(agent, restore(`${archive}.x`), { env });
      expect(absent).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('no such file') });
    });

    it('exits with 2 for what it does not understand, with 0 for --help and --version', async () => {
      for (const args of [['--nonsense'], ['nonsense'], ['restore'], ['backup', '--instance', 'A-B']]) {
        expect(await bench.run(agent, args, { env }), args.join(' ')).toMatchObject({
          exitCode: 2,
          stdout: '',
        });
      }
      const unknown = await bench.run(agent, [], { env: { ...env, GARNER_WORKDIR: '/x' } });
      expect(unknown).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('GARNER_WORK_DIR') });
      expect(await bench.run(agent, ['--help'])).toMatchObject({
        exitCode: 0,
        stdout: expect.stringContaining('Example:'),
      });
      expect(await bench.run(agent, ['--version'])).toMatchObject({ exitCode: 0 });
      expect(bench.workFiles()).toEqual([]);
    });

    it('reads its settings from its own file, and those of an instance from another', async () => {
      const lines = Object.entries(fixture.settings).map(([name, value]) => `${name}='${value}'\n`);
      bench.configure(`${agent}.env`, lines.join(''));
      const { env = {} } = fixture;
      const archive = await bench.backup(agent, {
        env,
        args: ['backup', '--work-dir', join(bench.directory, 'own')],
      });
      expect(dirname(archive)).toBe(join(bench.directory, 'own'));
      bench.configure(`${agent}.env`, 'GARNER_CHECKSUMS=nonsense\n');
      bench.configure(`${agent}.blue_2.env`, lines.join(''));
      const blue = await bench.backup(agent, { env, args: ['--instance', 'blue_2'] });
      const { group, instance } = groupOf('blue_2');
      expect(basename(blue)).toMatch(new RegExp(`^${group}-web1`));
      expect((await manifestOf(blue)).instance).toBe(instance);
      expect((await bench.run(agent, [])).exitCode).toBe(2);
    });
  });
}
