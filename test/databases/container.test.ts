// Database clients in a container: a real one, whose network this machine has no way into but by `podman exec`. The servers
// stand in its network, so what is dumped and restored went through it; they are asked by their sockets.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import sqlite from '../../agents/sqlite.ts';
import type { AgentContext, AgentDefinition } from '../../agents/toolkit/define-agent.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';
import { databasesOf } from '../../agents/toolkit/sources.ts';
import { checkRoot } from '../../agents/toolkit/walk.ts';
import mysql from '../../databases/mysql.ts';
import postgres from '../../databases/postgres.ts';
import redisEngine from '../../databases/redis.ts';
import {
  enterContainer,
  findClientProgram,
  leaveContainer,
  serverAddress,
} from '../../databases/toolkit/container.ts';
import type { RestoreContext } from '../../databases/toolkit/engine.ts';
import { CORE_SETTINGS, loadSettings } from '../../lib/settings.ts';
import { startContainer, type TestContainer } from '../helpers/container.ts';
import { dumpTo, restoreFrom } from '../helpers/engine.ts';
import { type MariaDb, startMariadb } from '../helpers/mariadb.ts';
import { type Postgres, startPostgres } from '../helpers/postgres.ts';
import { untilNoProcessWith, watchProcesses } from '../helpers/processes.ts';
import { startRedis } from '../helpers/redis.ts';
import { type Bench, makeBench } from '../helpers/run.ts';

const PASSWORD = `canary-inside &amp; %40 ' " \\ $ #;`;

let container: TestContainer;
let mariadb: MariaDb;
let server: Postgres;
let bench: Bench;

beforeAll(async () => {
  bench = makeBench();
  container = await startContainer();
  Object.assign(process.env, container.env, { GARNER_CONTAINER_ENGINE: undefined });
  mariadb = await startMariadb(['--port=3306'], container.inNetwork);
  server = await startPostgres([], container.inNetwork);
});
afterAll(async () => {
  await mariadb?.stop();
  await server?.stop();
  await container?.[Symbol.asyncDispose]();
  bench?.remove();
});
afterEach(leaveContainer);

const { signal } = new AbortController();
const enter = (name = container.name, place: { server?: string } = {}): Promise<void> =>
  enterContainer({ name, engine: 'podman', server: place.server }, signal);

const at = (name: string): string => join(bench.directory, name);

/** @returns what is left in the container of files that clients were given */
const leftFiles = (): Promise<string> =>
  container.exec('find', '/dev/shm', '/tmp', '-maxdepth', '1', '-name', 'garner.*');

/** The guard of a run that was ended looks for a second whether all have gone. */
async function untilNothingRuns(): Promise<void> {
  let left = await container.processes();
  for (const deadline = Date.now() + 10_000; left.length > 0 && Date.now() < deadline; ) {
    await sleep(50);
    left = await container.processes();
  }
  expect(left).toEqual([]);
}

it('dumps and restores Redis there, its password on the way in seen by nobody', async () => {
  await using redis = await startRedis(PASSWORD, ['port 6379'], container.inNetwork);
  await redis.runLines('SET a "\\x00\\xff"\nSELECT 3\nXADD stream 1-1 f v');
  const before = await redis.state();
  await enter();
  const connection = { host: 'localhost', port: 63790, password: PASSWORD };
  // without the test's own clients, which have it in their environment
  const unseen = async <T>(work: Promise<T>): Promise<T> => {
    const stop = watchProcesses(['canary-inside']);
    const result = await work;
    expect(stop().found).toEqual([]);
    return result;
  };
  const { tables } = await unseen(dumpTo(redisEngine, connection, at('redis.rdb')));
  expect(tables).toEqual({ db0: 1, db3: 1 });
  await redis.run('FLUSHALL');
  await unseen(restoreFrom(redisEngine, connection, at('redis.rdb')));
  expect(await redis.state()).toBe(before);
});

