// Surveys of files on this host: of whole ones, and of one that is still being written, right behind its end, so that
// little is left to do when its last byte has come. Large ones are read in threads, as many as there are processors.
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { startThread as startOwnThread } from '../lib/own-code.ts';
import { type Survey, type SurveyOptions, survey } from './survey.ts';

const READ_BYTES = 1 << 20;
const BLOCK_BYTES = 512;
/** Below this a thread costs more than it saves. */
export const THREAD_FROM_BYTES = 32 << 20;
/** What is told of a file that grows: less often than it is written. */
const TELL_EVERY_BYTES = 1 << 20;

/** How far a file goes, as far as it is known; `end` where it is known that it goes no further. */
interface Growth {
  sizeBytes: number;
  end: 'open' | 'reached' | 'given-up';
}

/** What a thread is told: of a new file, or how far one has grown. */
export interface Request {
  id: number;
  open?: { file: string; options: SurveyOptions };
  growth?: Growth;
}

export interface Following {
  /** @param sizeBytes how much of the file can be read by now */
  grew(sizeBytes: number): void;
  /**
   * Reads what is left.
   * @throws where the file is shorter than that; what the system says
   */
  finish(sizeBytes: number): Promise<Survey>;
  /** Ends it before its end. */
  stop(): void;
}

/**
 * Surveys a file that is still being written, in a thread. The file must be there; later it may lose its name.
 * @param signal ends it, with its reason
 */
export function followFile(file: string, options: SurveyOptions, signal: AbortSignal): Following {
  const { id, worker, surveyed, forget } = begin(file, options);
  const aborted = Promise.withResolvers<never>();
  // a thread that hangs, in a disk that is gone, keeps nobody
  const abort = (): void => {
    stop();
    forget();
    aborted.reject(signal.reason);
  };
  let told = 0;
  let isOver = false;
  const tell = (growth: Growth): void => {
    if (isOver) return;
    isOver = growth.end !== 'open';
    told = growth.sizeBytes;
    worker.postMessage({ id, growth } satisfies Request);
  };
  const stop = (): void => {
    worker.postMessage({ id, growth: { sizeBytes: 0, end: 'given-up' } } satisfies Request);
    isOver = true;
  };
  signal.addEventListener('abort', abort, { once: true });
  const found = Promise.race([surveyed, aborted.promise]).finally(() =>
    signal.removeEventListener('abort', abort),
  );
  found.catch(() => {}); // told by finish, unless it is stopped
  return {
    grew(sizeBytes) {
      if (sizeBytes - told >= TELL_EVERY_BYTES) tell({ sizeBytes, end: 'open' });
    },
    finish(sizeBytes) {
      tell({ sizeBytes, end: 'reached' });
      return found;
    },
    stop,
  };
}

/**
 * Surveys a whole file.
 * @throws what the signal or the system says
 */
export async function surveyFile(
  file: string,
  sizeBytes: number,
  options: SurveyOptions,
  signal: AbortSignal,
): Promise<Survey> {
  signal.throwIfAborted();
  if (sizeBytes >= THREAD_FROM_BYTES) return followFile(file, options, signal).finish(sizeBytes);
  const found = await readGrowing(file, options, (tell) => tell({ growth: { sizeBytes, end: 'reached' } }));
  signal.throwIfAborted();
  return found;
}

/**
 * Surveys a file in this thread.
 * @param listen gets a function that is to be told how far the file goes
 */
export async function readGrowing(
  file: string,
  options: SurveyOptions,
  listen: (tell: (told: Pick<Request, 'growth'>) => void) => void,
): Promise<Survey> {
  let growth: Growth = { sizeBytes: 0, end: 'open' };
  let onTold: () => void = () => {};
  listen(({ growth: told }) => {
    if (told !== undefined) growth = told;
    onTold();
  });
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  async function* chunks(): AsyncGenerator<Buffer> {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (let done = 0; ; ) {
      if (growth.end === 'given-up') throw new Error('it was given up');
      const there = growth.sizeBytes - done;
      if (there === 0 && growth.end === 'reached') return;
      // whole blocks, but for the last
      const wanted = growth.end === 'reached' ? there : there - (there % BLOCK_BYTES);
      if (wanted === 0) {
        await new Promise<void>((resolve) => {
          onTold = resolve;
        });
        continue;
      }
      const length = Math.min(wanted, READ_BYTES);
      for (let have = 0; have < length; ) {
        const count = readSync(fd, buffer, have, length - have, done + have);
        if (count === 0) throw new Error('the file is shorter than expected');
        have += count;
      }
      done += length;
      yield buffer.subarray(0, length);
      await nextTurn(); // what was told meanwhile; signals; other files
    }
  }
  try {
    return await survey(chunks(), options);
  } finally {
    closeSync(fd);
  }
}

interface Thread {
  worker: Worker;
  /** Those who wait for a survey, by its number. */
  waiting: Map<number, PromiseWithResolvers<Survey>>;
}

const threads = new Set<Thread>();
let lastId = 0;

function begin(
  file: string,
  options: SurveyOptions,
): { id: number; worker: Worker; surveyed: Promise<Survey>; forget: () => void } {
  const { worker, waiting } = pickThread();
  lastId += 1;
  const one = Promise.withResolvers<Survey>();
  waiting.set(lastId, one);
  worker.ref();
  worker.postMessage({ id: lastId, open: { file, options } } satisfies Request);
  const id = lastId;
  const forget = (): void => {
    waiting.delete(id);
    if (waiting.size === 0) worker.unref();
  };
  return { id, worker, surveyed: one.promise, forget };
}

function pickThread(): Thread {
  const [best] = [...threads].toSorted((a, b) => a.waiting.size - b.waiting.size);
  if (best !== undefined && (best.waiting.size === 0 || threads.size >= availableParallelism())) return best;
  return startThread();
}

/** A thread stays for the next file, and keeps nobody from ending. */
function startThread(): Thread {
  const worker = startOwnThread('archive/survey-worker');
  const waiting: Thread['waiting'] = new Map();
  const thread = { worker, waiting };
  threads.add(thread);
  worker.on('message', ({ id, survey, error }: { id: number; survey?: Survey; error?: unknown }) => {
    const one = waiting.get(id);
    waiting.delete(id);
    if (waiting.size === 0) worker.unref();
    if (survey === undefined) one?.reject(error);
    else one?.resolve(survey);
  });
  const fail = (error: unknown): void => {
    threads.delete(thread);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  worker.once('error', fail);
  worker.once('exit', (code) => fail(new Error(`the reading thread ended early (${code})`)));
  return thread;
}
