// Puts one database into the archive: its engine's client dumps it, and what the engine counted goes into the manifest.
import { encodedName, encodingNames, startEncoding } from '../../archive/encode.ts';
import type { Warning } from '../../archive/manifest.ts';
import type { ArchiveWriter } from '../../archive/write.ts';
import type { DatabaseSource, DumpContext } from '../../databases/toolkit/engine.ts';
import { loadEngine } from '../../databases/toolkit/engines.ts';
import { info } from '../../lib/log.ts';
import { formatSize, plural } from '../../lib/text.ts';
import type { StoreContext } from './store-tree.ts';

/**
 * Dumps a database into a member.
 * @param mayBeEmpty false: the application keeps its data in it, so without tables it is not the right one
 * @returns what its engine warns of
 * @throws what the engine throws: a dump that isn't whole is none
 */
export async function storeDatabase(
  writer: ArchiveWriter,
  source: DatabaseSource,
  mayBeEmpty: boolean,
  {
    encoding,
    signal,
    scratchPath,
    onBytes,
    clientOptions,
    queries,
  }: StoreContext & Pick<DumpContext, 'clientOptions' | 'queries'>,
): Promise<Warning[]> {
  const engine = await loadEngine(source.engine);
  const member = writer.begin(encodedName(`${source.name}.${engine.dumpSuffix}`, encoding), 'database');
  const facts = await engine.dump(source.connection, {
    encode: (commands, stdin) =>
      startEncoding(
        commands,
        (chunk) => {
          member.write(chunk);
          onBytes(chunk.length);
        },
        { stdin, encoding, signal },
      ),
    signal,
    scratchPath,
    expectedTables: source.expectedTables ?? [],
    derivedTables: source.derivedTables ?? [],
    withoutRoutines: source.withoutRoutines === true,
    clientOptions,
    queries,
  });
  member.end({
    uncompressedSizeBytes: facts.uncompressedSizeBytes,
    encoding: encodingNames(encoding),
    database: {
      engine: engine.name,
      serverVersion: facts.serverVersion,
      name: engine.databaseName(source.connection),
      tables: facts.tables,
      roles: facts.roles,
    },
  });
  const where = engine.describe(source.connection);
  const tableCount = Object.keys(facts.tables).length;
  const rows = Object.values(facts.tables).reduce((sum, count) => sum + count, 0);
  info(
    `database ${where}: ${plural(tableCount, 'table')}, ${plural(rows, 'row')}, ${formatSize(facts.uncompressedSizeBytes)}`,
  );
  if (tableCount > 0 || mayBeEmpty) return facts.warnings;
  const message = `database ${where} has no tables: is it the one that the application uses?`;
  return [...facts.warnings, { code: 'database-empty', message }];
}
