// Two installations of one application on a host: each has its own settings, hooks, lock, marks and archives, and a restore
// knows whose archive it has.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { type Bench, makeBench, ranOf } from '../helpers/run.ts';

let bench: Bench;
const AGENT = 'agent-directories';
const INSTANCES = ['blue', 'green'];
const data = (instance: string): string => join(bench.directory, instance);
const at = (name: string): string => join(bench.directory, name);

beforeAll(() => {
  bench = makeBench();
  mkdirSync(data('other'));
  bench.configure(`${AGENT}.env`, `DIRECTORIES=${data('other')}\n`);
  for (const instance of INSTANCES) {
    mkdirSync(data(instance));
    writeFileSync(join(data(instance), 'file'), `of ${instance}\n`);
    bench.configure(`${AGENT}.${instance}.env`, `DIRECTORIES=${data(instance)}\n`);
    const hold = `touch ${at(`${instance}.held`)}; while [ -e ${at('wait')} ]; do sleep 0.05; done`;
    const hooks = { before: [{ run: hold, undo: `rm ${at(`${instance}.held`)}` }] };
    bench.configure(`${AGENT}.${instance}.hooks.yaml`, JSON.stringify(hooks));
  }
});
afterAll(() => bench.remove());

it('two run side by side, each by its own files; a second run of one is told that it is locked', async () => {
  writeFileSync(at('wait'), '');
  const running = INSTANCES.map((instance) => bench.start(AGENT, ['--instance', instance]));
  const isHeld = (instance: string): boolean => existsSync(at(`${instance}.held`));
  await vi.waitUntil(() => INSTANCES.every(isHeld), { timeout: 60_000, interval: 20 });
  for (const instance of INSTANCES) {
    expect(existsSync(at(`state/undo/${AGENT}.${instance}.json`))).toBe(true);
    expect(existsSync(at(`run/${AGENT}.${instance}.lock`))).toBe(true);
  }
  const second = await bench.run(AGENT, ['--instance', 'blue']);
  expect(second).toMatchObject({ exitCode: 4, stderr: expect.stringContaining(`"${AGENT}.blue"`) });
  rmSync(at('wait'));
  for (const [index, instance] of INSTANCES.entries()) {
    const { exitCode, stdout, stderr } = ranOf(await (running[index] as (typeof running)[number]));
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(basename(stdout)).toMatch(new RegExp(`^directories\\.${instance}-web1\\.example\\.org-`));
    expect(isHeld(instance)).toBe(false);
  }
  expect(bench.workFiles().filter((name) => name.endsWith('.tar'))).toHaveLength(2);
});

it("a restore goes by the settings of the archive's instance, unless it is told another", async () => {
  const [blue = ''] = bench.workFiles().filter((name) => /^directories\.blue-.*\.tar$/.test(name));
  const archive = join(bench.workDir, blue);
  for (const instance of INSTANCES) rmSync(data(instance), { recursive: true });
  expect(await bench.run(AGENT, ['restore', archive])).toMatchObject({ exitCode: 0 });
  expect(readFileSync(join(data('blue'), 'file'), 'utf8')).toBe('of blue\n');
  expect(existsSync(data('green'))).toBe(false);
  const told = await bench.run(AGENT, ['restore', '--dry-run', '--instance', 'green', archive]);
  expect(told).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('has nothing there on this host'),
  });
});

it('an instance without settings of its own is refused: it would be the default one', async () => {
  for (const args of [
    ['--instance', 'bleu'],
    ['describe', '--instance', 'bleu'],
  ]) {
    expect(await bench.run(AGENT, args)).toMatchObject({
      exitCode: 2,
      stdout: '',
      stderr: expect.stringMatching(
        /cannot back up instance "bleu": there is no file .*agent-directories\.bleu\.env/,
      ),
    });
  }
  const env = { DIRECTORIES: data('blue') };
  expect(await bench.run(AGENT, ['describe', '--instance', 'bleu'], { env })).toMatchObject({ exitCode: 0 });
});

it('an empty directory is a warning: its disk may not be mounted', async () => {
  const { exitCode, stderr } = await bench.run(AGENT, [], { env: { DIRECTORIES: data('other') } });
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 3, stderr: expect.stringContaining('is empty') });
});
