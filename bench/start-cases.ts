// How long a command needs before it does anything: of the npm package and of the single executable, beside Node itself.
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { BenchCase, Prepared } from './cases.ts';

const ROOT = join(import.meta.dirname, '..');
const TIMES = 20;

const often = (command: string): string => `for run in $(seq ${TIMES}); do ${command}; done`;

/** Builds it, and makes its `notify` callable in the directory. */
async function prepareStart(directory: string, form: 'npm' | 'executable'): Promise<Prepared> {
  await execa('node', [join(ROOT, 'scripts/build.ts'), form], { cwd: ROOT });
  const built = (pattern: string): Promise<string> =>
    execa('bash', ['-c', `ls -t ${ROOT}/dist/${pattern} | head -1`]).then(({ stdout }) => stdout);
  let notify = join(directory, 'npm/node_modules/.bin/notify');
  if (form === 'npm') {
    await execa('npm', [
      'install',
      '--silent',
      '--prefix',
      join(directory, 'npm'),
      await built('garner-*.tgz'),
    ]);
  } else {
    mkdirSync(join(directory, 'bin'));
    notify = join(directory, 'bin/notify');
    symlinkSync(await built('garner-*-linux-*'), notify);
  }
  return {
    garner: { script: often(`${notify} --version`) },
    peers: [{ name: 'node -e 0', script: often('node -e 0'), target: 2 }],
    reset: 'true',
    async [Symbol.asyncDispose]() {},
  };
}

export const START_CASES: readonly BenchCase[] = [
  {
    id: 'start-npm',
    title: `\`notify --version\` of the npm package, ${TIMES} times`,
    prepare: (directory) => prepareStart(directory, 'npm'),
  },
  {
    id: 'start-executable',
    title: `\`notify --version\` of the single executable, ${TIMES} times`,
    prepare: (directory) => prepareStart(directory, 'executable'),
  },
];
