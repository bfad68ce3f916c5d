// The name of an archive says what it holds: <application>[.<instance>]-<host>-<YYYYMMDD>T<HHMMSS>Z.
import { createHash } from 'node:crypto';
import { cannot } from '../lib/errors.ts';

export interface ArchiveName {
  application: string;
  instance: string | undefined;
  host: string;
  /** When the backup started, whole seconds, UTC. */
  time: Date;
}

export const ARCHIVE_SUFFIX = '.tar';
export const CHECKSUMS = ['sha256', 'sha1'] as const;
export type Checksum = (typeof CHECKSUMS)[number];

/** A checksum file is one line; more than this is none. */
export const MAX_SIDECAR_BYTES = 1024;
/** How long a checksum file may lie without its archive before it is swept. */
export const ORPHAN_MS = 86_400_000;

const MAX_LENGTH = 200;
const APPLICATION = /^[a-z][a-z0-9]*$/;
const INSTANCE = /^[a-z0-9_]+$/;
const HOST = /^[a-z0-9][a-z0-9.-]*$/;

/** @throws usage where a part has other characters than names allow */
export function formatName({ application, instance, host, time }: ArchiveName): string {
  checkApplication(application, instance);
  if (!HOST.test(host))
    throw cannot('usage', 'name an archive of host', host, 'letters, digits, dots and dashes only');
  const stamp = time
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replace(/[-:]/g, '');
  const name = `${groupName(application, instance)}-${host}-${stamp}`;
  if (name.length > MAX_LENGTH)
    throw cannot('usage', 'name an archive', name, `it is longer than ${MAX_LENGTH} characters`);
  return name;
}

export function checkApplication(application: string, instance: string | undefined): void {
  if (!APPLICATION.test(application)) {
    throw cannot('usage', 'use application name', application, 'lower-case letters and digits only');
  }
  if (instance !== undefined && !INSTANCE.test(instance)) {
    throw cannot('usage', 'use instance', instance, 'lower-case letters, digits and _ only');
  }
}

const LONGEST_INSTANCE = 60;
const DIGEST_AT_END = /(^|_)[0-9a-f]{8}$/;

/**
 * Makes an instance of any name: `daily_db` stays, `Daily-DB` becomes `daily_db_` and eight digits of its digest. The same name
 * gives the same instance on every host, and no name gives another's: what looks like one with a digest gets its own.
 */
export function instanceName(name: string): string {
  if (INSTANCE.test(name) && name.length <= LONGEST_INSTANCE && !DIGEST_AT_END.test(name)) return name;
  const words = name.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 8);
  return [words.join('_').slice(0, LONGEST_INSTANCE), digest].filter(Boolean).join('_');
}

/** @returns `<application>[.<instance>]`: the archives that are kept and pruned together, with the host */
export function groupName(application: string, instance: string | undefined): string {
  return instance === undefined ? application : `${application}.${instance}`;
}

/**
 * Reads a name from both ends: the application has no dash, the time has a fixed form, what is between is the host.
 * @param name without `.tar`
 * @returns undefined where it is no archive's name
 */
export function parseName(name: string): ArchiveName | undefined {
  if (name.length > MAX_LENGTH) return undefined;
  const match =
    /^([a-z][a-z0-9]*)(?:\.([a-z0-9_]+))?-([a-z0-9][a-z0-9.-]*)-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(
      name,
    );
  if (match === null) return undefined;
  const [, application, instance, host, ...digits] = match as unknown as string[];
  const [year, month, day, hour, minute, second] = digits;
  const time = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  // 20261399T… parses to nothing, 20260231T… to another day
  if (Number.isNaN(time.getTime()) || time.getUTCDate() !== Number(day)) return undefined;
  return { application: application as string, instance, host: host as string, time };
}

/** @returns a file's name without `.tar`; undefined where it has no such end */
export function withoutSuffix(file: string): string | undefined {
  return file.endsWith(ARCHIVE_SUFFIX) ? file.slice(0, -ARCHIVE_SUFFIX.length) : undefined;
}

/** @returns the text of a checksum file, as `sha256sum` writes and checks it */
export function formatSidecar(digest: string, archiveFile: string): string {
  return `${digest}  ${archiveFile}\n`;
}

/**
 * Reads a checksum file strictly: one line, of this archive.
 * @throws checksum-missing where it is anything else
 */
export function parseSidecar(content: string, archiveFile: string, checksum: Checksum): string {
  const digest = content.slice(0, checksum === 'sha256' ? 64 : 40);
  if (!/^[0-9a-f]+$/.test(digest) || content !== formatSidecar(digest, archiveFile)) {
    throw cannot(
      'checksum-missing',
      'use checksum file',
      `${archiveFile}.${checksum}`,
      'it is not one line of digest and name',
    );
  }
  return digest;
}
