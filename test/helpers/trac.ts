// A Trac environment as trac-admin's initenv leaves it: made from Trac's sources, since Debian no longer has Trac itself.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';

/** @returns where Trac keeps an attachment, by coreutils: `files/attachments/<realm>/<3 digits>/<sha1 of id>/<sha1 of name>.ext` */
export async function attachmentPath(realm: string, id: string, filename: string): Promise<string> {
  const sha1 = async (input: string) => (await execa('sha1sum', { input })).stdout.slice(0, 40);
  const hash = await sha1(id);
  const extension = /\.[A-Za-z0-9]+$/.exec(filename)?.[0] ?? '';
  return `files/attachments/${realm}/${hash.slice(0, 3)}/${hash}/${await sha1(filename)}${extension}`;
}

export const ATTACHMENTS = [
  ['ticket', '1', 'räksmörgås.PNG'],
  ['wiki', 'Wiki/Start', 'without extension'],
] as const;

/** The tables of Trac 1.6 (database_version 45) that matter here, with rows. */
export const SCHEMA = `
  CREATE TABLE system (name text PRIMARY KEY, value text);
  CREATE TABLE attachment (type text, id text, filename text, size integer, time integer, description text,
    author text, UNIQUE (type, id, filename));
  CREATE TABLE repository (id integer, name text, value text, UNIQUE (id, name));
  CREATE TABLE ticket (id integer PRIMARY KEY, summary text);
  INSERT INTO system VALUES ('database_version', '45');
  INSERT INTO ticket VALUES (1, 'it''s 🦔');
  ${ATTACHMENTS.map(([type, id, name]) => `INSERT INTO attachment VALUES ('${type}', '${id}', '${name}', 1, 1, '', 'x');`).join('\n')}`;

export interface TracEnvironment {
  directory: string;
  /** A program that says what trac-admin says. */
  admin: string;
}

/** Makes an environment with its SQLite database. @param configuration of trac.ini, after `[trac]` */
export async function createTrac(directory: string, configuration = ''): Promise<TracEnvironment> {
  const put = (path: string, content: string): void => {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  };
  put('VERSION', 'Trac Environment Version 1\nVisit https://trac.edgewall.org/ for more information.\n');
  put('conf/trac.ini', `[trac]\n${configuration}`);
  for (const name of ['htdocs', 'plugins', 'templates']) put(`${name}/README`, `${name}\n`);
  put('log/trac.log', 'left out\n');
  put('db/trac.db.42.bak', 'left out\n');
  for (const [realm, id, name] of ATTACHMENTS) put(await attachmentPath(realm, id, name), `of ${id}`);
  await execa('sqlite3', [join(directory, 'db/trac.db')], { input: `PRAGMA journal_mode=WAL; ${SCHEMA}` });
  const admin = join(dirname(directory), 'trac-admin');
  writeFileSync(admin, '#!/bin/sh\n[ "$*" = --version ] && echo "trac-admin 1.6"\n');
  chmodSync(admin, 0o755);
  return { directory, admin };
}
