// SQL Server in a container: a real one, which alone has the server's files and its sqlcmd (test/helpers/mssql-client.ts), where
// Microsoft's images have it. What goes in and out, and that nothing is left in there, however a run ends.
import {
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import engine from '../../databases/mssql.ts';
import { enterContainer, leaveContainer } from '../../databases/toolkit/container.ts';
import { startContainer, type TestContainer } from '../helpers/container.ts';
import { dumpTo, restoreFrom } from '../helpers/engine.ts';
import { fakeClients } from '../helpers/fake-clients.ts';
import { type Mssql, makeMssql } from '../helpers/mssql.ts';
import { watchProcesses } from '../helpers/processes.ts';
import { type Bench, makeBench } from '../helpers/run.ts';

const PASSWORD = `canary-sql &%40'"\\$(id)#;x`;
const NAME = "a]p'p";
const OWNER = 10_001;
let container: TestContainer;
let bench: Bench;
let mssql: Mssql;
let dump: string;
const at = (more: object = {}) => ({
  host: 'localhost',
  port: 14_330,
  user: 'sa',
  password: PASSWORD,
  database: NAME,
  ...more,
});
const enter = (signal = new AbortController().signal): Promise<void> =>
  enterContainer({ name: container.name, engine: 'podman', server: undefined }, signal);

beforeAll(async () => {
  bench = makeBench();
  container = await startContainer();
});
afterAll(async () => {
  await container?.[Symbol.asyncDispose]();
  bench?.remove();
});
beforeEach(async () => {
  for (const [name, value] of Object.entries(container.env)) vi.stubEnv(name, value);
  dump = join(bench.directory, 'dump');
  mssql = makeMssql('/var/opt/mssql', PASSWORD, container.root);
  chownSync(mssql.backupDir, OWNER, OWNER);
  await enter();
});
afterEach(() => {
  leaveContainer();
  vi.unstubAllEnvs();
});

/** As the server's own: whole blocks. */
function writeDump(): void {
  const bytes = Buffer.alloc(512);
  bytes.write(`TAPE${JSON.stringify({ database: NAME, tables: {} })}`);
  writeFileSync(dump, bytes);
}

/** The guard looks for a second whether all have gone, and removes files then. */
async function untilNothingIsLeft(): Promise<void> {
  const left = async () => [...(await container.processes()), ...readdirSync(mssql.backupDir)];
  for (const deadline = Date.now() + 10_000; (await left()).length > 0 && Date.now() < deadline; )
    await sleep(50);
  expect(await left()).toEqual([]);
}

async function until(isSo: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 30_000; !isSo() && Date.now() < deadline; ) await sleep(20);
  expect(isSo()).toBe(true);
}

it('F60 is dumped and restored there, its password in no argument and in no file', async () => {
  const before = mssql.read().databases;
  const stop = watchProcesses(['canary-sql']);
  const { tables, uncompressedSizeBytes } = await dumpTo(engine, at(), dump);
  expect(tables).toEqual({ users: 3, 'other.a\tb': 0 });
  expect(uncompressedSizeBytes).toBe(readFileSync(dump).length);
  expect(readdirSync(mssql.backupDir)).toEqual([]);
  mssql.change((server) => {
    server.databases = {};
  });
  await restoreFrom(engine, at(), dump);
  expect(mssql.read().databases).toEqual(before);
  expect(readdirSync(mssql.backupDir)).toEqual([]);
  // the client's own variable: it takes a password by no other way
  const { found, seen } = stop();
  expect(
    found.filter((where) => !/^environment of (?:\/bin\/sh\0\/opt\/|\/opt\/|[^\0]*node\0)/.test(where)),
  ).toEqual([]);
  expect(seen).toBeGreaterThan(5);
  const said = readFileSync(mssql.seen, 'utf8');
  expect(said).not.toContain('canary-sql');
  expect(said).toContain('-S tcp:127.0.0.1 -U sa');
  expect(said.match(/ -C /g)?.length).toBe(said.match(/-S tcp/g)?.length);
  const files = [
    '-xdev',
    '-type',
    'f',
    '!',
    '-name',
    'server.json',
    '-exec',
    'grep',
    '-laF',
    'canary-sql',
    '{}',
    '+',
  ];
  expect((await execa('find', [container.directory, ...files], { reject: false })).stdout).toBe('');
});

it('a volume that the host has too is used as without a container; a certificate is checked elsewhere', async () => {
  const shared = { backupDir: mssql.backupDir, serverBackupDir: mssql.read().backups.name };
  await dumpTo(engine, at({ host: 'db', ...shared }), dump);
  expect(readFileSync(dump, 'latin1')).toMatch(/^TAPE/);
  expect(readdirSync(mssql.backupDir)).toEqual([]);
  expect(readFileSync(mssql.seen, 'utf8')).toMatch(/-S tcp:db,14330 (?!.* -C )/);
});

