import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sweepHost } from '../../archiver/layout.ts';

test('of what ended runs have left, what a transfer can go on with stays, for some days', () => {
  const root = mkdtempSync(join(tmpdir(), 'garner-layout-'));
  const directory = join(root, 'web1/mediawiki');
  mkdirSync(directory, { recursive: true });
  const [cut, here, old, gone] = ['01', '02', '03', '04'].map(
    (day) => `mediawiki-web1-202601${day}T000000Z.tar`,
  );
  const files = [
    `.part-${cut}.0123abcd`,
    `.part-${here}.0123abcd`,
    `${here}`,
    `.part-${old}.0123abcd`,
    `.part-${gone}.0123abcd`,
    '.part-x',
  ];
  for (const file of files) writeFileSync(join(directory, file), '');
  const aged = new Date(Date.now() - 4 * 86_400_000);
  utimesSync(join(directory, `.part-${old}.0123abcd`), aged, aged);
  sweepHost(root, 'web1', new Set([cut, here, old] as string[]));
  expect(readdirSync(directory).sort()).toEqual([`.part-${cut}.0123abcd`, here]);
  rmSync(root, { recursive: true });
});
