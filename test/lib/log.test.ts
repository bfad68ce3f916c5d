import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';

const LIB = join(import.meta.dirname, '../../lib');
const program = (body: string): string[] => [
  '--input-type=module',
  '-e',
  `const { info, warn, setLogFormat } = await import('${LIB}/log.ts');
   const { registerSecret } = await import('${LIB}/redact.ts');
   const { runSignal } = await import('${LIB}/interrupt.ts');
   ${body}`,
];

test('lines carry the time; control characters are escaped and secrets redacted', async () => {
  const body = `registerSecret('hunter22'); info('a\\nb\\x1b[2J hunter22'); warn('careful');`;
  const { stderr, stdout } = await execa(process.execPath, program(body));
  expect(stdout).toBe('');
  expect(stderr).toMatch(
    /^\(\d\d:\d\d:\d\d\) a\\nb\\x1b\[2J \[redacted\]\n\(\d\d:\d\d:\d\d\) warning: careful$/,
  );
});

test('as JSON each line is one object, secrets redacted in its fields too', async () => {
  const body = `setLogFormat('json'); registerSecret('hun"ter'); info('a\\nb', { url: 'x hun"ter' });`;
  const { stderr } = await execa(process.execPath, program(body));
  expect(JSON.parse(stderr)).toMatchObject({ level: 'info', message: 'a\nb', url: 'x [redacted]' });
});

test('no line is lost to a reader that is slow, none stops a run whose reader has gone', async () => {
  const body = `process.stderr.isTTY; for (let i = 0; i < 20000; i += 1) info('line ' + i); process.stdout.write('done');`;
  const script = '"$@" 2>&1 >/dev/null | (sleep 0.3; wc -l)';
  const slow = await execa('sh', ['-c', script, 'sh', process.execPath, ...program(body)]);
  expect(Number(slow.stdout)).toBe(20_000);
  const gone = await execa('sh', [
    '-c',
    '{ "$@" 2>&1 >&3 | true; } 3>&1',
    'sh',
    process.execPath,
    ...program(body),
  ]);
  expect(gone.stdout).toBe('done');
});

test.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
  ['SIGHUP', 129],
])('F19 %s aborts a run with exit code %d', async (signal, exitCode) => {
  const body = `
    const run = runSignal('x', 60 * 86_400_000);
    run.signal.addEventListener('abort', () => { const { exitCode, message } = run.signal.reason; console.log(exitCode, message); });
    setTimeout(() => process.kill(process.pid, '${signal}'), 50);
    setTimeout(() => {}, 150);`;
  // a limit of sixty days, longer than Node's timers, has not passed before
  const { stdout, stderr } = await execa(process.execPath, program(body));
  expect(stdout).toBe(`${exitCode} ended by ${signal}; what was unfinished has been removed`);
  expect(stderr).toBe('');
});

test('F09 a time limit aborts a run and says which', async () => {
  const body = `
    const run = runSignal('agent-x', 20);
    run.signal.addEventListener('abort', () => console.log(run.signal.reason.message));
    setTimeout(() => {}, 200);`;
  const { stdout } = await execa(process.execPath, program(body));
  expect(stdout).toBe('cannot finish "agent-x": the time limit of 0.0 s has passed');
});
