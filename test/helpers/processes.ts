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
