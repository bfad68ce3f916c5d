// The example of docs/writing-an-agent.md works as it stands there: put into a copy of this checkout, its agent passes its
// test, which is the suite that every agent runs through.
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const COPIED =
  'agents archive archiver bucket cli databases lib notifier stores package.json tsconfig.json vitest.config.ts'.split(
    ' ',
  );
const TESTS = [
  'test/contract/agent-contract.ts',
  'test/helpers/bare-patterns.ts',
  'test/helpers/of-run.ts',
  'test/helpers/run.ts',
  'test/closing-line.ts',
];

it('shows an agent and its test that pass', async () => {
  const page = readFileSync(join(ROOT, 'docs/writing-an-agent.md'), 'utf8');
  const blocks = [...page.matchAll(/^```ts\n\/\/ (\S+)\n(.*?)^```$/gms)];
  expect(blocks.map(([, file]) => file)).toEqual(['agents/notes.ts', 'test/agents/notes.test.ts']);
  const copy = mkdtempSync(join(tmpdir(), 'garner-docs-'));
  try {
    for (const path of [...COPIED, ...TESTS]) cpSync(join(ROOT, path), join(copy, path), { recursive: true });
    for (const path of ['node_modules', '.node']) symlinkSync(join(ROOT, path), join(copy, path));
    await execa('mkdir', [join(copy, 'bin'), join(copy, 'test/agents')]);
    for (const [, file, content] of blocks) writeFileSync(join(copy, file as string), content as string);
    for (const name of ['agent-notes', 'agent-sqlite', 'garner'])
      symlinkSync('../cli/launch', join(copy, 'bin', name));
    const tsc = join(ROOT, 'node_modules/.bin/tsc');
    await execa(tsc, ['-p', join(copy, 'tsconfig.json')], { preferLocal: false });
    const vitest = join(ROOT, 'node_modules/.bin/vitest');
    const { stdout } = await execa(vitest, ['run', 'test/agents/notes'], {
      cwd: copy,
      all: true,
      env: { NO_COLOR: '1' },
    });
    expect(stdout).toMatch(/\n1[5-9] passed, 0 failed/);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
});
