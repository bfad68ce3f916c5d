import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { HistoryRun } from '../../archive/history.ts';
import { type Host, makeHost } from '../helpers/notify.ts';

/** The lines of a history. */
function historyOf(host: Host, series: string): HistoryRun[] {
  const file = join(host.root, 'work/history', `${series}-web1.example.test.jsonl`);
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** Settles when notify has written such a line. */
async function said(output: unknown, text: string): Promise<void> {
  let all = '';
  for await (const chunk of output as AsyncIterable<Buffer>) {
    all += chunk;
    if (all.includes(text)) return;
  }
  throw new Error(`ended without "${text}": ${all}`);
}

const failing = ['sh', '-c', 'echo no >&2; exit 7'];

describe.concurrent('a run with', () => {
  it('--lock is not started while one of its name is under way, with or without --lock', async () => {
    using host = makeHost();
    const first = host.notify(['--name', 'dump', '--', 'sh', '-c', 'echo begun; cat'], { stdin: 'pipe' });
    await said(first.stdout, 'begun');
    const marker = join(host.root, 'ran');
    const second = await host.notify(['--lock', '--name', 'dump', '--', 'touch', marker]);
    expect(second.exitCode).toBe(4);
    expect(second.stderr).toMatch(/^notify: cannot start "dump": another run is under way \(pid \d+, since /);
    expect(existsSync(marker)).toBe(false);
    expect(host.mail().headers.subject).toMatch(/LOCKED dump on .*: another run is under way \(pid/);
    first.stdin?.end();
    expect((await first).exitCode).toBe(0);
    expect((await host.notify(['--lock', '--name', 'dump', '--', 'touch', marker])).exitCode).toBe(0);
    expect(existsSync(marker)).toBe(true);
  });

  it('--lock that can’t be had is not started either, and that is told', async () => {
    using host = makeHost();
    writeFileSync(join(host.root, 'run'), 'no directory');
    const { exitCode } = await host.notify([
      '--lock',
      '--name',
      'dump',
      '--',
      'touch',
      join(host.root, 'ran'),
    ]);
    expect([exitCode, existsSync(join(host.root, 'ran'))]).toEqual([125, false]);
    expect(host.mail().headers.subject).toMatch(/FAILED dump on .*: cannot make the lock ".*run\/.*\.lock":/);
    expect(historyOf(host, 'job.dump')).toMatchObject([{ result: 'failed', exitCode: 125, told: true }]);
  });

  it('--timeout is ended then, whatever GARNER_TIMEOUT says; an agent gets it as its own', async () => {
    using host = makeHost({ GARNER_TIMEOUT: '6h' });
    const { exitCode, stdout } = await host.notify([
      ...['--timeout', '1s', '--', 'sh', '-c', 'echo $GARNER_TIMEOUT; exec sleep 1000'],
    ]);
    expect([exitCode, stdout]).toEqual([143, '1s']);
    expect(host.mail().headers.subject).toMatch(/FAILED .*: the time limit of 1.0 s has passed$/);
  });

  it('--nice and --ionice has that priority, and the exit code is still its own', async () => {
    using host = makeHost();
    const options = ['--nice', '5', '--ionice', 'best-effort:6'];
    const run = await host.notify([...options, '--', 'sh', '-c', 'ps -o ni= -p $$; ionice -p $$; exit 9']);
    const own = Number(
      readFileSync('/proc/self/stat', 'utf8')
        .replace(/^.*\) /, '')
        .split(' ')[16],
    );
    expect([run.exitCode, run.stdout.trim()]).toEqual([9, `${Math.min(19, own + 5)}\nbest-effort: prio 6`]);
    const missing = await host.notify([...options, '--', 'nonexistent-command']);
    expect(missing.exitCode).toBe(127);
  });

  it('--retry is tried again until it succeeds; the message has the last log and all causes', async () => {
    using host = makeHost();
    const count = join(host.root, 'count');
    writeFileSync(count, '');
    const script = `echo try >> ${count}; n=$(wc -l < ${count}); echo this was $n; test $n -eq 3 || { echo bad $n >&2; exit 7; }`;
    const { exitCode, stdout, stderr } = await host.notify(['--retry', '5:10ms', '--', 'sh', '-c', script]);
    expect([exitCode, stdout]).toEqual([0, 'this was 1\nthis was 2\nthis was 3']);
    expect(stderr).toMatch(/warning: try 1 of 6 failed: bad 1; the next one in 0.0 s\nbad 2\n/);
    const { headers, text } = host.mail();
    expect(headers.subject).toMatch(/OK sh on/);
    expect(text).toMatch(/^Tries: +3\n +try 1: bad 1\n +try 2: bad 2$/m);
    expect(text).toContain(
      'Log\n---\n--- try 3 of 6; what those before it wrote is left out ---\nthis was 3\n',
    );
    expect(historyOf(host, 'job.sh')).toHaveLength(1);
  });

  it('--retry is ended by a signal between tries, with the exit code of the last', async () => {
    using host = makeHost();
    const run = host.notify(['--retry', '1:1d', '--', ...failing]);
    await said(run.stderr, 'the next one in 1 d');
    run.kill('SIGTERM');
    expect((await run).exitCode).toBe(7);
    expect(host.mail().text).toContain('ended by SIGTERM while it waited for the next try');
  });

  it('--jitter waits, and is not begun where a signal ends that', async () => {
    using host = makeHost();
    const run = host.notify(['--jitter', '20d', '--debug', '--', 'touch', join(host.root, 'ran')]);
    await said(run.stderr, 'before the run');
    run.kill('SIGTERM');
    expect((await run).exitCode).toBe(143);
    expect(host.mail().headers.subject).toMatch(/FAILED touch on .*: ended by SIGTERM before it was run$/);
    expect(existsSync(join(host.root, 'ran'))).toBe(false);
  });
});
