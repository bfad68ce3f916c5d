import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  type Command,
  capture,
  captureOk,
  describeExit,
  exitOf,
  feed,
  firstFailure,
  startPipeline,
} from '../../lib/process.ts';
import { findProgram } from '../../lib/program.ts';

const LIB = join(import.meta.dirname, '../../lib/process.ts');
const never = new AbortController().signal;
const sh = (script: string, ...args: string[]): Command => ({
  file: 'sh',
  args: ['-c', script, 'sh', ...args],
});

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-process-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** @returns whether a process runs; a zombie doesn't */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(10);
}

async function readAll(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('a pipeline', () => {
  test('is joined by the kernel: data flows from program to program while JavaScript stands still', async () => {
    const place = join(directory, 'flowed');
    const pipeline = startPipeline([sh('head -c 3000000 /dev/zero'), sh('wc -c >"$1"; echo end', place)], {
      signal: never,
    });
    const bell = new Int32Array(new SharedArrayBuffer(4));
    for (let i = 0; i < 1000 && !(existsSync(place) && readFileSync(place, 'utf8') !== ''); i += 1) {
      Atomics.wait(bell, 0, 0, 10);
    }
    expect(readFileSync(place, 'utf8').trim()).toBe('3000000');
    expect(await readAll(pipeline.stdout)).toBe('end\n');
    await pipeline.ended;
  });

  test('passes on what is fed, and a reader that stops early stops the feeding', async () => {
    const chunks = Array.from({ length: 64 }, () => Buffer.alloc(65_536, 'a'));
    const counted = startPipeline([sh('cat'), sh('wc -c')], { stdin: 'pipe', signal: never });
    const [, count] = await Promise.all([feed(counted.stdin!, chunks), readAll(counted.stdout)]);
    expect(Number(count)).toBe(64 * 65_536);
    const cut = startPipeline([sh('head -c1')], { stdin: 'pipe', signal: never });
    const [, head] = await Promise.all([feed(cut.stdin!, chunks), readAll(cut.stdout)]);
    expect(head).toBe('a');
    expect(firstFailure(await cut.ended)).toBeUndefined();
  });

  test('gives a program its preface before what another writes, and where nothing follows the end after it', async () => {
    const last = { ...sh('read -r first; echo "<$first>"; cat'), preface: 'secret\n' };
    const pipeline = startPipeline([sh('echo data'), last], { signal: never });
    expect(await readAll(pipeline.stdout)).toBe('<secret>\ndata\n');
    expect((await capture(last, { signal: never })).stdout).toBe('<secret>\n');
    expect((await capture(last, { signal: never, input: 'fed' })).stdout).toBe('<secret>\nfed');
    const long = 'x'.repeat(60_000);
    const slow = startPipeline([sh('echo data'), { ...sh('sleep 0.2; cat'), preface: long }], {
      signal: never,
    });
    expect(await readAll(slow.stdout)).toBe(`${long}data\n`);
  });

  test.each([0, 1, 2])('tells the failure of stage %d of three', async (broken) => {
    const commands = [0, 1, 2].map((stage) => sh(stage === broken ? 'cat; echo no >&2; exit 7' : 'cat'));
    const pipeline = startPipeline(commands, { signal: never });
    pipeline.stdout.resume();
    const failure = firstFailure(await pipeline.ended)!;
    expect(failure.command).toBe(commands[broken]);
    expect(describeExit(failure)).toBe('no (exit code 7)');
  });

  test('blames the stage that broke, not the one that lost its reader', async () => {
    const pipeline = startPipeline([{ file: 'yes', args: [] }, sh('echo full >&2; exit 3')], {
      signal: never,
    });
    pipeline.stdout.resume();
    const ended = await pipeline.ended;
    expect(ended.map(({ code, signal }) => code ?? signal)).toEqual(['SIGPIPE', 3]);
    expect(describeExit(firstFailure(ended)!)).toBe('full (exit code 3)');
  });

  test('with a missing program leaves the process nothing to wait for, and no other stage', async () => {
    const script = `
      const { startPipeline } = await import(${JSON.stringify(LIB)});
      const { signal } = new AbortController();
      const missing = { file: 'no-such', args: [] };
      await startPipeline([missing], { signal }).ended.catch((error) => console.log(error.code, error.message));
      console.log(process.getActiveResourcesInfo().includes('Timeout'));`;
    const { stdout } = await execa(process.execPath, ['--input-type=module', '-e', script]);
    expect(stdout).toBe('program-missing cannot run program "no-such": no such file or directory\nfalse');
    const pipeline = startPipeline(
      [
        { file: 'sleep', args: ['60'] },
        { file: 'no-such', args: [] },
      ],
      { signal: never },
    );
    await expect(pipeline.ended).rejects.toMatchObject({ code: 'program-missing' });
    await until(() => readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8') === '');
  });

  test('a start that the system refuses is one clear error, and ends what was started', async () => {
    const tooLong = { file: 'true', args: ['x'.repeat(3_000_000)] };
    expect(() => startPipeline([tooLong, { file: 'sleep', args: ['60'] }], { signal: never })).toThrow(
      'cannot run program "true": spawn E2BIG',
    );
    await until(() => readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8') === '');
    const script = `
      import { openSync } from 'node:fs';
      const { capture } = await import(${JSON.stringify(LIB)});
      const run = () => capture({ file: 'true', args: [] }, { signal: new AbortController().signal });
      await run();
      try { for (;;) openSync('/dev/null', 'r'); } catch {}
      await run().catch((error) => process.stdout.write(error.message));`;
    const limited = await execa('sh', [
      '-c',
      'ulimit -n 60; exec "$0" --input-type=module -e "$1"',
      process.execPath,
      script,
    ]);
    expect(limited.stdout).toBe('cannot run program "true": too many open files');
  });
});

describe('an abort', () => {
  test('F55 ends the whole group: who heeds SIGTERM and grandchildren who ignore it', async () => {
    const pids = join(directory, 'pids');
    const controller = new AbortController();
    const pipeline = startPipeline(
      [sh(`sh -c 'trap "" TERM; echo $$ >"$0"; while :; do sleep 1; done' "$1" & wait`, pids), sh('cat')],
      { signal: controller.signal },
    );
    pipeline.stdout.resume();
    await until(() => existsSync(pids) && readFileSync(pids, 'utf8').endsWith('\n'));
    const grandchild = Number(readFileSync(pids, 'utf8'));
    expect(runs(grandchild)).toBe(true);
    controller.abort(new Error('enough'));
    await expect(pipeline.ended).rejects.toThrow('enough');
    await until(() => !runs(grandchild));
  });

  test('F55 ends a program that ignores SIGTERM, after the grace time', async () => {
    const controller = new AbortController();
    const pipeline = startPipeline([sh('trap "" TERM; echo up; while :; do sleep 1; done')], {
      signal: controller.signal,
    });
    pipeline.stdout.once('data', () => controller.abort(new Error('enough')));
    await expect(pipeline.ended).rejects.toThrow('enough');
  });

  test("signals no group that has ended, whose number may be another program's by then", async () => {
    const controller = new AbortController();
    const pipeline = startPipeline([sh('echo $$'), sh('cat; exec sleep 60')], { signal: controller.signal });
    const [first] = (await once(pipeline.stdout, 'data')) as [Buffer];
    await until(() => !runs(Number(first)));
    await sleep(50); // for its end to be heard of
    const kill = vi.spyOn(process, 'kill');
    controller.abort(new Error('enough'));
    await expect(pipeline.ended).rejects.toThrow('enough');
    const groups = kill.mock.calls.map(([pid]) => pid);
    kill.mockRestore();
    expect(groups.length).toBeGreaterThan(0);
    expect(groups).not.toContain(-Number(first));
  });

  test('that came before the start starts nothing', () => {
    const place = join(directory, 'touched');
    const signal = AbortSignal.abort(new Error('too late'));
    expect(() => startPipeline([{ file: 'touch', args: [place] }], { signal })).toThrow('too late');
    expect(existsSync(place)).toBe(false);
  });
});

describe('the end of a program', () => {
  test('F55 does not wait for a grandchild that keeps stdout, and ends it', async () => {
    const child = spawn('sh', ['-c', 'sleep 60 & echo $!; exit 4'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let out = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    expect(await exitOf(child, 50)).toEqual({ code: 4, signal: null });
    await until(() => !runs(Number(out)));
  });

  test('does wait for output that a slow reader of ours has not taken yet', async () => {
    const child = spawn('sh', ['-c', 'head -c 200000 /dev/zero'], { stdio: ['ignore', 'pipe', 'pipe'] });
    const exit = exitOf(child, 20);
    await sleep(200);
    let size = 0;
    child.stdout.on('data', (chunk) => {
      size += chunk.length;
    });
    expect((await exit).code).toBe(0);
    expect(size).toBe(200_000);
  });
});

describe('running one program', () => {
  test('gives its exit, stdout and stderr, and passes input on', async () => {
    const result = await capture(sh('cat; echo oops >&2; exit 3'), { signal: never, input: 'in' });
    expect(result).toMatchObject({ code: 3, signal: null, stdout: 'in', stderr: 'oops' });
    await expect(captureOk(sh('echo "a\x1b[2J" >&2; exit 3'), { signal: never })).rejects.toThrow(
      'cannot run program "sh": a\\x1b[2J (exit code 3)',
    );
    await expect(captureOk(sh('kill -9 $$'), { signal: never })).rejects.toThrow('ended by SIGKILL');
  });

  test('fails where it is missing or not executable', async () => {
    const plain = join(directory, 'plain');
    writeFileSync(plain, 'x', { mode: 0o644 });
    const run = (file: string) => capture({ file, args: [] }, { signal: never });
    await expect(run('no-such')).rejects.toMatchObject({ code: 'program-missing' });
    await expect(run(plain)).rejects.toMatchObject({ code: 'program-failed' });
    expect(() => findProgram(['no-such', 'nor-this'], 'some-package')).toThrow(
      expect.objectContaining({
        message: 'cannot find program "no-such" or "nor-this": it is not on the PATH',
        hint: 'apt-get install some-package',
      }),
    );
    expect(findProgram(['no-such', 'sh'], 'dash')).toMatch(/\/sh$/);
  });

  test('is no program of the current directory, and gets no options that no command line shows', async () => {
    writeFileSync(join(directory, 'tar'), '#!/bin/sh\necho planted', { mode: 0o755 });
    const tree = join(directory, 'tree');
    mkdirSync(tree);
    writeFileSync(join(tree, 'kept.png'), '');
    const before = { cwd: process.cwd(), PATH: process.env.PATH };
    process.chdir(directory);
    Object.assign(process.env, { TAR_OPTIONS: '--exclude=*.png', PATH: `:.:${before.PATH}` });
    try {
      expect(findProgram(['tar'], 'tar')).toMatch(/^\/.*\/tar$/);
      const script = `tar --create --directory="$1" . | tar --list`;
      expect(await captureOk(sh(script, tree), { signal: never })).toContain('./kept.png\n');
      process.env.PATH = '.';
      expect(await captureOk({ file: 'tar', args: ['--version'] }, { signal: never })).toMatch(
        /^tar \(GNU tar\)/,
      );
    } finally {
      process.chdir(before.cwd);
      process.env.PATH = before.PATH;
      delete process.env.TAR_OPTIONS;
    }
  });

  test('refuses more output than it may keep, also of one that prints for ever', async () => {
    await expect(capture({ file: 'yes', args: [] }, { signal: never, maxBytes: 1000 })).rejects.toThrow(
      'cannot run program "yes": it printed more than 1000 bytes',
    );
    const exact = await capture(sh('head -c 1000 /dev/zero'), { signal: never, maxBytes: 1000 });
    expect(exact.stdout).toHaveLength(1000);
  });

  test('keeps the head and the tail of endless messages', async () => {
    const { stderr } = await capture(sh('seq 1 200000 >&2'), { signal: never });
    expect(stderr.length).toBeLessThan(40_000);
    expect(stderr).toMatch(/^1\n2\n/);
    expect(stderr).toMatch(/\n200000$/);
  });

  test('hands each line of stderr on, the last without its line break too', async () => {
    const lines: string[] = [];
    await capture(
      { ...sh('printf "a\\nb" >&2'), onStderrLine: (line) => lines.push(line) },
      { signal: never },
    );
    expect(lines).toEqual(['a', 'b']);
  });

  test('keeps our settings from it and makes it speak English', async () => {
    const script = `
      const { captureOk } = await import(${JSON.stringify(LIB)});
      const signal = new AbortController().signal;
      process.stdout.write(await captureOk({ file: 'env', args: [], env: { EXTRA: 'x' } }, { signal }));`;
    const { stdout } = await execa(process.execPath, ['--input-type=module', '-e', script], {
      env: {
        GARNER_DATABASE_URL: 'mysql://u:p@h/d',
        NOTIFY_SMTP_PASSWORD: 'p',
        LC_ALL: 'de_DE.UTF-8',
        KEPT: 'y',
      },
    });
    expect(stdout).not.toMatch(/^(GARNER|NOTIFY)_/m);
    expect(stdout).toMatch(/^LC_ALL=C$/m);
    expect(stdout).toMatch(/^KEPT=y$/m);
    expect(stdout).toMatch(/^EXTRA=x$/m);
  });

  test('gives it open files as 3, 4, …', async () => {
    const { openSync, closeSync } = await import('node:fs');
    const file = join(directory, 'given');
    writeFileSync(file, 'by descriptor');
    const fd = openSync(file, 'r');
    expect(await captureOk({ ...sh('cat <&3'), fds: [fd] }, { signal: never })).toBe('by descriptor');
    closeSync(fd);
  });
});
