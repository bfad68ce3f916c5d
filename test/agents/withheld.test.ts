// What a restore needs and an archive leaves out on purpose is named by all that tells of the archive; GARNER_STRICT makes it
// a failure. And what patterns leave out is told with its size.
import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { backUp } from '../../agents/toolkit/backup.ts';
import { agentMain } from '../../agents/toolkit/command.ts';
import type { AgentDefinition } from '../../agents/toolkit/define-agent.ts';
import { archiveCommands } from '../../cli/archive.ts';
import type { GarnerError } from '../../lib/errors.ts';
import { CORE_SETTINGS } from '../../lib/settings.ts';
import { judge } from '../../notifier/judge.ts';
import { messageOfRun, textOf } from '../../notifier/message.ts';
import { readCommand } from '../../notifier/wrapped-command.ts';
import { agentContext } from '../helpers/agent-context.ts';
import { type Bench, makeBench } from '../helpers/run.ts';

let bench: Bench;
let data: string;
const KEY = { what: 'secrets/master.key', remedy: 'keep it elsewhere:\x1b[2J scp it back' };
const SHOWN = 'secrets/master.key: keep it elsewhere:\\x1b[2J scp it back';

beforeEach(() => {
  bench = makeBench();
  data = join(bench.directory, 'data');
  mkdirSync(data);
  writeFileSync(join(data, 'file'), 'content\n');
});
afterEach(() => {
  vi.unstubAllEnvs();
  bench.remove();
});

const vault = (more: Partial<AgentDefinition> = {}): AgentDefinition => ({
  application: 'vault',
  title: 'Vault',
  settings: {},
  version: () => '1',
  databases: () => [],
  trees: () => [{ name: 'data', root: data }],
  withheld: () => [KEY],
  nextSteps: () => ['vault restart'],
  ...more,
});

/** Runs a command in this process. @returns what it printed */
async function printed(run: () => Promise<unknown>): Promise<string> {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    await run();
    return write.mock.calls.map(([text]) => String(text)).join('');
  } finally {
    write.mockRestore();
    process.exitCode = undefined;
  }
}
function command(agent: AgentDefinition, ...args: string[]): Promise<string> {
  const { settings } = agentContext(agent, bench);
  for (const name of ['GARNER_WORK_DIR', 'GARNER_STATE_DIR', 'GARNER_RUN_DIR', 'GARNER_HOST'] as const)
    vi.stubEnv(name, settings[name]);
  vi.stubEnv('GARNER_CONFIG_DIR', bench.configDir);
  return printed(() => agentMain(agent)(args, { program: 'agent-vault', known: CORE_SETTINGS, beside: [] }));
}
const run = (agent: AgentDefinition, settings = {}) =>
  backUp(agent, undefined, agentContext(agent, bench, settings));

it('stands in the manifest, the JSON, `describe` and `garner archive show`, and is no warning', async () => {
  const backup = JSON.parse(await command(vault(), 'backup', '--json'));
  expect(backup).toMatchObject({ result: 'ok', withheld: [KEY], warnings: [] });
  const { stdout: manifest } = await execa('tar', ['-xOf', backup.archive, 'manifest.json']);
  expect(JSON.parse(manifest).withheld).toEqual([KEY]);
  expect(JSON.parse(await command(vault(), 'describe', '--json')).withheld).toEqual([KEY]);
  expect(await command(vault(), 'describe')).toContain(`needed for a restore:\n  ${SHOWN}\n`);
  const shown = await printed(() => {
    const program = new Command();
    archiveCommands(program, { program: 'garner', known: CORE_SETTINGS, beside: [] });
    return program.parseAsync(['archive', 'show', backup.archive], { from: 'user' });
  });
  expect(shown).toContain(`left out  ${SHOWN}\n`);
});

it('is printed by a restore, before the next steps', async () => {
  const { archive } = await run(vault());
  const out = await command(vault({ withheld: () => [] }), 'restore', '--force', archive.path);
  expect(out).toBe(
    `Not in the archive, and needed for a restore:\n  ${SHOWN}\nNext, in Vault:\n  vault restart\n`,
  );
  const json = await command(vault(), 'restore', '--json', '--force', archive.path);
  expect(JSON.parse(json)).toMatchObject({ result: 'ok', withheld: [KEY] });
});

