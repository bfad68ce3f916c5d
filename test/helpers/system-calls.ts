// Watches and breaks the system calls of real commands, by strace: stops a run after its n-th call that changes a file,
// makes a call fail, and tells in which order a run wrote, synced and named its files.
import { execFileSync } from 'node:child_process';
import { constants, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** Those that change a file, its name or what of it survives a power cut. */
const CHANGING =
  'openat,write,writev,pwrite64,pwritev,ftruncate,fallocate,fsync,fdatasync,sync,syncfs,rename,renameat,renameat2,' +
  'link,linkat,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,fchmod,chmod';

// not --seccomp-bpf: with it signals are not injected
const STRACE = ['strace', '-f', '-q', '-y'];

export interface Stopped<T> {
  /** What the run came to. */
  ended: T;
  /** The call after which it was stopped, as strace shows it; undefined: it ended before. */
  at: string | undefined;
  /** How many calls there were. */
  count: number;
}

/**
 * Runs a command, stops it after its n-th call that changes a file, lets the test look or cut the power, and kills it.
 * @param within counts only calls that name a file below this directory
 * @param n Infinity: lets it run to its end and counts
 * @param run gets the command that runs it: `['strace', …]`
 */
export async function killAfter<T>(
  within: string,
  n: number,
  run: (wrap: string[]) => Promise<T>,
  atStop: () => Promise<void> = async () => {},
): Promise<Stopped<T>> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-strace-'));
  const pipe = join(directory, 'pipe');
  execFileSync('mkfifo', [pipe]);
  // also open for writing, so that its end never comes
  const trace = new Socket({ fd: openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK), writable: false });
  const alive = new Set<number>();
  const lastCall = new Map<number, string>();
  let count = 0;
  let lines = 0;
  let target: { pid: number; call: string } | undefined;
  let stopping: Promise<void> | undefined;

  const end = async (): Promise<void> => {
    try {
      await atStop();
    } finally {
      // strace gives up where one is killed while it still attends to the stop of its threads
      for (let seen = -1; seen !== lines; await sleep(10)) seen = lines;
      for (const pid of alive) kill(pid, 'SIGKILL');
    }
  };
  createInterface(trace).on('line', (line) => {
    lines += 1;
    const [, id = '', text = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const pid = Number(id);
    alive.add(pid);
    if (text.startsWith('+++')) alive.delete(pid);
    else if (text.startsWith('--- SIGSTOP')) {
      const call = lastCall.get(pid) ?? '';
      if (target === undefined && isChange(call, within) && ++count === n) target = { pid, call };
      else if (target === undefined) kill(pid, 'SIGCONT');
    } else if (text.startsWith('--- stopped by') && target?.pid === pid) stopping ??= end();
    else if (text.startsWith('<...')) {
      const begun = (lastCall.get(pid) ?? '').replace(/<unfinished \.\.\.>$/, '');
      lastCall.set(pid, begun + text.replace(/^<\.\.\. \w+ resumed>/, ''));
    } else if (/^\w+\(/.test(text)) lastCall.set(pid, text);
  });
  try {
    const inject = `inject=${CHANGING}:signal=STOP`;
    const ended = await run([...STRACE, '-o', pipe, '-e', `trace=${CHANGING}`, '-e', inject]);
    await stopping;
    if (target !== undefined) while ([...alive].some((pid) => existsSync(`/proc/${pid}`))) await sleep(5);
    return { ended, at: target?.call, count };
  } finally {
    trace.destroy();
    rmSync(directory, { recursive: true });
  }
}

function isChange(call: string, within: string): boolean {
  return call.includes(within) && (!call.startsWith('openat') || /O_CREAT|O_TRUNC/.test(call));
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // ended meanwhile
  }
}

/** The exit code of a run that `failCall` had to end. */
export const HUNG = 124;

/**
 * Runs a command whose n-th call of a kind comes back with something else; it is not made. One that hangs is ended.
 * @param fault as strace takes it: `error=EIO`, `retval=512`
 * @param n counted in each thread; `1+`: all of them
 * @param paths only calls about these files count, if any are given
 * @returns what the run came to, and the calls that were touched
 */
