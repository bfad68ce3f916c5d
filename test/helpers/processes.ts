// Looks at the processes of this machine: who was started by a test, and what they show to others.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

function* shown(): Generator<{ pid: number; commandLine: string; environment: string }> {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const read = (file: string): string => readFileSync(`/proc/${name}/${file}`, 'latin1');
      yield { pid: Number(name), commandLine: read('cmdline'), environment: read('environ') };
    } catch {
      // ended meanwhile
    }
  }
}

/** @returns the processes that inherited this text in their environment: a run's, however it ended */
export function processesWith(mark: string): number[] {
  return [...shown()].filter(({ environment }) => environment.includes(mark)).map(({ pid }) => pid);
}

/** Kills every process that has this mark. */
export function killAllWith(mark: string): void {
  for (const pid of processesWith(mark)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // ended meanwhile
    }
  }
}

/** Waits until no process has this mark; the kernel may take a moment. */
export async function untilNoProcessWith(mark: string, limitMs = 10_000): Promise<number[]> {
  for (const deadline = Date.now() + limitMs; ; await sleep(50)) {
    const left = processesWith(mark);
    if (left.length === 0 || Date.now() > deadline) return left;
  }
}

/**
 * Looks every 5 ms at what `ps` shows of all processes.
 * @returns a function that stops it and gives the places where one of the texts stood, and how many processes were seen
 */
export function watchProcesses(texts: readonly string[]): () => { found: string[]; seen: number } {
  const found = new Set<string>();
  const seen = new Set<number>();
  const timer = setInterval(() => {
    for (const { pid, commandLine, environment } of shown()) {
      seen.add(pid);
      for (const text of texts) {
        if (commandLine.includes(text)) found.add(`command line: ${commandLine}`);
        if (environment.includes(text)) found.add(`environment of ${commandLine}`);
      }
    }
  }, 5);
  return () => {
    clearInterval(timer);
    return { found: [...found], seen: seen.size };
  };
}

/**
 * Looks every 100 ms at the memory of the processes that have a text in their environment.
 * @returns a function that stops it and gives, by program, the most that one process had at a time, in bytes
 */
export function watchMemory(mark: string): () => Map<string, number> {
  const most = new Map<string, number>();
  const timer = setInterval(() => {
    for (const pid of processesWith(mark)) {
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        const [, program = ''] = /^Name:\s+(.*)$/m.exec(status) ?? [];
        const bytes = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
        most.set(program, Math.max(most.get(program) ?? 0, bytes));
      } catch {
        // ended meanwhile
      }
    }
  }, 100);
  return () => {
    clearInterval(timer);
    return most;
  };
}
