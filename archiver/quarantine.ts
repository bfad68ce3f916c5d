// Where bad archives go: out of the way of retention and restores, never deleted, told and written down.
import { asGarnerError, GarnerError } from '../lib/errors.ts';
import { warn } from '../lib/log.ts';
import type { ArchiveRow } from './catalog/schema.ts';
import { moveToQuarantine } from './layout.ts';
import type { Run } from './run.ts';

/** @returns whether an error says that the archive is bad, rather than that it could not be looked at */
export function isBad(error: unknown): boolean {
  return error instanceof GarnerError && BAD.has(error.code);
}

const BAD = new Set<string>(['checksum-missing', 'checksum-mismatch', 'content-mismatch', 'not-an-archive']);

/**
 * Moves an archive that was found bad to `<root>/.quarantine/<host>/` and writes down why.
 * @param path of the archive, absolute
 */
export async function quarantine(
  run: Pick<Run, 'configuration' | 'catalog'>,
  row: ArchiveRow,
  path: string,
  reason: unknown,
): Promise<void> {
  await noteQuarantined(run, row, moveToQuarantine(run.configuration.root, row.host, row.name, path), reason);
}

/** Writes down that an archive is in quarantine, and why. */
export async function noteQuarantined(
  { catalog }: Pick<Run, 'catalog'>,
  row: ArchiveRow,
  target: string,
  reason: unknown,
): Promise<void> {
  const { code, message } = asGarnerError(reason);
  await catalog.record(
    { ...row, state: 'quarantined', verified: null, problem: code },
    { kind: 'quarantined', subject: row.name, detail: { code, message, movedTo: target } },
  );
  warn(`${row.host}: ${row.name} is bad and was moved to ${target}`, {
    host: row.host,
    name: row.name,
    code,
  });
}
