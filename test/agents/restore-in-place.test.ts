// In-place restores where something is in the way: what fails changes nothing, and mount points are filled, not moved.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it } from 'vitest';

const BIN = join(import.meta.dirname, '../../bin');
let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'garner-restore-'));
});
afterEach(async () => {
  await execa('umount', [join(home, 'mounted')], { reject: false });
  rmSync(home, { recursive: true, force: true });
});

const environment = (more: Record<string, string>): Record<string, string> => ({
  GARNER_WORK_DIR: join(home, 'work'),
  GARNER_RUN_DIR: join(home, 'run'),
  GARNER_CONFIG_DIR: join(home, 'etc'),
  ...more,
});

/** Makes what agent-mediawiki takes for a wiki on SQLite, in `wiki` and `data`. @returns its directory */
async function makeWiki(): Promise<string> {
  const wiki = join(home, 'wiki');
  for (const directory of ['images/a', 'includes', 'extensions'])
    mkdirSync(join(wiki, directory), { recursive: true });
  mkdirSync(join(home, 'data'));
  writeFileSync(join(wiki, 'images/a/x.png'), 'old');
  writeFileSync(join(wiki, 'includes/Defines.php'), "<?php define( 'MW_VERSION', '1.39.17' );");
  writeFileSync(
    join(wiki, 'LocalSettings.php'),
    `<?php $wgDBtype = 'sqlite'; $wgDBname = 'wiki'; $wgSQLiteDataDir = '${home}/data';`,
  );
  await execa('sqlite3', [
    join(home, 'data/wiki.sqlite'),
    `CREATE TABLE page (t); INSERT INTO page VALUES (1); CREATE TABLE image (img_name);
     CREATE TABLE oldimage (oi_name, oi_archive_name, oi_sha1, oi_deleted);
     CREATE TABLE filearchive (fa_storage_group, fa_storage_key)`,
  ]);
  return wiki;
}

it('says of files and databases that they would be replaced, before it asks for --force', async () => {
  const env = environment({ MEDIAWIKI_DIR: await makeWiki() });
  const { stdout: archive } = await execa(join(BIN, 'agent-mediawiki'), [], { env });
  const { exitCode, stderr } = await execa(join(BIN, 'agent-mediawiki'), ['restore', archive], {
    env,
    reject: false,
  });
  expect(exitCode).toBe(1);
  expect(stderr).toContain(`would replace ${home}/wiki/images, ${home}/wiki/LocalSettings.php, `);
  expect(stderr).toContain(`, ${home}/data/wiki.sqlite (4 tables)\n`);
});

it('plans the restore of a wiki that is gone, its configuration too', async () => {
  const wiki = await makeWiki();
  const env = environment({ MEDIAWIKI_DIR: wiki });
  const { stdout: archive } = await execa(join(BIN, 'agent-mediawiki'), [], { env });
  for (const name of ['wiki', 'data']) rmSync(join(home, name), { recursive: true });
  const { stderr } = await execa(join(BIN, 'agent-mediawiki'), ['restore', archive, '--dry-run'], { env });
  expect(stderr).toContain(`would restore files to ${wiki}`);
  expect(stderr).toContain("would restore the databases to where the archive's own configuration says");
  expect(readdirSync(home).sort()).toEqual(['run', 'work']);
});

it('ends with warnings where the checksum file is missing', async () => {
  const env = environment({ DIRECTORIES: await makeWiki() });
  const { stdout: archive } = await execa(join(BIN, 'agent-directories'), [], { env });
  rmSync(`${archive}.sha256`);
  const args = ['restore', archive, '--to', join(home, 'look')];
  const { exitCode, stderr } = await execa(join(BIN, 'agent-directories'), args, { env, reject: false });
  expect([exitCode, stderr]).toEqual([3, expect.stringContaining('.sha256 is missing')]);
  expect(existsSync(join(home, 'look'))).toBe(true);
});

it('refuses an empty --to, which would be the current directory', async () => {
  const env = environment({ DIRECTORIES: await makeWiki() });
  const { stdout: archive } = await execa(join(BIN, 'agent-directories'), [], { env });
  const { exitCode, stderr } = await execa(join(BIN, 'agent-directories'), ['restore', archive, '--to', ''], {
    env,
    cwd: home,
    reject: false,
  });
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining('the value of --to is empty')]);
});

