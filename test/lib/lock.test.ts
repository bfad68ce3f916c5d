import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa, type ResultPromise } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { acquireLock } from '../../lib/lock.ts';

const LIB = join(import.meta.dirname, '../../lib/lock.ts');

let directory: string;
let started: ResultPromise[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'garner-lock-'));
  started = [];
});
afterEach(async () => {
  for (const child of started) child.kill('SIGKILL');
  await Promise.allSettled(started);
  rmSync(directory, { recursive: true });
});

/** Starts a process that tries to take the lock, says how it went, and keeps what it has until it is killed. */
async function contender(): Promise<{ child: ResultPromise; said: string }> {
  const script = `
    const { acquireLock } = await import(${JSON.stringify(LIB)});
    let lock;
    try { lock = acquireLock(${JSON.stringify(directory)}, 'agent-x'); console.log('taken'); }
    catch (error) { console.log(error.exitCode + ' ' + error.message); }
    setInterval(() => lock, 1000);`;
  const child = execa(process.execPath, ['--input-type=module', '-e', script], { reject: false });
  started.push(child);
  const [said] = await once(child.stdout!, 'data');
  return { child, said: String(said).trim() };
}

test('F24 a lock that a live process holds is refused at once, naming the process', async () => {
  const { child } = await contender();
  const refused = { code: 'locked', exitCode: 4 };
  expect(() => acquireLock(directory, 'agent-x')).toThrow(expect.objectContaining(refused));
  expect(() => acquireLock(directory, 'agent-x')).toThrow(
    new RegExp(`^cannot start "agent-x": another run is under way \\(pid ${child.pid}, since 20\\S+Z\\)$`),
  );
  acquireLock(directory, 'agent-y')[Symbol.dispose]();
});

test('F24 the lock of a killed process is free', async () => {
  const { child } = await contender();
  child.kill('SIGKILL');
  await child;
  expect(existsSync(join(directory, 'agent-x.holder'))).toBe(true);
  using _lock = acquireLock(directory, 'agent-x');
  expect(readFileSync(join(directory, 'agent-x.holder'), 'utf8')).toContain(`pid ${process.pid},`);
});

test.each([
  ['an empty file', ''],
  ['a dead pid', '4194300\n'],
  ['garbage', 'garbage '.repeat(1000)],
  ['a damaged SQLite file', `SQLite format 3\0${'\x07'.repeat(3000)}`],
  ['zeroes', '\0'.repeat(5000)],
])('F24 %s as the lock file is taken over, by exactly one of several processes', async (_, content) => {
  writeFileSync(join(directory, 'agent-x.lock'), content);
  const all = await Promise.all(Array.from({ length: 4 }, contender));
  expect(all.map(({ said }) => said.split(' ')[0]).sort()).toEqual(['4', '4', '4', 'taken']);
});

test('F23 of ten processes at once exactly one gets the lock', async () => {
  const all = await Promise.all(Array.from({ length: 10 }, contender));
  expect(all.filter(({ said }) => said === 'taken')).toHaveLength(1);
  expect(all.filter(({ said }) => said.startsWith('4 cannot start "agent-x"'))).toHaveLength(9);
});

test('a second try of the same process is refused and does not release the lock', async () => {
  const link = `${directory}-link`;
  symlinkSync(directory, link);
  const lock = acquireLock(directory, 'agent-x');
  try {
    expect(() => acquireLock(directory, 'agent-x')).toThrow('another run is under way');
    expect(() => acquireLock(link, 'agent-x')).toThrow('another run is under way');
    expect((await contender()).said).toContain(`pid ${process.pid}`);
  } finally {
    rmSync(link);
    lock[Symbol.dispose]();
  }
  expect((await contender()).said).toBe('taken');
});

test('links as lock file or as holder are not followed', () => {
  const victim = join(directory, 'victim');
  writeFileSync(victim, 'precious');
  symlinkSync(victim, join(directory, 'agent-x.lock'));
  expect(() => acquireLock(directory, 'agent-x')).toThrow(
    expect.objectContaining({ code: 'io', hint: 'set GARNER_RUN_DIR to a local directory of your own' }),
  );
  symlinkSync(victim, join(directory, 'agent-y.holder'));
  using _lock = acquireLock(directory, 'agent-y');
  expect(readFileSync(victim, 'utf8')).toBe('precious');
});

test('a holder that can neither be written nor removed does not keep a run from its work', async () => {
  mkdirSync(join(directory, 'agent-x.holder'));
  acquireLock(directory, 'agent-x')[Symbol.dispose]();
  expect((await contender()).said).toBe('taken');
});

test('a directory that can not be made is one clear error', () => {
  writeFileSync(join(directory, 'file'), '');
  expect(() => acquireLock(join(directory, 'file'), 'agent-x')).toThrow(
    `cannot make the lock "${directory}/file/agent-x.lock": `,
  );
});
