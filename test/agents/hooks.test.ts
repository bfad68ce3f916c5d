// Commands around a backup: when they run, what they are told and not told, what their failure means, whose file they may
// come from, and that what must be undone is undone.
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import directories from '../../agents/directories.ts';
import { backUp } from '../../agents/toolkit/backup.ts';
import type { AgentDefinition } from '../../agents/toolkit/define-agent.ts';
import type { GarnerError } from '../../lib/errors.ts';
import { text } from '../../lib/settings.ts';
import { agentContext } from '../helpers/agent-context.ts';
import { untilNoProcessWith } from '../helpers/processes.ts';
import { type Bench, makeBench, ranOf } from '../helpers/run.ts';

let bench: Bench;
let trace: string;
let data: string;

beforeEach(() => {
  bench = makeBench();
  trace = join(bench.directory, 'trace');
  data = join(bench.directory, 'data');
  mkdirSync(data);
  writeFileSync(join(data, 'file'), 'content\n');
  writeFileSync(trace, '');
});
afterEach(() => bench.remove());

const traced = (): string[] => readFileSync(trace, 'utf8').split('\n').slice(0, -1);
const mark = (): string => join(bench.directory, 'state/undo/agent-directories.json');
/** A hook that leaves a word, and its exit code. */
const say = (word: string, code = 0): string => `echo ${word} >> ${trace}; exit ${code}`;

interface Written {
  before?: unknown[];
  after?: unknown[];
  always?: unknown[];
}
/** YAML takes JSON. */
const configure = (hooks: Written): void =>
  bench.configure('agent-directories.hooks.yaml', JSON.stringify(hooks));

function run(
  hooks: Written | string,
  { agent = directories as AgentDefinition, ending = new AbortController() } = {},
) {
  const file = join(bench.configDir, 'hooks.yaml');
  writeFileSync(file, typeof hooks === 'string' ? hooks : JSON.stringify(hooks), { mode: 0o600 });
  const settings = { GARNER_HOOKS_FILE: file, ...(agent === directories && { DIRECTORIES: data }) };
  return backUp(agent, undefined, agentContext(agent, bench, settings, ending.signal));
}
const failure = (running: Promise<unknown>): Promise<GarnerError> =>
  running.then(
    () => Promise.reject(new Error('it did not fail')),
    (error) => error,
  );
const broken: AgentDefinition = {
  ...(directories as AgentDefinition),
  databases: () => [{ name: 'db', engine: 'sqlite', connection: { file: '/nonexistent/x.sqlite' } }],
  trees: () => [],
};

