// An application is quiet while it is read, never longer, and whatever ends the run it is set to work again.
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { backUp } from '../../agents/toolkit/backup.ts';
import type { AgentDefinition, Quiet } from '../../agents/toolkit/define-agent.ts';
import { undoSteps } from '../../agents/toolkit/quiet.ts';
import { restore } from '../../agents/toolkit/restore.ts';
import { openUndoMark } from '../../agents/toolkit/undo-mark.ts';
import type { GarnerError } from '../../lib/errors.ts';
import { agentContext } from '../helpers/agent-context.ts';
import { type Bench, makeBench } from '../helpers/run.ts';

let bench: Bench;
let data: string;
let mark: string;
/** What the application was told. */
let told: unknown[];

beforeEach(() => {
  bench = makeBench();
  told = [];
  data = join(bench.directory, 'data');
  mark = join(bench.directory, 'state/undo/agent-lockable.json');
  mkdirSync(data);
  setState('busy');
});
afterEach(() => bench.remove());

const setState = (text: string): void => writeFileSync(join(data, 'state'), text);
const readState = (): string => readFileSync(join(data, 'state'), 'utf8');
const readMark = () => JSON.parse(readFileSync(mark, 'utf8'));

/** An agent whose tree holds the application's state. */
function lockable(quiet: Partial<Quiet> = {}, more: Partial<AgentDefinition> = {}): AgentDefinition {
  return {
    application: 'lockable',
    title: 'Lockable',
    settings: {},
    version: () => '1',
    databases: () => [],
    trees: () => [{ name: 'data', root: data }],
    quiet: {
      async begin(_, remember) {
        remember({ asked: true });
        setState('quiet');
        remember({ lock: 'abc' });
      },
      async end(_, token) {
        told.push(token);
        setState('busy');
      },
      ...quiet,
    },
    ...more,
  };
}

const failing = () => [{ name: 'db', engine: 'sqlite', connection: { file: join(data, 'none.sqlite') } }];
const run = (agent: AgentDefinition, signal?: AbortSignal, settings = {}) =>
  backUp(agent, undefined, agentContext(agent, bench, settings, signal));
const failure = (running: Promise<unknown>): Promise<GarnerError> =>
  running.then(
    () => Promise.reject(new Error('it did not fail')),
    (error) => error,
  );
const member = (archive: string, script: string): string =>
  execFileSync('sh', ['-c', `tar -xOf "$1" data.tar.zst | zstd -dc | ${script}`, 'sh', archive], {
    encoding: 'utf8',
  });