it.each([
  ['F04 half of it, though the server verified it', 'half', /the backup is cut off/],
  ['a file that is not in this container', 'elsewhere', /No such file/],
])('refuses %s, and leaves nothing', async (_, fault, message) => {
  mssql.change((server) => {
    server.fault = fault;
  });
  const error = await dumpTo(engine, at(), dump).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    code: 'database-dump',
    message: expect.stringMatching(message),
    hint: expect.stringContaining('GARNER_CONTAINER'),
  });
  expect(String(error)).toContain('in container database-1');
  expect(readdirSync(mssql.backupDir)).toEqual([]);
});

it('F04 refuses what exec has cut off, on its way out and in', async () => {
  const cut = `case "$*" in *'exec cat'*) "$REAL" "$@" | head -c -512;; *'set -C'*) head -c -512 | "$REAL" "$@";; *) exec "$REAL" "$@";; esac`;
  writeDump();
  leaveContainer();
  vi.stubEnv('PATH', fakeClients(bench.directory, { podman: cut }));
  await enter();
  const out = dumpTo(engine, at(), join(bench.directory, 'cut'));
  await expect(out).rejects.toThrow(/0 of 512 bytes came out of the container/);
  await expect(restoreFrom(engine, at(), dump)).rejects.toThrow(/0 of 512 bytes came into the container/);
  expect(readdirSync(mssql.backupDir)).toEqual([]);
});

it('F15 names a directory of the container that is full, and one that is not there', async () => {
  const small = '/var/opt/small';
  mkdirSync(`${container.root}${small}`);
  const inMounts = ['nsenter', `--mount=${container.root.replace(/root$/, 'ns/mnt')}`];
  await execa(inMounts[0] as string, [
    inMounts[1] as string,
    'mount',
    '-t',
    'tmpfs',
    '-o',
    'size=4k',
    'small',
    small,
  ]);
  writeFileSync(dump, Buffer.alloc(1 << 20));
  await expect(restoreFrom(engine, at({ serverBackupDir: small }), dump)).rejects.toMatchObject({
    code: 'no-space',
    message: expect.stringContaining('No space left on device'),
    hint: expect.stringContaining('MSSQL_SERVER_BACKUP_DIR'),
  });
  expect(await container.exec('ls', small)).toBe('');
  await expect(dumpTo(engine, at({ serverBackupDir: '/nonexistent' }), dump)).rejects.toThrow(
    /"\/nonexistent": it is not in the container database-1/,
  );
});

it('removes what a stopped container has left a day ago, and nothing else', async () => {
  const [old, fresh, other] = ['garner-0123456789abcdef.bak', 'garner-fedcba9876543210.bak', 'app.bak'];
  for (const name of [old, fresh, other]) writeFileSync(join(mssql.backupDir, name as string), '');
  for (const name of [old, other]) utimesSync(join(mssql.backupDir, name as string), 0, 0);
  await dumpTo(engine, at(), dump);
  expect(readdirSync(mssql.backupDir).sort()).toEqual([other, fresh]);
});

it('F19 a restore that is ended leaves nothing; its file is for the server alone', async () => {
  writeDump();
  mssql.change((server) => {
    server.fault = 'hang';
  });
  leaveContainer();
  const ending = new AbortController();
  await enter(ending.signal);
  const restoring = restoreFrom(engine, at(), dump, { signal: ending.signal });
  const ended = expect(restoring).rejects.toThrow();
  await until(() => readFileSync(mssql.seen, 'utf8').includes('RESTORE DATABASE'));
  const [name = ''] = readdirSync(mssql.backupDir);
  const { mode, uid } = statSync(join(mssql.backupDir, name));
  expect({ mode: mode & 0o777, uid }).toEqual({ mode: 0o600, uid: OWNER });
  ending.abort();
  await ended;
  await untilNothingIsLeft();
});

it('F20 a backup that is killed leaves nothing', async () => {
  mssql.change((server) => {
    server.fault = 'hang';
  });
  const env = {
    ...container.env,
    GARNER_CONTAINER: container.name,
    MSSQL_USER: 'sa',
    MSSQL_PASSWORD: PASSWORD,
    MSSQL_DATABASES: NAME,
  };
  const running = bench.start('agent-mssql', [], { env });
  await until(() => readdirSync(mssql.backupDir).length === 1);
  running.kill('SIGKILL');
  await running;
  leaveContainer();
  await untilNothingIsLeft();
});

it('the server of a container has no instances beside it, another host may', () => {
  const named = { database: 'app', instance: 'I' };
  expect(engine.describe(at({ ...named, host: '127.0.0.1' }))).toBe(
    'sa@127.0.0.1/app in container database-1',
  );
  expect(engine.describe(at({ ...named, host: 'db' }))).toBe('sa@db\\I:14330/app in container database-1');
});

it('takes no password that would end its line', async () => {
  await expect(dumpTo(engine, at({ password: 'a\nX=b' }), dump)).rejects.toThrow(/none with a line break/);
});