describe('hooks', () => {
  it('run around a backup in their order, know what it is of and came to, and find no secret of garner', async () => {
    const show = 'echo "$GARNER_APPLICATION $GARNER_INSTANCE $GARNER_HOST $GARNER_RESULT $GARNER_ARCHIVE" >>';
    const hooks = {
      before: [`${show} ${trace}`, `env > ${trace}.env; cat; seq 1 2500`, say('second')],
      after: [`${show} ${trace}; test -f "$GARNER_ARCHIVE"; echo printed; echo 'sec''ret: canary' >&2`],
      always: [`${show} ${trace}`],
    };
    bench.configure('agent-directories.blue.hooks.yaml', JSON.stringify(hooks));
    const env = {
      DIRECTORIES: data,
      GARNER_DATABASE_URL: 'mysql://wiki:canary-of-url@localhost/x',
      NOTIFY_SMTP_PASSWORD: 'canary-of-smtp',
    };
    const ran = await bench.run('agent-directories', ['--instance', 'blue', '--only-if'], { env });
    expect(ran.exitCode).toBe(2);
    delete (env as Partial<typeof env>).GARNER_DATABASE_URL;
    const { exitCode, stdout, stderr } = await bench.run('agent-directories', ['--instance', 'blue'], {
      env,
    });
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(traced()).toEqual([
      'directories blue web1.example.org  ',
      'second',
      `directories blue web1.example.org ok ${stdout}`,
      `directories blue web1.example.org ok ${stdout}`,
    ]);
    expect(stderr).toMatch(
      /^\(..:..:..\) hook after 1: printed\n\(..:..:..\) hook after 1: secret: canary$/m,
    );
    const numbers = stderr.match(/hook before 2: .*/g) ?? [];
    expect([numbers.length, ...numbers.slice(-2)]).toEqual([
      1001,
      'hook before 2: 1000',
      'hook before 2: … 1500 more lines',
    ]);
    const given = readFileSync(`${trace}.env`, 'utf8');
    expect(given).not.toContain('canary');
    expect(given.match(/^(GARNER|NOTIFY)_\w+/gm)?.sort()).toEqual([
      'GARNER_APPLICATION',
      'GARNER_HOST',
      'GARNER_INSTANCE',
    ]);
  });

  it('find none of the secrets that an agent takes from its environment', async () => {
    const settings = { LOCK_PASSWORD: { parse: text, secret: true, describe: 'a password' } };
    vi.stubEnv('LOCK_PASSWORD', 'canary');
    vi.stubEnv('LOCK_PASSWORD_FILE', '/canary');
    try {
      const agent = { ...broken, databases: () => [], settings };
      await run({ before: [`env > ${trace}`] }, { agent });
    } finally {
      vi.unstubAllEnvs();
    }
    expect(readFileSync(trace, 'utf8')).toContain('GARNER_APPLICATION');
    expect(readFileSync(trace, 'utf8')).not.toContain('canary');
  });

  it('that fail in `before` end the run, unless told otherwise: no archive, no `after`, but `always`', async () => {
    const always = [`echo "$GARNER_RESULT:$GARNER_ARCHIVE" >> ${trace}`];
    const hooks = { before: [say('one', 7), say('two')], after: [say('after')], always };
    const { code, message } = await failure(run(hooks));
    expect(code).toBe('hook-failed');
    expect(message).toMatch(/^cannot run hook "before 1" of ".*hooks\.yaml": exit code 7$/);
    expect(traced()).toEqual(['one', 'failed:']);
    expect(bench.workFiles()).toEqual([]);
  });

  it('go on after a failure with `continue`, as a warning, and with `ignore`, as a line of the log', async () => {
    const { archive, warnings } = await run({
      before: [
        { run: `echo why; ${say('one', 1)}`, on_failure: 'continue' },
        { run: say('two', 1), on_failure: 'ignore' },
      ],
      after: [{ run: say('three', 2), on_failure: 'continue' }, `echo $GARNER_RESULT >> ${trace}`],
      always: [{ run: 'kill -SEGV $$', on_failure: 'continue' }],
    });
    expect(traced()).toEqual(['one', 'two', 'three', 'warnings']);
    const all = warnings.map(({ message }) => message.replace(/ of ".*":/, ':'));
    expect(all).toEqual([
      'cannot run hook "before 1": why (exit code 1)',
      'cannot run hook "after 1": exit code 2',
      'cannot run hook "always 1": ended by SIGSEGV',
    ]);
    expect(archive.manifest.warnings).toHaveLength(1); // what came after it was written is told by the run
  });

  it('of `after` run after success alone; where one breaks the run, the archive stays', async () => {
    await failure(run({ after: [say('after')], always: [say('always')] }, { agent: broken }));
    expect(traced()).toEqual(['always']);
    const hooks = { after: [say('after', 1), say('no')], always: [`echo $GARNER_RESULT >> ${trace}`] };
    expect((await failure(run(hooks))).message).toContain('cannot run hook "after 1"');
    expect(traced()).toEqual(['always', 'after', 'failed']);
    expect(bench.workFiles().filter((name) => name.endsWith('.tar'))).toHaveLength(1);
  });

  it('of `always` all run, and one that breaks a good run fails it; it never hides why a run failed', async () => {
    const always = [say('one', 1), say('two')];
    expect((await failure(run({ always }))).message).toContain('cannot run hook "always 1"');
    expect((await failure(run({ always }, { agent: broken }))).code).not.toBe('hook-failed');
    expect(traced()).toEqual(['one', 'two', 'one', 'two']);
  });

  it('are ended with all they have started when their time is up', async () => {
    vi.stubEnv('HOOK_TEST', bench.directory);
    const limited = { run: 'sleep 60 & sleep 60', timeout: '100ms' };
    const { message } = await failure(run({ before: [limited] })).finally(() => vi.unstubAllEnvs());
    expect(message).toContain('it has not ended after 0.1 s');
    expect(await untilNoProcessWith(`HOOK_TEST=${bench.directory}`)).toEqual([]);
  });

  it('may leave something running: it is neither waited for without end nor ended', async () => {
    const beat = join(bench.directory, 'beat');
    writeFileSync(beat, '');
    await run({ before: [`(while [ -e ${beat} ]; do sleep 0.05; done; echo ended >> ${trace}) &`] });
    expect(traced()).toEqual([]);
    rmSync(beat);
    await vi.waitUntil(() => traced().length > 0, { timeout: 30_000 });
  });
});

