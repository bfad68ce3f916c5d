// What a MySQL or MariaDB account may do in a database, as SHOW GRANTS tells it.
import { type MysqlConnection, query } from './mysql-client.ts';

export interface Grants {
  /** @returns whether the account holds a privilege on the whole database */
  has(privilege: string): boolean;
  /** @returns whether it holds a privilege on the whole server */
  hasGlobal(privilege: string): boolean;
  /** Tables that it may read by a grant of their own, all columns of them. */
  readableTables: string[];
  /** Whether it may show routines of other accounts. */
  showsRoutines: boolean;
  /** Whether it at least sees that there are routines of other accounts. */
  seesRoutines: boolean;
}

/** The target: `*.*`, a database, a table of it; grants of roles and routines have no match. At the end the account or role. */
const GRANT =
  /^(GRANT|REVOKE) (.+?) ON (?:TABLE )?`?((?:[^`]|``)+?)`?\.(\*|`(?:[^`]|``)+`) (?:TO|FROM) (.*?)(?= IDENTIFIED | REQUIRE | WITH |$)/;
const LISTED_PRIVILEGES = /, (?![^(]*\))/;

export async function readGrants(connection: MysqlConnection, signal: AbortSignal): Promise<Grants> {
  const global = new Set<string>();
  const held = new Set<string>();
  /** Of one account's grants on databases only the most specific counts, as for the server. */
  const closest = new Map<string, { literalChars: number; privileges: string[] }>();
  const revoked: string[] = [];
  const readableTables: string[] = [];
  let readsRoutineTable = false;
  for (const [line = ''] of await query(connection, 'SHOW GRANTS', signal)) {
    const match = GRANT.exec(line);
    if (match === null) continue;
    const [, verb, list = '', quotedSchema = '', quotedObject = '', grantee = ''] = match;
    const privileges = list.split(LISTED_PRIVILEGES).map((privilege) => privilege.trim());
    const schema = quotedSchema.replaceAll('``', '`');
    const object = quotedObject === '*' ? '*' : quotedObject.slice(1, -1).replaceAll('``', '`');
    const reads = privileges.includes('SELECT') || privileges.includes('ALL PRIVILEGES');
    if (schema === 'mysql' && (object === '*' || object === 'proc')) readsRoutineTable ||= reads;
    if (schema !== '*' && !likeMatches(schema, connection.database)) continue;
    if (verb === 'REVOKE') {
      revoked.push(...privileges); // MySQL's partial_revokes
    } else if (schema === '*') {
      for (const privilege of privileges) global.add(privilege);
    } else if (object === '*') {
      const literalChars = countLiteral(schema);
      if (literalChars > (closest.get(grantee)?.literalChars ?? -1))
        closest.set(grantee, { literalChars, privileges });
    } else if (reads) readableTables.push(object);
  }
  for (const privilege of [...global, ...[...closest.values()].flatMap(({ privileges }) => privileges)])
    held.add(privilege);
  for (const privilege of revoked) held.delete(privilege);
  const holds = (set: Set<string>, privilege: string): boolean =>
    set.has(privilege) || set.has('ALL PRIVILEGES');
  const has = (privilege: string): boolean => holds(held, privilege);
  const hasGlobal = (privilege: string): boolean => holds(global, privilege);
  const showsRoutines =
    readsRoutineTable || ['SELECT', 'SHOW_ROUTINE'].some(hasGlobal) || held.has('SHOW CREATE ROUTINE');
  const seesRoutines = showsRoutines || has('EXECUTE') || has('ALTER ROUTINE');
  return { has, hasGlobal, readableTables, showsRoutines, seesRoutines };
}

/** @returns how many characters stand before the first wildcard; without one it is the database's name */
function countLiteral(pattern: string): number {
  const literal = /^(?:\\.|[^%_\\])*/s.exec(pattern)?.[0] ?? '';
  return literal === pattern ? Number.POSITIVE_INFINITY : literal.length;
}

/** The database part of a grant is a LIKE pattern: `wiki\_%`. */
function likeMatches(pattern: string, name: string): boolean {
  const expression = pattern.replace(/\\(.)|(%)|(_)|(.)/gs, (_, literal, any, one, char) =>
    any ? '.*' : one ? '.' : RegExp.escape(literal ?? char),
  );
  return new RegExp(`^${expression}$`, 's').test(name);
}
