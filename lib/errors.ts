// One catalogue of what can go wrong: each code has its exit code and its meaning, and
// docs/exit-codes.md is generated from it. One error class carries a code, the object it is about,
// the cause and, where there is one, a hint.
import { redact } from './redact.ts';
import { escapeControls, escapeControlsInLines } from './text.ts';

/** What a process exits with. Anything not known to be good counts as a failure. */
export const EXIT = {
  ok: { code: 0, meaning: 'done and verified good' },
  failed: { code: 1, meaning: 'failed; nothing that looks finished was left behind' },
  usage: { code: 2, meaning: 'wrong usage or configuration; nothing was done' },
  warnings: { code: 3, meaning: 'done, with warnings that somebody should read' },
  locked: { code: 4, meaning: 'another run of the same thing is under way; nothing was done' },
  verification: { code: 5, meaning: 'verification failed: the bytes are not what was recorded' },
  notifierFailed: { code: 125, meaning: '`notify` itself failed (as with `env` and `timeout`)' },
  notExecutable: { code: 126, meaning: 'the command that `notify` should run is not executable' },
  notFound: { code: 127, meaning: 'the command that `notify` should run was not found' },
} as const;

/** Signals that end a run; a run ended by signal n exits with 128+n. */
export const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

interface CatalogueEntry {
  exit: keyof typeof EXIT;
  meaning: string;
}

export const ERROR_CATALOGUE = {
  usage: { exit: 'usage', meaning: 'An option or argument is missing, unknown or malformed.' },
  configuration: { exit: 'usage', meaning: 'A setting is missing, unknown, malformed or given twice.' },
  'configuration-permissions': {
    exit: 'usage',
    meaning:
      'A configuration file with a secret can be read by others, one with commands can be changed by others, or it is owned by somebody else.',
  },
  'application-configuration': {
    exit: 'failed',
    meaning: "The application's own configuration is missing, unreadable or can't be read literally.",
  },
  'application-request': {
    exit: 'failed',
    meaning: 'The application did not answer a request over HTTP, or refused it.',
  },
  'program-missing': { exit: 'failed', meaning: 'A program that the run needs is not installed.' },
  'program-failed': { exit: 'failed', meaning: 'A program that garner runs exited with an error.' },
  container: { exit: 'failed', meaning: 'A container is missing, stopped or has no shell.' },
  timeout: { exit: 'failed', meaning: 'A time limit passed; what was running has been ended.' },
  interrupted: { exit: 'failed', meaning: 'A signal ended the run (exit code 128 + its number).' },
  locked: { exit: 'locked', meaning: 'Another run holds the lock.' },
  'work-dir': { exit: 'failed', meaning: 'The work directory is missing, foreign, a link or not writable.' },
  'no-space': { exit: 'failed', meaning: 'The disk is full, or a quota is reached.' },
  io: { exit: 'failed', meaning: 'Reading or writing a file failed.' },
  'file-changed': { exit: 'failed', meaning: 'A file shrank while it was read, twice.' },
  'file-unreadable': { exit: 'failed', meaning: 'A file that belongs into the archive could not be read.' },
  'database-connect': { exit: 'failed', meaning: 'The database refused, or could not be reached.' },
  'database-rights': { exit: 'failed', meaning: 'The database account may not read all it should.' },
  'database-dump': { exit: 'failed', meaning: 'A dump failed or is not whole.' },
  'database-restore': { exit: 'failed', meaning: 'A dump could not be put back.' },
  withheld: {
    exit: 'failed',
    meaning: 'With GARNER_STRICT: a restore would need what the archive leaves out on purpose.',
  },
  'hook-failed': { exit: 'failed', meaning: 'A hook failed whose `on_failure` is `break`.' },
  'undo-mark': {
    exit: 'failed',
    meaning: 'The mark of what a run must undo is damaged, foreign or could not be written.',
  },
  'not-an-archive': { exit: 'verification', meaning: 'A file is no garner archive, or a damaged one.' },
  'checksum-missing': {
    exit: 'verification',
    meaning: 'An archive has no checksum file, or a malformed one.',
  },
  'checksum-mismatch': {
    exit: 'verification',
    meaning: 'The bytes of an archive are not what was recorded.',
  },
  'content-mismatch': { exit: 'verification', meaning: 'A member is not what the manifest says.' },
  'restore-refused': { exit: 'failed', meaning: 'A restore would replace something; nothing was changed.' },
  'version-gate': { exit: 'failed', meaning: 'The archive comes from a newer version of the application.' },
  'store-connect': { exit: 'failed', meaning: 'A store (a host) could not be reached or did not answer.' },
  'host-key': { exit: 'failed', meaning: "A host's key is unknown or has changed; nothing was sent to it." },
  'store-not-found': { exit: 'failed', meaning: 'A file or folder is not in the store.' },
  'store-exists': { exit: 'failed', meaning: 'A file of that name is in the store already.' },
  'store-limit': { exit: 'failed', meaning: 'A host offers more, or larger things, than is plausible.' },
  quota: {
    exit: 'failed',
    meaning: 'A host has reached its quota in the archive store; nothing more is pulled from it.',
  },
  'archive-store': { exit: 'failed', meaning: 'The archive store is not mounted or not set up.' },
  catalog: { exit: 'failed', meaning: 'The catalog is missing, damaged or in doubt.' },
  'catalog-version': { exit: 'failed', meaning: 'The catalog was made by a newer garner.' },
  'prune-refused': { exit: 'failed', meaning: 'A deletion was refused because it looks like a mistake.' },
  'hosts-failed': { exit: 'failed', meaning: 'One or more hosts of several failed; the others are done.' },
  'key-needed': { exit: 'failed', meaning: "A key can't be retired: a kept archive needs it, or may." },
  'operations-failed': {
    exit: 'failed',
    meaning: 'One or more operations of several failed; the others are done.',
  },
  'point-damaged': {
    exit: 'verification',
    meaning: 'A restoration point of a bucket is damaged, or is none.',
  },
  'versions-gone': {
    exit: 'failed',
    meaning: 'Versions that a restoration point names are gone from the bucket; nothing was changed.',
  },
  'failover-refused': {
    exit: 'failed',
    meaning: 'Master and replica of a bucket were not switched; nothing was changed.',
  },
  'keys-failed': {
    exit: 'failed',
    meaning: 'One or more keys of a bucket failed; the others are done.',
  },
  delivery: { exit: 'failed', meaning: 'A message could not be delivered; it is queued.' },
  internal: { exit: 'failed', meaning: 'A defect in garner itself. Please report it with --debug.' },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof ERROR_CATALOGUE;

export interface ErrorDetails {
  cause?: unknown;
  hint?: string | undefined;
  /** Overrides the catalogue's exit code: 128 + signal number. */
  exitCode?: number;
}

/** Foreign text may be in a message, and as long as whoever wrote it likes: the middle of a longer one is left out. */
const MAX_MESSAGE_CHARS = 4000;

function shorten(text: string): string {
  if (text.length <= MAX_MESSAGE_CHARS) return text;
  const half = MAX_MESSAGE_CHARS / 2;
  return `${text.slice(0, half)} … ${text.slice(-half)}`.toWellFormed();
}

/** The one error of garner. Its message reads `cannot <do what> "<object>": <cause>`. */
export class GarnerError extends Error {
  override readonly name = 'GarnerError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly exitCode: number;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    // half a secret is not found by its value
    super(shorten(escapeControls(redact(message))), { cause: details.cause });
    this.code = code;
    this.hint = details.hint === undefined ? undefined : shorten(escapeControls(redact(details.hint)));
    this.exitCode = details.exitCode ?? EXIT[ERROR_CATALOGUE[code].exit].code;
  }
}

