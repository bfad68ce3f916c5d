// Runs one command and says what it cost: wall time and CPU of all of its processes, and the peak memory of each.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';

const SAMPLE_MS = 25;

export interface Cost {
  wallSeconds: number;
  /** User and system time of the command and all that it waited for. */
  cpuSeconds: number;
  /** Peak resident memory by the program's name, in bytes; the largest of several of one name. */
  peakBytes: Map<string, number>;
}

/** What is run: a script for bash, with its own environment. */
export interface BenchCommand {
  script: string;
  env?: Record<string, string>;
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
  } catch {
    return []; // ended meanwhile
  }
}

/** Node calls its first thread MainThread. */
const programName = (comm: string): string => (comm === 'MainThread' || comm === 'node' ? 'garner' : comm);

function samplePeaks(root: number, peaks: Map<string, number>): void {
  const pids = [root];
  for (const pid of pids) {
    pids.push(...childrenOf(pid));
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const name = programName(/^Name:\t(.*)$/m.exec(status)?.[1] ?? '');
      const bytes = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
      peaks.set(name, Math.max(peaks.get(name) ?? 0, bytes));
    } catch {
      // ended meanwhile
    }
  }
}

/** @throws where the command fails: what it did is then not what was to be measured */
export async function measure({ script, env = {} }: BenchCommand): Promise<Cost> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-bench-'));
  const times = join(directory, 'times');
  try {
    const args = ['-f', '%e %U %S', '-o', times, 'bash', '-euo', 'pipefail', '-c', script];
    const child = execa('/usr/bin/time', args, { env, stdin: 'ignore', stdout: 'ignore', reject: false });
    let ended = false;
    child.finally(() => {
      ended = true;
    });
    const peakBytes = new Map<string, number>();
    while (!ended) {
      samplePeaks(child.pid as number, peakBytes);
      await sleep(SAMPLE_MS);
    }
    const { exitCode, stderr } = await child;
    if (exitCode !== 0) throw new Error(`${script}\nended with ${exitCode}: ${stderr.slice(-2000)}`);
    const [wallSeconds = 0, user = 0, system = 0] = readFileSync(times, 'utf8').trim().split(' ').map(Number);
    return { wallSeconds, cpuSeconds: user + system, peakBytes };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
