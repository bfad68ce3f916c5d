// A SQL Server for tests that is a file, with a sqlcmd that behaves as its documentation says; see mssql-client.ts.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Server } from './mssql-client.ts';

const CLIENT = join(import.meta.dirname, 'mssql-client.ts');

export interface Mssql {
  /** What finds the program and the server. */
  env: Record<string, string>;
  /** Each run of the program with its arguments. */
  readonly seen: string;
  readonly backupDir: string;
  read(): Server;
  change(change: (server: Server) => void): void;
}

export function makeMssql(directory: string, password: string): Mssql {
  const bin = mkdtempSync(join(directory, 'mssql-'));
  const [file, seen, backupDir] = [join(bin, 'server.json'), join(bin, 'seen'), join(bin, 'backups')];
  mkdirSync(backupDir);
  const run = `printf '%s ' "$@" >> '${seen}'\nexec '${process.execPath}' '${CLIENT}' "$@"`;
  writeFileSync(join(bin, 'sqlcmd'), `#!/bin/sh\n${run}\n`);
  chmodSync(join(bin, 'sqlcmd'), 0o755);
  const read = (): Server => JSON.parse(readFileSync(file, 'utf8'));
  const write = (server: Server): void => writeFileSync(file, JSON.stringify(server));
  write({
    password,
    rights: ['BACKUP DATABASE', 'CREATE DATABASE', 'VIEW DEFINITION'],
    backups: { name: backupDir, directory: backupDir },
    databases: { "a]p'p": { 'dbo.users': ['räksmörgås', 'b', 'c'], 'other.a\tb': [] } },
  });
  return {
    env: { PATH: `${bin}${delimiter}${process.env.PATH}`, MSSQL_SERVER: file },
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