/**
 * Makes the error for "could not do this to that".
 * @param code which entry of the catalogue it is
 * @param doWhat a verb with its complement: `read`, `dump database`
 * @param object what it was done to: a path, a name; shown in quotes, escaped
 * @param cause a text, or the error that was caught (kept as `cause`)
 */
export function cannot(
  code: ErrorCode,
  doWhat: string,
  object: string,
  cause: unknown,
  details: Omit<ErrorDetails, 'cause'> = {},
): GarnerError {
  return new GarnerError(code, `cannot ${doWhat} "${escapeControls(object)}": ${causeText(cause)}`, {
    ...details,
    cause: typeof cause === 'string' ? undefined : cause,
  });
}

/** System errors by what an administrator calls them; `EACCES: permission denied, open '/x'` names the path twice. */
const SYSTEM_CAUSES: Record<string, string> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or directory',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
  EEXIST: 'exists already',
  ENOSPC: 'no space left on the disk',
  EDQUOT: 'disk quota reached',
  EIO: 'input/output error of the disk',
  EROFS: 'the file system is read-only',
  EMFILE: 'too many open files',
  ENFILE: 'too many open files on this machine',
  EFBIG: 'file too large for the file system',
  ELOOP: 'too many levels of symbolic links',
  ENAMETOOLONG: 'name too long',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset by the other side',
  ETIMEDOUT: 'connection timed out',
  EHOSTUNREACH: 'host not reachable',
  ENETUNREACH: 'network not reachable',
  EAI_AGAIN: 'host name lookup failed for now',
  ENOTFOUND: 'host name not found',
};

/** @returns the cause in one short line, without the prefix of a nested garner error */
export function causeText(cause: unknown): string {
  if (typeof cause === 'string') return escapeControls(cause);
  if (cause instanceof GarnerError) return cause.message;
  if (cause instanceof Error) {
    const { code } = cause as NodeJS.ErrnoException;
    const known = code === undefined ? undefined : SYSTEM_CAUSES[code];
    return known ?? escapeControls(cause.message);
  }
  return escapeControls(String(cause));
}

/** @returns whether the error, or one that caused it, is a full disk or a reached quota */
export function isNoSpace(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    const { code } = e as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT') return true;
  }
  return false;
}

/** Turns whatever was thrown into the one error; what nobody foresaw is `internal` (or a plain system error: `io`). */
export function asGarnerError(error: unknown): GarnerError {
  if (error instanceof GarnerError) return error;
  const { code, path, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  if (code !== undefined && SYSTEM_CAUSES[code] !== undefined) {
    return cannot(isNoSpace(error) ? 'no-space' : 'io', syscall ?? 'access', path ?? 'a file', error);
  }
  const text = error instanceof Error ? error.message : String(error);
  return new GarnerError('internal', escapeControls(text), {
    cause: error,
    hint: 'run it again with --debug and report what it prints',
  });
}

/**
 * What a person reads: one line, a hint where there is one, the stack only with --debug.
 * @param program the command as it was called, e.g. `agent-mediawiki`
 */
export function formatError(program: string, error: GarnerError, debug = false): string {
  const lines = [`${program}: ${error.message}`];
  if (error.hint !== undefined) lines.push(`hint: ${error.hint}`);
  if (debug) {
    for (let e: unknown = error; e instanceof Error; e = e.cause)
      lines.push(escapeControlsInLines(e.stack ?? e.message));
  }
  return redact(lines.join('\n'));
}
