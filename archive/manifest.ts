// manifest.json, the last member of an archive: what is in it, by offset, size and digest. Read as foreign text.
import { z } from 'zod';
import { cannot } from '../lib/errors.ts';

export const MANIFEST_NAME = 'manifest.json';
export const VERSION_NAME = 'VERSION';
/** A manifest lists members and tables, not files: one larger than this is no manifest of ours. */
export const MAX_MANIFEST_BYTES = 8 << 20;
/** Objects and arrays: a few for each member and warning. */
const MAX_CONTAINERS = 100_000;
const MAX_DEPTH = 16;
const MEMBER_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,89}$/;

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const shortText = z.string().max(4096);
const time = z.iso.datetime();

/** zod's own records leave out a table that is called `__proto__`. */
const tables = z.custom<Record<string, number>>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.entries(value).every(
      ([name, rows]) => name.length <= 1024 && Number.isSafeInteger(rows) && rows >= 0,
    ),
  'it is no list of tables with their rows',
);

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
      tables,
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
  /** The build that the data belongs to, where the application has one beside its version. */
  build: shortText.optional(),
  startedAt: time,
  finishedAt: time,
  tool: z.object({ name: shortText, version: shortText }),
  members: z.array(memberSchema).max(10_000),
  crossChecks: z.array(crossCheckSchema).max(10_000).optional(),
  /** Whom its members are encrypted for: one identity of any of these age recipients opens them. */
  recipients: z.array(shortText).max(1000).optional(),
  /** What a restore needs and this archive leaves out on purpose. */
  withheld: z
    .array(z.object({ what: shortText, remedy: shortText }))
    .max(1000)
    .optional(),
  warnings: z.array(z.object({ code: shortText, message: z.string().max(65_536) })).max(10_000),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type Member = z.infer<typeof memberSchema>;
/** What came of comparing the rows of a database with the files of a tree. */
export type CrossCheckCounts = z.infer<typeof crossCheckSchema>;
export type Warning = Manifest['warnings'][number];

/**
 * Reads a manifest.
 * @param text its JSON
 * @param origin what it belongs to, for the message
 * @throws not-an-archive, naming the first field that is wrong; where it is larger or deeper than any manifest is
 */
export function parseManifest(text: string, origin: string): Manifest {
  if (!isPlausible(text))
    throw cannot('not-an-archive', 'read the manifest of', origin, 'it is larger or deeper than any is');
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

/** Parsed, `[[],[],…` of a few megabytes takes gigabytes: it is looked through first. */
function isPlausible(text: string): boolean {
  let [depth, containers] = [0, 0];
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === '"') quoted = !quoted;
    else if (quoted && char === '\\') at += 1;
    else if (!quoted && (char === '{' || char === '[')) {
      depth += 1;
      containers += 1;
      if (depth > MAX_DEPTH || containers > MAX_CONTAINERS) return false;
    } else if (!quoted && (char === '}' || char === ']')) depth -= 1;
  }
  return text.length <= MAX_MANIFEST_BYTES;
}
