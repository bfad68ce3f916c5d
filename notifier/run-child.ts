// Runs the command that notify wraps: its output goes on unchanged as it comes, memory stays flat, signals reach all
// of its process group, and its end is noticed whatever it leaves running.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import type { Writable } from 'node:stream';
import { causeText, EXIT } from '../lib/errors.ts';
import { LONGEST_TIMER_MS } from '../lib/interrupt.ts';
import { warn } from '../lib/log.ts';
import { openPipe } from '../lib/pipe.ts';
import { signalGroup } from '../lib/process.ts';

/** What a command has for cleaning up between a signal and SIGKILL. */
const END_GRACE_MS = 10_000;
/** How long output may stay open without a byte after the command's end. */
const DRAIN_GRACE_MS = 3000;
/** How long something that the command left running may go on writing. */
const DRAIN_LIMIT_MS = 30_000;
const FORWARDED = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const;

export interface ChildRun {
  startedAt: Date;
  durationMs: number;
  /** What a shell would say: the exit code, 128+n for a signal, 126 or 127 where it could not be started. */
  exitCode: number;
  /** The signal that ended it. */
  signal?: NodeJS.Signals | undefined;
  /** Why it could not be started. */
  notStarted?: string;
  /** The signal that notify got and passed on. */
  interruptedBy?: NodeJS.Signals | undefined;
  timedOut?: boolean;
}

export interface ChildOutput {
  /** Gets what the command writes, as it comes. */
  stdout(chunk: Buffer): void;
  stderr(chunk: Buffer): void;
}

/**
 * Runs a command to its end, without a shell, in a process group of its own.
 * @param timeoutMs the longest it may run; 0 for no limit
 * @param env added to its environment
 * @returns how it ended; a command that could not be started is a result too
 */
export async function runChild(
  command: readonly string[],
  { timeoutMs, env, output }: { timeoutMs: number; env: Record<string, string>; output: ChildOutput },
): Promise<ChildRun> {
  const [file, ...args] = command as [string, ...string[]];
  const startedAt = new Date();
  const started = performance.now();
  const relays = [relay(process.stdout, output.stdout), relay(process.stderr, output.stderr)] as const;
  const pipes = [openPipe(relays[0].take), openPipe(relays[1].take)] as const;
  let child: ChildProcess;
  try {
    child = spawn(file, args, {
      stdio: ['inherit', pipes[0]?.writeFd ?? 'pipe', pipes[1]?.writeFd ?? 'pipe'],
      env: { ...childEnvironment(), ...env },
      detached: true,
    });
  } catch (error) {
    for (const pipe of pipes) pipe?.reader.destroy();
    return { startedAt, durationMs: 0, ...startFailure(file, error) };
  } finally {
    for (const pipe of pipes) pipe?.closeWriteEnd();
  }
  const sources = [
    relays[0].follow(pipes[0]?.reader, child.stdout as Socket),
    relays[1].follow(pipes[1]?.reader, child.stderr as Socket),
  ];

  let interruptedBy: NodeJS.Signals | undefined;
  let timedOut = false;
  const end = (signal: NodeJS.Signals): void => {
    signalGroup(child, signal);
    setTimeout(() => signalGroup(child, 'SIGKILL'), END_GRACE_MS).unref();
    child.once('exit', () => signalGroup(child, 'SIGKILL'));
  };
  const forward = (signal: NodeJS.Signals): void => {
    interruptedBy ??= signal;
    end(signal);
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  const limit = setTimeout(
    () => {
      timedOut = true;
      end('SIGTERM');
    },
    timeoutMs > 0 ? Math.min(timeoutMs, LONGEST_TIMER_MS) : LONGEST_TIMER_MS,
  );
  try {
    const ended = await endOf(child, file);
    const run = { startedAt, durationMs: performance.now() - started, interruptedBy, timedOut, ...ended };
    if (!(await drained(sources, () => timedOut))) {
      warn(`"${file}" has ended; not waiting for what it left running and what that still writes`);
    }
    return run;
  } finally {
    clearTimeout(limit);
    for (const signal of FORWARDED) process.off(signal, forward);
    for (const { socket } of sources) socket.destroy();
  }
}

/** The caller's environment; notify's own settings, the mail password among them, are not the command's business. */
function childEnvironment(): NodeJS.ProcessEnv {
  const own = (name: string): boolean => name.startsWith('NOTIFY_') && name !== 'NOTIFY_SOCKET';
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own(name)));
}

function endOf(
  child: ChildProcess,
  file: string,
): Promise<Pick<ChildRun, 'exitCode' | 'signal' | 'notStarted'>> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(startFailure(file, error)));
    child.once('exit', (code, signal) =>
      resolve(
        signal === null
          ? { exitCode: code as number }
          : { exitCode: 128 + constants.signals[signal], signal },
      ),
    );
  });
}

function startFailure(file: string, error: unknown): Pick<ChildRun, 'exitCode' | 'notStarted'> {
  const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
  if (missing && file.includes('/') && existsSync(file)) {
    return { exitCode: EXIT.notExecutable.code, notStarted: 'the interpreter in its first line is missing' };
  }
  return missing
    ? { exitCode: EXIT.notFound.code, notStarted: 'there is no such command' }
    : { exitCode: EXIT.notExecutable.code, notStarted: causeText(error) };
}

interface Source {
  socket: Socket;
  /** Settles when all of it has been passed on. */
  done: Promise<void>;
}

interface Relay {
  /** Passes a chunk on; false: wait for `resume`. */
  take(chunk: Buffer): boolean;
  /** Starts reading from our own pipe or, where there is none, from Node's. */
  follow(pipe: Socket | undefined, fallback: Socket): Source;
}

/** Passes output on byte by byte, no faster than it is taken; where the reader has gone it is still read to its end. */
function relay(to: Writable, seen: (chunk: Buffer) => void): Relay {
  let open = true;
  let socket: Socket;
  to.on('error', () => {
    open = false;
  });
  const take = (chunk: Buffer): boolean => {
    seen(chunk);
    if (!open) return true;
    to.write(chunk, () => socket.resume());
    return false;
  };
  return {
    take,
    follow(pipe, fallback) {
      socket = pipe ?? fallback;
      if (pipe === undefined) {
        socket.on('data', (chunk: Buffer) => {
          if (!take(chunk)) socket.pause();
        });
      }
      socket.on('error', () => {}); // it ends as if closed: the exit code tells
      socket.resume();
      return {
        socket,
        done: new Promise((resolve) => socket.once('close', () => to.write('', () => resolve()))),
      };
    },
  };
}

/** Waits until all output is passed on; what a process left running keeps open or goes on writing is given up. */
async function drained(sources: Source[], giveUp: () => boolean): Promise<boolean> {
  const relayed = Promise.all(sources.map(({ done }) => done)).then(() => true);
  const bytesRead = (): number => sources.reduce((sum, { socket }) => sum + socket.bytesRead, 0);
  const limit = performance.now() + DRAIN_LIMIT_MS;
  for (;;) {
    const before = bytesRead();
    const { promise: grace, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(resolve, DRAIN_GRACE_MS, false);
    const done = await Promise.race([relayed, grace]);
    clearTimeout(timer);
    if (done) return true;
    if (giveUp()) return false;
    // a slow reader of ours is no reason to lose output that is there
    const readerIsSlow = process.stdout.writableLength > 0 || process.stderr.writableLength > 0;
    if (!readerIsSlow && (bytesRead() === before || performance.now() > limit)) return false;
  }
}
