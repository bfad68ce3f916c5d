// The roles of database servers in an archive: one member per server, after its databases. A dump has only their names.
import type { Writable } from 'node:stream';
import { type DecodeOptions, decodeMember } from '../../archive/decode.ts';
import { encodedName, encodingNames, startEncoding } from '../../archive/encode.ts';
import type { Member, Warning } from '../../archive/manifest.ts';
import type { ArchiveReader } from '../../archive/read.ts';
import type { ArchiveWriter } from '../../archive/write.ts';
import type { ArchivedRoles, DatabaseSource } from '../../databases/toolkit/engine.ts';
import { loadEngine } from '../../databases/toolkit/engines.ts';
import { cannot, causeText } from '../../lib/errors.ts';
import { baseName } from './restore-plan.ts';
import type { StoreContext } from './store-tree.ts';

/** A server of ten thousand roles has two megabytes of them. */
const MAX_ROLES_BYTES = 16 << 20;

/** Stores the roles of each server. @returns a warning for each whose roles can't be had: its databases are there */
export async function storeRoles(
  writer: ArchiveWriter,
  databases: readonly DatabaseSource[],
  { encoding, signal, onBytes }: Pick<StoreContext, 'encoding' | 'signal' | 'onBytes'>,
): Promise<Warning[]> {
  const servers = new Map<string, DatabaseSource[]>();
  for (const database of databases) {
    const { roles } = await loadEngine(database.engine);
    if (roles === undefined) continue;
    const server = `${database.engine} ${roles.serverOf(database.connection)}`;
    servers.set(server, [...(servers.get(server) ?? []), database]);
  }
  const warnings: Warning[] = [];
  for (const [index, ofServer] of [...servers.values()].entries()) {
    const [{ engine: engineName, connection }] = ofServer as [DatabaseSource];
    const { roles, name } = await loadEngine(engineName);
    let sql: string;
    try {
      sql = (await roles?.dump(connection, signal)) ?? '';
    } catch (error) {
      signal.throwIfAborted();
      warnings.push({ code: 'roles-missing', message: `the archive has no roles: ${causeText(error)}` });
      continue;
    }
    const memberName = index === 0 ? 'roles.sql' : `roles_${index + 1}.sql`;
    const member = writer.begin(encodedName(memberName, encoding), 'roles');
    const storing = startEncoding(
      [],
      (chunk) => {
        member.write(chunk);
        onBytes(chunk.length);
      },
      { stdin: 'pipe', encoding, signal },
    );
    (storing.stdin as Writable).end(sql);
    await storing.ended;
    member.end({
      uncompressedSizeBytes: Buffer.byteLength(sql),
      encoding: encodingNames(encoding),
      roles: { engine: name, databases: ofServer.map((database) => database.name) },
    });
  }
  return warnings;
}

/** @returns the roles that a database of the archive names, and what makes them; undefined where it has none */
export function archivedRoles(
  archive: ArchiveReader,
  database: Member,
  decoding: DecodeOptions,
): ArchivedRoles | undefined {
  const member = archive.manifest.members.find(({ roles }) => roles?.databases.includes(baseName(database)));
  if (member === undefined) return undefined;
  return {
    names: database.database?.roles ?? [],
    async readSql() {
      if (member.uncompressedSizeBytes > MAX_ROLES_BYTES)
        throw cannot('not-an-archive', 'read member', member.name, 'it is larger than roles are');
      const chunks: Buffer[] = [];
      await decodeMember(archive, member, (chunk) => void chunks.push(Buffer.from(chunk)), decoding);
      return Buffer.concat(chunks).toString('utf8');
    },
  };
}
