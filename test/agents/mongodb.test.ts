// The mongodb agent: the contract, with programs that behave as the documentation of MongoDB's clients says.
import { afterEach, expect, it, vi } from 'vitest';
import agent from '../../agents/mongodb.ts';
import type { AgentContext } from '../../agents/toolkit/define-agent.ts';
import { agentContract } from '../contract/agent-contract.ts';
import { makeMongo } from '../helpers/mongo.ts';

const PASSWORD = `canary &%40'"\\$#;:/@x`;

agentContract('mongodb', 'a replica set with two databases', async (directory) => {
  const mongo = makeMongo(directory, PASSWORD);
  return {
    settings: { MONGODB_URI: mongo.uri() },
    env: mongo.env,
    places: [],
    members: ['mongodb.dump'],
    dumpFileSuffix: 'archive',
    version: /^7\.0\.14$/,
    secrets: [PASSWORD, encodeURIComponent(PASSWORD)],
    treeFind: {},
    async dumpDatabases() {
      const { databases } = mongo.read();
      const sorted = Object.entries(databases).sort(([a], [b]) => (a < b ? -1 : 1));
      return JSON.stringify(sorted);
    },
    wipe: async () =>
      mongo.change((server) => {
        server.databases = {};
      }),
    broken: {
      settings: { MONGODB_URI: 'mongodb://backup:wrong@127.0.0.1/' },
      error: /Authentication failed/,
    },
    remove: async () => {},
  };
});

afterEach(() => vi.unstubAllEnvs());

const urisOf = async (settings: Record<string, unknown>): Promise<unknown[]> => {
  const context = { settings } as unknown as AgentContext;
  const sources = await agent.databases(context as Parameters<typeof agent.databases>[0]);
  return sources.map(({ name, connection }) => [name, (connection as { uri: string }).uri]);
};

it('takes some databases each by itself, with accounts of admin', async () => {
  const databases = ['wiki', 'my shop'];
  expect(await urisOf({ MONGODB_URI: 'mongodb://u:p@h:1,i:2', MONGODB_DATABASES: databases })).toEqual([
    ['wiki', 'mongodb://u:p@h:1,i:2/wiki?authSource=admin'],
    ['my_shop', 'mongodb://u:p@h:1,i:2/my%20shop?authSource=admin'],
  ]);
  expect(await urisOf({ MONGODB_URI: 'mongodb://h/?tls=true', MONGODB_DATABASES: ['wiki'] })).toEqual([
    ['wiki', 'mongodb://h/wiki?tls=true&authSource=admin'],
  ]);
  await expect(urisOf({ MONGODB_URI: 'mongodb://h/wiki', MONGODB_DATABASES: ['shop'] })).rejects.toThrow(
    'MONGODB_URI names a database',
  );
});
