// A SQL Server for tests that is a file, with a sqlcmd that behaves as its documentation says; see mssql-client.ts.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import type { Server } from './mssql-client.ts';

const CLIENT = join(import.meta.dirname, 'mssql-client.ts');

/** Where Microsoft's images have it, on no PATH. */
const IMAGE_CLIENT = '/opt/mssql-tools18/bin/sqlcmd';

export interface Mssql {
  /** What finds the program and the server. */
  env: Record<string, string>;
  /** Each run of the program with its arguments. */
  readonly seen: string;
  readonly backupDir: string;
  read(): Server;
  change(change: (server: Server) => void): void;
}

/** @param root of a container, which alone has the server and its client; `directory` is one of its paths */
export function makeMssql(directory: string, password: string, root = ''): Mssql {
  mkdirSync(`${root}${directory}`, { recursive: true });
  const bin = mkdtempSync(join(`${root}${directory}`, 'mssql-'));
  const [file, seen, backupDir] = [join(bin, 'server.json'), join(bin, 'seen'), join(bin, 'backups')];
  mkdirSync(backupDir);
  writeFileSync(seen, '');
  const there = (path: string): string => path.slice(root.length);
  const run = [
    `export MSSQL_SERVER='${there(file)}'`,
    `printf '%s ' "$@" >> '${there(seen)}'`,
    `exec '${process.execPath}' '${CLIENT}' "$@"`,
  ];
  const client = root === '' ? join(bin, 'sqlcmd') : `${root}${IMAGE_CLIENT}`;
  mkdirSync(dirname(client), { recursive: true });
  writeFileSync(client, `#!/bin/sh\n${run.join('\n')}\n`);
  chmodSync(client, 0o755);
  const read = (): Server => JSON.parse(readFileSync(file, 'utf8'));
  const write = (server: Server): void => writeFileSync(file, JSON.stringify(server));
  write({
    password,
    rights: ['BACKUP DATABASE', 'CREATE DATABASE', 'VIEW DEFINITION'],
    backups: { name: there(backupDir), directory: there(backupDir) },
    databases: { "a]p'p": { 'dbo.users': ['räksmörgås', 'b', 'c'], 'other.a\tb': [] } },
  });
  return {
    env: { PATH: `${bin}${delimiter}${process.env.PATH}` },
    seen,
    backupDir,
    read,
    change(change) {
      const server = read();
      change(server);
      write(server);
    },
  };
}
