import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';

// a checkout with a main.ts that tells what it was called with
const directory = mkdtempSync(join(tmpdir(), 'garner-launch-'));
const checkout = join(directory, 'check out');
beforeAll(() => {
  for (const folder of ['bin', 'cli', 'elsewhere']) mkdirSync(join(checkout, folder), { recursive: true });
  writeFileSync(
    join(checkout, 'cli/main.ts'),
    'const args: string[] = process.argv.slice(2);\nconsole.log(JSON.stringify({ args, path: process.env.PATH }));\nprocess.exitCode = 3;\n',
  );
  const launch = join(import.meta.dirname, '../../cli/launch');
  writeFileSync(join(checkout, 'cli/launch'), readFileSync(launch), { mode: 0o755 });
  symlinkSync('../cli/launch', join(checkout, 'bin/agent-wiki'));
  symlinkSync('../bin/agent-wiki', join(checkout, 'elsewhere/relative'));
  symlinkSync(join(checkout, 'elsewhere/relative'), join(directory, 'nightly'));
});
afterAll(() => rmSync(directory, { recursive: true }));

it.each(['check out/bin/agent-wiki', 'check out/elsewhere/relative', 'nightly'])(
  'called as %s, runs the command of the entry in bin, with its arguments and PATH',
  async (entry) => {
    const { exitCode, stdout, stderr } = await execa(join(directory, entry), ['--to', 'a b', '', '--'], {
      cwd: '/',
      reject: false,
    });
    expect(JSON.parse(stdout)).toEqual({
      args: ['agent-wiki', '--to', 'a b', '', '--'],
      path: process.env.PATH,
    });
    expect({ exitCode, stderr }).toEqual({ exitCode: 3, stderr: '' });
  },
);

it('keeps compiled sources only in a directory of its own', async () => {
  const kept = join(checkout, '.compiled');
  const run = () =>
    execa(join(checkout, 'bin/agent-wiki'), { reject: false, env: { NODE_COMPILE_CACHE: '' } });
  await run();
  expect(existsSync(kept)).toBe(false);
  mkdirSync(kept);
  chownSync(kept, 65534, 65534);
  await run();
  expect(readdirSync(kept)).toEqual([]);
  chownSync(kept, 0, 0);
  await run();
  expect(readdirSync(kept)).not.toEqual([]);
});
