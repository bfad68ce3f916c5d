// What the refs of repositories named when they were read, and whether it was still there when the objects had been: a branch
// that is deleted, or moved back, while git prunes at once, leaves a ref in the copy that leads nowhere. Memory stays flat:
// what was read waits in a file without a name.
import { closeSync, constants, existsSync, lstatSync, openSync, readSync, rmSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { createFile, writeFully } from '../../lib/durable.ts';
import { describeExit, type Ended, feed, startPipeline } from '../../lib/process.ts';
import { gitCommand } from './git-repositories.ts';
import { nameText } from './walk.ts';

const CHUNK_BYTES = 65_536;
/** What is larger is no ref, whatever it is called. */
const [REF_BYTES, PACKED_BYTES] = [4096, 1 << 30];
/** A link may lead anywhere, and a pipe is waited for. */
const PLAINLY = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** An object's name, and the ref's where it stands beside it, in `packed-refs`. */
const TIP = /^([0-9a-f]{40}(?:[0-9a-f]{24})?)(?: (.*))?$/;

export interface LostRefs {
  /** Latin1. */
  repository: string;
  refs: string[];
}

export interface GitTips extends Disposable {
  /** Reads a file that names objects, just before tar does. @param path below the root, latin1 */
  record(path: string, repository: string): void;
  /** It had vanished before tar came to it. */
  forget(path: string, repository: string): void;
  /**
   * Asks git about those that have moved since.
   * @returns the refs whose objects are gone by now
   */
  lost(signal: AbortSignal): Promise<LostRefs[]>;
}

/** Where the text of a file is in the scratch file, and what the file was like. */
interface Read {
  from: number;
  to: number;
  state: string;
}

const bytes = (latin1: string): Buffer => Buffer.from(latin1, 'latin1');

/** @param scratchPath a path that nobody uses */
export function openTips(root: string, scratchPath: string): GitTips {
  let scratch: number | undefined;
  const top = Buffer.from(root).toString('latin1');
  const reads = new Map<string, Map<string, Read>>();
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let end = 0;

  const stateOf = (path: string): string | undefined => {
    const stat = lstatSync(bytes(`${top}/${path}`), { throwIfNoEntry: false });
    const limit = /(^|\/)packed-refs$/.test(path) ? PACKED_BYTES : REF_BYTES;
    return stat?.isFile() && stat.size <= limit ? `${stat.ino} ${stat.size} ${stat.mtimeMs}` : undefined;
  };

  const openScratch = (): number => {
    const file = createFile(scratchPath);
    rmSync(scratchPath);
    return file;
  };

  /** @returns the objects that a file named, and the refs by which it did */
  function* tipsOf(path: string, { from, to }: Read, repository: string): Generator<[string, string]> {
    const own = repository === '.' ? path : path.slice(repository.length + 1);
    let rest = '';
    for (let at = from; at < to; ) {
      const count = readSync(scratch as number, chunk, 0, Math.min(chunk.length, to - at), at);
      if (count === 0) break;
      at += count;
      const lines = (rest + chunk.toString('latin1', 0, count)).split('\n');
      rest = lines.pop() as string;
      for (const line of lines) {
        const [, tip, name = own] = TIP.exec(line) ?? [];
        if (tip !== undefined) yield [tip, name];
      }
    }
  }

  /** @returns which of the objects git does not have */
  async function missing(git: string, tips: () => Iterable<[string, string]>, signal: AbortSignal) {
    const command = gitCommand(nameText(git), ['cat-file', '--batch-check']);
    const asking = startPipeline([command], { stdin: 'pipe', signal });
    const gone = new Set<string>();
    let rest = '';
    asking.stdout.setEncoding('latin1').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() as string;
      for (const line of lines) if (line.endsWith(' missing')) gone.add(line.slice(0, -' missing'.length));
    });
    const questions = function* (): Generator<Buffer> {
      for (const [tip] of tips()) yield Buffer.from(`${tip}\n`);
    };
    await feed(asking.stdin as Writable, questions());
    const [ended] = (await asking.ended) as [Ended];
    if (ended.code !== 0 && existsSync(bytes(git))) throw new Error(`git: ${describeExit(ended)}`);
    return gone;
  }

  return {
    record(path, repository) {
      const state = stateOf(path);
      if (state === undefined) return;
      let file: number;
      try {
        file = openSync(bytes(`${top}/${path}`), PLAINLY);
      } catch {
        return; // tar will say what is the matter with it
      }
      const from = end;
      try {
        scratch ??= openScratch();
        for (let count = readSync(file, chunk); count > 0; count = readSync(file, chunk)) {
          writeFully(scratch, chunk.subarray(0, count), end);
          end += count;
        }
      } finally {
        closeSync(file);
      }
      const own = reads.get(repository) ?? new Map();
      reads.set(repository, own.set(path, { from, to: end, state }));
    },

    forget: (path, repository) => void reads.get(repository)?.delete(path),

    async lost(signal) {
      const lost: LostRefs[] = [];
      for (const [repository, all] of reads) {
        const moved = [...all].filter(([path, { state }]) => stateOf(path) !== state);
        const git = `${top}/${repository}`;
        if (moved.length === 0 || !existsSync(nameText(git))) continue;
        const tips = (): Iterable<[string, string]> =>
          Iterator.from(moved).flatMap(([path, read]) => tipsOf(path, read, repository));
        const gone = await missing(git, tips, signal);
        const refs = new Set<string>();
        for (const [tip, name] of gone.size > 0 ? tips() : []) if (gone.has(tip)) refs.add(name);
        if (refs.size > 0) lost.push({ repository, refs: [...refs] });
      }
      return lost;
    },

    [Symbol.dispose]() {
      if (scratch !== undefined) closeSync(scratch);
    },
  };
}
