// Running other programs: pipelines joined by the kernel, every exit checked, each program in a process group
// of its own that is ended as a whole, stderr bounded, a grace time for output that a grandchild keeps open.
// Programs are started without a shell and without garner's own settings in their environment.
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { cannot, type GarnerError } from './errors.ts';
import { openPipe } from './pipe.ts';
import { programEnvironment } from './program.ts';
import { escapeControls } from './text.ts';

/** How long a program has between SIGTERM and SIGKILL, and how long its output may stay open after its end. */
const GRACE_MS = 5000;
/** How long the output may stay open of a program that may leave something running. */
const LEFT_RUNNING_GRACE_MS = 500;
/** How much of a program's stderr is kept for its error message. */
const KEPT_STDERR_CHARS = 16_384;

export interface Command {
  file: string;
  args: readonly string[];
  /** Added to the environment, or taken from it; never for secrets, `ps e` shows it. */
  env?: Record<string, string | undefined>;
  cwd?: string;
  /** Open file descriptors that the program finds as 3, 4, … */
  fds?: readonly number[];
  /** Written to its stdin before anything else; a pipe's worth, 64 KB, and no more. */
  preface?: string;
  /** What it has started may live on, with its output open. */
  leavesRunning?: boolean;
  /** Gets each line of stderr as it comes; then stderr isn't kept. */
  onStderrLine?: (line: string) => void;
  /** What stderr is read as, where it is not UTF-8; `latin1`: byte for byte. */
  stderrEncoding?: BufferEncoding;
}

export interface Ended {
  command: Command;
  /** The exit code, or null where a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stderr: string;
}

export interface PipelineOptions {
  stdin?: 'pipe' | 'ignore' | number;
  signal: AbortSignal;
  onOutput?: ((chunk: Buffer) => void) | undefined;
}

export interface Pipeline {
  /** The first program's stdin, where asked for. */
  stdin: Writable | undefined;
  /** The last program's stdout. */
  stdout: Readable;
  /** Settles when all have ended; rejects with the abort reason, or where one could not be started. */
  ended: Promise<Ended[]>;
}

/** Sends a signal to a program and all it has started. */
export function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // the group has ended already
  }
}

/** Ends a group: SIGTERM, then SIGKILL after the grace time. */
export function endGroup(child: ChildProcess, graceMs = GRACE_MS): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) {
    signalGroup(child, 'SIGKILL'); // what it may have left running
    return;
  }
  signalGroup(child, 'SIGTERM');
  const timer = setTimeout(() => signalGroup(child, 'SIGKILL'), graceMs);
  child.once('exit', () => {
    clearTimeout(timer);
    signalGroup(child, 'SIGKILL');
  });
}

/**
 * Waits for the program's end and its output; output that a grandchild holds open is given up after the grace time.
 * @param output where its stdout is read, if that is not the child's own stream
 * @param leavesRunning whether such a grandchild may live on
 */
export function exitOf(
  child: ChildProcess,
  graceMs = GRACE_MS,
  output: Readable | null = child.stdout,
  leavesRunning = false,
): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      let seen = -1;
      let timer = setTimeout(giveUp, graceMs);
      function giveUp(): void {
        const bytesRead = (output as { bytesRead?: number } | null)?.bytesRead ?? 0;
        // a slow reader of ours is no reason to lose output that is there
        if (bytesRead !== seen || (output?.readableLength ?? 0) > 0) {
          seen = bytesRead;
          timer = setTimeout(giveUp, graceMs);
          return;
        }
        if (!leavesRunning) signalGroup(child, 'SIGKILL'); // what keeps the output open, unless it has left the group
        output?.destroy();
        child.stderr?.destroy();
        resolve({ code, signal });
      }
      const closed = new Promise((done) => child.once('close', done));
      const drained = new Promise<void>((done) => {
        if (output === null || output.closed) done();
        else output.once('close', done);
      });
      Promise.all([closed, drained]).then(() => {
        clearTimeout(timer);
        resolve({ code, signal });
      });
    });
  });
}

function collectStderr(child: ChildProcess, { onStderrLine: onLine, stderrEncoding }: Command): () => string {
  let kept = '';
  let rest = '';
  child.stderr?.setEncoding(stderrEncoding ?? 'utf8').on('data', (text: string) => {
    if (onLine === undefined) {
      kept += text;
      // the first messages name the cause, the last the outcome
      if (kept.length > 2 * KEPT_STDERR_CHARS) {
        kept = `${kept.slice(0, KEPT_STDERR_CHARS)}\n…\n${kept.slice(-KEPT_STDERR_CHARS / 2)}`;
      }
      return;
    }
    rest += text;
    const lines = rest.split('\n');
    rest = lines.pop() as string;
    if (rest.length > KEPT_STDERR_CHARS) rest = rest.slice(-KEPT_STDERR_CHARS);
    for (const line of lines) onLine(line);
  });
  return () => {
    if (onLine !== undefined && rest !== '') onLine(rest);
    return kept.trim();
  };
}

function startError(command: Command, error: Error): GarnerError {
  const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
  return cannot(missing ? 'program-missing' : 'program-failed', 'run program', command.file, error);
}

/** Starts one program; what Node says at once (no more open files, arguments too long) is an error like any other. */
function start(command: Command, stdio: StdioOptions & unknown[], onFailure: () => void): ChildProcess {
  try {
    const child = spawn(command.file, command.args, {
      stdio: [...stdio, ...(command.fds ?? [])] as StdioOptions,
      env: programEnvironment(command.env),
      cwd: command.cwd,
      detached: true,
    });
    if (child.stderr === undefined) {
      child.on('error', () => {});
      throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
    }
    return child;
  } catch (error) {
    onFailure();
    throw startError(command, error as Error);
  }
}

