// docs/emergency.md, done as it stands there: what was archived is got back by garner, and by plain tools without it.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { blockOf, commandsOf } from './pages.ts';

const HOST = 'web1.example.org';
const TIME = new Date('2026-11-21T02:15:00Z');
const FILES = { 'LocalSettings.php': '<?php $wgSitename = "Hedgehogs";\n', 'images/a/a b.png': '\0\xff🦔' };

let archiver: TestArchiver;
beforeEach(() => {
  archiver = testArchiver();
  archiver.configureHosts([HOST], { retention: '{last: 9}' });
  archiver.setUp();
});
afterEach(() => archiver.remove());

const look = (): string => join(archiver.directory, 'look');
/** @returns a block of the page with the places of this test in it */
const block = (begins: string): string =>
  blockOf('docs/emergency.md', `# ${begins}`)
    .replaceAll('/srv/garner', archiver.root)
    .replaceAll('/srv/look', look())
    .replaceAll('/root/', `${archiver.directory}/`);
const run = async (begins: string): Promise<string> =>
  (await execa('bash', ['-euo', 'pipefail', '-c', block(begins)])).stdout;

function expectFiles(directory: string): void {
  for (const [path, content] of Object.entries(FILES)) {
    expect(readFileSync(join(directory, path), 'utf8')).toBe(content);
  }
}

it('gets archives back beside what is there', async () => {
  await makeArchive(archiver.workDir(HOST), { host: HOST, time: TIME, files: FILES, tables: { page: 3 } });
  await archiver.runHere(['pull', '--no-prune']);
  const commands = commandsOf({ page: '', language: 'sh', content: block('what there is') });
  expect(commands).toHaveLength(2);
  for (const [, ...args] of commands) expect(await archiver.runHere(args)).toMatchObject({ exitCode: 0 });
  expectFiles(join(look(), 'files'));
});

it.each(['readable', 'encrypted'])('gets %s archives back with plain tools', async (kind) => {
  const identity = join(archiver.directory, 'key.txt');
  execFileSync('age-keygen', ['-o', identity], { stdio: 'ignore' });
  const recipient = execFileSync('age-keygen', ['-y', identity], { encoding: 'utf8' }).trim();
  await makeArchive(join(archiver.root, HOST, 'mediawiki'), {
    host: HOST,
    time: TIME,
    files: FILES,
    tables: { page: 3 },
    ...(kind === 'encrypted' && { recipient }),
  });
  expect(await run('the newest archive from before the trouble')).toContain(': OK');
  if (kind === 'encrypted') await run('encrypted members end in .age');
  expect(await run('the files of each tree')).toMatch(/^files\.tar\.zst(\.age)? was \/var\/lib\/mediawiki$/);
  expectFiles(join(look(), 'files'));
  // what is called so is a database of MariaDB here; that one is brought back in databases.test.ts
  writeFileSync(join(look(), 'wiki.dump.zst'), readFileSync(join(look(), 'wiki.sql.zst')));
  await execa('bash', ['-euo', 'pipefail', '-c', block('wiki.dump.zst: SQLite')], { cwd: look() });
  expect(readFileSync(join(look(), 'wiki.sqlite'), 'utf8')).toBe('SELECT 1;\n');
});
