// docs/quick-start.md and docs/archiver.md: their configuration and commands, with a work directory of this machine as the host.
import { readdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type TestArchiver, testArchiver } from '../helpers/archiver.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { blockOf, commandsOf } from './pages.ts';

const HOST = 'web1.example.org';

let archiver: TestArchiver;
beforeAll(async () => {
  archiver = testArchiver();
  await makeArchive(archiver.workDir(HOST), {
    host: HOST,
    time: new Date(),
    files: { 'LocalSettings.php': '<?php\n', 'images/a.png': 'a' },
    tables: { page: 3 },
  });
});
afterAll(() => archiver.remove());

const commands = (page: string, begins: string): string[][] =>
  commandsOf({ page, language: 'sh', content: blockOf(page, begins) });

it('is set up, fetches, lists and finds as the pages say', async () => {
  const yaml = blockOf('docs/quick-start.md', 'archive: /srv/garner')
    .replace('/srv/garner', archiver.root)
    .replace(/sftp:\S+/, `file://${archiver.workDir(HOST)}`)
    .replace(/^ +identityFile.*\n/m, '');
  writeFileSync(archiver.configFile, yaml, { mode: 0o600 });
  const outputs: string[] = [];
  for (const [program, ...args] of commands('docs/quick-start.md', 'archiver init')) {
    expect(program).toBe('archiver');
    const { exitCode, stdout } = await archiver.runHere(args);
    expect([args, exitCode]).toEqual([args, 0]);
    outputs.push(stdout);
  }
  expect(outputs.at(-1)).toContain(`mediawiki-${HOST}-`);
  // remove: true
  expect(readdirSync(archiver.workDir(HOST)).filter((name) => !name.startsWith('.'))).toEqual([]);

  for (const [, ...args] of commands('docs/archiver.md', 'archiver find')) {
    const { exitCode, stdout } = await archiver.runHere(args.filter((arg) => arg !== 'web1'));
    expect([args, exitCode, stdout]).toEqual([args, 0, expect.stringContaining(HOST)]);
  }
});