/**
 * Starts programs whose outputs feed each other through kernel pipes; only the last one's output comes to JavaScript.
 * @param commands in the order of the data
 * @param stdin `pipe`: the caller feeds the first; a number: an open file; `ignore`: nothing
 * @param signal ends all groups when it aborts
 * @param onOutput gets the last one's output in chunks that are valid during the call only; without it, the output is to
 *   be read from the stream that is returned
 * @throws the abort reason; program-failed where not even a start could be tried
 */
export function startPipeline(
  commands: readonly Command[],
  { stdin = 'ignore', signal, onOutput }: PipelineOptions,
): Pipeline {
  signal.throwIfAborted();
  const pipe =
    onOutput &&
    openPipe((chunk) => {
      onOutput(chunk);
      return true;
    });
  const children: ChildProcess[] = [];
  // from the last to the first: each writes into the stdin of the one started before it
  let next: ChildProcess | undefined;
  for (const [index, command] of [...commands.entries()].reverse()) {
    const stdout = next?.stdin ?? pipe?.writeFd ?? 'pipe';
    const given = index === 0 ? stdin : 'pipe';
    const child = start(command, [command.preface === undefined ? given : 'pipe', stdout, 'pipe'], () => {
      pipe?.closeWriteEnd();
      pipe?.reader.destroy();
      for (const started of children) endGroup(started);
    });
    next?.stdin?.destroy(); // our copy: else the reader never sees the end
    child.stdin?.on('error', () => {}); // EPIPE: the exit code tells
    // in the pipe at once, so ahead of all that another program writes there
    if (command.preface !== undefined) child.stdin?.write(command.preface);
    if (command.preface !== undefined && given === 'ignore') child.stdin?.end();
    children.unshift(child);
    next = child;
  }
  pipe?.closeWriteEnd();
  const stdout = pipe?.reader ?? (children.at(-1)?.stdout as Readable);
  if (pipe !== undefined) stdout.resume();
  else if (onOutput !== undefined) stdout.on('data', onOutput);
  /** The number of a group that has long ended may be another's. */
  const running = new Set(children);
  const end = (): void => {
    for (const child of running) endGroup(child);
  };
  const ended = Promise.all(
    children.map(async (child, index) => {
      const command = commands[index] as Command;
      const stderr = collectStderr(child, command);
      try {
        const output = index === children.length - 1 ? stdout : child.stdout;
        const graceMs = command.leavesRunning ? LEFT_RUNNING_GRACE_MS : GRACE_MS;
        const exit = await exitOf(child, graceMs, output, command.leavesRunning);
        running.delete(child);
        return { command, ...exit, stderr: stderr() };
      } catch (error) {
        end();
        throw startError(command, error as Error);
      }
    }),
  )
    .finally(() => signal.removeEventListener('abort', end))
    .then((all) => {
      signal.throwIfAborted();
      return all;
    });
  ended.catch(() => {}); // awaited later; a rejection before that is not unhandled
  signal.addEventListener('abort', end, { once: true });
  return { stdin: children[0]?.stdin ?? undefined, stdout, ended };
}

/** Writes to a stream with its back-pressure; a reader that has gone away ends it quietly, its exit code tells why. */
export async function feed(
  stdin: Writable,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  let gone = stdin.destroyed;
  const closed = new Promise<void>((resolve) => {
    stdin.once('close', () => {
      gone = true;
      resolve();
    });
  });
  for await (const chunk of chunks) {
    if (gone) continue;
    if (!stdin.write(chunk)) await Promise.race([once(stdin, 'drain').catch(() => {}), closed]);
  }
  if (!gone) stdin.end();
}

/** @returns what to tell of a program that did not exit with 0: its last line of stderr, else its exit */
export function describeExit({ code, signal, stderr }: Ended): string {
  const how = signal !== null ? `ended by ${signal}` : `exit code ${code}`;
  const said = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(-3)
    .join('; ');
  return said === '' ? how : `${escapeControls(said)} (${how})`;
}

/**
 * Picks the failure that explains the others: a program that broke, rather than one that lost its reader.
 * @returns undefined where all exited with 0
 */
export function firstFailure(ended: readonly Ended[]): Ended | undefined {
  const failed = ended.filter(({ code }) => code !== 0);
  return failed.find(({ signal }) => signal !== 'SIGPIPE') ?? failed[0];
}

/**
 * Runs one program to its end and keeps its output.
 * @param maxBytes more output than this is an error
 * @returns the exit, stdout and stderr; a non-zero exit is the caller's to judge
 */
export async function capture(
  command: Command,
  { signal, input, maxBytes = 16 << 20 }: { signal: AbortSignal; input?: string; maxBytes?: number },
): Promise<Ended & { stdout: string }> {
  const pipeline = startPipeline([command], { stdin: input === undefined ? 'ignore' : 'pipe', signal });
  pipeline.stdin?.end(input);
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  pipeline.stdout.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.length;
    if (sizeBytes <= maxBytes) chunks.push(chunk);
    else pipeline.stdout.destroy(); // ends it, where it would print for ever
  });
  const [ended] = await pipeline.ended;
  if (sizeBytes > maxBytes) {
    throw cannot('program-failed', 'run program', command.file, `it printed more than ${maxBytes} bytes`);
  }
  return { ...(ended as Ended), stdout: Buffer.concat(chunks).toString('utf8') };
}

/** Like {@link capture}, for a program that has to succeed. @returns its stdout */
export async function captureOk(
  command: Command,
  options: { signal: AbortSignal; input?: string; maxBytes?: number },
): Promise<string> {
  const result = await capture(command, options);
  if (result.code !== 0) throw cannot('program-failed', 'run program', command.file, describeExit(result));
  return result.stdout;
}
