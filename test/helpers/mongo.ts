// A MongoDB for tests that is a file, with programs that behave as its clients' documentation says; see mongo-clients.ts.
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Server } from './mongo-clients.ts';

const CLIENTS = join(import.meta.dirname, 'mongo-clients.ts');

export interface Mongo {
  /** What finds the programs and the server. */
  env: Record<string, string>;
  /** Each run of a program with its arguments and environment. */
  readonly seen: string;
  read(): Server;
  change(change: (server: Server) => void): void;
  uri(options?: string): string;
}

/** @returns a document `{text}` as BSON, in base64 */
export function document(text: string): string {
  const bytes = Buffer.from(`${text}\0`);
  const size = Buffer.alloc(4);
  size.writeInt32LE(bytes.length);
  const body = Buffer.concat([Buffer.from('\x02text\0'), size, bytes]);
  const whole = Buffer.alloc(4);
  whole.writeInt32LE(body.length + 5);
  return Buffer.concat([whole, body, Buffer.of(0)]).toString('base64');
}

export function makeMongo(
  directory: string,
  password: string,
  programs = ['mongodump', 'mongorestore', 'mongosh'],
): Mongo {
  const bin = mkdtempSync(join(directory, 'mongo-'));
  const [file, seen] = [join(bin, 'server.json'), join(bin, 'seen')];
  for (const name of programs) {
    const body = `{ echo ${name} "$@"; env; } >> '${seen}'\nexec '${process.execPath}' '${CLIENTS}' ${name} "$@"`;
    writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const read = (): Server => JSON.parse(readFileSync(file, 'utf8'));
  const write = (server: Server): void => writeFileSync(file, JSON.stringify(server));
  write({
    password,
    databases: {
      app: {
        users: ['canary-document', 'räksmörgås', 'third'].map(document),
        empty: [],
        named: [],
      },
      shop: { orders: [document('x'.repeat(100_000)), document('y')] },
    },
    views: ['app.named'],
  });
  return {
    env: { PATH: `${bin}${delimiter}${process.env.PATH}`, MONGO_SERVER: file },
    seen,
    read,
    change(change) {
      const server = read();
      change(server);
      write(server);
    },
    uri: (options = '/?replicaSet=rs0') =>
      `mongodb://backup:${encodeURIComponent(password).replaceAll("'", '%27')}@127.0.0.1${options}`,
  };
}