describe('MariaDB in a container', () => {
  let url: string;
  beforeAll(async () => {
    url = (await mariadb.createDatabase('shop', 'shop', PASSWORD)).replace('3306', '33061');
    await mariadb.createDatabase('empty', 'shop', PASSWORD);
    await mariadb.query(
      "CREATE TABLE t (i INT PRIMARY KEY, t TEXT); INSERT INTO t VALUES (1, 'ä'), (2, '🦔')",
      'shop',
    );
  });

  it('is dumped and restored there, however the port is called outside', async () => {
    await enter();
    const { tables } = await dumpTo(mysql, mysql.connectionFromUrl(new URL(url)), at('shop.sql'));
    expect(tables).toEqual({ t: 2 });
    await restoreFrom(mysql, mysql.connectionFromUrl(new URL(url.replace(/shop$/, 'empty'))), at('shop.sql'));
    const checksum = (name: string): Promise<string> => mariadb.query('CHECKSUM TABLE t', name);
    expect((await checksum('empty')).split('\t')[1]).toBe((await checksum('shop')).split('\t')[1]);
  });

  it('F60 shows the password to nobody, and leaves it nowhere', async () => {
    const stop = watchProcesses(['canary-inside']);
    const env = { ...container.env, GARNER_CONTAINER: container.name };
    bench.configure('agent-mariadb.env', `GARNER_DATABASE_URL=${url}\n`);
    const ran = await bench.run('agent-mariadb', [], { env });
    const { found, seen } = stop();
    expect(ran.stderr).toContain('shop@127.0.0.1/shop in container database-1');
    expect(ran).toMatchObject({ exitCode: 0 });
    expect(found).toEqual([]);
    expect(seen).toBeGreaterThan(10);
    expect(await leftFiles()).toBe('');
    await untilNothingRuns();
    // -xdev: not the files that are this machine's too
    const files = [
      '-xdev',
      '-type',
      'f',
      '!',
      '-path',
      `${bench.configDir}/*`,
      '-exec',
      'grep',
      '-laF',
      'canary-inside',
      '{}',
      '+',
    ];
    const places = [bench.directory, container.directory];
    expect((await execa('find', [...places, ...files], { reject: false })).stdout).toBe('');
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'F19 F20 ends the client in there when %s ends garner',
    async (how) => {
      const session = ['--no-defaults', '--user=root', `--socket=${mariadb.socket}`, '--unbuffered', 'shop'];
      const locking = execa('mariadb', session, {
        input: 'LOCK TABLES t WRITE; SELECT 1; DO SLEEP(600);',
        reject: false,
      });
      await new Promise((locked) => locking.stdout.once('data', locked));
      const env = { ...container.env, GARNER_CONTAINER: container.name, TEST_MARK: bench.directory };
      const running = bench.start('agent-mariadb', [], { env });
      const dumping = async (): Promise<boolean> =>
        /mariadb-dump.*shop/.test((await container.processes()).join('\n'));
      let ended = false;
      running.finally(() => {
        ended = true;
      });
      while (!(await dumping()) && !ended) await sleep(50);
      expect(ended).toBe(false);
      running.kill(how);
      await running;
      await untilNothingRuns();
      expect(await untilNoProcessWith(bench.directory)).toEqual([]);
      locking.kill('SIGKILL');
      await locking;
    },
  );
});

it('PostgreSQL in a container is dumped, checked and restored there', async () => {
  const url = await server.createDatabase('shop', 'shop', PASSWORD);
  await server.createDatabase('empty', 'shop', PASSWORD);
  await server.query(
    "CREATE TABLE t (i INT, t TEXT); INSERT INTO t VALUES (1, 'ä'); ALTER TABLE t OWNER TO shop",
    'shop',
  );
  await enter();
  const connection = postgres.connectionFromUrl(new URL(url));
  const { tables } = await dumpTo(postgres, connection, at('shop.dump'));
  expect(tables).toEqual({ t: 1 });
  expect(await postgres.roles?.dump(connection, signal)).toContain('CREATE ROLE shop');
  const target = { ...connection, database: 'empty' };
  const refused = postgres.restore(target, { jobs: 2, signal } as RestoreContext);
  await expect(refused).rejects.toThrow(/--jobs.*the clients run in container database-1/);
  await restoreFrom(postgres, target, at('shop.dump'));
  expect(await server.dump('empty')).toBe(await server.dump('shop'));
  expect(await leftFiles()).toBe('');
});

it('the server is the container itself where the configuration says this host, else what it is called there', async () => {
  const published = { host: 'localhost', port: 33061 };
  const named = { host: 'db', port: 3307 };
  expect(serverAddress(published)).toEqual(published);
  await enter();
  for (const host of ['localhost', '127.0.0.1', '::1', 'host.docker.internal'])
    expect(serverAddress({ host, port: 33061 })).toEqual({ host: '127.0.0.1' });
  expect(serverAddress({ socket: '/run/mysqld/mysqld.sock' })).toEqual({});
  expect(serverAddress({ host: '/var/run/postgresql', port: 5433 })).toEqual({});
  expect(serverAddress(named)).toEqual(named);
  leaveContainer();
  await enter(container.name, { server: '[::1]:3308' });
  expect(serverAddress(named)).toEqual({ host: '::1', port: '3308' });
  leaveContainer();
  await enter(container.name, { server: '/tmp/mysql.sock' });
  expect(serverAddress(named)).toEqual({ socket: '/tmp/mysql.sock' });
});

describe('what can go wrong is said in one line', () => {
  it.each(['-v', '--privileged', 'a b', 'a\nb', '$(id)', '../x', ''])(
    'a name like %j reaches no command line',
    (name) => {
      const load = () =>
        loadSettings(CORE_SETTINGS, { known: CORE_SETTINGS, env: { GARNER_CONTAINER: name } });
      if (name === '') expect(load().GARNER_CONTAINER).toBeUndefined();
      else expect(load).toThrow(/cannot use setting "GARNER_CONTAINER"/);
    },
  );

  it('no such container, and one that lacks the client', async () => {
    await expect(enter('nobody')).rejects.toThrow(/^cannot use container "nobody": .*no such container$/);
    await enter();
    expect(() => findClientProgram(['sqlplus'], 'x')).toThrow(
      /"sqlplus": it is not in the container database-1/,
    );
  });

  it('Docker in its own words, and a choice that is not made for two engines', async () => {
    const [path, fakes] = [process.env.PATH, join(bench.directory, 'fakes')];
    mkdirSync(fakes);
    const fake = (name: string, says: string): void =>
      writeFileSync(join(fakes, name), `#!/bin/sh\necho '${says}' >&2; exit 1\n`, { mode: 0o755 });
    const place = { name: 'db', engine: undefined, server: undefined };
    process.env.PATH = fakes;
    try {
      fake('docker', 'Error response from daemon: No such container: db');
      await expect(enterContainer(place, signal)).rejects.toThrow(
        /^cannot use container "db": No such container: db$/,
      );
      writeFileSync(join(fakes, 'docker'), '#!/bin/sh\nwhile :; do echo /bin/client; done\n');
      await expect(enterContainer(place, signal)).rejects.toThrow(/^cannot use container "db": /);
      fake('podman', '');
      await expect(enterContainer(place, signal)).rejects.toThrow(/this host has docker and podman/);
    } finally {
      process.env.PATH = path;
    }
  });

  it('a database that is a file, and files of the application, which both lie in volumes', async () => {
    const file = join(bench.directory, 'app.db');
    const settings = {
      GARNER_CONTAINER: container.name,
      GARNER_CONTAINER_ENGINE: 'podman',
      SQLITE_FILES: [file],
    };
    const context = { settings, view: hostView(), signal } as unknown as AgentContext;
    await expect(databasesOf(sqlite as AgentDefinition, context)).rejects.toThrow(
      /cannot use setting "GARNER_CONTAINER": it is not for sqlite/,
    );
    expect(() => checkRoot({ name: 'files', root: join(bench.directory, 'var/www/html') })).toThrow(
      expect.objectContaining({ hint: expect.stringMatching(/the files of a container lie in its volumes/) }),
    );
  });

  it('a container that has stopped', async () => {
    await container.stop();
    await expect(enter()).rejects.toThrow(/^cannot use container "database-1": .*running containers/);
  });
});