export async function failCall<T>(
  call: string,
  fault: string,
  n: number | '1+',
  run: (wrap: string[]) => Promise<T>,
  paths: readonly string[] = [],
): Promise<{ ended: T; touched: string[] }> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-strace-'));
  const file = join(directory, 'trace');
  try {
    const only = paths.flatMap((path) => ['-P', path]);
    const inject = `inject=${call}:${fault}:when=${n}`;
    const limit = ['timeout', '--kill-after=5', '120'];
    const ended = await run([...limit, ...STRACE, '-o', file, ...only, '-e', `trace=${call}`, '-e', inject]);
    const touched = readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line.includes('(INJECTED)'));
    return { ended, touched };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** What a run did to files, in order: `write`, `sync`, `name` (link, rename, mkdir), `remove`, each with the path. */
export interface Steps {
  steps: string[];
  /** Files that got a name before their bytes were on the disk, and names that never were made durable. */
  flaws: string[];
}

/**
 * Traces a run and tells in which order it wrote, synced, named and removed files below a directory.
 * @param isFinal whether a path is one that has to last; others may be lost
 */
export async function traceOrder(
  within: string,
  run: (wrap: string[]) => Promise<unknown>,
  isFinal: (path: string) => boolean,
): Promise<Steps> {
  const directory = mkdtempSync(join(tmpdir(), 'garner-strace-'));
  const file = join(directory, 'trace');
  try {
    await run([...STRACE, '-o', file, '-e', `trace=${CHANGING}`]);
    return orderOf(callsIn(readFileSync(file, 'utf8')), within, isFinal);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** @returns the calls that succeeded, in the order in which they ended */
function callsIn(trace: string): string[] {
  const begun = new Map<string, string>();
  const calls: string[] = [];
  for (const line of trace.split('\n')) {
    const [, pid = '', text = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (text.endsWith('<unfinished ...>')) {
      begun.set(pid, text.slice(0, -'<unfinished ...>'.length));
      continue;
    }
    const call = text.startsWith('<...')
      ? (begun.get(pid) ?? '') + text.replace(/^<\.\.\. \w+ resumed>/, '')
      : text;
    if (/\) += \d/.test(call)) calls.push(call);
  }
  return calls;
}

function orderOf(calls: string[], within: string, isFinal: (path: string) => boolean): Steps {
  const steps: string[] = [];
  const flaws: string[] = [];
  const unsynced = new Set<string>();
  const unsyncedNames = new Set<string>();
  for (const call of calls) {
    const [, name = '', rest = ''] = /^(\w+)\((.*)$/.exec(call) ?? [];
    const [, opened] = /^\d+<([^>]*)>/.exec(rest) ?? [];
    const [from = '', to = from] = [...rest.matchAll(/"([^"]*)"/g)].map(([, path]) => path as string);
    if (/^(pwrite|write|ftruncate|fallocate)/.test(name) && opened?.startsWith(within)) {
      if (!unsynced.has(opened)) steps.push(`write ${opened}`);
      unsynced.add(opened);
    } else if (/^(fsync|fdatasync)$/.test(name) && opened?.startsWith(within)) {
      steps.push(`sync ${opened}`);
      unsynced.delete(opened);
      for (const path of unsyncedNames) if (dirname(path) === opened) unsyncedNames.delete(path);
    } else if (/^sync/.test(name)) {
      steps.push('sync all');
      unsynced.clear();
      unsyncedNames.clear();
    } else if (/^(link|rename|mkdir)/.test(name) && to.startsWith(within)) {
      steps.push(`name ${to}`);
      if (unsynced.has(from) && isFinal(to)) flaws.push(`${to} got its name before its bytes were synced`);
      if (name.startsWith('rename')) unsynced.delete(from);
      if (isFinal(to)) unsyncedNames.add(to);
    } else if (/^(unlink|rmdir)/.test(name) && from.startsWith(within)) {
      steps.push(`remove ${from}`);
      unsyncedNames.delete(from);
      unsynced.delete(from);
    }
  }
  for (const path of unsyncedNames) flaws.push(`the name ${path} was never synced`);
  return { steps, flaws };
}