describe('what a hook must undo', () => {
  const stop = () => ({ run: say('stop'), undo: say('start') });

  it('is undone, last first, as soon as all is read; also where the hook failed half-way', async () => {
    await run({
      before: [stop(), { run: say('lock'), undo: `ls ${bench.workDir} >> ${trace}` }],
      after: [say('after')],
    });
    expect(traced()).toEqual(['stop', 'lock', 'start', 'after']); // no archive was there yet
    writeFileSync(trace, '');
    await failure(run({ before: [stop(), { run: say('half', 1), undo: say('unhalf') }, say('no')] }));
    expect(traced()).toEqual(['stop', 'half', 'unhalf', 'start']);
    expect(existsSync(mark())).toBe(false);
  });

  it('is undone on SIGTERM, before `always`; after kill -9 by the next start, whatever the file says by then', async () => {
    const wait = join(bench.directory, 'wait');
    const hold = `echo held >> ${trace}; while [ -e ${wait} ]; do sleep 0.05; done`;
    for (const [signal, exitCode, left] of [
      ['SIGTERM', 143, ['stop', 'held', 'start', 'failed']],
      ['SIGKILL', 137, ['stop', 'held']],
    ] as const) {
      writeFileSync(wait, '');
      writeFileSync(trace, '');
      configure({ before: [stop(), hold], always: [`echo $GARNER_RESULT >> ${trace}`] });
      const child = bench.start('agent-directories', [], { env: { DIRECTORIES: data } });
      await vi.waitUntil(() => traced().includes('held'), { timeout: 60_000, interval: 20 });
      child.kill(signal);
      expect(ranOf(await child).exitCode).toBe(exitCode);
      rmSync(wait); // ends the hook that kill -9 has left
      expect(traced()).toEqual(left);
    }
    expect(existsSync(mark())).toBe(true);
    configure({ before: [say('next')] });
    await bench.backup('agent-directories', { env: { DIRECTORIES: data } });
    expect(traced()).toEqual(['stop', 'held', 'start', 'next']);
    expect(existsSync(mark())).toBe(false);
  });

  it('and can not be undone is a warning, and is tried again by each next start', async () => {
    const undo = { run: 'true', undo: `test -e ${trace}.ready` };
    const first = await run({ before: [undo] });
    expect(first.warnings.map(({ code, message }) => `${code}: ${message}`)).toEqual([
      `undo-failed: hook undo of before 1 failed: exit code 1; the next start tries again, see ${mark()}`,
    ]);
    expect((await run({})).warnings).toHaveLength(1);
    writeFileSync(`${trace}.ready`, '');
    expect((await run({})).warnings).toEqual([]);
    expect(existsSync(mark())).toBe(false);
  });
});

describe('a file of hooks', () => {
  it.each([
    ['its group can change', () => chmodSync(join(bench.configDir, 'agent-directories.hooks.yaml'), 0o660)],
    [
      'belongs to somebody else',
      () => chownSync(join(bench.configDir, 'agent-directories.hooks.yaml'), 65_534, 0),
    ],
    ['lies in a directory that others can change', () => chmodSync(bench.configDir, 0o777)],
  ])('that %s is refused before anything is run', async (_, spoil) => {
    configure({ before: [say('evil')] });
    spoil();
    const file = join(bench.configDir, 'agent-directories.hooks.yaml');
    const settings = { GARNER_HOOKS_FILE: file, DIRECTORIES: data };
    const error = await failure(
      backUp(
        directories as AgentDefinition,
        undefined,
        agentContext(directories as AgentDefinition, bench, settings),
      ),
    );
    expect(error).toMatchObject({
      code: 'configuration-permissions',
      message: expect.stringContaining(file),
    });
    expect(traced()).toEqual([]);
    expect(bench.workFiles()).toEqual([]);
  });

  it.each([
    ['an unknown key', 'befor: [x]', 'line 1: befor: unknown key'],
    ['an unknown key of a hook', 'before:\n  - runs: x', 'line 2: before.0.run: it is missing'],
    [
      '`undo` where nothing is to be undone',
      'after:\n  - {run: x, undo: y}',
      'line 2: after.0.undo: unknown key',
    ],
    ['another word', 'before: [{run: x, on_failure: fail}]', 'it is none of ignore, continue, break'],
    ['no duration', 'before: [{run: x, timeout: 5}]', 'it is no duration'],
    ['no time', 'before: [{run: x, timeout: 0s}]', 'it is no time at all'],
    ['no command', 'always: [" "]', 'it is empty'],
    ['a key given twice', 'before: [x]\nbefore: [y]', 'line 2: a key is given twice'],
  ])('with %s is refused, with the line', async (_, content, cause) => {
    const { code, message, hint } = await failure(run(content));
    expect([code, hint]).toEqual(['configuration', 'docs/hooks.md describes every key']);
    expect(message).toContain(cause);
    expect(bench.workFiles()).toEqual([]);
  });

  it('that a setting names has to be there', async () => {
    const settings = { GARNER_HOOKS_FILE: '/nonexistent/hooks.yaml', DIRECTORIES: data };
    const context = agentContext(directories as AgentDefinition, bench, settings);
    const { code } = await failure(backUp(directories as AgentDefinition, undefined, context));
    expect(code).toBe('configuration');
  });
});
