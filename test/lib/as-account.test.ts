// Programs as the account that owns them, and what they find there.
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { asAccount, asOwner } from '../../lib/as-account.ts';
import { captureOk } from '../../lib/process.ts';

const isRoot = process.getuid?.() === 0;
const { signal } = new AbortController();
const OTHER = 4242;
let directory: string;
let program: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-account-'));
  chmodSync(directory, 0o755);
  program = join(directory, 'program');
  writeFileSync(program, '#!/bin/sh\necho "$(id -u) $(id -g) $(id -G) $HOME $1"\n', { mode: 0o755 });
});
afterEach(() => rmSync(directory, { recursive: true }));

it.runIf(isRoot)('runs a program as whoever owns it, with no group of root and no home of root', async () => {
  chownSync(program, OTHER, OTHER + 1);
  const said = await captureOk(asOwner({ file: program, args: ['--x y'] }, 'none'), { signal });
  expect(said).toBe('4242 4243 4243 /nonexistent --x y\n');
});

it('leaves a program of the caller as it is, and finds one on the PATH', () => {
  expect(asOwner({ file: program, args: [] }, 'none')).toEqual({ file: program, args: [] });
  expect(asOwner({ file: 'sh', args: [] }, 'dash').file).toMatch(/\/sh$/);
  expect(() => asOwner({ file: 'no-such-program', args: [] }, 'none')).toThrow('it is not on the PATH');
  const own = { uid: process.getuid?.() as number, gid: 0 };
  expect(asAccount(own, { file: 'x', args: [] })).toEqual({ file: 'x', args: [] });
});
