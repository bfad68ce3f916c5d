// What a run has to say when it is over, well or not: a path, an exit code, and the JSON object of `--json`.
import { asGarnerError, EXIT, GarnerError } from '../../lib/errors.ts';
import { path, paths } from '../../lib/settings.ts';
import type { Backup } from './backup.ts';
import type { AgentContext, AgentDefinition } from './define-agent.ts';

export interface BackupAnswer {
  /** The archive's path; undefined after a failure. */
  archive: string | undefined;
  /** Why there is none. */
  error: GarnerError | undefined;
  exitCode: number;
  json: { result: string; error: object | null; [key: string]: unknown };
}

/**
 * Makes a backup, whatever comes of it.
 * @param prepare reads the settings; what it throws is an answer too
 */
export async function answerOf(
  agent: AgentDefinition,
  instance: string | undefined,
  prepare: () => AgentContext & Disposable,
  backUp: (context: AgentContext) => Promise<Backup>,
): Promise<BackupAnswer> {
  const startedAt = new Date();
  let host: string | null = null;
  try {
    using context = prepare();
    host = context.settings.GARNER_HOST;
    const { archive, warnings, uploaded } = await backUp(context);
    const { path, sizeBytes, digests: checksums, manifest } = archive;
    const { application, instance, version, finishedAt, members, crossChecks = [] } = manifest;
    const { withheld = [] } = manifest;
    const { sha256, sha1 = null } = checksums;
    const { result, code: exitCode } =
      warnings.length > 0 ? { result: 'warnings', ...EXIT.warnings } : { result: 'ok', ...EXIT.ok };
    const times = { startedAt: manifest.startedAt, finishedAt };
    const digests = { sizeBytes, sha256, sha1 };
    const identity = { application, instance, host, version };
    const content = { members, crossChecks, withheld, warnings };
    const where = { archive: path, ...(uploaded !== undefined && { uploaded }) };
    const json = { result, ...where, ...digests, ...identity, ...times, ...content, error: null };
    return { archive: path, error: undefined, exitCode, json };
  } catch (caught) {
    return failedAnswer(agent, instance, caught, { host, startedAt });
  }
}

/** @returns the answer of a run that came to nothing */
export function failedAnswer(
  agent: AgentDefinition,
  instance: string | undefined,
  caught: unknown,
  { host, startedAt }: { host: string | null; startedAt: Date },
): BackupAnswer {
  const { application } = agent;
  const error = withPlaces(agent, asGarnerError(caught));
  const nothing = { archive: null, sizeBytes: null, sha256: null, sha1: null };
  const identity = { application, instance: instance ?? null, host, version: null };
  const times = { startedAt: startedAt.toISOString(), finishedAt: new Date().toISOString() };
  const rest = { members: [], crossChecks: [], withheld: [], warnings: [] };
  const { result, ...failure } = failureOf(error);
  const json = { result, ...nothing, ...identity, ...times, ...rest, ...failure };
  return { archive: undefined, error, exitCode: error.exitCode, json };
}

/** @returns the error; of what isn't where the agent looks for it, with the settings that say where it is */
export function withPlaces({ settings }: AgentDefinition, error: GarnerError): GarnerError {
  const { code, message, hint, cause, exitCode } = error;
  const isPlace = code === 'application-configuration' || code === 'file-unreadable';
  if (hint !== undefined || !isPlace || !/: no such (file or )?directory$/.test(message)) return error;
  const names = Object.keys(settings).filter((name) =>
    [path, paths].some((parse) => settings[name]?.parse === parse),
  );
  if (names.length === 0) return error;
  const where = `where things are is set by ${names.join(', ')}: docs/settings.md`;
  return new GarnerError(code, message, { cause, exitCode, hint: where });
}

/** What `--json` says of a failure. */
export function failureOf({ code, message, hint }: GarnerError): { result: string; error: object } {
  const error = { code, message, hint: hint ?? null };
  return { result: code === 'locked' ? 'locked' : 'failed', error };
}
