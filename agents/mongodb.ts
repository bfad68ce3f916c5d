// A MongoDB server: all its databases at one moment where it is a replica set, or some of them. Its URI is a setting:
// MongoDB's own configuration file has no credentials.
import engine from '../databases/mongodb.ts';
import { type MongoConnection, readMongoUri } from '../databases/toolkit/mongo-client.ts';
import { cannot } from '../lib/errors.ts';
import { list, text } from '../lib/settings.ts';
import { defineAgent } from './toolkit/define-agent.ts';
import { databasesOf, uniqueNames } from './toolkit/sources.ts';

const agent = defineAgent({
  application: 'mongodb',
  title: 'MongoDB',
  testedWith: "executables that behave as the documentation of MongoDB's clients says",
  settings: {
    MONGODB_URI: {
      parse: text,
      default: 'mongodb://localhost:27017',
      secret: true,
      describe: 'the server, without a database: mongodb://user:password@host:27017/?replicaSet=rs0',
    },
    MONGODB_DATABASES: {
      parse: list,
      describe: 'the databases to back up, each by itself: wiki,shop; unset: all, in one dump',
    },
  },

  databaseServer: { engine: 'mongodb', list: 'MONGODB_DATABASES' },

  async version(context) {
    const [source] = await databasesOf(agent, context);
    return (await engine.inspect(source?.connection as MongoConnection, context.signal)).serverVersion;
  },

  databases({ settings }) {
    const server = readMongoUri(settings.MONGODB_URI);
    const names = settings.MONGODB_DATABASES;
    if (names === undefined)
      return [{ name: server.database ?? 'mongodb', engine: 'mongodb', connection: server }];
    if (server.database !== undefined) {
      throw cannot('configuration', 'use setting', 'MONGODB_DATABASES', 'MONGODB_URI names a database', {
        hint: 'leave it out there; accounts of admin need ?authSource=admin',
      });
    }
    const members = uniqueNames(names);
    const [, before, after = ''] = /^([^?]*?)\/?(\?.*)?$/s.exec(settings.MONGODB_URI) as RegExpExecArray;
    // without it, accounts are looked for in the database that is named
    const source = /[?&]authSource=/i.test(after)
      ? after
      : `${after === '' ? '?' : `${after}&`}authSource=admin`;
    return names.map((database, index) => ({
      name: members[index] as string,
      engine: 'mongodb',
      connection: readMongoUri(`${before}/${encodeURIComponent(database)}${source}`),
    }));
  },

  trees: () => [],
});

export default agent;
