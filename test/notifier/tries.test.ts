import { describe, expect, it } from 'vitest';
import { declareProgram, runProgram } from '../../lib/command-line.ts';
import type { Attempt } from '../../notifier/attempt.ts';
import type { Verdict } from '../../notifier/judge.ts';
import { setOwnPriority } from '../../notifier/priority.ts';
import type { ChildRun } from '../../notifier/run-child.ts';
import { addRunOptions, readRunOptions } from '../../notifier/run-options.ts';
import { runTries } from '../../notifier/tries.ts';

describe('another try', () => {
  const tries = async (
    result: Verdict['result'],
    run: Partial<ChildRun>,
    codesMean = true,
  ): Promise<number> => {
    let count = 0;
    const once = async (): Promise<Attempt> => {
      count += 1;
      return {
        run: { startedAt: new Date(), durationMs: 1, exitCode: 1, ...run },
        verdict: { result, summary: 'so', causes: [], archives: [] },
        log: { head: '', tail: '', leftOutBytes: 0 },
      };
    };
    const { failed } = await runTries(
      once,
      { count: 2, delayMs: 0 },
      codesMean,
      new AbortController().signal,
    );
    expect(failed).toHaveLength(count - 1);
    return count;
  };

  it.each<[string, Verdict['result'], Partial<ChildRun>, boolean?]>([
    ['an exit code', 'FAILED', { exitCode: 1 }],
    ['an archive that is not good', 'FAILED', { exitCode: 0 }],
    ['the time limit', 'FAILED', { exitCode: 143, timedOut: true }],
    ['a signal that it got from elsewhere', 'FAILED', { exitCode: 137, signal: 'SIGKILL' }],
    ['exit code 2 of others, which may mean anything', 'FAILED', { exitCode: 2 }, false],
  ])('is made after %s', async (_, result, run, codesMean) => {
    expect(await tries(result, run, codesMean)).toBe(3);
  });

  it.each<[string, Verdict['result'], Partial<ChildRun>]>([
    ['a success', 'OK', { exitCode: 0 }],
    ['warnings', 'WARNINGS', { exitCode: 3 }],
    ['another run’s lock', 'LOCKED', { exitCode: 4 }],
    ['wrong usage or configuration', 'FAILED', { exitCode: 2 }],
    ['what is not executable', 'FAILED', { exitCode: 126 }],
    ['what is missing', 'FAILED', { exitCode: 127, notStarted: 'there is no such command' }],
    ['a signal to notify', 'FAILED', { exitCode: 143, interruptedBy: 'SIGTERM' }],
  ])('is not made after %s', async (_, result, run) => {
    expect(await tries(result, run)).toBe(1);
  });
});

it('a priority that can’t be had is a warning, and the command is run', () => {
  const { PATH } = process.env;
  process.env.PATH = '/nonexistent';
  try {
    expect(() => setOwnPriority({ ionice: ['-c', '3'] })).not.toThrow();
  } finally {
    process.env.PATH = PATH;
  }
});

describe('options', () => {
  it.each([
    ['jitter', '15'],
    ['jitter', '25d'],
    ['nice', '20'],
    ['nice', '-21'],
    ['nice', 'low'],
    ['ionice', 'realtime'],
    ['ionice', 'best-effort:8'],
    ['retry', 'x'],
    ['retry', '101'],
    ['retry', '3:'],
    ['retry', '-1'],
    ['schedule', '15 2 * *'],
    ['every', '1'],
  ])('are refused by name: --%s %s', async (option, value) => {
    await expect(readRunOptions({ [option]: value })).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining(`cannot use --${option} "${value}": `),
    });
  });

  it('say when something starts the run in one way only', async () => {
    const program = addRunOptions(declareProgram('notify', '', ''));
    await expect(runProgram(program, ['--schedule', '@daily', '--every', '1d'])).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining("'--every <time>'"),
    });
  });
});