it('puts the files back where the database can not be restored', async () => {
  const wiki = await makeWiki();
  const env = environment({ MEDIAWIKI_DIR: wiki });
  const { stdout: archive } = await execa(join(BIN, 'agent-mediawiki'), [], { env });

  writeFileSync(join(wiki, 'images/a/x.png'), 'new');
  renameSync(join(home, 'data'), join(home, 'data-moved'));
  writeFileSync(join(home, 'data'), 'a file in the place of the directory');
  const before = await execa('find', [wiki, '-printf', '%p %m %s\n']);
  const failed = await execa(join(BIN, 'agent-mediawiki'), ['restore', archive, '--force'], {
    env,
    reject: false,
  });
  expect([failed.exitCode, failed.stderr]).toEqual([
    1,
    expect.stringMatching(/cannot restore database .*data\/wiki\.sqlite": /),
  ]);
  expect((await execa('find', [wiki, '-printf', '%p %m %s\n'])).stdout).toBe(before.stdout);
  expect(readFileSync(join(wiki, 'images/a/x.png'), 'utf8')).toBe('new');
  expect(readdirSync(home).filter((name) => name.includes('restore'))).toEqual([]);

  rmSync(join(home, 'data'));
  await execa(join(BIN, 'agent-mediawiki'), ['restore', archive, '--force'], { env });
  expect(readFileSync(join(wiki, 'images/a/x.png'), 'utf8')).toBe('old');
  expect((await execa('sqlite3', [join(home, 'data/wiki.sqlite'), 'SELECT t FROM page'])).stdout).toBe('1');
});

it.runIf(process.getuid?.() === 0)('fills a mount point, and puts aside what is in it', async () => {
  const root = join(home, 'mounted');
  mkdirSync(root);
  await execa('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', root]);
  mkdirSync(join(root, 'lost+found'));
  mkdirSync(join(root, 'kept'));
  writeFileSync(join(root, 'kept/file'), 'content');
  const env = environment({ DIRECTORIES: root });
  const { stdout: archive } = await execa(join(BIN, 'agent-directories'), [], { env });
  rmSync(join(root, 'kept'), { recursive: true });
  writeFileSync(join(root, 'later'), 'a file of after the backup');

  const refused = await execa(join(BIN, 'agent-directories'), ['restore', archive], { env, reject: false });
  expect([refused.exitCode, refused.stderr]).toEqual([
    1,
    expect.stringContaining(`it would replace ${root}/later`),
  ]);
  const { stderr } = await execa(join(BIN, 'agent-directories'), ['restore', archive, '--force'], { env });
  const aside = /what was there before lies in (\S+)/.exec(stderr)?.[1] as string;
  expect(readFileSync(join(aside, 'later'), 'utf8')).toBe('a file of after the backup');
  expect(readFileSync(join(root, 'kept/file'), 'utf8')).toBe('content');
  expect(existsSync(join(root, 'later'))).toBe(false);
});

it('removes what a killed restore of the same application has left, and syncs before it swaps', async () => {
  const root = join(home, 'tree');
  mkdirSync(root);
  writeFileSync(join(root, 'file'), 'content');
  const env = environment({ DIRECTORIES: root });
  const { stdout: archive } = await execa(join(BIN, 'agent-directories'), [], { env });
  rmSync(root, { recursive: true });
  mkdirSync(join(home, '.garner-restore-directories-AbCdEf/tree'), { recursive: true });
  mkdirSync(join(home, '.garner-restore-directories.blue-AbCdEf'));
  const trace = join(home, 'trace');
  const options = ['-f', '-e', 'trace=syncfs,rename,renameat,renameat2', '-o', trace];
  await execa('strace', [...options, join(BIN, 'agent-directories'), 'restore', archive], { env });
  expect(readFileSync(join(root, 'file'), 'utf8')).toBe('content');
  expect(readdirSync(home).filter((name) => name.startsWith('.garner-restore'))).toEqual([
    '.garner-restore-directories.blue-AbCdEf',
  ]);
  const calls = readFileSync(trace, 'utf8');
  expect(calls.indexOf('syncfs(')).toBeGreaterThan(0);
  expect(calls.indexOf('syncfs(')).toBeLessThan(calls.indexOf(`"${root}"`));
});
