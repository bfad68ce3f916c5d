// manifest.json, the last member of an archive: what is in it, by offset, size and digest. Read as foreign text.
import { z } from 'zod';
import { cannot } from '../lib/errors.ts';

export const MANIFEST_NAME = 'manifest.json';
export const VERSION_NAME = 'VERSION';
/** A manifest lists members and tables, not files: one larger than this is no manifest of ours. */
export const MAX_MANIFEST_BYTES = 32 << 20;
/** Nesting of the format; deeper is refused before it is walked. */
const MEMBER_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,89}$/;

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const shortText = z.string().max(4096);
const time = z.iso.datetime();

const memberSchema = z.object({
  name: z.string().regex(MEMBER_NAME),
  kind: z.enum(['version', 'database', 'roles', 'tree', 'list']),
  offsetBytes: count,
  sizeBytes: count,
  uncompressedSizeBytes: count,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  encoding: z.array(z.enum(['zst', 'age'])).max(2),
  database: z
    .object({
      engine: shortText,
      serverVersion: shortText,
      name: shortText,
      tables: z.record(z.string().max(1024), count),
      /** The server's accounts that it names, where they are in no dump. */
      roles: z.array(shortText).max(100_000).optional(),
    })
    .optional(),
  /** Of which databases' server these roles are: the names of their members, without suffixes. */
  roles: z.object({ engine: shortText, databases: z.array(shortText).max(10_000) }).optional(),
  tree: z
    .object({ root: shortText, fileCount: count, includes: z.array(shortText).max(10_000).optional() })
    .optional(),
});

const crossCheckSchema = z.object({
  database: shortText,
  tree: shortText,
  rowCount: count,
  fileCount: count,
  missingCount: count,
  unnamedCount: count,
});

const manifestSchema = z.object({
  format: z.literal(1),
  application: z
    .string()
    .regex(/^[a-z][a-z0-9]*$/)
    .max(100),
  instance: z
    .string()
    .regex(/^[a-z0-9_]+$/)
    .max(100)
    .nullable(),
  host: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]*$/)
    .max(200),
  version: shortText,
  startedAt: time,
  finishedAt: time,
  tool: z.object({ name: shortText, version: shortText }),
  members: z.array(memberSchema).max(10_000),
  crossChecks: z.array(crossCheckSchema).max(10_000).optional(),
  warnings: z.array(z.object({ code: shortText, message: z.string().max(65_536) })).max(10_000),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type Member = z.infer<typeof memberSchema>;
/** What came of comparing the rows of a database with the files of a tree. */
export type CrossCheckCounts = z.infer<typeof crossCheckSchema>;
export type Warning = Manifest['warnings'][number];

/**
 * Reads a manifest.
 * @param text its JSON, at most MAX_MANIFEST_BYTES long
 * @param origin what it belongs to, for the message
 * @throws not-an-archive, naming the first field that is wrong
 */
export function parseManifest(text: string, origin: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw cannot('not-an-archive', 'read the manifest of', origin, error);
  }
  const result = manifestSchema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw cannot(
    'not-an-archive',
    'read the manifest of',
    origin,
    `${issue?.path.join('.')}: ${issue?.message}`,
  );
}
