import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, expect, it } from 'vitest';
import { blockOf } from '../docs/pages.ts';

const demo = join(import.meta.dirname, '../../scripts/demo.ts');

// root's files would be in the way of the next demo
afterAll(() => rmSync(join(demo, '../../.demo'), { recursive: true, force: true }));

it('tells in one line which program is missing', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'garner-demo-'));
  writeFileSync(join(directory, 'zstd'), '#!/bin/sh\nexit 127\n', { mode: 0o755 });
  const { exitCode, stdout, stderr } = await execa(process.execPath, [demo], {
    env: { PATH: `${directory}:${process.env.PATH}` },
    reject: false,
  });
  rmSync(directory, { recursive: true });
  expect(exitCode).toBe(1);
  expect(stdout).toBe('');
  expect(stderr.trim()).toBe(
    'demo: zstd is missing, which archives are compressed with: apt-get install zstd',
  );
});

it('runs from the first step to the last, as README.md shows it', async () => {
  const { stdout } = await execa(process.execPath, [demo]);
  expect(stdout).toMatch(/^All 8 steps held, /m);
  // README.md shows parts of it: but for numbers, it says what README says
  const plain = (text: string): string[] => text.replace(/\d+(\.\d+)?/g, '0').split('\n');
  const shown = plain(blockOf('README.md', '   $ notify')).filter((line) => !/^( *…)?$/.test(line));
  expect(shown.length).toBeGreaterThan(20);
  expect(shown.filter((line) => !plain(stdout).includes(line))).toEqual([]);
});