it('stands in the notification, which stays an OK', async () => {
  const { archive } = await run(vault());
  const ended = { exitCode: 0, startedAt: new Date(), durationMs: 1, timedOut: false };
  const words = ['agent-vault'];
  const said = { stdout: `${archive.path}\n`, stderr: '' };
  const verdict = await judge(ended, said, readCommand(words), { warningCodes: false, timeoutMs: 0 });
  expect(verdict.result).toBe('OK');
  const log = { head: '', tail: '', leftOutBytes: 0 };
  const decision = { level: 'ok', tell: true } as const;
  const about = { name: 'vault', host: 'web1', command: words, decision, failed: [], log };
  const text = textOf(messageOfRun(ended, verdict, about));
  expect(text).toMatch(/^Left out: +secrets\/master\.key: keep it elsewhere:\\x1b\[2J scp it back$/m);
});

it('with GARNER_STRICT is a failure before anything is quieted or dumped; nothing withheld is none', async () => {
  const begin = vi.fn();
  const agent = vault({ quiet: { begin, end: begin } });
  const error: GarnerError = await run(agent, { GARNER_STRICT: 'true' }).then(
    () => expect.fail(),
    (e) => e,
  );
  expect(error).toMatchObject({ code: 'withheld', exitCode: 1, hint: SHOWN });
  expect(error.message).toBe(
    'cannot back up "Vault": a restore needs what is left out on purpose: secrets/master.key',
  );
  expect(begin).not.toHaveBeenCalled();
  expect(bench.workFiles()).toEqual([]);
  const { archive } = await run(vault({ withheld: () => [] }), { GARNER_STRICT: 'true' });
  expect(archive.manifest.withheld).toBeUndefined();
});

it('that the agent can not tell is a warning, and with GARNER_STRICT a failure', async () => {
  const agent = vault({
    withheld: () => {
      throw new Error('no such file');
    },
  });
  const { warnings } = await run(agent);
  expect(warnings).toEqual([
    { code: 'withheld-unknown', message: 'what the archive leaves out on purpose is unknown: no such file' },
  ]);
  await expect(run(agent, { GARNER_STRICT: 'true' })).rejects.toThrow('no such file');
});

it('`describe` says of each pattern how many files it leaves out and how large they are, without following links', async () => {
  for (const directory of ['cache/deep/er', 'logs', 'empty'])
    mkdirSync(join(data, directory), { recursive: true });
  const put = (path: string, sizeBytes: number): void => {
    writeFileSync(join(data, path), '');
    truncateSync(join(data, path), sizeBytes);
  };
  put('cache/one', 1_000_000);
  put('cache/deep/er/t\u00e4o', 500_000);
  symlinkSync('/', join(data, 'cache/root'));
  put('logs/a.log', 1000);
  put('logs/b.log', 2000);
  put('logs/keep', 5);
  const excludes = ['cache', 'logs/*.log', 'empty', 'none/*'];
  const agent = vault({ trees: () => [{ name: 'data', root: data, excludes }], withheld: () => [] });
  const { trees } = JSON.parse(await command(agent, 'describe', '--json'));
  expect(trees[0]).toMatchObject({
    fileCount: 2,
    leftOut: [
      { pattern: 'cache', fileCount: 3, sizeBytes: 1_500_000 },
      { pattern: 'logs/*.log', fileCount: 2, sizeBytes: 3000 },
      { pattern: 'empty', fileCount: 0, sizeBytes: 0 },
      { pattern: 'none/*', fileCount: 0, sizeBytes: 0 },
    ],
  });
  expect(await command(agent, 'describe')).toContain(
    `
  left out: cache, 3 files, 1.5 MB
  left out: logs/*.log, 2 files, 3.0 kB
  would be left out: empty, none/*
`,
  );
  // the archive agrees
  const { archive } = await run(agent);
  const { stdout } = await execa('sh', [
    '-c',
    'tar -xOf "$1" data.list.zst | zstd -dc | tr "\\0" "\\n"',
    'sh',
    archive.path,
  ]);
  expect(stdout.split('\n').map((line) => line.split('\t')[0])).toEqual(['file', 'logs/keep']);
  expect(readFileSync(join(data, 'logs/a.log')).length).toBe(1000);
});
