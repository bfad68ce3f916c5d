// The redis agent: the contract on real servers, and the forms of redis.conf.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import agent from '../../agents/redis.ts';
import type { AgentContext } from '../../agents/toolkit/define-agent.ts';
import { hostView } from '../../agents/toolkit/host-view.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { startRedis } from '../helpers/redis.ts';

const PASSWORD = `canary &%40'"\\$#;x`;

agentContract('redis', 'a server with two databases', async () => {
  const server = await startRedis(PASSWORD);
  await server.runLines(
    'SET "räk\\x00" "\\xff"\nSET soon 1 PXAT 4102444800123\nSELECT 3\nXADD stream 1-1 f v',
  );
  return {
    settings: { REDIS_CONFIGS: server.config },
    places: [],
    members: ['redis.dump'],
    dumpFileSuffix: 'rdb',
    version: /^\d+\.\d+\.\d+$/,
    secrets: [PASSWORD],
    treeFind: {},
    dumpDatabases: () => server.state(),
    wipe: async () => void (await server.run('FLUSHALL')),
    broken: { settings: { REDIS_CONFIGS: '/nonexistent/redis.conf' }, error: /redis\.conf": no such file/ },
    remove: () => server.stop(),
  };
});

const directory = mkdtempSync(join(tmpdir(), 'garner-redis-conf-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** @returns the connections that configuration files name */
async function connectionsOf(...texts: string[]): Promise<unknown[]> {
  const files = texts.map((text, index) => {
    const file = join(directory, `${index}.conf`);
    writeFileSync(file, text);
    return file;
  });
  const context = {
    settings: { REDIS_CONFIGS: files },
    view: hostView(),
    signal: AbortSignal.timeout(60_000),
  } as unknown as AgentContext;
  return (await agent.databases(context as Parameters<typeof agent.databases>[0])).map(
    ({ connection }) => connection,
  );
}

it.each([
  ['nothing: the default', '', { host: '127.0.0.1', port: 6379 }],
  ['a byte-order mark and CRLF', '\uFEFFport 7000\r\nrequirepass a\r\n', { port: 7000, password: 'a' }],
  ['addresses, of which one may be missing', 'bind -::1 10.0.0.7\n', { host: '::1' }],
  ['all addresses', 'bind * -::*\n', { host: '127.0.0.1' }],
  [
    'an old password in a comment, a later line',
    '# requirepass old\nrequirepass a\nREQUIREPASS b\n',
    { password: 'b' },
  ],
  ['quotes and escapes', 'requirepass "a \\"\\x26\\\\ #b"\n', { password: 'a "&\\ #b' }],
  ['single quotes', "requirepass 'it\\'s \\n'\n", { password: "it's \\n" }],
  ['an empty password: none', 'requirepass ""\n', { password: undefined }],
  ['TLS alone', 'port 0\ntls-port 6380\n', { port: 6380, tls: {} }],
  ['a socket that is not there', 'unixsocket /nonexistent/s\n', { port: 6379 }],
])('reads redis.conf: %s', async (_, text, connection) => {
  expect(await connectionsOf(text)).toMatchObject([connection]);
});

it('reads what a redis.conf includes, and refuses patterns and circles with a hint', async () => {
  const included = join(directory, 'included.conf');
  writeFileSync(included, 'requirepass inside\n');
  expect(await connectionsOf(`requirepass outside\ninclude ${included}\n`)).toMatchObject([
    { password: 'inside' },
  ]);
  for (const file of [join(directory, '*.conf'), join(directory, '0.conf')]) {
    await expect(connectionsOf(`include ${file}\n`)).rejects.toMatchObject({
      code: 'application-configuration',
      hint: expect.stringContaining('GARNER_DATABASE_URL'),
    });
  }
});

it('names several servers apart', async () => {
  expect(await connectionsOf('port 1', 'port 2')).toMatchObject([{ port: 1 }, { port: 2 }]);
});
