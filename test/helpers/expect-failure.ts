// How a failed run of an agent has to look, whatever made it fail.
import { expect } from 'vitest';
import type { Bench, Ran } from './run.ts';

/** The run failed, said so in one line of its own, and left neither an archive nor a part of one; no canary is in it. */
export function expectFailure(bench: Bench, ran: Ran, cause: RegExp): void {
  expect(ran.exitCode).toBe(1);
  const lines = ran.stderr.split('\n').filter((line) => /^agent-\w+: /.test(line));
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(cause);
  expect(ran.stderr).not.toContain('canary');
  expect(bench.workFiles()).toEqual([]);
}