describe('quiet', () => {
  it('is on the disk before it begins, holds while files are read, and ends before the archive is published', async () => {
    const seen: unknown[] = [];
    const { archive, warnings } = await run(
      lockable({
        async begin(_, remember) {
          remember({ asked: true });
          seen.push(readMark().steps, statSync(mark).mode & 0o777, statSync(join(mark, '..')).mode & 0o777);
          setState('quiet');
          remember({ lock: 'abc' });
          seen.push(readMark().steps);
        },
        async end(_, token) {
          told.push(token);
          seen.push(bench.workFiles().filter((name) => !name.startsWith('.part-') && name !== 'history'));
          setState('busy');
        },
      }),
    );
    const step = (token: object) => [{ kind: 'quiet', token }];
    expect(seen).toEqual([step({ asked: true }), 0o600, 0o700, step({ lock: 'abc' }), []]);
    expect(told).toEqual([{ lock: 'abc' }]);
    expect(member(archive.path, 'tar -xO state')).toBe('quiet');
    expect(readState()).toBe('busy');
    expect(existsSync(mark)).toBe(false);
    expect(warnings).toEqual([]);
  });

  it('of an application that was quiet already is not ours to undo', async () => {
    setState('quiet, by its administrator');
    await run(lockable({ begin: async () => {} }));
    expect(told).toEqual([]);
    expect(readState()).toBe('quiet, by its administrator');
  });

  it.each([
    ['a dump fails', {}, { databases: failing }],
    [
      'it could not be begun whole',
      {
        async begin(_: unknown, remember: (token: unknown) => void) {
          remember({ lock: 'abc' });
          setState('quiet');
          throw new Error('HTTP 500');
        },
      },
      {},
    ],
  ])('ends where %s', async (_, quiet, more) => {
    await failure(run(lockable(quiet, more)));
    expect(told).toEqual([{ lock: 'abc' }]);
    expect(readState()).toBe('busy');
    expect(existsSync(mark)).toBe(false);
    expect(bench.workFiles()).toEqual([]);
  });

  it('ends with a signal of its own where the run was ended by the time limit', async () => {
    const ending = new AbortController();
    const limit = new Error('the time limit has passed');
    const aborted: boolean[] = [];
    const agent = lockable({
      async begin(_, remember) {
        remember(1);
        ending.abort(limit);
      },
      async end({ signal }, token) {
        aborted.push(signal.aborted);
        told.push(token);
      },
    });
    expect(await failure(run(agent, ending.signal))).toBe(limit);
    expect([told, aborted]).toEqual([[1], [false]]);
  });

  it('that can not be ended leaves a good archive, a warning, and the mark; the next start ends it first', async () => {
    const stuck = lockable({ end: () => Promise.reject(new Error('HTTP 503')) });
    const { archive, warnings } = await run(stuck);
    expect(warnings).toEqual([
      {
        code: 'undo-failed',
        message: `Lockable can't be set to work again: HTTP 503; the next start tries again, see ${mark}`,
      },
    ]);
    expect(archive.manifest.warnings).toEqual(warnings);
    expect(readMark().steps).toHaveLength(1);
    let beforeBegin: unknown[] | undefined;
    await run(
      lockable({
        async begin(_, remember) {
          beforeBegin = [...told];
          remember('mine');
        },
      }),
    );
    expect(beforeBegin).toEqual([{ lock: 'abc' }]);
    expect(told).toEqual([{ lock: 'abc' }, 'mine']);
    expect(existsSync(mark)).toBe(false);
  });

  it('that can still not be ended by the next start is warned of again, once; that run ends its own', async () => {
    await run(lockable({ end: () => Promise.reject(new Error('HTTP 503')) }));
    const { warnings } = await run(
      lockable({
        async begin(_, remember) {
          remember('mine');
        },
        async end(_, token) {
          told.push(token);
          if (token !== 'mine') throw new Error('unknown lock');
        },
      }),
    );
    expect(warnings.map(({ code }) => code)).toEqual(['undo-failed']);
    expect(told).toEqual([{ lock: 'abc' }, 'mine']);
    expect(readMark().steps).toEqual([{ kind: 'quiet', token: { lock: 'abc' } }]);
  });

  it('is waited for no longer than a minute', async () => {
    const agent = lockable({ end: () => new Promise(() => {}) });
    const opened = openUndoMark(join(bench.directory, 'state'), {
      application: 'lockable',
      instance: undefined,
      host: 'web1',
    });
    opened.add({ kind: 'quiet', token: 1 });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const undone = undoSteps(agent, agentContext(agent, bench), opened, opened.steps);
      await vi.advanceTimersByTimeAsync(60_000);
      expect((await undone)[0]?.message).toContain('it has not ended after 1 min 0 s');
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('the mark', () => {
  const own = {
    format: 1,
    token: '7f7d1e9c-3c0a-4c55-9d0e-3f3c6a0f4b11',
    application: 'lockable',
    instance: null as string | null,
    host: 'web1.example.org',
    steps: [{ kind: 'quiet', token: 'left' }] as unknown[],
  };
  const put = (content: unknown, mode = 0o600): void => {
    mkdirSync(join(mark, '..'), { recursive: true, mode: 0o700 });
    writeFileSync(mark, typeof content === 'string' ? content : JSON.stringify(content), { mode });
    chmodSync(mark, mode);
  };

  it.each([
    [
      'another host',
      { ...own, host: 'web2.example.org' },
      'its host is web2.example.org, not web1.example.org',
    ],
    ['another application', { ...own, application: 'wiki' }, 'its application is wiki, not lockable'],
    ['another instance', { ...own, instance: 'blue' }, 'its instance is blue, not none'],
    ['another format', { ...own, format: 2 }, 'it is damaged'],
    ['a step that is none', { ...own, steps: [{ kind: 'shell', run: 'reboot' }] }, 'it is damaged'],
    ['half a text', JSON.stringify(own).slice(0, 60), 'it is damaged'],
  ])('of %s is refused with the remedy, and neither replayed nor removed', async (_, content, cause) => {
    put(content);
    const before = readFileSync(mark, 'utf8');
    const { code, message, hint } = await failure(run(lockable()));
    expect([code, message]).toEqual(['undo-mark', `cannot use the undo mark "${mark}": ${cause}`]);
    expect(hint).toContain(`rm '${mark}'`);
    expect(told).toEqual([]);
    expect(readFileSync(mark, 'utf8')).toBe(before);
  });

  it('that is a pipe is refused, and not waited for', async () => {
    mkdirSync(join(mark, '..'), { recursive: true, mode: 0o700 });
    await execa('mkfifo', [mark]);
    const opening = `import { openUndoMark } from '${join(import.meta.dirname, '../../agents/toolkit/undo-mark.ts')}';
      openUndoMark('${join(bench.directory, 'state')}', { application: 'lockable', instance: undefined, host: 'h' });`;
    const { stderr, timedOut } = await execa('node', ['--input-type=module-typescript', '-e', opening], {
      ...{ timeout: 20_000, reject: false },
    });
    expect(timedOut).toBe(false);
    expect(stderr).toContain('it is no regular file');
  });

  it('that others could have written is refused', async () => {
    put(own, 0o660);
    const { code, hint } = await failure(run(lockable()));
    expect([code, hint]).toEqual(['configuration-permissions', expect.stringContaining(`rm '${mark}'`)]);
    expect(told).toEqual([]);
  });

  it('is not made where others can change it: then nothing is quieted', async () => {
    mkdirSync(join(bench.directory, 'state'));
    chmodSync(join(bench.directory, 'state'), 0o777);
    const quieted: unknown[] = [];
    const agent = lockable({
      async begin(_, remember) {
        remember(1);
        quieted.push(1);
      },
    });
    expect((await failure(run(agent))).code).toBe('configuration-permissions');
    expect([quieted, told]).toEqual([[], []]);
    expect(existsSync(mark)).toBe(false);
  });

  it('that can not be written keeps an application from being quieted; one that needs none is backed up', async () => {
    writeFileSync(join(bench.directory, 'state'), 'a file');
    const { code, hint } = await failure(run(lockable()));
    expect([code, hint]).toEqual(['undo-mark', 'set GARNER_STATE_DIR to a directory of your own']);
    expect([readState(), told]).toEqual(['busy', []]);
    expect((await run(lockable({ begin: async () => {} }))).warnings).toEqual([]);
  });

  it('that another run has written meanwhile is not replaced', async () => {
    const agent = lockable({
      async begin(_, remember) {
        remember(1);
        put({ ...own, token: '00000000-3c0a-4c55-9d0e-3f3c6a0f4b11' });
        remember(2);
      },
    });
    expect((await failure(run(agent))).message).toContain('another run has written it meanwhile');
    expect(readMark().steps).toEqual(own.steps);
  });

  it('is replayed by a restore too; not by a dry run, nor by one into a directory of its own', async () => {
    const { archive } = await run(lockable());
    told = [];
    put(own);
    const agent = lockable();
    const context = agentContext(agent, bench);
    const options = { file: archive.path, only: undefined, to: undefined, dryRun: true, force: true };
    await restore(agent, undefined, options, context);
    await restore(agent, undefined, { ...options, dryRun: false, to: join(bench.directory, 'to') }, context);
    expect(told).toEqual([]);
    expect(await restore(agent, undefined, { ...options, dryRun: false }, context)).toMatchObject({
      complete: true,
    });
    expect(told).toEqual(['left']);
    expect(existsSync(mark)).toBe(false);
  });
});

describe('a run that is ended from outside, in its quiet phase', () => {
  const start = () => {
    const env = {
      ...process.env,
      LOCKABLE_DIR: bench.directory,
      GARNER_WORK_DIR: bench.workDir,
      GARNER_STATE_DIR: join(bench.directory, 'state'),
      GARNER_RUN_DIR: join(bench.directory, 'run'),
      GARNER_CONFIG_DIR: bench.configDir,
      GARNER_HOST: 'web1.example.org',
    };
    const program = join(import.meta.dirname, '../helpers/quiet-agent.ts');
    const child = spawn(process.execPath, [program], { env, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
    return { child, ended };
  };
  const lock = (): string => join(bench.directory, 'lock');

  it('by SIGTERM ends the quiet; by kill -9 leaves it to the next start, before that reads anything', async () => {
    writeFileSync(join(bench.directory, 'wait'), '');
    for (const [signal, exit, left] of [
      ['SIGTERM', 143, false],
      ['SIGKILL', 'SIGKILL', true],
    ] as const) {
      const { child, ended } = start();
      await vi.waitUntil(() => existsSync(lock()), { timeout: 60_000, interval: 20 });
      child.kill(signal);
      expect(await ended).toBe(exit);
      expect([existsSync(lock()), existsSync(mark)]).toEqual([left, left]);
    }
    rmSync(join(bench.directory, 'wait'));
    expect(await start().ended).toBe(0); // its own lock is made with `wx`: the old one was gone by then
    expect([existsSync(lock()), existsSync(mark)]).toEqual([false, false]);
    expect(readdirSync(bench.workDir).filter((name) => name.endsWith('.tar'))).toHaveLength(1);
  });
});
