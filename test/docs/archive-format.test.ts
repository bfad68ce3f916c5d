// docs/archive-format.md: its manifest is one, and its commands read an archive as it says.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { parseManifest } from '../../archive/manifest.ts';
import { makeArchive } from '../helpers/make-archive.ts';
import { blockOf } from './pages.ts';

const PAGE = 'docs/archive-format.md';

it('shows a manifest that is read, with all that it says', () => {
  const shown = blockOf(PAGE, '{\n  "format": 1');
  expect(parseManifest(shown, PAGE)).toEqual(JSON.parse(shown));
});

it('shows how an archive is read by hand', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'garner-format-'));
  try {
    const files = { 'LocalSettings.php': '<?php\n', 'images/a.png': 'a' };
    const time = new Date('2026-07-31T02:15:00Z');
    const { path } = await makeArchive(directory, { host: 'web1', time, files });
    await execa('tar', ['-xf', path, '-C', directory]);
    const bash = (begins: string) =>
      execa('bash', ['-euo', 'pipefail', '-c', blockOf(PAGE, begins)], {
        cwd: directory,
        env: { ARCHIVE: path },
      });
    expect((await bash('# every member')).stdout).toBe('VERSION: OK\nfiles.tar.zst: OK\nfiles.list.zst: OK');
    expect((await bash('# one member')).stdout).toBe('LocalSettings.php\t6\t1\nimages/a.png\t1\t1');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
