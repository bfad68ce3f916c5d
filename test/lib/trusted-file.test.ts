import { chmodSync, lchownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { GarnerError } from '../../lib/errors.ts';
import { readTrustedText } from '../../lib/trusted-file.ts';

const NOBODY = 65_534;
let directory: string;
let file: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-trusted-'));
  mkdirSync(join(directory, 'etc/hooks'), { recursive: true, mode: 0o755 });
  file = join(directory, 'etc/hooks/agent.yaml');
  writeFileSync(file, 'before: []\n', { mode: 0o644 });
});
afterEach(() => rmSync(directory, { recursive: true }));

function refusal(path = file): string {
  try {
    readTrustedText(path);
  } catch (error) {
    const { code, message, hint } = error as GarnerError;
    return `${code}: ${message} (${hint})`;
  }
  throw new Error(`${path} was accepted`);
}

test('a file that only root and the caller can change is read, below /tmp and through links of theirs too', () => {
  expect(readTrustedText(file)).toBe('before: []\n');
  symlinkSync('hooks', join(directory, 'etc/current'));
  symlinkSync(`${directory}/./etc/current/../hooks/agent.yaml`, join(directory, 'link.yaml'));
  expect(readTrustedText(join(directory, 'link.yaml'))).toBe('before: []\n');
});

test.each([
  ['its group', 0o664],
  ['others', 0o646],
])('a file that %s can change is refused, with the remedy', (_, mode) => {
  chmodSync(file, mode);
  expect(refusal()).toContain(
    `configuration-permissions: cannot run commands from file "${file}": it can be`,
  );
  expect(refusal()).toContain(`(chmod go-w '${file}')`);
});

test('a directory anywhere above that others can change is refused, unless it is sticky', () => {
  chmodSync(join(directory, 'etc'), 0o775);
  expect(refusal()).toContain(`"${join(directory, 'etc')}" on the way to it can be changed by group`);
  chmodSync(join(directory, 'etc'), 0o1777);
  expect(readTrustedText(file)).toBe('before: []\n');
});

test('a file, a directory or a link of somebody else is refused', () => {
  lchownSync(file, NOBODY, NOBODY);
  expect(refusal()).toContain(`it is owned by user ${NOBODY}`);
  lchownSync(file, 0, 0);
  lchownSync(join(directory, 'etc'), NOBODY, NOBODY);
  expect(refusal()).toContain(`"${join(directory, 'etc')}" on the way to it is owned by user ${NOBODY}`);
  lchownSync(join(directory, 'etc'), 0, 0);
  symlinkSync('etc/hooks/agent.yaml', join(directory, 'link.yaml'));
  lchownSync(join(directory, 'link.yaml'), NOBODY, NOBODY);
  expect(refusal(join(directory, 'link.yaml'))).toContain(`it is owned by user ${NOBODY}`);
});

test('a link of ours to what others can change is refused, and so are links without end and what is no file', () => {
  mkdirSync(join(directory, 'open'));
  chmodSync(join(directory, 'open'), 0o777);
  writeFileSync(join(directory, 'open/agent.yaml'), 'before: [evil]\n');
  symlinkSync('open/agent.yaml', join(directory, 'link.yaml'));
  expect(refusal(join(directory, 'link.yaml'))).toContain(`"${join(directory, 'open')}" on the way to it`);
  symlinkSync('loop', join(directory, 'loop'));
  expect(refusal(join(directory, 'loop'))).toContain('too many levels of symbolic links');
  expect(refusal(join(directory, 'etc'))).toContain('it is no regular file');
});
